//! Runs plugins as WebAssembly components: the only crate that knows wasmtime.
//!
//! A call gets a store of its own with limits on everything, and nothing to reach but what its world lends. What a
//! plugin returns is hostile and is checked before it leaves this crate. Knows nothing of where components come from
//! and of what the engine does with an answer.

mod c_bindings;
mod call;
mod compiler;
mod component;
mod inspect;
mod machine_code;
mod memo;
mod runtime;
mod v0_1;

pub use c_bindings::c_bindings;
pub use compiler::CompileError;
pub use compiler::Compiler;
pub use inspect::componentize;
pub use inspect::embed_manifest;
pub use inspect::inspect;
pub use runtime::Runtime;
pub use runtime::RuntimeConfig;
pub use runtime::RuntimeError;
