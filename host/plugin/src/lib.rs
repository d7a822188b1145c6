//! What the engine asks of plugins and what plugins may ask of the build, as ports: plain data and traits.
//!
//! Knows nothing of WebAssembly, of how a plugin is found or run, and of what the engine does with an answer.

mod bridge;
mod cataloger;
mod diagnostic;
mod error;
mod files;
mod frontend;
mod limits;
mod memo;
mod memory;
mod reference;

pub use bridge::Filter;
pub use bridge::FrontendBridge;
pub use bridge::LogLevel;
pub use bridge::ResolvedImage;
pub use bridge::ResolvedSource;
pub use cataloger::CatalogError;
pub use cataloger::Cataloger;
pub use cataloger::Interest;
pub use cataloger::Matched;
pub use cataloger::PackageInfo;
pub use diagnostic::Diagnostic;
pub use diagnostic::Failure;
pub use diagnostic::Severity;
pub use error::FrontendError;
pub use error::HostError;
pub use error::PluginError;
pub use files::EntryKind;
pub use files::FileBlob;
pub use files::FileEntry;
pub use files::FileTree;
pub use files::PAGE;
pub use frontend::Component;
pub use frontend::Description;
pub use frontend::Frontend;
pub use frontend::Lowered;
pub use frontend::LoweredOutput;
pub use frontend::Request;
pub use frontend::Subrequest;
pub use frontend::Usage;
pub use limits::Limit;
pub use limits::LimitError;
pub use limits::Limits;
pub use memo::MemoStore;
pub use memory::MemoryTree;
pub use reference::PluginRef;
pub use reference::PluginRefError;
