//! The files of a commit, in a directory.

use std::path::Path;
use std::path::PathBuf;

use super::Job;
use super::command::Call;
use super::remote::Remote;
use super::repository::Repository;
use super::resolve::Resolved;
use super::source::Times;
use super::source::is_commit;
use super::submodules::Link;
use super::submodules::Modules;
use crate::FetchError;
use crate::Limits;

/// How much may still come.
pub(super) struct Budget {
    limits: Limits,
    entries: u64,
    bytes: u64,
    pub(super) submodules: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            entries: limits.entries,
            bytes: limits.bytes,
            submodules: limits.submodules,
        }
    }

    fn spend(&mut self, bytes: u64, remote: &Remote) -> Result<(), FetchError> {
        let too_large = |limit, unit| FetchError::TooLarge {
            what: remote.shown(),
            limit,
            unit,
        };
        self.entries = self
            .entries
            .checked_sub(1)
            .ok_or_else(|| too_large(self.limits.entries, "files and directories"))?;
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| too_large(self.limits.bytes, "bytes"))?;
        Ok(())
    }
}

impl Job<'_> {
    pub(super) async fn checkout(
        &self,
        resolved: &Resolved,
        directory: &Path,
        budget: &mut Budget,
    ) -> Result<(), FetchError> {
        let subdir = self.source.subdir.as_str();
        if subdir.is_empty() {
            return self.checkout_all(resolved, directory, budget).await;
        }
        // Beside the result, so that the part that is wanted can be moved there.
        let whole = beside(directory, "checkout");
        std::fs::create_dir(&whole).map_err(FetchError::file("create", &whole))?;
        self.checkout_all(resolved, &whole, budget).await?;
        let part = self.directory_in(&whole, subdir)?;
        std::fs::remove_dir(directory).map_err(FetchError::file("replace", directory))?;
        std::fs::rename(&part, directory).map_err(FetchError::file("move", &part))?;
        std::fs::remove_dir_all(&whole).map_err(FetchError::file("remove", &whole))
    }

    async fn checkout_all(
        &self,
        resolved: &Resolved,
        directory: &Path,
        budget: &mut Budget,
    ) -> Result<(), FetchError> {
        let remote = &self.source.remote;
        // As BuildKit: a part of a repository has no `.git`.
        let keep = self.source.keep_git_dir && self.source.subdir.is_empty();
        let (modules, time) = {
            let mut again = true;
            loop {
                let repository = self.repository(remote).await?;
                match self.fill(&repository, resolved, directory, (keep, budget)).await {
                    // What a crash or a full disk left is not worth an error.
                    Err(error) if again && repository.old && is_damage(&error) => {
                        again = false;
                        repository.remove()?;
                        clear(directory)?;
                    }
                    done => break done?,
                }
            }
        };
        // Not while the repository is locked: a submodule may be the same repository.
        if !self.source.skip_submodules {
            Box::pin(self.submodules(remote, modules, directory, budget)).await?;
        }
        match time {
            Some(seconds) => set_times(directory, seconds),
            None => Ok(()),
        }
    }

    /// Puts the files of a commit into a directory; returns its submodules and when it was made, where that is wanted.
    async fn fill(
        &self,
        repository: &Repository,
        resolved: &Resolved,
        directory: &Path,
        (keep, budget): (bool, &mut Budget),
    ) -> Result<(Modules, Option<i64>), FetchError> {
        self.fetch(repository, resolved).await?;
        let listing = self.listing(repository, &resolved.commit, budget).await?;
        let modules = self.modules(repository, &resolved.commit, listing).await?;
        if keep {
            self.keep_repository(repository, resolved, directory).await?;
        } else {
            let index = repository.path.join("kiln-index");
            let _missing = std::fs::remove_file(&index);
            let call = Call {
                work_tree: Some(directory),
                index: Some(&index),
                ..Call::new(
                    "checkout remote",
                    &["read-tree", "--reset", "-u", &resolved.commit],
                )
                .at(&repository.path)
            };
            self.git(&call).await?;
            let _missing = std::fs::remove_file(&index);
        }
        let time = match self.source.times {
            Times::Checkout => None,
            Times::Commit => Some(self.time_of(repository, &resolved.commit).await?),
        };
        Ok((modules, time))
    }

    /// Puts the files of a submodule's commit into a directory; returns its own submodules.
    pub(super) async fn fill_submodule(
        &self,
        remote: &Remote,
        link: &Link,
        directory: &Path,
        budget: &mut Budget,
    ) -> Result<Modules, FetchError> {
        let resolved = Resolved {
            commit: link.commit.clone(),
            tag: None,
            reference: None,
        };
        let keep = self.source.keep_git_dir && self.source.subdir.is_empty();
        let repository = self.repository(remote).await?;
        let filled = self.fill(&repository, &resolved, directory, (keep, budget)).await;
        filled.map(|(modules, _)| modules)
    }

    /// Counts what a commit has before any of it is written, and returns the paths of its submodules.
    async fn listing(
        &self,
        repository: &Repository,
        commit: &str,
        budget: &mut Budget,
    ) -> Result<Vec<Link>, FetchError> {
        let (mut rest, mut links) = (Vec::new(), Vec::new());
        let call = Call::new("look into", &["ls-tree", "-r", "-t", "-z", "-l", commit]).at(&repository.path);
        self.git_each(&call, &mut |bytes| {
            rest.extend_from_slice(bytes);
            let mut start = 0;
            while let Some(length) = rest[start..].iter().position(|byte| *byte == 0) {
                let row = &rest[start..start + length];
                start += length + 1;
                let (size, link) = read_row(row);
                budget.spend(size, &repository.remote)?;
                links.extend(link);
            }
            rest.drain(..start);
            Ok(())
        })
        .await?;
        Ok(links)
    }

    /// Returns a directory of a checkout. Each part of the path must be one: links could lead anywhere.
    fn directory_in(&self, root: &Path, subdir: &str) -> Result<PathBuf, FetchError> {
        let refused = |reason: String| FetchError::GitSubdir {
            remote: self.source.remote.shown(),
            subdir: subdir.to_owned(),
            reason,
        };
        let mut path = root.to_owned();
        for part in subdir.split('/') {
            if matches!(part, "" | "." | "..") {
                return Err(refused(format!("`{part}` is no name")));
            }
            path.push(part);
            let found = std::fs::symlink_metadata(&path);
            let found = found.map_err(|_| refused(format!("lstat {part}: no such file or directory")))?;
            if !found.is_dir() {
                return Err(refused(format!(
                    "git subpath \"/{subdir}\" contains non-directory \"{part}\""
                )));
            }
        }
        Ok(path)
    }
}

/// Reads `mode type id size\tpath`; returns the size of a file and the path of a submodule.
fn read_row(row: &[u8]) -> (u64, Option<Link>) {
    let Some(tab) = row.iter().position(|byte| *byte == b'\t') else {
        return (0, None);
    };
    let head = String::from_utf8_lossy(&row[..tab]);
    let mut words = head.split_ascii_whitespace();
    let (mode, _, id, size) = (words.next(), words.next(), words.next(), words.next());
    let size = size.and_then(|size| size.parse().ok()).unwrap_or_default();
    let link = match (mode, id) {
        (Some("160000"), Some(id)) if is_commit(id) => Some(Link {
            path: row[tab + 1..].to_vec(),
            commit: id.to_owned(),
        }),
        _ => None,
    };
    (size, link)
}

/// Returns true for errors that another try with a new repository may not have.
fn is_damage(error: &FetchError) -> bool {
    const SIGNS: [&str; 6] = [
        "corrupt",
        "bad object",
        "unable to read",
        "not a git repository:",
        "bad ref",
        "loose object",
    ];
    match error {
        FetchError::Git { action, stderr, .. } => {
            *action != "fetch remote" || SIGNS.iter().any(|sign| stderr.contains(sign))
        }
        _ => false,
    }
}

fn beside(directory: &Path, name: &str) -> PathBuf {
    directory.with_file_name(name)
}

/// Empties a directory.
fn clear(directory: &Path) -> Result<(), FetchError> {
    std::fs::remove_dir_all(directory)
        .and_then(|()| std::fs::create_dir(directory))
        .map_err(FetchError::file("empty", directory))
}

/// Sets the time of everything in a directory.
fn set_times(directory: &Path, seconds: i64) -> Result<(), FetchError> {
    let time = rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let failed = || FetchError::file("set the time of", &path);
        let entries = std::fs::read_dir(&path).map_err(failed())?;
        for entry in entries {
            let entry = entry.map_err(failed())?;
            if entry.file_type().map_err(failed())?.is_dir() {
                open.push(entry.path());
            } else {
                rustix::fs::utimensat(
                    rustix::fs::CWD,
                    entry.path(),
                    &times,
                    rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
                )
                .map_err(|error| failed()(error.into()))?;
            }
        }
        rustix::fs::utimensat(
            rustix::fs::CWD,
            &path,
            &times,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|error| failed()(error.into()))?;
    }
    Ok(())
}
