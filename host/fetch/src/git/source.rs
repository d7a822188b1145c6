//! What is wanted of a repository.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_giturl::GitIdentifier;
use kiln_giturl::redact;

use super::remote::Remote;
use super::remote::is_repository;
use crate::FetchError;

/// Longest name of a branch or tag.
const LONGEST: usize = 1024;

/// What the times of files in a checkout are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Times {
    /// When the checkout was made.
    #[default]
    Checkout,
    /// When the commit was made.
    Commit,
}

/// A commit of a repository, as a build graph names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    pub(crate) remote: Remote,
    pub(crate) reference: String,
    pub(crate) subdir: String,
    pub(crate) checksum: String,
    pub(crate) keep_git_dir: bool,
    pub(crate) skip_submodules: bool,
    pub(crate) fetch_by_commit: bool,
    pub(crate) times: Times,
    pub(crate) header_secret: String,
    pub(crate) token_secret: String,
    pub(crate) agent: String,
    pub(crate) known_hosts: String,
}

impl GitSource {
    /// Reads identifier and attributes of a source.
    ///
    /// # Errors
    /// When one of them has no meaning, or names what git must not be given.
    pub fn parse(identifier: &str, attrs: &BTreeMap<String, String>) -> Result<Self, FetchError> {
        let parsed = GitIdentifier::parse(identifier).map_err(|source| FetchError::GitUrl {
            url: redact(identifier),
            source,
        })?;
        let url = match attrs.get("git.fullurl").map(String::as_str) {
            None | Some("") => parsed.remote,
            Some(full) if kiln_giturl::RemoteUrl::parse(full).is_ok() => full.to_owned(),
            Some(full) => format!("https://{full}"),
        };
        let mut source = Self::new(Remote::parse(&url)?, parsed.reference, parsed.subdir)?;
        for (key, value) in attrs {
            source.set(key, value)?;
        }
        Ok(source)
    }

    /// Names a repository of this machine; none when there is none at `path`.
    ///
    /// # Errors
    /// When the reference is none.
    pub fn local(path: PathBuf, reference: &str, subdir: &str) -> Result<Option<Self>, FetchError> {
        if !is_repository(&path) {
            return Ok(None);
        }
        // The identifier knows how subdirectories are cleaned.
        let id = GitIdentifier::parse(&format!(
            "https://localhost/#:{}",
            subdir.replace(['#', '%'], "_")
        ));
        let subdir = id.map(|id| id.subdir).unwrap_or_default();
        Self::new(Remote::Local(path), reference.to_owned(), subdir).map(Some)
    }

    /// Returns what git is called with: the repository's URL, with the password if it has one.
    pub fn url(&self) -> String {
        self.remote.url()
    }

    /// Returns the repository's URL without password.
    pub fn shown(&self) -> String {
        self.remote.shown()
    }

    pub(crate) fn new(remote: Remote, reference: String, subdir: String) -> Result<Self, FetchError> {
        check_name(&reference)?;
        let source = Self {
            remote,
            reference,
            subdir,
            checksum: String::new(),
            keep_git_dir: false,
            skip_submodules: false,
            fetch_by_commit: false,
            times: Times::default(),
            header_secret: String::new(),
            token_secret: String::new(),
            agent: String::new(),
            known_hosts: String::new(),
        };
        Ok(source)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), FetchError> {
        let invalid = |expected| FetchError::Attribute {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let text = value.to_owned();
        match key {
            "git.keepgitdir" => self.keep_git_dir = value == "true",
            "git.skipsubmodules" => self.skip_submodules = value == "true",
            "git.fetchbycommit" => self.fetch_by_commit = value == "true",
            "git.checksum" => {
                if value.is_empty() || !value.bytes().all(|b| b.is_ascii_hexdigit()) || value.len() > 64 {
                    return Err(FetchError::GitChecksum(value.chars().take(80).collect()));
                }
                self.checksum = value.to_ascii_lowercase();
            }
            "git.mtime" => {
                self.times = match value {
                    "commit" => Times::Commit,
                    "checkout" | "" => Times::Checkout,
                    _ => return Err(invalid("`checkout` or `commit`")),
                }
            }
            "git.authheadersecret" => self.header_secret = text,
            "git.authtokensecret" => self.token_secret = text,
            "git.mountsshsock" => self.agent = text,
            "git.knownsshhosts" => self.known_hosts = text,
            "git.fullurl" => {}
            key if key.starts_with("git.sig.") => {
                return Err(invalid("no signature: they are not verified yet"));
            }
            "git.bundle" | "git.checkoutbundle" => {
                return Err(invalid("no bundle: they are not supported yet"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the part of BuildKit's cache key that is not the commit.
    pub(crate) fn key(&self, commit: &str, reference: &str) -> String {
        let mut key = commit.to_owned();
        if self.keep_git_dir {
            key.push_str(".git");
            if !reference.is_empty() {
                key.push('#');
                key.push_str(reference);
            }
        }
        if !self.subdir.is_empty() {
            key.push(':');
            key.push_str(&self.subdir);
        }
        if self.skip_submodules {
            key.push_str("(skip-submodules)");
        }
        if self.times == Times::Commit {
            key.push_str("(mtime-commit)");
        }
        key
    }
}

/// Returns true for the full name of a commit, SHA-1 or SHA-256.
pub(crate) fn is_commit(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    matches!(text.len(), 40 | 64) && text.bytes().all(hex)
}

/// Checks the name of a branch, tag or commit, by git's rules for them: it is no option, no range, no pattern and no
/// pair of names.
pub(crate) fn check_name(name: &str) -> Result<(), FetchError> {
    let forbidden = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let bad_part = |part: &str| part.starts_with('.') || part.ends_with(".lock");
    let usable = name.len() <= LONGEST
        && !name.starts_with(['-', '/', '+'])
        && !name.ends_with(['/', '.'])
        && !name.contains(forbidden)
        && !["..", "//", "@{"].iter().any(|text| name.contains(text))
        && !name.split('/').any(bad_part);
    if usable {
        return Ok(());
    }
    Err(FetchError::GitName(name.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in [
            "",
            "main",
            "refs/heads/main",
            "v1.0",
            "release/1.2",
            "@",
            "a@b",
            "über",
        ] {
            check_name(good).unwrap();
        }
        for bad in [
            "--upload-pack=x",
            "-",
            "a b",
            "a:b",
            "+a",
            "a..b",
            "a^{}",
            "a~1",
            "*",
            "a\n",
            "a@{1}",
            ".a",
            "a/.b",
            "a.lock",
            "a/",
            "/a",
            "a//b",
            "a\\b",
            "a[",
            "a.",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_buildkits() {
        let commit = "1".repeat(40);
        let check = |identifier: &str, attrs: &[(&str, &str)], expect: &str| {
            let attrs = attrs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            let source = GitSource::parse(identifier, &attrs).unwrap();
            assert_eq!(
                source.key(&commit, "refs/heads/x"),
                format!("{commit}{expect}"),
                "{identifier}"
            );
        };
        check("git://h/a.git", &[], "");
        check("git://h/a.git#x:/sub/../dir", &[], ":dir");
        check(
            "git://h/a.git",
            &[("git.keepgitdir", "true")],
            ".git#refs/heads/x",
        );
        check(
            "git://h/a.git",
            &[("git.skipsubmodules", "true")],
            "(skip-submodules)",
        );
    }
}
