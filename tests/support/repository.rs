//! Git repositories for tests.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::process::run;

/// Repositories in a directory of their own, each with a working tree and a copy without one: `NAME` and `NAME.git`.
#[derive(Debug)]
pub struct Repositories(TempDir);

impl Default for Repositories {
    fn default() -> Self {
        Self::new()
    }
}

impl Repositories {
    /// Makes an empty directory.
    ///
    /// # Panics
    /// There is no temporary directory.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kiln-git-").tempdir();
        Self(dir.expect("a temporary directory"))
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the working tree of a repository, making it where there is none.
    ///
    /// # Panics
    /// git fails.
    #[track_caller]
    pub fn repository(&self, name: &str) -> Repository {
        let path = self.path().join(name);
        let repository = Repository { path };
        if !repository.path.exists() {
            std::fs::create_dir_all(&repository.path).expect("a directory can be made");
            repository.git(&["init", "--quiet", "--initial-branch=master"]);
        }
        repository
    }
}

/// A repository with a working tree.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// Returns the working tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git in the working tree and returns what it printed.
    #[track_caller]
    pub fn git(&self, words: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .args(words)
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ALLOW_PROTOCOL", "file:http")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*");
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "Test")
                .env(format!("GIT_{who}_EMAIL"), "test@example.com")
                .env(format!("GIT_{who}_DATE"), "2023-11-14T22:13:20Z");
        }
        run(command).ok().text().trim().to_owned()
    }

    /// Writes a file.
    ///
    /// # Panics
    /// It cannot be written.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a directory"))
            .expect("directories can be made");
        std::fs::write(path, content).expect("a file can be written");
        self
    }

    /// Commits everything and returns the commit.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Renews the copy without working tree, which is what servers show: `NAME.git`.
    #[track_caller]
    pub fn publish(&self) {
        let bare = self.path.with_extension("git");
        if !bare.exists() {
            let to = bare.display().to_string();
            self.git(&["clone", "--quiet", "--bare", ".", &to]);
        }
        let to = bare.display().to_string();
        self.git(&["push", "--quiet", "--force", "--all", &to]);
        self.git(&["push", "--quiet", "--force", "--tags", &to]);
    }

    /// Puts another repository's commit at a path, and a line of `.gitmodules` for it.
    ///
    /// # Panics
    /// The file cannot be written.
    #[track_caller]
    pub fn submodule(&self, path: &str, url: &str, commit: &str) {
        let file = self.path.join(".gitmodules");
        let mut text = std::fs::read_to_string(&file).unwrap_or_default();
        text.push_str(&format!(
            "[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"
        ));
        std::fs::write(&file, text).expect("a file can be written");
        // An empty directory: `git add --all` would take the entry away without it.
        std::fs::create_dir_all(self.path.join(path)).expect("directories can be made");
        self.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{commit},{path}"),
        ]);
    }
}
