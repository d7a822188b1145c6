//! The URL of a repository, without what is wanted of it.

use std::fmt;

use crate::text::unescape;

/// A text names no repository that git is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// Neither a URL nor `user@host:path`.
    Malformed,
    /// A protocol that is not spoken.
    Protocol,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "neither a URL nor `user@host:path`",
            Self::Protocol => "unknown protocol (expected https, http, ssh or git)",
        })
    }
}

impl std::error::Error for UrlError {}

/// The URL of a repository in parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteUrl {
    /// `https`, `http`, `ssh` or `git`.
    pub scheme: String,
    /// Name and maybe password, as written.
    pub user: Option<String>,
    /// The host, with its port where one is written.
    pub host: String,
    /// The path; only `user@host:path` has one that is not absolute.
    pub path: String,
    /// What stands between `?` and `#`.
    pub query: String,
    /// What stands behind `#`.
    pub fragment: String,
    /// What git is called with.
    pub remote: String,
}

impl RemoteUrl {
    /// Reads a URL or `user@host:path`.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        match text.split_once("://") {
            Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                let scheme = scheme.to_lowercase();
                if !matches!(scheme.as_str(), "http" | "https" | "ssh" | "git") {
                    return Err(UrlError::Protocol);
                }
                Self::from_url(text).ok_or(UrlError::Malformed)
            }
            Some(_) => Err(UrlError::Malformed),
            None => Self::from_scp(text).ok_or(UrlError::Malformed),
        }
    }

    /// Returns the host without its port.
    pub fn hostname(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.host,
        }
    }

    /// Reads `scheme://user@host/path?query#fragment`.
    fn from_url(text: &str) -> Option<Self> {
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        let port = host.rsplit_once(':').filter(|_| !host.ends_with(']'));
        if host.contains(' ') || port.is_some_and(|(_, port)| !port.bytes().all(|b| b.is_ascii_digit())) {
            return None;
        }
        let scheme = scheme.to_lowercase();
        Some(Self {
            remote: format!("{scheme}://{authority}{path}"),
            scheme,
            user,
            host: host.to_owned(),
            path: unescape(path)?,
            query: query.to_owned(),
            fragment: unescape(fragment)?,
        })
    }

    /// Reads `user@host:path`.
    fn from_scp(text: &str) -> Option<Self> {
        let (address, rest) = text.split_once(':')?;
        let (user, host) = match address.split_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, address),
        };
        let word = |text: &str, extra: &[u8]| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
        };
        if !word(host, b"-.") || !user.is_none_or(|user| word(user, b"-_")) || rest.contains('\n') {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self {
            remote: format!("{address}:{path}"),
            scheme: "ssh".to_owned(),
            user: user.map(str::to_owned),
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            fragment: fragment.to_owned(),
        })
    }
}
