//! Shows a build while it runs: on a terminal, as plain lines, as JSON, or not at all.

mod display;
mod limit;
mod plain;
mod rawjson;
#[cfg(test)]
mod replay;
mod state;
mod summary;
mod terminal;
#[cfg(test)]
mod tests;
mod tty;

pub(crate) use display::Display;
pub(crate) use display::Mode;
pub(crate) use state::bytes;
pub(crate) use state::printable;
pub(crate) use summary::Detail;
pub(crate) use terminal::Colour;
pub(crate) use terminal::visible;
pub(crate) use terminal::width;
