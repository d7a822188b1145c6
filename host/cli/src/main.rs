//! The `kiln` command.

mod progress;
mod report;

fn main() {}
