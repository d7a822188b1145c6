//! Git URLs with BuildKit's additions: `#ref:subdir` and `?ref=…&subdir=…`, and the identifiers of git sources.
//!
//! Only text: nothing here runs git, asks a server or touches a file. No input panics.

mod filename;
mod identifier;
mod reference;
mod text;
mod url;

pub use filename::http_filename;
pub use filename::safe_filename;
pub use identifier::GitIdentifier;
pub use reference::GitRef;
pub use reference::GitUrl;
pub use reference::Known;
pub use reference::parse;
pub use text::redact;
pub use text::unescape;
pub use url::RemoteUrl;
pub use url::UrlError;
