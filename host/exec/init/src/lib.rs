//! What the engine and its helper program say to each other: the [`spec::Spec`] of a step goes in, a
//! [`report::Report`] comes out, both over one socket.
//!
//! Plain bytes of our own: both ends come from one build, and the helper stays small.

pub mod codec;
pub mod report;
pub mod spec;
