//! Tests of the whole workspace: layering, end to end, conformance. Nothing here is shipped.

pub mod support;

#[cfg(test)]
mod support_tests;
