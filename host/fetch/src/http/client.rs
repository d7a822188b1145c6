//! Connections, and redirects that carry no credentials to where they do not belong.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::ClientBuilder;
use reqwest::Method;
use reqwest::NoProxy;
use reqwest::Proxy;
use reqwest::Response;
use reqwest::header::ACCEPT_ENCODING;
use reqwest::header::AUTHORIZATION;
use reqwest::header::LOCATION;
use reqwest::header::USER_AGENT;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::RootCertStore;
use url::Url;

use super::shown;
use crate::Config;
use crate::FetchError;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// What is asked.
pub(crate) struct Call<'c> {
    pub(crate) method: Method,
    pub(crate) headers: &'c [(String, String)],
    pub(crate) authorization: Option<&'c str>,
}

/// A client that is made when it is first needed: reading the system's certificates takes time.
#[derive(Debug)]
pub(crate) struct Client {
    user_agent: String,
    proxies: Vec<Proxy>,
    stall: Duration,
    redirects: usize,
    made: OnceLock<Result<reqwest::Client, String>>,
}

impl Client {
    pub(crate) fn new(config: &Config) -> Result<Self, FetchError> {
        let wanted = &config.proxies;
        let http = wanted.http.as_deref().map(Proxy::http);
        let https = wanted.https.as_deref().map(Proxy::https);
        let proxies = http.into_iter().chain(https).map(|proxy| {
            // Its URL may have a password.
            let proxy = proxy.map_err(|error| {
                FetchError::Setup(format!("a proxy is no URL: {}", reasons(&error.without_url())))
            })?;
            Ok(proxy.no_proxy(NoProxy::from_string(&wanted.except)))
        });
        Ok(Self {
            user_agent: config.user_agent.clone(),
            proxies: proxies.collect::<Result<_, FetchError>>()?,
            stall: config.limits.stall,
            redirects: config.limits.redirects,
            made: OnceLock::new(),
        })
    }

    fn client(&self) -> Result<&reqwest::Client, FetchError> {
        self.made
            .get_or_init(|| self.build())
            .as_ref()
            .map_err(|reason| FetchError::Setup(reason.clone()))
    }

    fn build(&self) -> Result<reqwest::Client, String> {
        let builder = builder()?.connect_timeout(self.stall.min(CONNECT)).no_proxy();
        let builder = self.proxies.iter().cloned().fold(builder, ClientBuilder::proxy);
        builder.build().map_err(|error| reasons(&error))
    }

    /// Sends the request, and follows redirects. Credentials go to the origin that they are for, and to the same host
    /// where it asks for TLS.
    pub(crate) async fn send(&self, url: &Url, call: &Call<'_>) -> Result<Response, FetchError> {
        let mut at = url.clone();
        for _ in 0..=self.redirects {
            let trusted = may_know(url, &at);
            let response = self.once(url, &at, call, trusted).await?;
            let Some(to) = redirect(&response, &at) else {
                return Ok(response);
            };
            at = to.map_err(|to| FetchError::Redirect {
                url: shown(url),
                to,
                reason: "expected an `http` or `https` URL",
            })?;
            if !trusted || !may_know(url, &at) {
                // Of a URL that somebody else wrote no password is taken.
                let _ = at.set_username("");
                let _ = at.set_password(None);
            }
        }
        Err(FetchError::Redirect {
            url: shown(url),
            to: shown(&at),
            reason: "too many redirects",
        })
    }

    async fn once(
        &self,
        url: &Url,
        at: &Url,
        call: &Call<'_>,
        trusted: bool,
    ) -> Result<Response, FetchError> {
        let mut request = self
            .client()?
            .request(call.method.clone(), at.clone())
            .header(USER_AGENT, &self.user_agent)
            .header(ACCEPT_ENCODING, "identity");
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some(value) = call.authorization.filter(|_| trusted) {
            request = request.header(AUTHORIZATION, value);
        }
        let sent = tokio::time::timeout(self.stall, request.send()).await;
        sent.map_err(|_| FetchError::Stalled {
            url: shown(url),
            seconds: self.stall.as_secs(),
        })?
        .map_err(|error| failed(url, error))
    }
}

/// Returns a client that trusts the system's certificates and follows no redirects by itself.
pub(crate) fn builder() -> Result<ClientBuilder, String> {
    let mut roots = RootCertStore::empty();
    // A system without any is noticed when a certificate cannot be verified.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .referer(false))
}

/// Returns true when the credentials for `url` may be sent to `at`.
pub(crate) fn may_know(url: &Url, at: &Url) -> bool {
    let upgraded = url.scheme() == "http"
        && at.scheme() == "https"
        && url.host_str() == at.host_str()
        && url.port().is_none()
        && at.port().is_none();
    url.origin() == at.origin() || upgraded
}

/// Returns where an answer leads; an error is what stands there instead of a URL.
pub(crate) fn redirect(response: &Response, from: &Url) -> Option<Result<Url, String>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let text = String::from_utf8_lossy(location.as_bytes());
    let to = from.join(&text).ok();
    let to = to.filter(|to| matches!(to.scheme(), "http" | "https") && to.host_str().is_some());
    Some(to.ok_or_else(|| kiln_giturl::redact(&text)))
}

pub(crate) fn failed(url: &Url, error: reqwest::Error) -> FetchError {
    FetchError::Connect {
        url: shown(url),
        reason: reasons(&error.without_url()),
    }
}

/// Writes an error with its causes on one line.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_where_they_belong() {
        let check = |url: &str, at: &str, expect: bool| {
            let [from, to] = [url, at].map(|text| Url::parse(text).unwrap());
            assert_eq!(may_know(&from, &to), expect, "{url} -> {at}");
        };
        check("https://h/a", "https://h/b", true);
        check("https://h/a", "https://h:443/b", true);
        check("http://h/a", "https://h/b", true);
        check("https://h/a", "http://h/b", false);
        check("https://h/a", "https://sub.h/b", false);
        check("https://h/a", "https://h:8443/b", false);
        check("http://h:80/a", "https://h/b", true);
        check("http://h:8080/a", "https://h/b", false);
    }
}
