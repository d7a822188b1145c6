//! The client: what can be asked of a registry.

mod blob;
mod list;
mod manifest;
mod push;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OnceCell;
use url::Url;

pub use blob::BlobStream;
pub use manifest::Resolved;
pub use push::BlobSource;
pub use push::Pushed;

use crate::Credentials;
use crate::NoCredentials;
use crate::RegistryError;
use crate::auth::Keyring;
use crate::auth::lock;
use crate::http::Transport;
use crate::http::Trust;

/// How often and after which waits a request is sent again. Waits double, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often a request is sent at most; a transfer that gets on counts anew.
    pub attempts: u32,
    /// First wait.
    pub base: Duration,
    /// Longest wait; bounds `Retry-After` too.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            base: Duration::from_millis(250),
            longest: Duration::from_secs(30),
        }
    }
}

/// A certificate authority that is trusted beside the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificate {
    /// A PEM file, such as docker's `certs.d/HOST/ca.crt`; may hold several.
    File(PathBuf),
    /// PEM text; may hold several.
    Pem(Bytes),
}

/// Proxies, as the usual environment variables name them. This machine is always spoken to directly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP (`HTTP_PROXY`).
    pub http: Option<String>,
    /// For HTTPS (`HTTPS_PROXY`).
    pub https: Option<String>,
    /// Hosts that are spoken to directly, with commas between them (`NO_PROXY`).
    pub except: String,
}

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Config {
    /// Registries (`host[:port]`) that may speak plain HTTP or have a certificate that cannot be verified. Loopback
    /// addresses always may.
    pub insecure: Vec<String>,
    /// Knows the logins.
    pub credentials: Arc<dyn Credentials>,
    /// What the client calls itself.
    pub user_agent: String,
    /// How failed requests are repeated.
    pub retry: Retry,
    /// A connection on which no byte moves for so long counts as broken.
    pub stall: Duration,
    /// Trusted beside the system's certificate authorities.
    pub roots: Vec<RootCertificate>,
    /// Who is asked to speak to registries for the client.
    pub proxies: Proxies,
    /// No registry is asked anything.
    pub offline: bool,
    /// Addresses of host names that are not looked up in DNS, as `/etc/hosts` has them.
    pub hosts: BTreeMap<String, SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            credentials: Arc::new(NoCredentials),
            user_agent: concat!("kiln/", env!("CARGO_PKG_VERSION")).to_owned(),
            retry: Retry::default(),
            stall: Duration::from_secs(60),
            roots: Vec::new(),
            proxies: Proxies::default(),
            offline: false,
            hosts: BTreeMap::new(),
        }
    }
}

/// A client of all registries. Cheap to clone: clones share connections, tokens and what was learned of registries.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
    pub(crate) insecure: Arc<BTreeSet<String>>,
}

/// The root of a registry, once it is found.
type Endpoint = Arc<OnceCell<Url>>;

/// What clones share.
pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) keyring: Keyring,
    pub(crate) retry: Retry,
    pub(crate) stall: Duration,
    pub(crate) offline: bool,
    /// Roots of registries that may speak plain HTTP, as they were found.
    endpoints: Mutex<HashMap<(String, Trust), Endpoint>>,
}

impl Inner {
    /// Returns the place for the root of `registry`.
    pub(crate) fn endpoint(&self, registry: &str, trust: Trust) -> Endpoint {
        let key = (registry.to_owned(), trust);
        lock(&self.endpoints).entry(key).or_default().clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Sets a client up. Opens no connection.
    ///
    /// # Errors
    /// When a certificate cannot be used.
    pub fn new(config: Config) -> Result<Self, RegistryError> {
        let transport = Transport::new(&config)?;
        let inner = Inner {
            transport,
            credentials: config.credentials,
            keyring: Keyring::default(),
            retry: config.retry,
            stall: config.stall,
            offline: config.offline,
            endpoints: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            insecure: Arc::new(config.insecure.into_iter().collect()),
        })
    }

    /// Returns a client for which `registry` (`host[:port]`) may speak plain HTTP or have a certificate that cannot be
    /// verified.
    #[must_use]
    pub fn allowing_insecure(&self, registry: &str) -> Self {
        let mut insecure = BTreeSet::clone(&self.insecure);
        insecure.insert(registry.to_owned());
        Self {
            inner: Arc::clone(&self.inner),
            insecure: Arc::new(insecure),
        }
    }
}
