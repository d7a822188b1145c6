//! Finds or installs a Rust toolchain that builds for `wasm32-unknown-unknown`: rustup's target, or Debian's
//! `rustc-web` with a standard library built from source.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::bail;

/// The target of all plugins.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's packages that are needed where rustup has no target.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
/// How long rustup may try to download a target.
const PATIENCE: Duration = Duration::from_secs(40);

/// A toolchain that builds plugins.
pub(crate) enum Toolchain {
    /// The toolchain in use has the target.
    Rustup,
    /// Debian's compiler and the sources of its standard library.
    Debian {
        /// A linker for WebAssembly.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Finds a toolchain; installs one where that is possible.
    pub(crate) fn find_or_install() -> anyhow::Result<Self> {
        if rustup_has_target() {
            return Ok(Self::Rustup);
        }
        if let Some(debian) = Self::debian() {
            return Ok(debian);
        }
        if rustup_adds_target() {
            return Ok(Self::Rustup);
        }
        Self::debian_or_install()
    }

    /// Finds Debian's toolchain, whatever else is there; installs it where that is possible.
    pub(crate) fn debian_or_install() -> anyhow::Result<Self> {
        if let Some(debian) = Self::debian() {
            return Ok(debian);
        }
        install_packages()?;
        Self::debian().context("the toolchain is still incomplete after its packages were installed")
    }

    fn debian() -> Option<Self> {
        let complete = missing_packages().is_empty();
        complete
            .then(linker)
            .flatten()
            .map(|linker| Self::Debian { linker })
    }

    /// Returns what it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rustup => format!("{} with the target {TARGET}", version("rustc")),
            Self::Debian { linker } => format!(
                "Debian's {} with -Zbuild-std, linked by {}",
                version("/usr/bin/rustc"),
                linker.display()
            ),
        }
    }

    /// Returns `cargo build` for the target, without packages and profile.
    pub(crate) fn cargo_build(&self) -> Command {
        let mut command = match self {
            Self::Rustup => Command::new("cargo"),
            Self::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        // Whoever runs this tool through cargo has set these for another compiler.
        for name in [
            "RUSTC",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(name);
        }
        command.args(["build", "--target", TARGET]);
        if let Self::Debian { linker } = self {
            command
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="]);
        }
        command
    }

    /// Returns a short name: different toolchains must not share a target directory.
    pub(crate) fn slug(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian { .. } => "debian",
        }
    }
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn version(rustc: &str) -> String {
    let line = output(rustc, &["--version"]).unwrap_or_default();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn rustup_has_target() -> bool {
    // The directory's name is printed whether it is there or not; `self-contained` alone may be there.
    output("rustc", &["--print", "target-libdir", "--target", TARGET])
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .is_some_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
        })
}

/// Lets rustup download the target; false when there is no rustup, or it cannot in time.
fn rustup_adds_target() -> bool {
    eprintln!("plugins: trying `rustup target add {TARGET}`");
    let child = Command::new("rustup")
        .args(["target", "add", TARGET])
        .env("RUSTUP_MAX_RETRIES", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match child.try_wait() {
            Ok(Some(status)) => return status.success() && rustup_has_target(),
            Ok(None) => std::thread::sleep(Duration::from_millis(100)),
            Err(_) => break,
        }
    }
    // It ran out of time: what it leaves behind is rustup's own business.
    child.kill().ok();
    child.wait().ok();
    false
}

/// Returns which of Debian's packages are not there, told by what they bring.
fn missing_packages() -> Vec<&'static str> {
    let sources = output("/usr/bin/rustc", &["--print", "sysroot"])
        .map(|root| Path::new(&root).join("lib/rustlib/src/rust/library/Cargo.lock"));
    let there = [
        Path::new("/usr/bin/rustc").exists(),
        Path::new("/usr/bin/cargo").exists(),
        sources.is_some_and(|file| file.exists()),
        linker().is_some(),
    ];
    let packages = PACKAGES.into_iter().zip(there);
    packages
        .filter(|(_, there)| !there)
        .map(|(name, _)| name)
        .collect()
}

/// Finds a linker: the one of the toolchain in use, else Debian's.
fn linker() -> Option<PathBuf> {
    let own = output("rustc", &["--print", "target-libdir"])
        .and_then(|dir| Some(Path::new(&dir).parent()?.join("bin/rust-lld")));
    own.into_iter()
        .chain([PathBuf::from("/usr/bin/wasm-ld")])
        .find(|path| path.exists())
}

fn install_packages() -> anyhow::Result<()> {
    let missing = missing_packages();
    let wanted = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if output("id", &["-u"]).as_deref() != Some("0") || !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "no Rust toolchain here builds for {TARGET}\n\
             hint: `rustup target add {TARGET}`, or, on Debian as root, `{wanted}`"
        );
    }
    eprintln!("plugins: {wanted}");
    let apt = |args: &[&str]| -> anyhow::Result<bool> {
        let mut command = Command::new("/usr/bin/apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(args)
            .stdout(Stdio::null());
        Ok(command.status().context("cannot run `apt-get`")?.success())
    };
    let install: Vec<&str> = ["install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(missing)
        .collect();
    // Package lists may be old, or missing in a fresh container.
    if !(apt(&install)? || apt(&["update"])? && apt(&install)?) {
        bail!("`{wanted}` failed");
    }
    Ok(())
}
