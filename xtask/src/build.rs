//! `cargo xtask build`: the release binary with its plugins.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

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
///
/// The binary compiles its plugins, and is built again with their machine code inside when that has changed.
pub(crate) fn binary(root: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    plugins::run(root, &[])?;
    let binary = host(root, profile)?;
    if machine_code(root, &binary)? {
        host(root, profile)?;
    }
    Ok(binary)
}

/// Leaves the machine code of each plugin in `target/machine-code`, beside a copy of what it was made of. Tells whether
/// any of it is new.
fn machine_code(root: &Path, binary: &Path) -> anyhow::Result<bool> {
    let out = root.join("target/machine-code");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make `{}`", out.display()))?;
    let mut new = false;
    for plugin in plugins::built(root)? {
        let copy = out.join(plugin.file_name().unwrap_or_default());
        let (code, fresh) = (copy.with_extension("cwasm"), copy.with_extension("new"));
        let (component, output) = (File::open(&plugin)?, File::create(&fresh)?);
        process::run(
            Command::new(binary)
                .arg("compile-plugin")
                .stdin(component)
                .stdout(output),
        )?;
        if !same(&copy, &plugin) || !same(&code, &fresh) {
            std::fs::copy(&plugin, &copy)?;
            std::fs::rename(&fresh, &code)?;
            new = true;
        }
    }
    Ok(new)
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((std::fs::read(a), std::fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

/// Builds the host; returns where the binary is.
fn host(root: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
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
