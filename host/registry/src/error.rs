//! What can go wrong at a registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kiln_image::Digest;
use kiln_image::ManifestError;

use crate::CredentialError;

/// What a request was about: for the texts of errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `host[:port]` of the registry as references write it.
    pub registry: String,
    /// Repository below the registry.
    pub repository: String,
    /// The whole reference, or repository and digest.
    pub what: String,
}

/// A registry did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The client cannot be set up.
    #[error("cannot set up the registry client: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
    /// A certificate file cannot be used.
    #[error("cannot use the certificate file `{}`: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The login for the registry cannot be had.
    #[error("cannot get credentials for `{registry}`")]
    Credentials {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        source: CredentialError,
    },
    /// The client was told to ask nobody.
    #[error("{}: not here, and no registry is asked (`--offline`)", subject.what)]
    Offline {
        /// What was asked for.
        subject: Arc<Subject>,
    },
    /// The registry does not have it.
    #[error("{}: not found{message}", subject.what)]
    NotFound {
        /// What was asked for.
        subject: Arc<Subject>,
        /// The registry's own code and message, with `: ` before them, or nothing.
        message: String,
    },
    /// The registry wants a login, or another one.
    #[error(
        "{}: {action} access denied, repository does not exist or may require authorization: \
         {}{message} (log in with `docker login {}`)",
        subject.what, reason(*status), subject.registry
    )]
    Denied {
        /// What was asked for.
        subject: Arc<Subject>,
        /// `pull` or `push`.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// The registry's own code and message, with `: ` before them, or nothing.
        message: String,
    },
    /// The registry's token server gives no token.
    #[error(
        "{}: failed to authorize: failed to fetch {kind} token: unexpected status from {method} request to {url}: \
         {}{message} (log in with `docker login {}`)",
        subject.what, reason(*status), subject.registry
    )]
    Token {
        /// What was asked for.
        subject: Arc<Subject>,
        /// `anonymous`, or `oauth` where there was a login.
        kind: &'static str,
        /// HTTP method.
        method: String,
        /// Where it was sent, without secrets.
        url: String,
        /// HTTP status.
        status: u16,
        /// The token server's own message, with `: ` before it, or nothing.
        message: String,
    },
    /// Another answer than the specification has for the request.
    #[error("{}: unexpected status from {method} request to {url}: {}{message}",
        subject.what, reason(*status))]
    Status {
        /// What was asked for.
        subject: Arc<Subject>,
        /// HTTP method.
        method: String,
        /// Where it was sent, without secrets.
        url: String,
        /// HTTP status.
        status: u16,
        /// The registry's own code and message, with `: ` before them, or nothing.
        message: String,
    },
    /// No connection, or it broke too often.
    #[error("{}: failed to do request: {url}: {reason}{hint}", subject.what)]
    Connect {
        /// What was asked for.
        subject: Arc<Subject>,
        /// Where it was sent, without secrets.
        url: String,
        /// Why.
        reason: String,
        /// What could help, or nothing.
        hint: String,
    },
    /// No byte arrived for too long, too often.
    #[error("{}: {url} sent nothing for {} s", subject.what, after.as_secs_f32())]
    Stalled {
        /// What was asked for.
        subject: Arc<Subject>,
        /// Where it was sent, without secrets.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// A redirect that is not followed.
    #[error("{}: refused to follow the redirect from {from} to {to}: {reason}", subject.what)]
    Redirect {
        /// What was asked for.
        subject: Arc<Subject>,
        /// Who redirects, without secrets.
        from: String,
        /// Where to, without secrets.
        to: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The bytes are not those of the digest.
    #[error("{}: digest mismatch: expected {expected}, got {actual}", subject.what)]
    Digest {
        /// What was asked for.
        subject: Arc<Subject>,
        /// The digest that was asked for or promised.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// More or fewer bytes than the descriptor or the header says.
    #[error("{}: size mismatch: expected {expected} bytes, got {actual}", subject.what)]
    Size {
        /// What was asked for.
        subject: Arc<Subject>,
        /// The size that was promised.
        expected: u64,
        /// The size of what came; at least, where reading stopped.
        actual: u64,
    },
    /// A body over its bound.
    #[error("{}: the answer of {url} has more than {limit} bytes", subject.what)]
    TooLarge {
        /// What was asked for.
        subject: Arc<Subject>,
        /// Where it came from, without secrets.
        url: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// An answer that the specification does not allow.
    #[error("{}: {url} does not speak the registry protocol: {reason}", subject.what)]
    Protocol {
        /// What was asked for.
        subject: Arc<Subject>,
        /// Where it came from, without secrets.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// What was resolved is not an image.
    #[error("{}: cannot read the manifest", subject.what)]
    Manifest {
        /// What was asked for.
        subject: Arc<Subject>,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The file that is pushed cannot be read.
    #[error("cannot read the blob file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The receiver of the bytes failed.
    #[error("{}: cannot keep the bytes", subject.what)]
    Sink {
        /// What was fetched.
        subject: Arc<Subject>,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl RegistryError {
    /// Returns true when the registry says that it does not have what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns true when the registry wants a login, or another one.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Token { status, .. } => matches!(status, 401 | 403),
            _ => false,
        }
    }
}

/// Returns the status with its usual words.
fn reason(status: u16) -> String {
    let known = reqwest::StatusCode::from_u16(status);
    known
        .ok()
        .filter(|known| known.canonical_reason().is_some())
        .map_or_else(|| status.to_string(), |known| known.to_string())
}
