//! Write kiln plugins in Rust.
//!
//! A plugin implements the trait of its kind ([`frontend::Frontend`], …) and names the type in the export macro of
//! that kind ([`export_frontend!`], …). What it may ask of the build comes in as a trait object, so the same code runs
//! natively against [`mock`] in plain `cargo test`.
//!
//! Knows nothing of how the host runs a plugin.

pub mod bindings;
pub mod cache;
pub mod cataloger;
mod convenience;
pub mod files;
pub mod frontend;
pub mod graph;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
pub mod mock;
pub mod panic;
pub mod scanner;
pub mod types;

pub use files::Blob;
pub use files::Tree;
pub use types::Error;
