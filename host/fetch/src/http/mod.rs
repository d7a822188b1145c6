//! Files over http and https.

mod body;
mod client;
mod headers;
mod source;

use std::path::Path;
use std::time::Duration;

use kiln_giturl::http_filename;
use kiln_giturl::redact;
use kiln_giturl::safe_filename;
use reqwest::Method;
use reqwest::Response;
use reqwest::StatusCode;
use url::Url;

use crate::Caller;
use crate::Config;
use crate::FetchError;
use crate::caller::header;
use body::Body;
pub(crate) use client::Call;
pub(crate) use client::Client;
pub(crate) use client::builder;
pub(crate) use client::failed;
pub(crate) use client::may_know;
pub(crate) use client::reasons;
pub(crate) use client::redirect;
pub use source::HttpSource;

/// Name of a secret with a whole `Authorization` header, before the host.
const HEADER_SECRET: &str = "HTTP_AUTH_HEADER_";
/// Name of a secret with a bearer token, before the host.
const TOKEN_SECRET: &str = "HTTP_AUTH_TOKEN_";

/// A file that an earlier fetch brought, known by what the server called its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The validator, without the mark of weak ones.
    pub etag: String,
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Its name in the directory.
    pub filename: String,
    /// Its digest: SHA-256, or the algorithm of the checksum that was asked for.
    pub digest: String,
    /// When it changed last, as the server says, in HTTP's format.
    pub last_modified: Option<String>,
    /// The same in seconds since 1970.
    pub modified: Option<i64>,
    /// The server's name of this version, without the mark of weak ones.
    pub etag: Option<String>,
    /// Its size in bytes.
    pub size: u64,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAnswer {
    /// One of the known files is right.
    Known {
        /// Its validator.
        etag: String,
        /// The file's name, which the server may give anew.
        filename: String,
    },
    /// Another file, which is in the directory now.
    New(Download),
}

/// Fetches files.
#[derive(Debug)]
pub struct Http {
    client: Client,
    limits: crate::Limits,
    offline: bool,
}

impl Http {
    /// Sets the client up.
    ///
    /// # Errors
    /// When a proxy is no URL.
    pub fn new(config: &Config) -> Result<Self, FetchError> {
        Ok(Self {
            client: Client::new(config)?,
            limits: config.limits.clone(),
            offline: config.offline,
        })
    }

    /// Fetches the file into `directory`, unless the server says that one of `known` is it.
    ///
    /// # Errors
    /// When it cannot be had, or is not what the source's checksum says.
    pub async fn fetch(
        &self,
        source: &HttpSource,
        known: &[Known],
        caller: &dyn Caller,
        directory: &Path,
    ) -> Result<HttpAnswer, FetchError> {
        if self.offline {
            return Err(FetchError::Offline(redact(source.url.as_str())));
        }
        let fetch = Fetch {
            http: self,
            source,
            known,
            authorization: authorization(source, caller)?,
            directory,
            caller,
        };
        let limit = self.limits.time;
        tokio::time::timeout(limit, fetch.run())
            .await
            .map_err(|_| FetchError::Time {
                what: redact(source.url.as_str()),
                seconds: limit.as_secs(),
            })?
    }
}

/// Returns the `Authorization` header that the user gave for the source's host.
fn authorization(source: &HttpSource, caller: &dyn Caller) -> Result<Option<String>, FetchError> {
    if let Some(id) = &source.auth_secret {
        let value = header(caller, id).ok_or_else(|| FetchError::SecretMissing(id.clone()))?;
        return value.map(Some);
    }
    let host = source.url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // As in BuildKit a token wins over a header.
    if let Some(token) = header(caller, &format!("{TOKEN_SECRET}{host}")) {
        return Ok(Some(format!("Bearer {}", token?)));
    }
    header(caller, &format!("{HEADER_SECRET}{host}")).transpose()
}

struct Fetch<'f> {
    http: &'f Http,
    source: &'f HttpSource,
    known: &'f [Known],
    authorization: Option<String>,
    directory: &'f Path,
    caller: &'f dyn Caller,
}

impl Fetch<'_> {
    async fn run(&self) -> Result<HttpAnswer, FetchError> {
        let mut attempt = 1;
        loop {
            match self.attempt().await {
                Err(error) if error.is_transient() && attempt < self.http.limits.tries => {
                    tokio::time::sleep(Duration::from_millis(200) * 4_u32.pow(attempt - 1)).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn attempt(&self) -> Result<HttpAnswer, FetchError> {
        // Some servers give ETags and do not understand `If-None-Match`: their `HEAD` tells the version.
        if !self.known.is_empty()
            && let Ok(response) = self.send(Method::HEAD).await
            && matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED)
            && let Some(known) = self.known(&response)
        {
            return Ok(known);
        }
        let response = self.send(Method::GET).await?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED {
            return self.known(&response).ok_or_else(|| FetchError::NotModified {
                url: self.shown(),
                etag: headers::etag(&response).unwrap_or_default(),
            });
        }
        if !status.is_success() {
            return Err(self.refused(status));
        }
        self.save(response).await.map(HttpAnswer::New)
    }

    async fn send(&self, method: Method) -> Result<Response, FetchError> {
        let etags: Vec<&str> = self.known.iter().map(|known| known.etag.as_str()).collect();
        let mut headers = self.source.headers.clone();
        if !etags.is_empty() {
            headers.push(("if-none-match".to_owned(), etags.join(", ")));
        }
        let call = Call {
            method,
            headers: &headers,
            authorization: self.authorization.as_deref(),
        };
        self.http.client.send(&self.source.url, &call).await
    }

    /// Returns which known file the answer means.
    fn known(&self, response: &Response) -> Option<HttpAnswer> {
        let etag = headers::etag(response).or_else(|| match self.known {
            // Servers may leave it out when they were asked for one.
            [only] if response.status() == StatusCode::NOT_MODIFIED => Some(only.etag.clone()),
            _ => None,
        })?;
        self.known
            .iter()
            .any(|known| known.etag == etag)
            .then(|| HttpAnswer::Known {
                filename: self.filename(Some(response)),
                etag,
            })
    }

    fn filename(&self, response: Option<&Response>) -> String {
        filename(self.source, response.and_then(headers::disposition).as_deref())
    }

    fn refused(&self, status: StatusCode) -> FetchError {
        let host = self.source.url.host_str().unwrap_or_default();
        let hint = match status.as_u16() {
            401 | 403 if self.authorization.is_none() => {
                format!(" (give a token with `--secret id={TOKEN_SECRET}{host},src=FILE`)")
            }
            _ => String::new(),
        };
        FetchError::Status {
            url: self.shown(),
            status: status.as_u16(),
            hint,
        }
    }

    async fn save(&self, response: Response) -> Result<Download, FetchError> {
        let url = self.shown();
        let last_modified = headers::last_modified(&response);
        let (filename, etag) = (self.filename(Some(&response)), headers::etag(&response));
        let path = self.directory.join(&filename);
        let modified = last_modified.as_ref().map(|(seconds, _)| *seconds);
        let body = Body {
            url: &url,
            limits: &self.http.limits,
            algorithm: self.source.algorithm(),
            gzip: headers::is_gzip(&response),
            mode: self.source.mode.unwrap_or(0o600),
            modified: modified.unwrap_or_default(),
        };
        let (digest, size) = body.write(response, &path, self.caller).await?;
        if let Some(expected) = &self.source.checksum
            && *expected != digest
        {
            return Err(FetchError::Digest {
                url,
                actual: digest,
                expected: expected.clone(),
            });
        }
        Ok(Download {
            filename,
            digest,
            last_modified: last_modified.map(|(_, text)| text),
            modified,
            etag,
            size,
        })
    }

    fn shown(&self) -> String {
        redact(self.source.url.as_str())
    }
}

/// Returns the name of the file: the one that is asked for, the server's, the URL's last part.
fn filename(source: &HttpSource, disposition: Option<&str>) -> String {
    if let Some(name) = &source.filename {
        return safe_filename(name);
    }
    let from_url = || http_filename(source.url.as_str()).unwrap_or_default();
    safe_filename(&disposition.map_or_else(from_url, str::to_owned))
}

/// Returns the URL without what must not be shown.
pub(crate) fn shown(url: &Url) -> String {
    redact(url.as_str())
}

impl HttpSource {
    /// Returns the name of the file as far as it is known before a server is asked.
    pub fn expected_filename(&self) -> String {
        filename(self, None)
    }
}
