//! How fetching is set up.

use std::path::PathBuf;
use std::time::Duration;

/// Proxies, as the usual variables name them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached without, separated by commas.
    pub except: String,
}

/// Bounds of one source.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of a file, and of all files of a checkout.
    pub bytes: u64,
    /// Most files and directories of a checkout, submodules included.
    pub entries: u64,
    /// Most redirects in a row.
    pub redirects: usize,
    /// Longest time without a byte.
    pub stall: Duration,
    /// Longest time for one source.
    pub time: Duration,
    /// Tries where a server or a connection fails.
    pub tries: u32,
    /// Most submodules, and submodules of submodules.
    pub submodules: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 5_000_000,
            // As Go's client, which BuildKit uses.
            redirects: 10,
            stall: Duration::from_secs(60),
            time: Duration::from_secs(6 * 3600),
            tries: 3,
            submodules: 1_000,
        }
    }
}

/// How fetching is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// What servers are told who asks.
    pub user_agent: String,
    /// Proxies.
    pub proxies: Proxies,
    /// Bounds.
    pub limits: Limits,
    /// No server is asked anything.
    pub offline: bool,
    /// The program `git`.
    pub git: PathBuf,
    /// `PATH` of git, where it finds `ssh`.
    pub path: String,
    /// Directory of the shared repositories.
    pub repositories: PathBuf,
    /// Files with the keys of SSH servers, in the format of `known_hosts`; those that are not there count as empty.
    pub known_hosts: Vec<PathBuf>,
}
