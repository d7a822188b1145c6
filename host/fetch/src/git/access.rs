//! What git may show to servers: tokens, keys of an agent, and whom it trusts.

use std::path::Path;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_image::Digest;

use super::remote::Remote;
use super::source::GitSource;
use crate::Caller;
use crate::Config;
use crate::FetchError;
use crate::Nobody;
use crate::caller::header;

/// Name of the file, beside the repositories, with the keys of servers that were met for the first time.
const KNOWN_HOSTS: &str = "known_hosts";

/// What may be shown to servers.
pub(super) struct Access<'a> {
    config: &'a Config,
    source: &'a GitSource,
    caller: &'a dyn Caller,
    agent: Option<PathBuf>,
    /// File with the keys of servers that the source names.
    known: Option<PathBuf>,
}

impl<'a> Access<'a> {
    pub(super) fn new(
        config: &'a Config,
        source: &'a GitSource,
        caller: &'a dyn Caller,
    ) -> Result<Self, FetchError> {
        let id = source.agent.as_str();
        let agent = if id.is_empty() { None } else { caller.agent(id) };
        if agent.is_none() && source.remote.is_ssh() {
            let id = if id.is_empty() { "default" } else { id };
            return Err(FetchError::SshMissing(id.to_owned()));
        }
        let known = given_hosts(config, &source.known_hosts)?;
        Ok(Self {
            config,
            source,
            caller,
            agent,
            known,
        })
    }

    /// Shows nothing to anybody.
    pub(super) fn none(config: &'a Config, source: &'a GitSource) -> Self {
        Self {
            config,
            source,
            caller: &Nobody,
            agent: None,
            known: None,
        }
    }

    /// Returns the `Authorization` header for a server, and the URLs that it is for. Secrets that name no host are for
    /// the source's own.
    pub(super) fn authorization(&self, remote: &Remote) -> Result<Option<(String, String)>, FetchError> {
        let Some((scheme @ ("http" | "https"), host)) = remote.origin() else {
            return Ok(None);
        };
        let own = self.source.remote.origin() == remote.origin();
        let (by_header, by_token) = (&self.source.header_secret, &self.source.token_secret);
        let named = [(by_header, true, Kind::Header), (by_token, true, Kind::Token)];
        let plain = [(by_header, false, Kind::Header), (by_token, false, Kind::Token)];
        for (name, with_host, kind) in named.into_iter().chain(plain) {
            if name.is_empty() || !(with_host || own) {
                continue;
            }
            let id = if with_host {
                format!("{name}.{host}")
            } else {
                name.clone()
            };
            let Some(value) = header(self.caller, &id) else {
                continue;
            };
            let value = match kind {
                Kind::Header => value?,
                Kind::Token => format!("basic {}", STANDARD.encode(format!("x-access-token:{}", value?))),
            };
            return Ok(Some((
                format!("{scheme}://{host}/"),
                format!("Authorization: {value}"),
            )));
        }
        Ok(None)
    }

    /// Returns the socket of the agent that git may use for a repository: only for the one that the user named, and
    /// for its submodules on the same host.
    pub(super) fn agent(&self, remote: &Remote) -> Option<&Path> {
        let same = self.source.remote.origin() == remote.origin();
        self.agent.as_deref().filter(|_| same)
    }

    /// Returns how git calls ssh.
    pub(super) fn ssh_command(&self) -> String {
        let own = self.config.repositories.join(KNOWN_HOSTS);
        let (check, files): (_, Vec<&Path>) = match &self.known {
            Some(known) => ("yes", vec![known]),
            None => {
                // Keys that are known must be right; new ones are kept, and then they are known.
                let given = self.config.known_hosts.iter().map(PathBuf::as_path);
                ("accept-new", [own.as_path()].into_iter().chain(given).collect())
            }
        };
        let files: Vec<String> = files.into_iter().filter_map(for_ssh).collect();
        let files = if files.is_empty() {
            "none".to_owned()
        } else {
            files.join(" ")
        };
        let options = [
            "BatchMode=yes".to_owned(),
            format!("StrictHostKeyChecking={check}"),
            format!("UserKnownHostsFile={files}"),
            "GlobalKnownHostsFile=none".to_owned(),
            "IdentityFile=none".to_owned(),
            "ForwardAgent=no".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            format!(
                "ConnectTimeout={}",
                self.config.limits.stall.as_secs().clamp(1, 30)
            ),
            "ServerAliveInterval=15".to_owned(),
        ];
        let words = options.iter().map(|option| format!("-o {}", for_shell(option)));
        format!("ssh -F /dev/null {}", words.collect::<Vec<_>>().join(" "))
    }
}

/// Writes the keys of servers that a source names into a file, for ssh takes nothing else.
fn given_hosts(config: &Config, keys: &str) -> Result<Option<PathBuf>, FetchError> {
    if keys.is_empty() {
        return Ok(None);
    }
    let directory = &config.repositories;
    std::fs::create_dir_all(directory).map_err(FetchError::file("create", directory))?;
    let path = directory.join(format!("{KNOWN_HOSTS}-{}", Digest::of(keys).hex()));
    if !path.exists() {
        let new = directory.join(format!(
            ".{KNOWN_HOSTS}-{}-{}",
            Digest::of(keys).hex(),
            std::process::id()
        ));
        std::fs::write(&new, keys).map_err(FetchError::file("write", &new))?;
        std::fs::rename(&new, &path).map_err(FetchError::file("write", &path))?;
    }
    Ok(Some(path))
}

enum Kind {
    Header,
    Token,
}

/// Writes a file's name as ssh's options take it; none for names that they cannot.
fn for_ssh(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\' | '$');
    (!text.contains(odd)).then(|| format!("\"{}\"", text.replace('%', "%%")))
}

/// Writes a word for a shell.
fn for_shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
