//! Requests in the name of plugins: only to hosts that rules allow, also after redirects and whatever DNS says.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use reqwest::Body;
use reqwest::Method;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::dns::Addrs;
use reqwest::dns::Name;
use reqwest::dns::Resolve;
use reqwest::dns::Resolving;
use reqwest::header::AUTHORIZATION;
use reqwest::header::USER_AGENT;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncSeekExt;
use url::Host;
use url::Url;

use crate::Config;
use crate::FetchError;
use crate::http::builder;
use crate::http::failed;
use crate::http::may_know;
use crate::http::reasons;
use crate::http::redirect;
use crate::http::shown;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that are read of a file at a time.
const PIECE: usize = 256 << 10;
/// Headers that decide about connections or credentials, which plugins do not.
const RESERVED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How a host may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Where it has a public address: a pattern allows it.
    Public,
    /// Wherever it is, except that a name does not lead to this machine or to its cloud's metadata: the user wrote it.
    Named,
}

/// Decides which hosts are reached.
pub trait Rules: Send + Sync {
    /// Tells how `host`, with its port if that is not the scheme's, may be reached.
    ///
    /// # Errors
    /// Says why not, and what allows it.
    fn reach(&self, host: &str) -> Result<Reach, String>;
}

/// What is sent as body.
#[derive(Debug, Clone)]
pub enum Sent {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file from an offset on.
    File(PathBuf, u64, u64),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Outgoing<'r> {
    /// Method.
    pub method: &'r str,
    /// Absolute URL.
    pub url: &'r str,
    /// Headers; those about connections and credentials are refused.
    pub headers: &'r [(String, String)],
    /// Value of the header `Authorization`, for the URL's own origin.
    pub authorization: Option<String>,
    /// Body.
    pub body: Sent,
}

/// A response whose body is still to come.
#[derive(Debug)]
pub struct Answer {
    url: Url,
    stall: Duration,
    response: Response,
}

impl Answer {
    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Returns the headers that are text, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.response.headers().iter();
        headers
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect()
    }

    /// Returns the next bytes of the body; none at its end.
    ///
    /// # Errors
    /// The server stopped.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        let next = tokio::time::timeout(self.stall, self.response.chunk()).await;
        let next = next.map_err(|_| FetchError::Stalled {
            url: shown(&self.url),
            seconds: self.stall.as_secs(),
        })?;
        let next = next.map_err(|error| failed(&self.url, error))?;
        Ok(next.map(|bytes| bytes.to_vec()))
    }

    /// Returns the whole body of at most `limit` bytes.
    ///
    /// # Errors
    /// It is longer, or the server stopped.
    pub async fn body(&mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            body.extend(bytes);
            if body.len() as u64 > limit {
                return Err(FetchError::TooLarge {
                    what: shown(&self.url),
                    limit,
                    unit: "bytes",
                });
            }
        }
        Ok(body)
    }
}

/// Names that were allowed, and how. Shared with the resolver, which connects to nothing else.
type Allowed = Arc<Mutex<HashMap<String, Reach>>>;

/// Sends requests of one plugin.
pub struct Requests {
    client: reqwest::Client,
    rules: Arc<dyn Rules>,
    allowed: Allowed,
    user_agent: String,
    stall: Duration,
    redirects: usize,
    offline: bool,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests")
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Requests {
    /// Sets the client up. Proxies are not used: they would resolve names themselves.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: &Config, rules: Arc<dyn Rules>) -> Result<Self, FetchError> {
        let allowed = Allowed::default();
        let resolver = Resolver {
            allowed: Arc::clone(&allowed),
        };
        let client = builder()
            .and_then(|builder| {
                let builder = builder.no_proxy().connect_timeout(CONNECT);
                let builder = builder.dns_resolver(Arc::new(resolver));
                builder.build().map_err(|error| reasons(&error))
            })
            .map_err(FetchError::Setup)?;
        Ok(Self {
            client,
            rules,
            allowed,
            user_agent: config.user_agent.clone(),
            stall: config.limits.stall,
            redirects: config.limits.redirects,
            offline: config.offline,
        })
    }

    /// Sends a request and follows redirects to allowed hosts.
    ///
    /// # Errors
    /// The request is none, leads where it may not, or is not answered.
    pub async fn send(&self, request: &Outgoing<'_>) -> Result<Answer, FetchError> {
        let url = parse(request.url)?;
        if self.offline {
            return Err(FetchError::Offline(shown(&url)));
        }
        let mut method = method(request, &url)?;
        let mut body = request.body.clone();
        let mut at = url.clone();
        for _ in 0..=self.redirects {
            self.check(&url, &at)?;
            let response = self.once(request, (&url, &at), &method, &body).await?;
            let Some(to) = redirect(&response, &at) else {
                return Ok(Answer {
                    url,
                    stall: self.stall,
                    response,
                });
            };
            let refused = |to: String, reason| FetchError::Redirect {
                url: shown(&url),
                to,
                reason,
            };
            at = to.map_err(|to| refused(to, "expected an `http` or `https` URL"))?;
            if !at.username().is_empty() || at.password().is_some() {
                return Err(refused(shown(&at), "it has credentials"));
            }
            let reads = matches!(method, Method::GET | Method::HEAD);
            match response.status() {
                StatusCode::SEE_OTHER => (method, body) = (Method::GET, Sent::Bytes(Vec::new())),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {}
                _ if reads => {}
                _ => return Err(refused(shown(&at), "what is written is not written elsewhere")),
            }
        }
        Err(FetchError::Redirect {
            url: shown(&url),
            to: shown(&at),
            reason: "too many redirects",
        })
    }

    /// Checks where a request leads, and remembers how its name may be resolved.
    fn check(&self, url: &Url, at: &Url) -> Result<(), FetchError> {
        let refused = |reason: String| FetchError::Refused {
            url: shown(url),
            reason,
        };
        let host = at.host_str().unwrap_or_default();
        let with_port = at
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let reach = self.rules.reach(&with_port).map_err(refused)?;
        let address = match at.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            _ => {
                let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
                allowed.insert(host.to_ascii_lowercase(), reach);
                return Ok(());
            }
        };
        // The user wrote this very address.
        if reach == Reach::Named || Place::of(address) == Place::Public {
            return Ok(());
        }
        Err(refused(format!(
            "`{address}` is no public address, and no grant names it (`grant=http:{with_port}`)"
        )))
    }

    async fn once(
        &self,
        request: &Outgoing<'_>,
        (url, at): (&Url, &Url),
        method: &Method,
        body: &Sent,
    ) -> Result<Response, FetchError> {
        let mut sending = self
            .client
            .request(method.clone(), at.clone())
            .header(USER_AGENT, &self.user_agent);
        for (name, value) in request.headers {
            sending = sending.header(name, value);
        }
        if let Some(value) = request.authorization.as_ref().filter(|_| may_know(url, at)) {
            sending = sending.header(AUTHORIZATION, value);
        }
        let sending = match body {
            Sent::Bytes(bytes) if bytes.is_empty() && matches!(*method, Method::GET | Method::HEAD) => {
                sending
            }
            Sent::Bytes(bytes) => sending.body(bytes.clone()),
            Sent::File(path, offset, length) => sending
                .header(reqwest::header::CONTENT_LENGTH, *length)
                .body(stream(path, *offset, *length).await?),
        };
        // A large body takes its time: who calls bounds the whole.
        let sent = match body {
            Sent::File(..) => Ok(sending.send().await),
            Sent::Bytes(_) => tokio::time::timeout(self.stall, sending.send()).await,
        };
        sent.map_err(|_| FetchError::Stalled {
            url: shown(url),
            seconds: self.stall.as_secs(),
        })?
        .map_err(|error| failed(url, error))
    }
}

fn parse(text: &str) -> Result<Url, FetchError> {
    let invalid = |reason: String| FetchError::Url {
        url: kiln_giturl::redact(text),
        reason,
    };
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(invalid("expected an `http` or `https` URL".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "credentials do not stand in URLs of plugins; name a secret instead".to_owned(),
        ));
    }
    Ok(url)
}

fn method(request: &Outgoing<'_>, url: &Url) -> Result<Method, FetchError> {
    let refused = |reason: String| FetchError::Refused {
        url: shown(url),
        reason,
    };
    let reserved = |name: &str| RESERVED.iter().any(|known| known.eq_ignore_ascii_case(name));
    if let Some((name, _)) = request.headers.iter().find(|(name, _)| reserved(name)) {
        return Err(refused(format!("the header `{name}` is the host's")));
    }
    let method = Method::from_bytes(request.method.as_bytes());
    method.map_err(|_| refused("the method is none".to_owned()))
}

/// Returns a part of a file as a body.
async fn stream(path: &PathBuf, offset: u64, length: u64) -> Result<Body, FetchError> {
    let mut file = tokio::fs::File::open(path)
        .await
        .map_err(FetchError::file("read", path))?;
    file.seek(std::io::SeekFrom::Start(offset))
        .await
        .map_err(FetchError::file("read", path))?;
    let pieces = futures::stream::try_unfold(file.take(length), |mut file| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    Ok(Body::wrap_stream(pieces))
}

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anywhere.
    Public,
    /// In a network of the user's.
    Private,
    /// On this machine or beside it: loopback, link-local (where clouds have their metadata), nowhere, many.
    Here,
}

impl Place {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                let here = v4.is_loopback()
                    || v4.is_link_local()
                    || v4.is_multicast()
                    || a == 0
                    || a >= 240
                    // Metadata servers of Alibaba and Oracle.
                    || matches!(v4.octets(), [100, 100, 100, 200] | [192, 0, 0, 192]);
                let private = v4.is_private()
                    || (a == 100 && (64..128).contains(&b))
                    || matches!(
                        (a, b, c),
                        (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113)
                    );
                match (here, private) {
                    (true, _) => Self::Here,
                    (_, true) => Self::Private,
                    _ => Self::Public,
                }
            }
            IpAddr::V6(v6) => {
                let first = v6.segments()[0];
                let inner = v6.to_ipv4_mapped().or_else(|| match v6.segments() {
                    // NAT64 and 6to4 lead to addresses of version 4.
                    [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] | [0x2002, hi, lo, ..] => {
                        let bits = (u32::from(hi) << 16) | u32::from(lo);
                        Some(std::net::Ipv4Addr::from_bits(bits))
                    }
                    _ => None,
                });
                match inner {
                    Some(v4) => Self::of(IpAddr::V4(v4)),
                    // AWS has its metadata at fd00:ec2::254, within the private range.
                    None if v6.segments()[..2] == [0xfd00, 0xec2] => Self::Here,
                    None if v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() => Self::Here,
                    None if first & 0xffc0 == 0xfe80 => Self::Here,
                    None if first & 0xfe00 == 0xfc00 => Self::Private,
                    None if first & 0xe000 == 0x2000 => Self::Public,
                    None => Self::Here,
                }
            }
        }
    }

    /// Tells whether a name may lead here.
    fn suits(self, name: &str, reach: Reach) -> bool {
        let local = name == "localhost" || name.ends_with(".localhost");
        match self {
            Self::Public => true,
            Self::Private => reach == Reach::Named,
            Self::Here => reach == Reach::Named && local,
        }
    }
}

/// Resolves names that were allowed, to addresses that suit. What it returns is what is connected to: a name that
/// leads elsewhere a moment later changes nothing.
struct Resolver {
    allowed: Allowed,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_ascii_lowercase();
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        let reach = allowed.get(&name).copied();
        drop(allowed);
        Box::pin(async move {
            let Some(reach) = reach else {
                return Err(format!("`{name}` was not asked for").into());
            };
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let suits = |address: &SocketAddr| Place::of(address.ip()).suits(&name, reach);
            let suiting: Vec<SocketAddr> = found.iter().copied().filter(suits).collect();
            match (suiting.is_empty(), found.first()) {
                (true, Some(other)) => {
                    let other = other.ip();
                    Err(format!("`{name}` leads to {other}, which is not reached by this name").into())
                }
                _ => Ok(Box::new(suiting.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_place() {
        let check = |text: &str, place: Place| {
            assert_eq!(Place::of(text.parse().unwrap()), place, "{text}");
        };
        for public in [
            "1.1.1.1",
            "93.184.215.14",
            "2606:4700::1111",
            "172.32.0.1",
            "100.128.0.1",
        ] {
            check(public, Place::Public);
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd12::1",
            "::ffff:10.0.0.1",
        ] {
            check(private, Place::Private);
        }
        for here in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            check(here, Place::Here);
        }
    }

    #[test]
    fn names_lead_where_their_grants_say() {
        let check = |place: Place, name: &str, reach: Reach, expect: bool| {
            assert_eq!(place.suits(name, reach), expect, "{place:?} {name} {reach:?}");
        };
        check(Place::Public, "a.example.com", Reach::Public, true);
        check(Place::Private, "a.example.com", Reach::Public, false);
        check(Place::Private, "cache.corp", Reach::Named, true);
        check(Place::Here, "cache.corp", Reach::Named, false);
        check(Place::Here, "localhost", Reach::Public, false);
        check(Place::Here, "localhost", Reach::Named, true);
    }
}
