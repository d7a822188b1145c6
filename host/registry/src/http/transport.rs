//! Which hosts are trusted how, and the connections to them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::ClientBuilder;
use reqwest::NoProxy;
use reqwest::Proxy;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::RootCertStore;
use url::Host;
use url::Url;

use super::tls;
use crate::Proxies;
use crate::RegistryError;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// How much a host must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Trust {
    /// TLS with a certificate that is verified.
    Verified,
    /// Nothing: somebody allowed it.
    Insecure,
    /// Nothing: it is this machine.
    Loopback,
}

/// Connections, made when they are needed.
#[derive(Debug)]
pub(crate) struct Transport {
    user_agent: String,
    hosts: BTreeMap<String, SocketAddr>,
    roots: RootCertStore,
    proxies: Vec<Proxy>,
    stall: Duration,
    verified: OnceLock<Result<reqwest::Client, String>>,
    insecure: OnceLock<Result<reqwest::Client, String>>,
    loopback: OnceLock<Result<reqwest::Client, String>>,
}

impl Transport {
    pub(crate) fn new(config: &crate::Config) -> Result<Self, RegistryError> {
        Ok(Self {
            user_agent: config.user_agent.clone(),
            hosts: config.hosts.clone(),
            roots: tls::parse_roots(&config.roots)?,
            proxies: proxies(&config.proxies)?,
            stall: config.stall,
            verified: OnceLock::new(),
            insecure: OnceLock::new(),
            loopback: OnceLock::new(),
        })
    }

    /// Returns the connections to hosts of that trust. Made late: reading the system's certificates takes time.
    pub(crate) fn client(&self, trust: Trust) -> Result<&reqwest::Client, RegistryError> {
        let cell = match trust {
            Trust::Verified => &self.verified,
            Trust::Insecure => &self.insecure,
            Trust::Loopback => &self.loopback,
        };
        cell.get_or_init(|| self.build(trust))
            .as_ref()
            .map_err(|reason| RegistryError::Setup {
                reason: reason.clone(),
            })
    }

    fn build(&self, trust: Trust) -> Result<reqwest::Client, String> {
        let tls: ClientConfig = match trust {
            Trust::Verified => tls::verified(&self.roots),
            Trust::Insecure | Trust::Loopback => tls::unverified(),
        }
        .map_err(|error| error.to_string())?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(&self.user_agent)
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(self.stall.min(CONNECT))
            .no_proxy(); // neither those of the environment
        if trust != Trust::Loopback {
            builder = self.proxies.iter().cloned().fold(builder, ClientBuilder::proxy);
        }
        for (host, address) in &self.hosts {
            builder = builder.resolve(host, *address);
        }
        builder.build().map_err(|error| super::failure::reasons(&error))
    }
}

fn proxies(wanted: &Proxies) -> Result<Vec<Proxy>, RegistryError> {
    let http = wanted.http.as_deref().map(Proxy::http);
    let https = wanted.https.as_deref().map(Proxy::https);
    let made = http.into_iter().chain(https).map(|proxy| {
        let proxy = proxy.map_err(|error| RegistryError::Setup {
            // Its URL may have a password.
            reason: format!(
                "a proxy is no URL: {}",
                super::failure::reasons(&error.without_url())
            ),
        })?;
        Ok(proxy.no_proxy(NoProxy::from_string(&wanted.except)))
    });
    made.collect()
}

impl Trust {
    /// Returns how much the host of `url` must prove when `insecure` are allowed to prove nothing.
    pub(crate) fn of(url: &Url, insecure: &BTreeSet<String>) -> Self {
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            None => false,
        };
        if loopback {
            Self::Loopback
        } else if insecure.contains(&authority(url)) || insecure.contains(&with_port(url)) {
            Self::Insecure
        } else {
            Self::Verified
        }
    }
}

/// Returns the URL's `host[:port]`.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn with_port(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}
