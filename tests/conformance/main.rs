//! Build cases of the shared conformance data, run through the command line.

#[test]
fn cases() {}
