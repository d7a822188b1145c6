//! Requests: where they go, over what, how often. Redirects and logins are handled by hand, so that credentials stay
//! with the host that they are for.

mod answer;
mod backoff;
mod call;
mod failure;
mod send;
mod tls;
mod transport;
mod upload;

pub(crate) use answer::Answer;
pub(crate) use answer::bounded;
pub(crate) use answer::message;
pub(crate) use answer::printable;
pub(crate) use backoff::Backoff;
pub(crate) use call::Call;
pub(crate) use call::Payload;
pub(crate) use call::Target;
pub(crate) use failure::Failure;
pub(crate) use failure::redacted;
pub(crate) use transport::Transport;
pub(crate) use transport::Trust;
pub(crate) use transport::authority;
pub(crate) use upload::Upload;
