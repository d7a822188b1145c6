//! What is wanted of a repository: `#ref:subdir` and `?ref=…&subdir=…`.

use crate::text::parse_bool;
use crate::text::quote;
use crate::text::rooted;
use crate::text::unescape;
use crate::url::RemoteUrl;

/// A git repository and what is wanted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitRef {
    /// What git is called with.
    pub remote: String,
    /// Branch, tag or commit; empty is the default branch.
    pub reference: String,
    /// The commit that it must be.
    pub checksum: String,
    /// Directory inside the repository.
    pub subdir: String,
    /// Without a scheme it could be a path as well, such as `github.com/a/b`.
    pub like_local: bool,
    /// Whether `.git` stays, when said.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, when said.
    pub submodules: Option<bool>,
    /// `checkout` or `commit`, when said.
    pub mtime: String,
    /// Whether the commit is fetched without asking what the reference is.
    pub fetch_by_commit: bool,
    url: RemoteUrl,
}

/// What a text is, seen by git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitUrl {
    /// Something else: a path or a URL of a file.
    No,
    /// A repository.
    Yes(Box<GitRef>),
    /// A repository with a wrong query.
    Bad(String),
}

/// Whether the text is known to name a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is: `--keep-git-dir` is given.
    Git,
    /// It is found out by the text: http needs `.git` at the end.
    Unknown,
}

/// Reads a text as git URL.
pub fn parse(text: &str, known: Known) -> GitUrl {
    if text.starts_with("./") || text.starts_with("../") {
        return GitUrl::No;
    }
    let local = text.starts_with("github.com/");
    let parsed = if local {
        RemoteUrl::parse(&format!("https://{text}"))
    } else {
        RemoteUrl::parse(text)
    };
    let Ok(url) = parsed else {
        return GitUrl::No;
    };
    let http = matches!(url.scheme.as_str(), "http" | "https");
    if !local && http && known == Known::Unknown && !url.path.ends_with(".git") {
        return GitUrl::No;
    }
    let mut git = GitRef {
        remote: url.remote.clone(),
        like_local: local,
        url,
        ..GitRef::default()
    };
    if local {
        git.remote = git.remote.trim_start_matches("https://").to_owned();
    }
    let (fragment, query) = (git.url.fragment.clone(), git.url.query.clone());
    let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
    git.reference = reference.to_owned();
    git.subdir = subdir.to_owned();
    match git.load_query(&query) {
        Ok(()) => GitUrl::Yes(Box::new(git)),
        Err(message) => GitUrl::Bad(message),
    }
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
                return Err(format!("query {} has multiple values", quote(&key)));
            }
            let may_be_empty = matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !may_be_empty {
                return Err(format!("query {} has no value", quote(&key)));
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
                "mtime" => return Err(format!("invalid mtime value: {}", quote(&value))),
                _ => return Err(format!("unexpected query {}", quote(&key))),
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
        // A whole commit says all there is to say; a part of one is what the default branch must begin with.
        let hex = self
            .checksum
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let whole = hex && matches!(self.checksum.len(), 40 | 64);
        if self.reference.is_empty() && whole && !self.fetch_by_commit {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }

    /// Returns the identifier of the source: the same for all protocols.
    pub fn identifier(&self) -> String {
        let mut id = format!("git://{}{}", self.url.host, rooted(&self.url.path));
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
    pub fn full_url(&self) -> String {
        if self.like_local {
            format!("https://{}", self.remote)
        } else {
            self.remote.clone()
        }
    }

    /// Tells whether git speaks ssh.
    pub fn is_ssh(&self) -> bool {
        self.url.scheme == "ssh"
    }

    /// Returns the last part of the path without `.git`.
    pub fn short_name(&self) -> &str {
        let base = self.url.path.rsplit('/').next().unwrap_or_default();
        base.strip_suffix(".git").unwrap_or(base)
    }

    /// Tells whether the repository comes as plain TCP, which nobody can trust.
    pub fn is_unencrypted(&self) -> bool {
        matches!(self.url.scheme.as_str(), "git" | "http")
    }

    /// Returns the repository with `#ref`, whatever form the reference had.
    pub fn with_fragment(&self) -> String {
        if self.reference.is_empty() {
            self.remote.clone()
        } else {
            format!("{}#{}", self.remote, self.reference)
        }
    }

    /// Returns the repository with `#ref:subdir`, whatever form they had.
    pub fn with_full_fragment(&self) -> String {
        match rooted(&self.subdir).trim_start_matches('/') {
            "" => self.with_fragment(),
            subdir => format!("{}#{}:{subdir}", self.remote, self.reference),
        }
    }

    /// Returns the attributes of the source.
    pub fn attrs(&self) -> Vec<(&'static str, String)> {
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
        return Err(format!("{what} conflicts: {} vs {}", quote(old), quote(&new)));
    }
    *old = new;
    Ok(())
}

fn truth(key: &str, value: &str) -> Result<bool, String> {
    if value.is_empty() {
        return Ok(true);
    }
    parse_bool(value).ok_or_else(|| format!("invalid {key} value: {}", quote(value)))
}
