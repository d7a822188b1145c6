//! Git URLs with BuildKit's additions: `#ref:subdir` and `?ref=…&subdir=…`.

use crate::go;
use crate::paths;

/// A git repository and what is wanted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GitRef {
    /// What git is called with.
    pub(crate) remote: String,
    /// Branch, tag or commit; empty is the default branch.
    pub(crate) reference: String,
    /// The commit that it must be.
    pub(crate) checksum: String,
    /// Directory inside the repository.
    pub(crate) subdir: String,
    /// Without a scheme it could be a path as well, such as `github.com/a/b`.
    pub(crate) like_local: bool,
    /// Whether `.git` stays, when said.
    pub(crate) keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, when said.
    pub(crate) submodules: Option<bool>,
    /// `checkout` or `commit`, when said.
    pub(crate) mtime: String,
    /// Whether the commit is fetched without asking what the reference is.
    pub(crate) fetch_by_commit: bool,
    scheme: String,
    host: String,
    path: String,
}

/// What a text is, seen by git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GitUrl {
    /// Something else: a path or a URL of a file.
    No,
    /// A repository.
    Yes(Box<GitRef>),
    /// A repository with a wrong query.
    Bad(String),
}

/// Whether the text is known to name a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is: `--keep-git-dir` is given.
    Git,
    /// It is found out by the text: http needs `.git` at the end.
    Unknown,
}

/// Reads a text as git URL.
pub(crate) fn parse(text: &str, known: Known) -> GitUrl {
    if text.starts_with("./") || text.starts_with("../") {
        return GitUrl::No;
    }
    let local = text.starts_with("github.com/");
    let parsed = if local {
        from_url(&format!("https://{text}"))
    } else {
        from_text(text)
    };
    let Some((mut git, fragment, query)) = parsed else {
        return GitUrl::No;
    };
    let http = matches!(git.scheme.as_str(), "http" | "https");
    if !local && http && known == Known::Unknown && !git.path.ends_with(".git") {
        return GitUrl::No;
    }
    git.like_local = local;
    if local {
        git.remote = git.remote.trim_start_matches("https://").to_owned();
    }
    let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
    git.reference = reference.to_owned();
    git.subdir = subdir.to_owned();
    match git.load_query(&query) {
        Ok(()) => GitUrl::Yes(Box::new(git)),
        Err(message) => GitUrl::Bad(message),
    }
}

/// Cuts a text into repository, fragment and query.
type Parts = (GitRef, String, String);

fn from_text(text: &str) -> Option<Parts> {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            let scheme = scheme.to_lowercase();
            if !matches!(scheme.as_str(), "http" | "https" | "ssh" | "git") {
                return None;
            }
            from_url(text)
        }
        Some(_) => None,
        None => from_scp(text),
    }
}

fn from_url(text: &str) -> Option<Parts> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rsplit_once(':').filter(|_| !host.ends_with(']'));
    if host.contains(' ') || port.is_some_and(|(_, port)| !port.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let scheme = scheme.to_lowercase();
    let git = GitRef {
        remote: format!("{scheme}://{authority}{path}"),
        scheme,
        host: host.to_owned(),
        path: unescape(path)?,
        ..GitRef::default()
    };
    Some((git, unescape(fragment)?, query.to_owned()))
}

/// Reads `user@host:path`.
fn from_scp(text: &str) -> Option<Parts> {
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
    let git = GitRef {
        remote: format!("{address}:{path}"),
        scheme: "ssh".to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        ..GitRef::default()
    };
    Some((git, fragment.to_owned(), query.to_owned()))
}

/// Replaces `%41` by what it stands for.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).ok()
}

impl GitRef {
    fn load_query(&mut self, query: &str) -> Result<(), String> {
        let mut seen: Vec<String> = Vec::new();
        let (mut tag, mut branch) = (String::new(), String::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| unescape(&text.replace('+', " ")).unwrap_or_default();
            let (key, value) = (decode(key), decode(value));
            if seen.contains(&key) {
                return Err(format!("query {} has multiple values", go::quote(&key)));
            }
            let may_be_empty = matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !may_be_empty {
                return Err(format!("query {} has no value", go::quote(&key)));
            }
            match key.as_str() {
                "ref" => same(&mut self.reference, value, "ref")?,
                "subdir" => same(&mut self.subdir, value, "subdir")?,
                "tag" => tag = value,
                "branch" => branch = value,
                "checksum" | "commit" => self.checksum = value,
                "keep-git-dir" => self.keep_git_dir = Some(truth(&key, &value)?),
                "submodules" => self.submodules = Some(truth(&key, &value)?),
                "fetch-by-commit" => self.fetch_by_commit = truth(&key, &value)?,
                "mtime" if value == "checkout" || value == "commit" => self.mtime = value,
                "mtime" => return Err(format!("invalid mtime value: {}", go::quote(&value))),
                _ => return Err(format!("unexpected query {}", go::quote(&key))),
            }
            seen.push(key);
        }
        self.load_tag_and_branch(&tag, &branch)
    }

    fn load_tag_and_branch(&mut self, tag: &str, branch: &str) -> Result<(), String> {
        let full = |prefix: &str, name: &str| {
            if name.starts_with(prefix) {
                name.to_owned()
            } else {
                format!("{prefix}{name}")
            }
        };
        if !tag.is_empty() {
            same(&mut self.reference, full("refs/tags/", tag), "ref")?;
        }
        if !branch.is_empty() {
            if !tag.is_empty() {
                return Err("branch conflicts with tag".to_owned());
            }
            same(&mut self.reference, full("refs/heads/", branch), "ref")?;
        }
        if self.reference.is_empty() && !self.fetch_by_commit {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }

    /// Returns the identifier of the source: the same for all protocols.
    pub(crate) fn identifier(&self) -> String {
        let mut id = format!("git://{}{}", self.host, paths::join("/", &self.path));
        if !self.reference.is_empty() || !self.subdir.is_empty() {
            id.push('#');
            id.push_str(&self.reference);
        }
        if !self.subdir.is_empty() {
            id.push(':');
            id.push_str(&self.subdir);
        }
        id
    }

    /// Returns the URL that git is called with, scheme included.
    pub(crate) fn full_url(&self) -> String {
        if self.like_local {
            format!("https://{}", self.remote)
        } else {
            self.remote.clone()
        }
    }

    /// Tells whether git speaks ssh.
    pub(crate) fn is_ssh(&self) -> bool {
        self.scheme == "ssh"
    }

    /// Returns the attributes of the source.
    pub(crate) fn attrs(&self) -> Vec<(&'static str, String)> {
        let truth = "true".to_owned();
        let mut attrs = vec![
            ("git.authheadersecret", "GIT_AUTH_HEADER".to_owned()),
            ("git.authtokensecret", "GIT_AUTH_TOKEN".to_owned()),
            ("git.fullurl", self.full_url()),
        ];
        if self.is_ssh() {
            attrs.push(("git.mountsshsock", "default".to_owned()));
        }
        if self.keep_git_dir == Some(true) {
            attrs.push(("git.keepgitdir", truth.clone()));
        }
        if !self.checksum.is_empty() {
            attrs.push(("git.checksum", self.checksum.clone()));
        }
        if self.submodules == Some(false) {
            attrs.push(("git.skipsubmodules", truth.clone()));
        }
        if !self.mtime.is_empty() {
            attrs.push(("git.mtime", self.mtime.clone()));
        }
        if self.fetch_by_commit {
            attrs.push(("git.fetchbycommit", truth));
        }
        attrs
    }
}

fn same(old: &mut String, new: String, what: &str) -> Result<(), String> {
    if !old.is_empty() && *old != new {
        return Err(format!(
            "{what} conflicts: {} vs {}",
            go::quote(old),
            go::quote(&new)
        ));
    }
    *old = new;
    Ok(())
}

fn truth(key: &str, value: &str) -> Result<bool, String> {
    if value.is_empty() {
        return Ok(true);
    }
    go::parse_bool(value).ok_or_else(|| format!("invalid {key} value: {}", go::quote(value)))
}
