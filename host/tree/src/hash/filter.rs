//! Which entries count when a path has wildcards or comes with include and exclude patterns.

use kiln_pattern::MatchInfo;
use kiln_pattern::PatternError;
use kiln_pattern::Patterns;
use kiln_pattern::glob_match;

use super::checksum::Options;
use super::checksum::patterns;
use crate::Follow;
use crate::Found;
use crate::OpError;
use crate::Tree;
use crate::TreePath;
use crate::ops::split_wildcards;

/// An entry that counts.
#[derive(Debug)]
pub(super) struct Included<'a> {
    pub(super) found: Found<'a>,
    /// Its path as the caller spelled it, absolute; symlinks before its end are not resolved in it.
    pub(super) name: Vec<u8>,
    /// How much of the name stands for the part of the path without wildcards.
    prefix: usize,
    /// It is no entry of a directory that was looked into.
    pub(super) is_top: bool,
}

impl Included<'_> {
    /// Returns what stands for the path in the digest: relative, with NULs for separators, one of them in front.
    pub(super) fn key(&self) -> Vec<u8> {
        let relative = &self.name[self.prefix..];
        let relative = relative.strip_prefix(b"/").unwrap_or(relative);
        let relative = relative.iter().map(|&b| if b == b'/' { 0 } else { b });
        std::iter::once(0).chain(relative).collect()
    }
}

/// Returns the last component of a path, as Go's `path.Base` does.
pub(super) fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
    match (&path[..end], path) {
        ([], []) => b".",
        ([], _) => b"/",
        (path, _) => path.rsplit(|&b| b == b'/').next().unwrap_or_default(),
    }
}

/// A directory on the way, which counts when something in it does.
struct Dir<'a> {
    included: Option<Included<'a>>,
    name: Vec<u8>,
    info: Info,
}

/// What the pattern lists say of a directory.
#[derive(Clone, Copy, Default)]
struct Info {
    include: MatchInfo,
    exclude: MatchInfo,
}

struct Filter<'a> {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
    /// The path as a pattern; none without wildcards.
    wildcard: Option<String>,
    /// The path as asked for, absolute; empty for the root.
    path: Vec<u8>,
    prefix: usize,
    dirs: Vec<Dir<'a>>,
    /// The last path that the wildcards matched.
    matched: Option<Vec<u8>>,
    all: Vec<Included<'a>>,
}

/// Returns what counts of `path`, in walk order. Nothing when there is nothing at `path`.
pub(super) fn included<'a>(
    tree: &'a Tree,
    path: &str,
    options: &Options,
) -> Result<Vec<Included<'a>>, OpError> {
    let clean = TreePath::clean(path)?;
    let absolute = |path: &TreePath| {
        if path.is_root() {
            Vec::new()
        } else {
            path.to_absolute()
        }
    };
    let wildcard = options
        .wildcard
        .then(|| String::from_utf8_lossy(&absolute(&clean)).into_owned());
    let (start, follow) = match &wildcard {
        None => (clean.clone(), Follow::NotLast),
        Some(pattern) => {
            let (fixed, rest) = split_wildcards(pattern);
            let follow = if rest.is_empty() {
                Follow::NotLast
            } else {
                Follow::Last
            };
            (TreePath::clean(fixed)?, follow)
        }
    };
    if let Some(pattern) = &wildcard {
        let failed = |source: PatternError| OpError::Wildcard {
            pattern: path.to_owned(),
            source,
        };
        glob_match(pattern, b"").map_err(failed)?;
    }
    let resolved = tree.resolve(start.as_bytes(), follow)?;
    let mut filter = Filter {
        include: patterns("include", &options.include_patterns)?,
        exclude: patterns("exclude", &options.exclude_patterns)?,
        wildcard,
        path: absolute(&clean),
        prefix: absolute(&start).len(),
        dirs: Vec::new(),
        matched: None,
        all: Vec::new(),
    };
    let Some(top) = tree.lookup(&resolved) else {
        return Ok(Vec::new());
    };
    let prefix = absolute(&start);
    let skipped = absolute(&resolved).len();
    // The root itself never counts: the path that stands for it ends in a separator.
    if !(clean.is_root() && resolved.is_root()) {
        filter.visit(top, prefix.clone());
    }
    for found in tree.walk(&resolved) {
        let name = [&prefix[..], &found.path.to_absolute()[skipped..]].concat();
        filter.visit(found, name);
    }
    Ok(filter.all)
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

impl<'a> Filter<'a> {
    /// Looks at an entry; `name` is its path as the caller spells it.
    fn visit(&mut self, found: Found<'a>, name: Vec<u8>) {
        while self.dirs.last().is_some_and(|dir| !is_below(&name, &dir.name)) {
            self.dirs.pop();
        }
        let Some(candidate) = self.candidate(&name) else {
            return;
        };
        let parent = self.dirs.last().map(|dir| dir.info).unwrap_or_default();
        let (wanted, info) = self.wants(&candidate, parent);
        let is_directory = found.node.is_directory();
        let included = Included {
            found,
            name: name.clone(),
            prefix: self.prefix,
            is_top: self.dirs.is_empty(),
        };
        if wanted {
            let above = self.dirs.iter_mut().filter_map(|dir| dir.included.take());
            self.all.extend(above);
        }
        match (wanted, is_directory) {
            (true, true) => {
                self.all.push(included);
                self.dirs.push(Dir {
                    included: None,
                    name,
                    info,
                });
            }
            (true, false) => self.all.push(included),
            (false, true) => self.dirs.push(Dir {
                included: Some(included),
                name,
                info,
            }),
            (false, false) => {}
        }
    }

    /// Returns the path that the patterns are about; none when the wildcards do not match.
    fn candidate(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let above = match &self.wildcard {
            None => &self.path,
            Some(pattern) if pattern.is_empty() => &self.path,
            Some(pattern) => {
                if !self
                    .matched
                    .as_ref()
                    .is_some_and(|matched| is_below(name, matched))
                {
                    if !glob_match(pattern, name).unwrap_or(false) {
                        return None;
                    }
                    self.matched = Some(name.to_vec());
                }
                self.matched.as_ref()?
            }
        };
        let rest = name.strip_prefix(&above[..]).unwrap_or(name);
        Some(rest.strip_prefix(b"/").unwrap_or(rest).to_vec())
    }

    fn wants(&self, candidate: &[u8], parent: Info) -> (bool, Info) {
        let mut info = Info::default();
        if let Some(include) = &self.include {
            info.include = include.matches_using_parent(candidate, parent.include);
            if !info.include.matched() {
                return (false, info);
            }
        }
        if let Some(exclude) = &self.exclude {
            info.exclude = exclude.matches_using_parent(candidate, parent.exclude);
            return (!info.exclude.matched(), info);
        }
        (true, info)
    }
}
