//! Finds plugins: flags, `kiln.toml`, `kiln.lock`, the policy, files, what is embedded, registries.
//!
//! Runs none of them.

mod fixture;
mod outside;
mod picture;
mod remote;
mod resolve;
mod signature;
mod store;
mod text;
mod trace;
mod traced;

pub(crate) use fixture::Fixture;
pub(crate) use fixture::tree_of;
pub(crate) use outside::MemoryOutside;
pub(crate) use picture::svg;
pub(crate) use remote::Artifact;
pub(crate) use remote::push;
pub(crate) use resolve::Resolved;
pub(crate) use resolve::Resolver;
pub(crate) use store::PluginStore;
pub(crate) use text::dot;
pub(crate) use text::graph_digest;
pub(crate) use text::graph_json;
pub(crate) use text::graph_text;
pub(crate) use text::outcome;
pub(crate) use trace::Player;
pub(crate) use trace::Recorder;
pub(crate) use trace::Trace;
pub(crate) use traced::Traced;

use kiln_plugin::PluginError;

/// Largest component that is read, in bytes; the runtime has its own limit.
pub(crate) const LARGEST_COMPONENT: u64 = 256 << 20;

/// Returns the error that a plugin cannot be opened.
pub(crate) fn unusable(plugin: &str, message: impl Into<String>) -> PluginError {
    PluginError::Open {
        plugin: plugin.to_owned(),
        message: message.into(),
    }
}
