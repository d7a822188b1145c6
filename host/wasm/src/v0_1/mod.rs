//! The worlds of `kiln:plugin@0.1.0`: bindings, what the host does for them, and how their plugins are called.

mod bindings;
mod cataloger;
mod convert;
mod frontend;
mod host;
mod scanner;
mod silent;

pub(crate) use cataloger::WasmCataloger;
pub(crate) use frontend::WasmFrontend;
pub(crate) use scanner::WasmScanner;
