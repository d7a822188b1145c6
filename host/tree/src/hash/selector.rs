//! What an operation reads of an input, and the one digest of all that.

use kiln_image::Digest;

use super::FileDigests;
use super::checksum::Options;
use super::checksum::RootHeader;
use super::checksum::checksum;
use crate::OpError;
use crate::Tree;

/// A part of a tree that an operation reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Path, from the root.
    pub path: String,
    /// How it is hashed.
    pub options: Options,
}

impl Selector {
    fn is_plain(&self) -> bool {
        self.options
            == Options {
                follow_links: self.options.follow_links,
                ..Options::default()
            }
    }
}

/// Returns the paths that are not below another one, sorted, each once.
pub fn dedupe_paths<S: AsRef<str>>(paths: &[S]) -> Vec<String> {
    let clean = |path: &S| path.as_ref().trim_end_matches('/').to_owned();
    let mut all: Vec<String> = paths.iter().map(clean).collect();
    all.sort();
    all.dedup();
    let is_below =
        |path: &str, above: &str| path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    let covered = |path: &str| all.iter().any(|above| is_below(path, above));
    let kept = all.iter().filter(|path| !covered(path));
    kept.map(|path| {
        if path.is_empty() {
            "/".to_owned()
        } else {
            path.clone()
        }
    })
    .collect()
}

/// Returns the parts that are hashed: plain paths that lie in another one drop out, the rest is sorted by path.
fn dedupe(selectors: &[Selector]) -> Vec<Selector> {
    let mut all = Vec::new();
    for follow_links in [false, true] {
        let plain = selectors
            .iter()
            .filter(|s| s.is_plain() && s.options.follow_links == follow_links);
        let paths: Vec<&str> = plain.map(|selector| &*selector.path).collect();
        let options = Options {
            follow_links,
            ..Options::default()
        };
        all.extend(dedupe_paths(&paths).into_iter().map(|path| Selector {
            path,
            options: options.clone(),
        }));
    }
    all.extend(selectors.iter().filter(|selector| !selector.is_plain()).cloned());
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// Returns the content key of an input: the digest of the digests of all that is read of it, the whole tree when that
/// is an empty list. `root` is for all selectors alike; their own is not looked at.
///
/// # Errors
/// As [`checksum`].
pub fn content_key(
    tree: &Tree,
    selectors: &[Selector],
    root: RootHeader,
    files: &dyn FileDigests,
) -> Result<Digest, OpError> {
    let plain = |selector: &Selector| {
        let options = Options {
            root: RootHeader::default(),
            ..selector.options.clone()
        };
        Selector {
            path: selector.path.clone(),
            options,
        }
    };
    let mut selectors = dedupe(&selectors.iter().map(plain).collect::<Vec<_>>());
    if selectors.is_empty() {
        selectors.push(Selector::default());
    }
    let mut digests = Vec::with_capacity(selectors.len());
    for selector in &selectors {
        let options = Options {
            root,
            ..selector.options.clone()
        };
        digests.push(checksum(tree, &selector.path, &options, files)?.to_string());
    }
    Ok(Digest::of(digests.join("\0")))
}
