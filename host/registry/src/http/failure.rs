//! What an attempt fails with, and whether another may help.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::answer::printable;
use crate::RegistryError;
use crate::Subject;

/// Whether another attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Never.
    Final,
    /// There was no connection.
    Connect,
    /// The connection or the server had a bad moment.
    Transient,
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) error: RegistryError,
    /// How long the server wants to be left alone.
    pub(crate) after: Option<Duration>,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self {
            kind: Kind::Final,
            error,
            after: None,
        }
    }
}

impl Failure {
    pub(crate) fn transient(error: RegistryError) -> Self {
        Self {
            kind: Kind::Transient,
            error,
            after: None,
        }
    }

    /// Nothing came for `after`.
    pub(crate) fn stalled(subject: &Arc<Subject>, url: &Url, after: Duration) -> Self {
        Self::transient(RegistryError::Stalled {
            subject: subject.clone(),
            url: redacted(url),
            after,
        })
    }

    /// The connection could not be made, or broke.
    pub(crate) fn connection(subject: &Arc<Subject>, url: &Url, error: reqwest::Error) -> Self {
        let tls = find_tls(&error);
        let certificate = matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
        let plain = matches!(tls, Some(rustls::Error::InvalidMessage(_)));
        let kind = match error.is_connect() || error.is_builder() {
            _ if certificate || plain || error.is_builder() => Kind::Final,
            true => Kind::Connect,
            false => Kind::Transient,
        };
        let host = super::authority(url);
        let hint = if certificate {
            format!(
                " (its certificate is not trusted: add its certificate authority, or allow `--insecure-registry {host}`)"
            )
        } else if plain {
            format!(" (http: server gave HTTP response to HTTPS client: allow `--insecure-registry {host}`)")
        } else {
            String::new()
        };
        let error = RegistryError::Connect {
            subject: subject.clone(),
            url: redacted(url),
            reason: reasons(&error.without_url()),
            hint,
        };
        Self {
            kind,
            error,
            after: None,
        }
    }
}

/// Looks for the error of the TLS layer that is below `error`.
fn find_tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(inner) = inner
            && let Some(found) = find_tls(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Joins what an error and those below it say.
pub(super) fn reasons(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    printable(&texts.join(": "), 500)
}

/// Returns the URL without what may be secret: user, password, query.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let query = shown.query().is_some();
    shown.set_query(None);
    let text = printable(shown.as_str(), 300);
    if query { format!("{text}?<redacted>") } else { text }
}
