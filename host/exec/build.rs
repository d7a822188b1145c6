//! Builds the helper program with a cargo of its own, so that it is small and static whatever this build is, and
//! leaves it where `include_bytes!` finds it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// What cargo tells build scripts about the outer build and an inner cargo must not take for its own.
const FOREIGN: [&str; 9] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_UNSTABLE_BUILD_STD",
];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let target = env::var("TARGET")?;
    let helper = manifest_dir.join("init");
    println!("cargo::rerun-if-changed={}", helper.join("src").display());
    println!("cargo::rerun-if-changed={}", helper.join("Cargo.toml").display());
    println!("cargo::rerun-if-changed=build.rs");
    let inner = out_dir.join("helper");
    // Where no static C library is installed, a dynamic helper does as well: it starts 0.3 ms later.
    let built = build(&helper, &inner, &target, "+crt-static")
        .or_else(|_| build(&helper, &inner, &target, "-crt-static"))?;
    fs::copy(built, out_dir.join("kiln-exec-init"))?;
    Ok(())
}

fn build(helper: &Path, target_dir: &Path, target: &str, crt: &str) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.args([
        "build",
        "--release",
        "--offline",
        "--bin",
        "kiln-exec-init",
        "--target",
        target,
    ]);
    cargo.arg("--manifest-path").arg(helper.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target_dir);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if FOREIGN.contains(&name.as_str())
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_FEATURE_")
        {
            cargo.env_remove(name);
        }
    }
    cargo.env("RUSTFLAGS", format!("-Ctarget-feature={crt}"));
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
    cargo.env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "true");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let output = cargo.output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the helper program of kiln-exec does not build:\n{text}").into());
    }
    Ok(target_dir.join(target).join("release/kiln-exec-init"))
}
