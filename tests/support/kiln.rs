//! A store, and the binary that works on it.

use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use super::place::kiln_bin;
use super::process::Outcome;
use super::process::Running;
use super::process::run;
use super::process::tool;

/// A store of its own in a temporary directory. What is still mounted below it is unmounted in the end.
#[derive(Debug)]
pub struct Kiln {
    /// Holds `home` and the user's home directory.
    place: TempDir,
    home: PathBuf,
    env: Vec<(String, String)>,
}

impl Default for Kiln {
    fn default() -> Self {
        Self::new()
    }
}

impl Kiln {
    /// Makes an empty store.
    ///
    /// # Panics
    /// There is no temporary directory.
    pub fn new() -> Self {
        let place = tempfile::Builder::new()
            .prefix("kiln-e2e-")
            .tempdir()
            .expect("a temporary directory");
        let home = place.path().join("store");
        Self {
            place,
            home,
            env: Vec::new(),
        }
    }

    /// Makes a store that is a copy of another, which nobody uses meanwhile.
    pub fn copy_of(other: &Self) -> Self {
        let new = Self::new();
        let (from, to) = (other.home.display().to_string(), new.home.display().to_string());
        tool("cp", &["-a", "--reflink=auto", &from, &to]);
        new
    }

    /// Uses a store at another place, such as a small disk.
    #[must_use]
    pub fn at(mut self, home: &Path) -> Self {
        home.clone_into(&mut self.home);
        self
    }

    /// Sets a variable for all commands.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Returns `$KILN_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns a path beside the store, for outputs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Keeps the directory for a look at it, and returns where it is.
    pub fn keep(mut self) -> PathBuf {
        self.place.disable_cleanup(true);
        self.place.path().to_owned()
    }

    /// Returns the command with `args`, in an environment that does not depend on the machine's.
    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(kiln_bin());
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
            .env("HOME", self.place.path())
            .env("KILN_HOME", &self.home)
            .env("NO_COLOR", "1");
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Outcome {
        run(self.command(args))
    }

    /// Runs the binary with a limit of time.
    #[track_caller]
    pub fn run_for<A: AsRef<OsStr>>(&self, args: &[A], time: Duration) -> Outcome {
        self.start(args).wait(time)
    }

    /// Starts the binary.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(&self, args: &[A]) -> Running {
        Running::start(self.command(args))
    }

    /// Runs `kiln build --progress=plain` with `args` on `context`.
    #[track_caller]
    pub fn build(&self, context: &Path, args: &[&str]) -> Outcome {
        self.run(&self.build_args(context, args))
    }

    /// Returns the words of `build`.
    pub fn build_args(&self, context: &Path, args: &[&str]) -> Vec<String> {
        let mut all = vec!["build".to_owned(), "--progress=plain".to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        all.push(context.display().to_string());
        all
    }

    /// Returns the mount points below the store.
    pub fn mounts(&self) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let home = self.home.display().to_string() + "/";
        let points = table.lines().filter_map(|line| line.split(' ').nth(1));
        points
            .filter(|point| point.starts_with(&home))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Kiln {
    fn drop(&mut self) {
        for point in self.mounts().iter().rev() {
            let mut umount = Command::new("umount");
            umount.args(["--lazy", point]);
            // The test has failed already when something is mounted.
            let _said = umount.output();
        }
    }
}
