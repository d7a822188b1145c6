//! Dockerfile syntax: cuts a file into instructions ([`parse`]), understands them ([`instructions::parse`]) and
//! expands variables ([`shell::Lex`]). Error texts are BuildKit's.
//!
//! It reads bytes and returns values: no file, no network, no clock. Any input ends in a value or an error, without
//! panic, in time and memory bounded by the input.

mod args;
pub mod ast;
pub mod checks;
pub mod chmod;
mod csv;
pub mod directives;
pub mod duration;
pub mod error;
pub mod go;
pub mod heredoc;
pub mod instructions;
mod json;
mod lines;
mod parser;
pub mod ports;
pub mod shell;
pub mod signal;
pub mod span;
pub mod suggest;
pub mod units;

pub use error::ParseError;
pub use error::SyntaxError;
pub use lines::MAX_LINE;
pub use parser::parse;
