//! Components, most of them hostile, against the real runtime.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bridge;
mod code;
mod guest;
mod hostile;
mod inspect;
mod memo;
mod misfits;
mod nested;
mod released;
mod wasi;
mod wit;
