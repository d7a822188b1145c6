//! Files from http(s) servers and checkouts of git repositories, into directories; and requests in the name of
//! plugins.
//!
//! Servers and repositories are hostile: everything is bounded, checked before it is used, and never an option of a
//! program. Must not know stores, graphs or layers, and reads no environment: who calls decides what is kept.

mod caller;
mod config;
mod error;
mod git;
mod http;
mod requests;

pub use caller::Caller;
pub use caller::Nobody;
pub use config::Config;
pub use config::Limits;
pub use config::Proxies;
pub use error::FetchError;
pub use git::Git;
pub use git::GitSource;
pub use git::Kept;
pub use git::Resolved;
pub use http::Download;
pub use http::Http;
pub use http::HttpAnswer;
pub use http::HttpSource;
pub use http::Known;
pub use requests::Answer;
pub use requests::Outgoing;
pub use requests::Reach;
pub use requests::Requests;
pub use requests::Rules;
pub use requests::Sent;
