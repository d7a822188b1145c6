//! A context directory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use tempfile::TempDir;

/// A temporary directory with the files of a build.
#[derive(Debug)]
pub struct Project(TempDir);

impl Project {
    /// Makes a directory with a Dockerfile.
    ///
    /// # Panics
    /// There is no temporary directory.
    pub fn new(dockerfile: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("kiln-context-")
            .tempdir()
            .expect("a temporary directory");
        // Other users build from it, too.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755))
            .expect("the directory is ours");
        Self(dir).file("Dockerfile", dockerfile)
    }

    /// Adds or replaces a file; directories on the way are made.
    ///
    /// # Panics
    /// It cannot be written.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        self.write(name, content.as_bytes());
        self
    }

    /// Adds or replaces a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a directory"))
            .expect("directories can be made");
        std::fs::write(path, content).expect("a file can be written");
    }

    /// Copies Debian's static busybox to `name`.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn busybox(self, name: &str) -> Self {
        let from = "/usr/bin/busybox";
        std::fs::copy(from, self.0.path().join(name))
            .unwrap_or_else(|e| panic!("cannot copy `{from}`: {e}: run `cargo xtask test`"));
        self
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns a path in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
