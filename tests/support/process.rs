//! Programs that tests run: each in a process group of its own, with a time after which it is killed.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;

/// Longest that a program may run when the test does not say: only a hang takes so long.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a program did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command as one would type it.
    pub shown: String,
    /// How it ended; none when it was killed because its time was up.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
    /// How long it ran.
    pub time: Duration,
}

impl Outcome {
    /// Returns the exit code; none when a signal or the test ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Returns standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns both outputs, for searching.
    pub fn all(&self) -> String {
        format!("{}{}", self.stderr, self.text())
    }

    /// Asserts that it exited with `code`.
    #[must_use]
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(
            self.code() == Some(code),
            "expected exit code {code}\n{}",
            self.report()
        );
        self
    }

    /// Asserts that it succeeded.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts that standard error contains `what`.
    #[must_use]
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(
            self.stderr.contains(what),
            "`{what}` is not in what it said\n{}",
            self.report()
        );
        self
    }

    /// Asserts that standard error does not contain `what`.
    #[must_use]
    #[track_caller]
    pub fn never_says(self, what: &str) -> Self {
        assert!(
            !self.stderr.contains(what),
            "`{what}` is in what it said\n{}",
            self.report()
        );
        self
    }

    /// Returns everything about it, for a failed test.
    pub fn report(&self) -> String {
        let ended = self.status.map_or_else(
            || "killed: its time was up".to_owned(),
            |status| status.to_string(),
        );
        format!(
            "$ {}\n{ended} after {:?}\nstdout:\n{}\nstderr:\n{}",
            self.shown,
            self.time,
            self.text(),
            self.stderr
        )
    }
}

/// A program that runs; killed with its process group when dropped.
#[derive(Debug)]
pub struct Running {
    shown: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    started: Instant,
    done: Option<ExitStatus>,
}

impl Running {
    /// Starts a program without input.
    ///
    /// # Panics
    /// It cannot be started.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let shown = shown(&command);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run `{shown}`: {e}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self {
            shown,
            child,
            stdout,
            stderr,
            started: Instant::now(),
            done: None,
        }
    }

    /// Returns the process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        // A process that has just ended is as good.
        let _gone = rustix::process::kill_process(self.pid(), signal);
    }

    /// Returns whether it ended.
    pub fn ended(&mut self) -> bool {
        if self.done.is_none() {
            self.done = self.child.try_wait().expect("a child can be waited for");
        }
        self.done.is_some()
    }

    /// Waits at most `time`, then kills it.
    pub fn wait(mut self, time: Duration) -> Outcome {
        let until = Instant::now() + time;
        while !self.ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let time = self.started.elapsed();
        let status = self.done;
        self.kill();
        Outcome {
            shown: self.shown.clone(),
            status,
            stdout: self.stdout.take().map(joined).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&self.stderr.take().map(joined).unwrap_or_default()).into_owned(),
            time,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends whatever of the process group is left.
    fn kill(&mut self) {
        let _gone = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        if self.done.is_none() {
            self.done = self.child.wait().ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command without input to its end.
#[track_caller]
pub fn run(mut command: Command) -> Outcome {
    command.stdin(Stdio::null());
    Running::start(command).wait(PATIENCE)
}

/// Runs a tool of the machine, which must succeed, and returns what it printed.
///
/// # Panics
/// It is missing or fails.
#[track_caller]
pub fn tool(name: &str, args: &[&str]) -> String {
    let mut command = Command::new(name);
    command.args(args);
    run(command).ok().text()
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before a broken pipe is what there is to show.
        let _cut = from.read_to_end(&mut bytes);
        bytes
    })
}

fn joined(thread: JoinHandle<Vec<u8>>) -> Vec<u8> {
    thread.join().unwrap_or_default()
}

/// Returns ports of loopback that nobody listens on, below those that the system hands out by itself: one of those can be
/// taken by any connection before a server has it.
///
/// # Panics
/// All are taken.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    const FIRST: u32 = 18_000;
    const ALL: u32 = 14_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let tried = (0..ALL).map(|_| {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % ALL;
        u16::try_from(FIRST + number).expect("it is a port")
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found: Vec<u16> = tried.filter(is_free).take(count).collect();
    assert_eq!(found.len(), count, "no free ports");
    found
}
