//! One request to a registry, before it is known which host takes it over what.

use std::sync::Arc;

use bytes::Bytes;
use kiln_image::Reference;
use reqwest::Method;
use reqwest::header::HeaderName;
use url::Url;

use super::Upload;
use crate::Subject;

/// Largest manifest or list that is read.
const DOCUMENT: usize = 4 << 20;

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Below `/v2/` of the registry.
    Path(String),
    /// Where the registry said.
    Url(Url),
}

/// What a request sends.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A blob.
    Upload(Upload),
}

/// A request, as often as it must be sent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) payload: Payload,
    /// `pull` or `push`.
    pub(crate) action: &'static str,
    /// Token scopes that the request needs, sorted.
    pub(crate) scopes: Vec<String>,
    pub(crate) subject: Arc<Subject>,
    /// Bytes of the answer that are read at most.
    pub(crate) limit: usize,
}

impl Call {
    /// Reads `path` below the reference's repository.
    pub(crate) fn pull(reference: &Reference, path: &str) -> Self {
        let repository = reference.repository();
        let mut call = Self::ping(Arc::new(Subject {
            registry: reference.registry().to_owned(),
            repository: repository.to_owned(),
            what: reference.to_string(),
        }));
        call.target = Target::Path(format!("{repository}/{path}"));
        call.scopes = vec![format!("repository:{repository}:pull")];
        call
    }

    /// Asks whether somebody is there.
    pub(crate) fn ping(subject: Arc<Subject>) -> Self {
        Self {
            method: Method::GET,
            target: Target::Path(String::new()),
            headers: Vec::new(),
            payload: Payload::Empty,
            action: "pull",
            scopes: Vec::new(),
            subject,
            limit: DOCUMENT,
        }
    }

    /// Changes something at `path` below the reference's repository.
    pub(crate) fn push(reference: &Reference, method: Method, path: &str) -> Self {
        let mut call = Self::pull(reference, path);
        call.method = method;
        call.action = "push";
        call.scopes = vec![format!("repository:{}:pull,push", reference.repository())];
        call
    }

    /// Says what the request is about, where it is not the reference.
    pub(crate) fn about(mut self, what: impl std::fmt::Display) -> Self {
        let subject = Arc::make_mut(&mut self.subject);
        subject.what = format!("{}/{}@{what}", subject.registry, subject.repository);
        self
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn to(mut self, url: Url) -> Self {
        self.target = Target::Url(url);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }
}
