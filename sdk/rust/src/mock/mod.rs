//! A host in memory, so that a plugin's logic runs in plain `cargo test`.

mod host;
mod tree;

pub use host::MockHost;
pub use tree::MockTree;
