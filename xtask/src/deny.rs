//! `cargo xtask deny`: licences, sources and duplicate versions.

use std::path::Path;
use std::process::Command;

use crate::process;

/// Version that is installed where there is none.
const VERSION: &str = "0.20.2";

/// Runs `cargo deny`, installing it first where it is missing.
pub(crate) fn run(root: &Path, _: &[String]) -> anyhow::Result<()> {
    let there = Command::new("cargo-deny")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("deny: cargo install cargo-deny@{VERSION}");
        let mut install = process::cargo();
        // A tool, not a part of the project: how fast it runs does not matter, how long it builds does.
        install
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
        install.args(["install", "--quiet", "--locked", "--no-default-features"]);
        process::run(install.arg(format!("cargo-deny@{VERSION}")))?;
    }
    let mut deny = process::cargo();
    process::run(
        deny.current_dir(root)
            .args(["deny", "--offline", "check", "bans", "licenses", "sources"]),
    )
}
