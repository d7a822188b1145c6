//! The nouns that all kinds share.

pub use crate::bindings::api::kiln::plugin::log::Level;
pub use crate::bindings::api::kiln::plugin::types::Attr;
pub use crate::bindings::api::kiln::plugin::types::Diagnostic;
pub use crate::bindings::api::kiln::plugin::types::Error;
pub use crate::bindings::api::kiln::plugin::types::Platform;
pub use crate::bindings::api::kiln::plugin::types::Position;
pub use crate::bindings::api::kiln::plugin::types::Severity;
pub use crate::bindings::api::kiln::plugin::types::SourceFile;
pub use crate::bindings::api::kiln::plugin::types::Span;
