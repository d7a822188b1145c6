//! The worlds of `kiln:plugin@0.1.0`: bindings, what the host does for them, and how their plugins are called.

mod adapter;
mod bindings;
mod cataloger;
mod convert;
mod driver;
mod frontend;
mod host;
mod outside;
mod scanner;
mod silent;

pub(crate) use adapter::WasmAdapter;
pub(crate) use cataloger::WasmCataloger;
pub(crate) use frontend::WasmFrontend;
pub(crate) use scanner::WasmScanner;
