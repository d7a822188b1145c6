//! Where logins come from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

/// What proves to a registry who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password or access token.
    Basic {
        /// The name.
        user: String,
        /// The secret.
        password: String,
    },
    /// An OAuth2 refresh token; the registry's token server exchanges it.
    IdentityToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic {{ user: {user:?}, password: <secret> }}"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(<secret>)"),
        }
    }
}

/// Knows the logins of registries.
#[async_trait]
pub trait Credentials: fmt::Debug + Send + Sync {
    /// Returns the login for `registry` (`host[:port]`, such as `docker.io`), or `None` where requests are anonymous.
    ///
    /// # Errors
    /// When there should be a login and it cannot be had.
    async fn get(&self, registry: &str) -> Result<Option<Login>, CredentialError>;
}

/// Everything is anonymous.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn get(&self, _: &str) -> Result<Option<Login>, CredentialError> {
        Ok(None)
    }
}

/// A login cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file exists and cannot be read.
    #[error("cannot read the credentials file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what docker writes.
    #[error("credentials file `{}` is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a secret.
        reason: String,
    },
    /// The helper cannot be started.
    #[error("cannot run the credential helper `{helper}` (is it installed and in PATH?)")]
    Start {
        /// The helper's program.
        helper: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The helper did not answer in time.
    #[error("credential helper `{helper}` gave no answer within {} s", after.as_secs())]
    Timeout {
        /// The helper's program.
        helper: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The helper says no.
    #[error("credential helper `{helper}` failed for `{registry}`: {message}")]
    Failed {
        /// The helper's program.
        helper: String,
        /// The registry that it was asked for.
        registry: String,
        /// What it wrote, shortened.
        message: String,
    },
}
