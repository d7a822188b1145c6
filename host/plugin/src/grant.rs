//! What a plugin's graph may reach beyond the files and images that every build may use.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use kiln_graph::Definition;
use kiln_graph::Exec;
use kiln_graph::MountKind;
use kiln_graph::Network;
use kiln_graph::Op;
use kiln_graph::Security;
use serde::Deserialize;
use serde::Serialize;

/// One thing that is granted, or asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grant {
    /// Steps may mount the secret of that id.
    Secret(String),
    /// Steps may use the SSH agent of that id.
    Ssh(String),
    /// Files may be fetched from that host.
    Http(String),
    /// Repositories may be fetched from that host.
    Git(String),
    /// Steps may ask for the host's network; they need the entitlement as well.
    NetworkHost,
    /// Steps may ask for all privileges; they need the entitlement as well.
    SecurityInsecure,
    /// Steps may ask for devices; they need the entitlement as well.
    Device,
    /// The plugin may call other frontends.
    SubFrontend,
}

/// A grant that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown grant `{0}`: expected `secret:ID`, `ssh:ID`, `http:HOST`, `git:HOST`, `network.host`, `security.insecure`, `device` or `sub-frontend`"
)]
pub struct GrantError(pub String);

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let error = || GrantError(text.to_owned());
        let plain =
            |value: &str| !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == ',');
        match text.split_once(':') {
            Some((_, value)) if !plain(value) => Err(error()),
            Some(("secret", id)) => Ok(Self::Secret(id.to_owned())),
            Some(("ssh", id)) => Ok(Self::Ssh(id.to_owned())),
            Some(("http", host)) => Ok(Self::Http(host.to_ascii_lowercase())),
            Some(("git", host)) => Ok(Self::Git(host.to_ascii_lowercase())),
            _ => match text {
                "network.host" => Ok(Self::NetworkHost),
                "security.insecure" => Ok(Self::SecurityInsecure),
                "device" => Ok(Self::Device),
                "sub-frontend" => Ok(Self::SubFrontend),
                _ => Err(error()),
            },
        }
    }
}

impl TryFrom<String> for Grant {
    type Error = GrantError;

    fn try_from(text: String) -> Result<Self, GrantError> {
        text.parse()
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> Self {
        grant.to_string()
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(id) => write!(f, "secret:{id}"),
            Self::Ssh(id) => write!(f, "ssh:{id}"),
            Self::Http(host) => write!(f, "http:{host}"),
            Self::Git(host) => write!(f, "git:{host}"),
            Self::NetworkHost => f.write_str("network.host"),
            Self::SecurityInsecure => f.write_str("security.insecure"),
            Self::Device => f.write_str("device"),
            Self::SubFrontend => f.write_str("sub-frontend"),
        }
    }
}

impl Grant {
    /// Tells whether whoever has this has `other` too: the same, or a pattern (`*`, `*.example.com`) that it matches.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(a), Self::Secret(b)) | (Self::Ssh(a), Self::Ssh(b)) => a == "*" || a == b,
            (Self::Http(a), Self::Http(b)) | (Self::Git(a), Self::Git(b)) => host_matches(a, b),
            (a, b) => a == b,
        }
    }

    /// Says in words what it is for.
    pub fn describe(&self) -> String {
        match self {
            Self::Secret(id) => format!("the secret `{id}` in steps"),
            Self::Ssh(id) => format!("the SSH agent `{id}` in steps"),
            Self::Http(host) => format!("files from `{host}`"),
            Self::Git(host) => format!("repositories from `{host}`"),
            Self::NetworkHost => "the host's network in steps".to_owned(),
            Self::SecurityInsecure => "all privileges in steps".to_owned(),
            Self::Device => "devices in steps".to_owned(),
            Self::SubFrontend => "other frontends".to_owned(),
        }
    }
}

/// Tells whether a host (with or without a port) matches `*`, `*.example.com` or itself.
pub(crate) fn host_matches(pattern: &str, host: &str) -> bool {
    let bare = |text: &str| text.to_ascii_lowercase();
    let (pattern, host) = (bare(pattern), bare(host));
    // A pattern without a port means the host on every port.
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let matches = |host: &str| match pattern.strip_prefix("*.") {
        _ if pattern == "*" => true,
        Some(suffix) => host
            .strip_suffix(suffix)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        None => pattern == host,
    };
    matches(&host) || name.is_some_and(|(name, _)| matches(name))
}

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Everything: a plugin that is part of the program.
    All,
    /// Only these.
    Only(BTreeSet<Grant>),
}

impl Grants {
    /// Returns what they are called, `all` for everything.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::All => vec!["all".to_owned()],
            Self::Only(grants) => grants.iter().map(ToString::to_string).collect(),
        }
    }

    /// Tells whether a host (with or without a port) was granted by its own name, not by a pattern.
    pub fn names_host(&self, host: &str) -> bool {
        let exact = |grant: &Grant| matches!(grant, Grant::Http(name) if !name.contains('*') && host_matches(name, host));
        match self {
            Self::All => false,
            Self::Only(grants) => grants.iter().any(exact),
        }
    }

    /// Tells whether `grant` is covered.
    pub fn allows(&self, grant: &Grant) -> bool {
        match self {
            Self::All => true,
            Self::Only(grants) => grants.iter().any(|given| given.covers(grant)),
        }
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<T: IntoIterator<Item = Grant>>(grants: T) -> Self {
        Self::Only(grants.into_iter().collect())
    }
}

/// Returns what the steps of a graph need, each with the name of a step that needs it.
pub fn needs(definition: &Definition) -> Vec<(Grant, String)> {
    let mut needs = Vec::new();
    for vertex in &definition.vertices {
        let grants = match &vertex.op {
            Op::Source(source) => source_grant(&source.identifier).into_iter().collect(),
            Op::Exec(exec) => exec_grants(exec),
            _ => Vec::new(),
        };
        needs.extend(grants.into_iter().map(|grant| (grant, vertex.name.clone())));
    }
    needs
}

/// Returns the host that a source is fetched from; none for what is on this machine.
pub fn source_host(identifier: &str) -> Option<String> {
    let (scheme, rest) = identifier.split_once("://")?;
    match scheme {
        "http" | "https" => Some(authority(rest)),
        "git" => Some(git_host(rest)),
        "docker-image" => rest
            .parse::<kiln_image::Reference>()
            .ok()
            .map(|r| r.registry().to_owned()),
        _ => None,
    }
}

/// Returns what a source needs; nothing for images, layouts and local files.
pub(crate) fn source_grant(identifier: &str) -> Option<Grant> {
    let (scheme, rest) = identifier.split_once("://")?;
    match scheme {
        "http" | "https" => Some(Grant::Http(authority(rest))),
        "git" => Some(Grant::Git(git_host(rest))),
        _ => None,
    }
}

/// The host of what follows `scheme://`, without user and password.
fn authority(rest: &str) -> String {
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let host = &rest[..end];
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host.to_ascii_lowercase()
}

/// LLB writes `git://` in front of an address that may have a scheme of its own or the form `user@host:path`.
fn git_host(rest: &str) -> String {
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    let end = rest.find(['/', '#', '?', '\\']).unwrap_or(rest.len());
    let host = &rest[..end];
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match host.split_once(':') {
        Some((name, port)) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
            name.to_ascii_lowercase()
        }
        _ => host.to_ascii_lowercase(),
    }
}

fn exec_grants(exec: &Exec) -> Vec<Grant> {
    let mut grants: Vec<Grant> = exec
        .secret_env
        .iter()
        .map(|secret| Grant::Secret(secret.id.clone()))
        .collect();
    for mount in &exec.mounts {
        match &mount.kind {
            MountKind::Secret(secret) => grants.push(Grant::Secret(secret.id.clone())),
            MountKind::Ssh(secret) => grants.push(Grant::Ssh(secret.id.clone())),
            _ => {}
        }
    }
    if exec.network == Network::Host {
        grants.push(Grant::NetworkHost);
    }
    if exec.security == Security::Insecure {
        grants.push(Grant::SecurityInsecure);
    }
    if !exec.devices.is_empty() {
        grants.push(Grant::Device);
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_read_back_as_written() {
        let texts = [
            "secret:npm",
            "ssh:default",
            "http:example.com:8080",
            "git:*.example.com",
            "network.host",
            "security.insecure",
            "device",
            "sub-frontend",
        ];
        for text in texts {
            assert_eq!(text.parse::<Grant>().map(|g| g.to_string()).as_deref(), Ok(text));
        }
        for wrong in ["", "secret", "secret:", "everything", "http:a b", "network.none"] {
            assert!(wrong.parse::<Grant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_cover_what_they_match() {
        let check = |given: &str, wanted: &str, expect: bool| {
            let covers = given.parse::<Grant>().unwrap().covers(&wanted.parse().unwrap());
            assert_eq!(covers, expect, "{given} over {wanted}");
        };
        check("secret:a", "secret:a", true);
        check("secret:*", "secret:a", true);
        check("secret:a", "ssh:a", false);
        check("http:*.example.com", "http:a.example.com", true);
        check("http:*.example.com", "http:example.com", false);
        check("http:*.example.com", "http:evilexample.com", false);
        check("http:*.example.com", "http:a.example.com.evil.org", false);
        check("http:example.com", "http:example.com:8443", true);
        check("http:example.com:443", "http:example.com:8443", false);
        check("http:example.com", "git:example.com", false);
        check("network.host", "security.insecure", false);
    }

    #[test]
    fn hosts_of_sources() {
        let check = |source: &str, expect: Option<&str>| {
            assert_eq!(source_host(source).as_deref(), expect, "{source}");
        };
        check("https://Example.com/a", Some("example.com"));
        check("https://user:word@example.com:8080?x", Some("example.com:8080"));
        check("https://granted.com@169.254.169.254/x", Some("169.254.169.254"));
        check("https://evil.com\\@granted.com/", Some("evil.com"));
        check("git://github.com/a/b.git#main", Some("github.com"));
        check("git://git@github.com:a/b.git", Some("github.com"));
        check("git://https://github.com/a/b.git", Some("github.com"));
        check("git://ssh://git@host:2222/a", Some("host:2222"));
        check("docker-image://busybox", Some("docker.io"));
        check("local://context", None);
        check("oci-layout://x", None);
    }
}
