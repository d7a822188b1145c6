//! A busybox root file system, and steps on it.

use kiln_exec::Cancel;
use kiln_exec::ExecError;
use kiln_exec::Executor;
use kiln_exec::Exit;
use kiln_exec::Network;
use kiln_exec::Output;
use kiln_exec::RootFs;
use kiln_exec::Step;
use kiln_exec::Stream;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const APPLETS: [&str; 48] = [
    "sh", "ls", "cat", "echo", "id", "env", "pwd", "mount", "umount", "unshare", "hostname", "df", "ulimit",
    "wget", "ip", "sleep", "true", "false", "mkdir", "rm", "touch", "stat", "readlink", "grep", "head", "dd",
    "mknod", "chown", "chmod", "kill", "ps", "seq", "tr", "wc", "test", "awk", "sed", "cut", "nc", "setpriv",
    "find", "mv", "ln", "tail", "sort", "chroot", "nproc", "httpd",
];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Everything one case needs; gone when it ends.
pub(crate) struct Fixture<'a> {
    executor: &'a dyn Executor,
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

/// How a step went.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Collects output.
#[derive(Default)]
pub(crate) struct Collected(pub Mutex<(Vec<u8>, Vec<u8>)>);

impl Output for Collected {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut both = self.0.lock().expect("nobody panics while collecting");
        match stream {
            Stream::Stdout => both.0.extend_from_slice(bytes),
            Stream::Stderr => both.1.extend_from_slice(bytes),
        }
    }
}

impl<'a> Fixture<'a> {
    pub(crate) fn new(executor: &'a dyn Executor) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let fixture = Self {
            executor,
            dir,
            runtime,
        };
        for name in ["upper", "work", "base/bin", "base/tmp", "base/etc", "base/proc"] {
            fs::create_dir_all(fixture.path(name)).expect("a directory");
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .iter()
            .find(|path| Path::new(path).exists());
        let busybox =
            busybox.expect("install the package `busybox-static`: the tests' root file system is made of it");
        fs::copy(busybox, fixture.path("base/bin/busybox")).expect("busybox");
        for applet in APPLETS {
            symlink("busybox", fixture.path("base/bin").join(applet)).expect("a link");
        }
        fixture
    }

    /// A path in the temporary directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a directory in the temporary directory.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// A step with a command, without network.
    pub(crate) fn step(&self, args: &[&str]) -> Step {
        let lowers = vec![self.path("base")];
        let root = RootFs::Overlay {
            lowers,
            upper: self.path("upper"),
            work: self.path("work"),
        };
        let id = format!(
            "test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut step = Step::new(id, root, args.iter().map(|arg| (*arg).to_owned()).collect());
        step.env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        step.network = Network::None;
        step
    }

    /// A step with a shell script.
    pub(crate) fn script(&self, text: &str) -> Step {
        self.step(&["/bin/sh", "-c", text])
    }

    pub(crate) fn try_run(&self, step: Step, cancel: Cancel) -> Result<Ran, ExecError> {
        let output = Collected::default();
        let exit = self.runtime.block_on(self.executor.run(step, &output, cancel))?;
        let (out, err) = output.0.into_inner().expect("nobody panics while collecting");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ran {
            exit,
            out: text(out),
            err: text(err),
        })
    }

    /// Runs a step that can be set up.
    #[track_caller]
    pub(crate) fn run(&self, step: Step) -> Ran {
        match self.try_run(step, Cancel::never()) {
            Ok(ran) => ran,
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// Runs a script and compares what it prints, trimmed.
    #[track_caller]
    pub(crate) fn check(&self, step: Step, expected: &str) {
        let ran = self.run(step);
        assert_eq!(
            (ran.out.trim(), ran.exit.code),
            (expected, 0),
            "stderr: {}",
            ran.err
        );
    }

    /// Everything in the upper directory, sorted.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.path("upper"), "", &mut found);
        found.sort();
        found
    }
}

fn collect(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a readable directory").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &format!("{name}/"), found);
        }
        found.push(name);
    }
}
