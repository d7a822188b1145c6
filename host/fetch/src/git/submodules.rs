//! Submodules: repositories that a repository names, under the same rules as the repository itself.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::Job;
use super::checkout::Budget;
use super::command::Call;
use super::remote::Remote;
use super::repository::Repository;
use crate::FetchError;

/// Deepest nesting.
const DEEPEST: usize = 32;

/// A place in a tree where another repository's commit belongs.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) path: Vec<u8>,
    pub(super) commit: String,
}

/// The submodules of one commit.
#[derive(Debug, Default)]
pub(super) struct Modules {
    links: Vec<Link>,
    /// Settings in `.gitmodules` by path.
    settings: HashMap<Vec<u8>, Setting>,
}

#[derive(Debug, Default, Clone)]
struct Setting {
    path: Vec<u8>,
    url: String,
    skip: bool,
}

/// Submodules that still have to be fetched.
struct Pending {
    remote: Remote,
    modules: Modules,
    directory: PathBuf,
    /// Where the directory is in the whole checkout, for errors.
    prefix: String,
    depth: usize,
}

impl Job<'_> {
    /// Reads what a commit says of its submodules.
    pub(super) async fn modules(
        &self,
        repository: &Repository,
        commit: &str,
        links: Vec<Link>,
    ) -> Result<Modules, FetchError> {
        if links.is_empty() || self.source.skip_submodules {
            return Ok(Modules::default());
        }
        let blob = format!("{commit}:.gitmodules");
        let call = |words: &[&str]| Call::new("look into", words);
        let words = ["ls-tree", commit, ".gitmodules"];
        let listed = self.git(&call(&words).at(&repository.path)).await?;
        // A link instead of a file could lead anywhere.
        if !listed.starts_with(b"100") {
            return Ok(Modules {
                links,
                ..Modules::default()
            });
        }
        let words = ["config", "--blob", &blob, "--null", "--list"];
        let answer = self.git(&call(&words).at(&repository.path)).await?;
        Ok(Modules {
            links,
            settings: settings(&answer),
        })
    }

    /// Fetches the submodules of a checkout, and theirs.
    pub(super) async fn submodules(
        &self,
        remote: &Remote,
        modules: Modules,
        directory: &Path,
        budget: &mut Budget,
    ) -> Result<(), FetchError> {
        let mut pending = vec![Pending {
            remote: remote.clone(),
            modules,
            directory: directory.to_owned(),
            prefix: String::new(),
            depth: 0,
        }];
        while let Some(parent) = pending.pop() {
            for link in &parent.modules.links {
                let path = format!("{}{}", parent.prefix, String::from_utf8_lossy(&link.path));
                let failed = |reason: String| FetchError::GitSubmodule {
                    remote: self.source.remote.shown(),
                    path: path.clone(),
                    reason,
                };
                let Some(setting) = parent.modules.settings.get(&link.path) else {
                    let reason = "no submodule mapping found in .gitmodules".to_owned();
                    return Err(failed(reason));
                };
                if setting.skip {
                    continue;
                }
                let left = budget.submodules.checked_sub(1);
                budget.submodules = left.ok_or_else(|| failed("there are too many".to_owned()))?;
                if parent.depth >= DEEPEST {
                    return Err(failed("it is nested too deeply".to_owned()));
                }
                let remote = parent.remote.submodule(&setting.url);
                let remote = remote.map_err(|error| failed(chain(&error)))?;
                let place = place(&parent.directory, &link.path)
                    .ok_or_else(|| failed("its place is taken".to_owned()))?;
                let filled = self.fill_submodule(&remote, link, &place, budget).await;
                let modules = filled.map_err(|error| failed(chain(&error)))?;
                pending.push(Pending {
                    remote,
                    modules,
                    directory: place,
                    prefix: format!("{path}/"),
                    depth: parent.depth + 1,
                });
            }
        }
        Ok(())
    }
}

/// Returns the empty directory where a submodule belongs, when nothing on the way is anything but a directory.
fn place(root: &Path, path: &[u8]) -> Option<PathBuf> {
    let mut place = root.to_owned();
    for part in path.split(|byte| *byte == b'/') {
        if matches!(part, b"" | b"." | b"..") || part.eq_ignore_ascii_case(b".git") {
            return None;
        }
        place.push(std::ffi::OsStr::from_bytes(part));
        if !std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir()) {
            return None;
        }
    }
    let mut entries = std::fs::read_dir(&place).ok()?;
    entries.next().is_none().then_some(place)
}

/// Reads `submodule.NAME.KEY\nVALUE\0`.
fn settings(text: &[u8]) -> HashMap<Vec<u8>, Setting> {
    let mut by_name: HashMap<Vec<u8>, Setting> = HashMap::new();
    for row in text.split(|byte| *byte == 0) {
        let Some(end) = row.iter().position(|byte| *byte == b'\n') else {
            continue;
        };
        let (key, value) = (&row[..end], &row[end + 1..]);
        let Some(rest) = key.strip_prefix(b"submodule.") else {
            continue;
        };
        let Some(dot) = rest.iter().rposition(|byte| *byte == b'.') else {
            continue;
        };
        let setting = by_name.entry(rest[..dot].to_vec()).or_default();
        match &rest[dot + 1..] {
            b"path" => setting.path = value.strip_suffix(b"/").unwrap_or(value).to_vec(),
            b"url" => setting.url = String::from_utf8_lossy(value).into_owned(),
            b"update" => setting.skip = value == b"none",
            _ => {}
        }
    }
    by_name
        .into_values()
        .map(|setting| (setting.path.clone(), setting))
        .collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitmodules_are_read() {
        let text = b"submodule.a.b.path\nx/y\0submodule.a.b.url\n../z\0submodule.c.path\nc/\0submodule.c.update\nnone\0odd\0core.x\n1\0";
        let read = settings(text);
        assert_eq!(read[b"x/y".as_slice()].url, "../z");
        assert!(!read[b"x/y".as_slice()].skip);
        assert!(read[b"c".as_slice()].skip);
        assert_eq!(read.len(), 2);
    }
}
