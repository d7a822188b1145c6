//! `cargo xtask build`: the release binary with its plugins.

use std::path::Path;
use std::path::PathBuf;

use crate::plugins;
use crate::process;

/// How the binary is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests: builds fast.
    Dev,
    /// For use.
    Release,
}

/// Leaves `target/release/kiln`.
pub(crate) fn run(root: &Path, _: &[String]) -> anyhow::Result<()> {
    let binary = binary(root, Profile::Release)?;
    println!("{}", binary.display());
    Ok(())
}

/// Builds plugins and host; returns where the binary is.
pub(crate) fn binary(root: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    plugins::run(root, &[])?;
    let mut cargo = process::cargo();
    cargo.current_dir(root).args(["build", "--package", "kiln"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let directory = if profile == Profile::Release {
        "release"
    } else {
        "debug"
    };
    Ok(root.join(target).join(directory).join("kiln"))
}
