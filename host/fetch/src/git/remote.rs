//! Where a repository is. A value of this type is fit to be given to git.

use std::path::Path;
use std::path::PathBuf;

use kiln_giturl::RemoteUrl;
use kiln_giturl::redact;

use crate::FetchError;

/// Longest URL.
const LONGEST: usize = 4096;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    /// On a server.
    Server(RemoteUrl),
    /// A repository of this machine that the user named.
    Local(PathBuf),
}

impl Remote {
    /// Reads the URL of a repository on a server.
    ///
    /// # Errors
    /// Another protocol, or a part that a program could take for an option.
    pub(crate) fn parse(url: &str) -> Result<Self, FetchError> {
        let parsed = RemoteUrl::parse(url).map_err(|source| FetchError::GitUrl {
            url: redact(url),
            source,
        })?;
        let refused = |reason| {
            Err(FetchError::GitRemote {
                url: redact(url),
                reason,
            })
        };
        let option = |text: &str| text.starts_with('-');
        // `helper::address` calls a program of git's.
        if parsed.path.starts_with(':') {
            return refused("a path must not begin with `:`");
        }
        if parsed.remote.len() > LONGEST {
            return refused("it is too long");
        }
        if parsed.remote.chars().any(char::is_control) || parsed.path.chars().any(char::is_control) {
            return refused("it has control characters");
        }
        if parsed.hostname().is_empty() {
            return refused("it has no host");
        }
        if option(&parsed.host) || parsed.user.as_deref().is_some_and(option) || option(&parsed.path) {
            return refused("host, user and path must not begin with `-`");
        }
        Ok(Self::Server(parsed))
    }

    /// Returns what git is told.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Server(url) => url.remote.clone(),
            Self::Local(path) => path.display().to_string(),
        }
    }

    /// Returns the URL without password.
    pub(crate) fn shown(&self) -> String {
        redact(&self.url())
    }

    /// Returns the protocols that git may speak to it.
    pub(crate) fn protocols(&self) -> &'static str {
        match self {
            Self::Server(url) => match url.scheme.as_str() {
                "ssh" => "ssh",
                "git" => "git",
                // A server may ask for TLS.
                _ => "http:https",
            },
            Self::Local(_) => "file",
        }
    }

    /// Returns scheme and host, for what only one server may know.
    pub(crate) fn origin(&self) -> Option<(&str, &str)> {
        match self {
            Self::Server(url) => Some((&url.scheme, &url.host)),
            Self::Local(_) => None,
        }
    }

    pub(crate) fn is_ssh(&self) -> bool {
        matches!(self, Self::Server(url) if url.scheme == "ssh")
    }

    /// Names the repository `url` as seen from this one, as `.gitmodules` does.
    ///
    /// # Errors
    /// A path of this machine, or what [`Remote::parse`] refuses.
    pub(crate) fn submodule(&self, url: &str) -> Result<Self, FetchError> {
        let relative = url.starts_with("./") || url.starts_with("../");
        if !relative {
            return Self::parse(url);
        }
        let base = match self {
            Self::Server(base) => &base.remote,
            Self::Local(_) => {
                return Err(FetchError::GitRemote {
                    url: url.to_owned(),
                    reason: "transport 'file' not allowed for submodules",
                });
            }
        };
        Self::parse(&join(base, url))
    }
}

/// Resolves `../x` against a URL, as git does: path by path, and at last the part behind `host:`.
fn join(base: &str, relative: &str) -> String {
    let mut base = base.trim_end_matches('/').to_owned();
    let mut rest = relative;
    let mut separator = '/';
    loop {
        if let Some(next) = rest.strip_prefix("../") {
            rest = next;
            let floor = base.find("://").map_or(0, |at| at + 3);
            match base[floor..].rfind('/') {
                Some(at) => base.truncate(floor + at),
                None => match base[floor..].rfind(':') {
                    Some(at) if floor == 0 => {
                        base.truncate(at);
                        separator = ':';
                    }
                    _ => break,
                },
            }
        } else if let Some(next) = rest.strip_prefix("./") {
            rest = next;
        } else {
            break;
        }
    }
    format!("{base}{separator}{}", rest.trim_end_matches('/'))
}

/// Returns true for a directory that is a repository without a working tree.
pub(crate) fn is_repository(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_submodules() {
        let check = |base: &str, url: &str, expect: &str| assert_eq!(join(base, url), expect, "{base} {url}");
        check("https://h/a/b.git", "../c.git", "https://h/a/c.git");
        check("https://h/a/b.git", "../../c.git", "https://h/c.git");
        check("https://h/a/b.git", "./c.git", "https://h/a/b.git/c.git");
        check("https://h/a", "../../../c", "https://h/../c");
        check("git@h:a/b.git", "../c.git", "git@h:a/c.git");
        check("git@h:b.git", "../c.git", "git@h:c.git");
        check("ssh://git@h:22/a/b", "../c", "ssh://git@h:22/a/c");
    }

    #[test]
    fn what_git_is_given() {
        let check = |url: &str, expect: &str| {
            let got = Remote::parse(url).map_or_else(|error| error.to_string(), |remote| remote.url());
            assert!(got.contains(expect), "{url}: {got}");
        };
        check("https://h/a.git", "https://h/a.git");
        check("HTTPS://h/a.git", "https://h/a.git");
        check("git@h:a", "git@h:a");
        for url in [
            "ext::sh -c x",
            "file:///etc",
            "/etc",
            "--upload-pack=x",
            "ssh://-oProxyCommand=x/a",
            "ssh://-o@h/a",
            "-u@h:a",
            "a@h:-x",
            "https:///a",
            "fd::17",
            "https://h/%0a",
            "",
        ] {
            check(url, "invalid git URL");
        }
        check(
            "https://u:hunter2@h\u{1}/a",
            "invalid git URL `https://xxxxx:xxxxx@h",
        );
    }
}
