//! What registries answer: bounded, and made fit for people to read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::Call;
use super::Failure;
use super::failure::Kind;
use super::redacted;
use crate::RegistryError;
use crate::Subject;

/// Bytes of an error's body that are read.
const ERROR_BODY: usize = 64 << 10;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Returns a header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the media type without parameters.
    pub(crate) fn media_type(&self) -> &str {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// Returns what is wrong with the answer's status.
    pub(crate) fn refused(&self, call: &Call) -> RegistryError {
        let subject = call.subject.clone();
        let message = message(&self.body);
        match self.status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { subject, message },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
                subject,
                action: call.action,
                status: self.status.as_u16(),
                message,
            },
            _ => RegistryError::Status {
                subject,
                method: call.method.to_string(),
                url: redacted(&self.url),
                status: self.status.as_u16(),
                message,
            },
        }
    }

    /// Returns the answer as a failed attempt.
    pub(crate) fn failure(&self, call: &Call) -> Failure {
        Failure {
            kind: if is_transient(self.status) {
                Kind::Transient
            } else {
                Kind::Final
            },
            error: self.refused(call),
            after: retry_after(&self.headers),
        }
    }

    pub(crate) fn protocol(&self, call: &Call, reason: impl Into<String>) -> RegistryError {
        RegistryError::Protocol {
            subject: call.subject.clone(),
            url: redacted(&self.url),
            reason: reason.into(),
        }
    }
}

/// Reads the rest of an answer: at most the call's bound, of errors at most 64 KiB.
///
/// # Errors
/// When the body breaks, stalls, or is too large.
pub(crate) async fn bounded(call: &Call, response: Response, stall: Duration) -> Result<Answer, Failure> {
    let status = response.status();
    let url = response.url().clone();
    let headers = response.headers().clone();
    let body = if status.is_success() {
        let body = read(&call.subject, response, call.limit + 1, stall).await?;
        if body.len() > call.limit {
            return Err(RegistryError::TooLarge {
                subject: call.subject.clone(),
                url: redacted(&url),
                limit: call.limit,
            }
            .into());
        }
        body
    } else {
        // What an error says is nice to have.
        read(&call.subject, response, ERROR_BODY, stall)
            .await
            .unwrap_or_default()
    };
    Ok(Answer {
        status,
        headers,
        url,
        body,
    })
}

/// Reads at most `limit` bytes.
async fn read(
    subject: &Arc<Subject>,
    mut response: Response,
    limit: usize,
    stall: Duration,
) -> Result<Bytes, Failure> {
    let url = response.url().clone();
    let mut body = BytesMut::new();
    while body.len() < limit {
        let chunk = tokio::time::timeout(stall, response.chunk())
            .await
            .map_err(|_| Failure::stalled(subject, &url, stall))?
            .map_err(|error| Failure::connection(subject, &url, error))?;
        let Some(chunk) = chunk else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
    }
    Ok(body.freeze())
}

/// Returns true when the same request may be answered better a little later.
fn is_transient(status: StatusCode) -> bool {
    let lasting = [
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    ];
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    passing.contains(&status) || status.is_server_error() && !lasting.contains(&status)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns the registry's own words, with `: ` before them; nothing when it said nothing readable.
pub(crate) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(default)]
        errors: Vec<One>,
        /// Of token servers.
        #[serde(default)]
        details: Option<String>,
        #[serde(default)]
        error_description: Option<String>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Errors>(body) {
        Ok(all) => {
            let one = |e: &One| [&e.code, &e.message].map(String::as_str).join(": ");
            let errors = all.errors.iter().take(3).map(one);
            let other = all.details.into_iter().chain(all.error_description);
            errors.chain(other).collect::<Vec<_>>().join("; ")
        }
        Err(_) if body.starts_with(b"<") => String::new(), // a page for browsers
        Err(_) => String::from_utf8_lossy(body)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    match printable(text.trim(), 300) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

/// Returns at most `limit` characters of a stranger's text, without those that move a terminal's cursor.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut short: String = clean.clone().take(limit).collect();
    if clean.nth(limit).is_some() {
        short.push('…');
    }
    short
}
