//! One call of a plugin: its store, what it may use, what it asks, and how it ends.
//!
//! Knows no world and no version of the WIT package.

mod clock;
mod ending;
pub(crate) mod handle;
mod question;
mod session;
mod state;
mod wasi;

pub(crate) use clock::Clock;
pub(crate) use clock::within;
pub(crate) use ending::LimitHit;
pub(crate) use ending::plugin_error;
pub(crate) use question::Answer;
pub(crate) use question::Question;
pub(crate) use session::Session;
pub(crate) use session::Trace;
pub(crate) use state::CallState;
pub(crate) use wasi::link as link_wasi;
