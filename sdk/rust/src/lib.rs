//! Write kiln plugins in Rust.
//!
//! A plugin implements the trait of its kind ([`frontend::Frontend`], …) and names the type in the export macro of
//! that kind ([`export_frontend!`], …). What it may ask of the build comes in as a trait object, so the same code runs
//! natively against [`mock`] in plain `cargo test`.
//!
//! Knows nothing of how the host runs a plugin.
//!
//! ```
//! use kiln_sdk::Tree;
//! use kiln_sdk::frontend::{Definition, Description, Failure, Frontend, Host, Lowered, Request};
//! use kiln_sdk::mock::{MockHost, MockTree};
//! use kiln_sdk::types::Diagnostic;
//!
//! struct Empty;
//!
//! impl Frontend for Empty {
//!     fn describe() -> Description {
//!         Description { name: "empty".into(), version: "1".into(), subrequests: vec![] }
//!     }
//!
//!     fn lower(_: &dyn Host, request: &Request, files: &dyn Tree) -> Result<Lowered, Failure> {
//!         files.read(&request.source_name, 1 << 20).map_err(Diagnostic::from)?;
//!         let definition = Definition { vertices: vec![], sources: vec![] };
//!         Ok(Lowered { definition, outputs: vec![], diagnostics: vec![], attrs: vec![] })
//!     }
//! }
//!
//! kiln_sdk::export_frontend!(Empty);
//!
//! let failure = Empty::lower(&MockHost::new(), &Request::named("Nofile"), &MockTree::new()).unwrap_err();
//! assert_eq!(failure.diagnostics[0].message, "`Nofile`: no such file or directory");
//! ```

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
pub mod packages;
pub mod panic;
pub mod scanner;
pub mod types;

pub use files::Blob;
pub use files::Tree;
pub use types::Error;
