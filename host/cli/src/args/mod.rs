//! Arguments as typed, and what they mean: `BuildArgs` becomes a `BuildRequest`. No engine runs here.
#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "comments of arguments are their help: `[,key=value]` is no link"
)]

mod agent;
mod allow;
mod annotation;
pub(crate) mod attest;
mod build;
mod cache;
mod call;
mod context;
mod error;
mod later;
mod pairs;
mod policy;
mod request;
mod secret;
mod size;
#[cfg(test)]
mod tests;

pub(crate) use build::BuildArgs;
pub(crate) use build::PluginArgs;
pub(crate) use call::Call;
pub(crate) use context::layout_path;
pub(crate) use error::ArgError;
pub(crate) use request::Prepared;
pub(crate) use request::Surroundings;
pub(crate) use size::parse_bytes;
