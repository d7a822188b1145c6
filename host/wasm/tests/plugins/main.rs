//! Components, most of them hostile, against the real runtime.

mod bridge;
mod code;
mod guest;
mod hostile;
mod memo;
mod misfits;
