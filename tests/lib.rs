//! Tests of the whole workspace: layering, end to end, conformance. Nothing here is shipped.

pub mod support;
