//! The `kiln` command.

mod progress;

fn main() {}
