//! The helper program: put into memory once, started for each step from one thread that lives as long as the engine.

use crate::Cancel;
use crate::ExecError;
use crate::Exit;
use crate::Output;
use crate::Stream;
use kiln_exec_init::codec::decode;
use kiln_exec_init::codec::encode;
use kiln_exec_init::report::Report;
use kiln_exec_init::spec::Spec;
use rustix::process::Pid;
use rustix::process::Signal;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

/// The program, built by the build script.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kiln-exec-init"));

/// How long a cancelled helper may take to clear up before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Longest report: far above every real one.
const REPORT_LIMIT: u64 = 1 << 20;

/// Whether the helper gets the engine's environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    Empty,
    Inherited,
}

type Request = (Command, oneshot::Sender<io::Result<Child>>);

/// Starts helpers. The kernel ends them when the thread that started them ends, so there is one that stays.
#[derive(Debug)]
pub(crate) struct Launcher {
    program: OwnedFd,
    requests: mpsc::Sender<Request>,
}

impl Launcher {
    pub(crate) fn new() -> Result<Self, ExecError> {
        let program = in_memory().map_err(ExecError::io("put the helper program into memory"))?;
        let (requests, receiver) = mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("kiln-exec".to_owned())
            .spawn(move || {
                for (mut command, answer) in receiver {
                    if let Err(Ok(mut unwanted)) = answer.send(command.spawn()) {
                        // Its socket is closed already, so it is about to end by itself.
                        let _ = unwanted.wait();
                    }
                }
            })
            .map_err(ExecError::io("start the thread that starts helpers"))?;
        Ok(Self { program, requests })
    }

    /// Runs one spec to its end.
    pub(crate) async fn run(
        &self,
        id: &str,
        (spec, environment): (&Spec, Environment),
        output: &dyn Output,
        cancel: Cancel,
    ) -> Result<Exit, ExecError> {
        if cancel.is_cancelled() {
            return Err(ExecError::Cancelled { id: id.to_owned() });
        }
        let mut running = self.start(environment).await?;
        let message = encode(spec);
        let outcome = running.drive(&message, output, cancel).await;
        let status = running.reap();
        match outcome.map_err(ExecError::io("talk to the helper of a step"))? {
            Ended::Cancelled => Err(ExecError::Cancelled { id: id.to_owned() }),
            Ended::Reported(reports) => conclude(id, reports, &status, output),
        }
    }

    async fn start(&self, environment: Environment) -> Result<Running, ExecError> {
        let io = |action: &'static str| ExecError::io(action);
        let (ours, theirs) = StdStream::pair().map_err(io("make a socket pair"))?;
        ours.set_nonblocking(true).map_err(io("prepare a socket"))?;
        let socket = UnixStream::from_std(ours).map_err(io("prepare a socket"))?;
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/");
        std::os::unix::process::CommandExt::arg0(&mut command, "kiln-exec-init");
        if environment == Environment::Empty {
            command.env_clear();
        }
        let (answer, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts helpers is gone");
        self.requests
            .send((command, answer))
            .map_err(|_| io("start the helper")(gone()))?;
        let mut child = child
            .await
            .map_err(|_| io("start the helper")(gone()))?
            .map_err(io("start the helper"))?;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let mut running = Running {
            child: Some(child),
            socket,
            stdout: None,
            stderr: None,
        };
        running.stdout = stdout
            .map(Receiver::from_owned_fd)
            .transpose()
            .map_err(io("read the output"))?;
        running.stderr = stderr
            .map(Receiver::from_owned_fd)
            .transpose()
            .map_err(io("read the output"))?;
        Ok(running)
    }
}

fn in_memory() -> io::Result<OwnedFd> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let executable = flags | rustix::fs::MemfdFlags::EXEC;
    // Kernels before 6.3 do not know that flag and need none.
    let memory = rustix::fs::memfd_create("kiln-exec-init", executable)
        .or_else(|_| rustix::fs::memfd_create("kiln-exec-init", flags))?;
    let mut file = File::from(memory);
    file.write_all(PROGRAM)?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o500))?;
    Ok(file.into())
}

/// A started helper. Dropping it ends the step.
struct Running {
    child: Option<Child>,
    socket: UnixStream,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

enum Ended {
    Cancelled,
    Reported(Vec<Report>),
}

impl Running {
    async fn drive(&mut self, spec: &[u8], output: &dyn Output, mut cancel: Cancel) -> io::Result<Ended> {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(child.id().cast_signed()));
        let (mut from_helper, mut to_helper) = self.socket.split();
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let everything = async {
            let sent = async {
                to_helper.write_u64_le(spec.len() as u64).await?;
                to_helper.write_all(spec).await
            };
            let (sent, reports, out, err) = tokio::join!(
                sent,
                read_reports(&mut from_helper),
                copy(stdout, Stream::Stdout, output),
                copy(stderr, Stream::Stderr, output),
            );
            // A helper that stops reading has a reason, which is in its report.
            let reports = reports?;
            if reports.is_empty() {
                sent?;
            }
            out.and(err).map(|()| reports)
        };
        tokio::pin!(everything);
        tokio::select! {
            reports = &mut everything => return reports.map(Ended::Reported),
            () = cancel.cancelled() => {}
        }
        signal(pid, Signal::TERM);
        if tokio::time::timeout(GRACE, &mut everything).await.is_err() {
            signal(pid, Signal::KILL);
            let _ = everything.await;
        }
        Ok(Ended::Cancelled)
    }

    /// The helper has closed its socket, so it has all but ended.
    fn reap(&mut self) -> String {
        let status = self.child.take().map(|mut child| child.wait());
        match status {
            Some(Ok(status)) => status.to_string(),
            Some(Err(error)) => error.to_string(),
            None => "not started".to_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(Pid::from_raw(child.id().cast_signed()), Signal::TERM);
            // Nobody waits for the step any more, but somebody has to take its status.
            let _ = std::thread::Builder::new().spawn(move || child.wait());
        }
    }
}

fn signal(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // Not reaped yet, so the number is still its own; when it has ended there is nothing to do.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

async fn copy(pipe: Option<Receiver>, stream: Stream, output: &dyn Output) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 32 << 10];
    loop {
        let len = pipe.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        output.write(stream, buffer.get(..len).unwrap_or_default());
    }
}

async fn read_reports(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Vec<Report>> {
    let mut reports = Vec::new();
    loop {
        let len = match socket.read_u64_le().await {
            Ok(len) if len <= REPORT_LIMIT => usize::try_from(len).unwrap_or_default(),
            Ok(len) => return Err(io::Error::other(format!("a report of {len} bytes"))),
            // The end, also when bytes that were sent were not read.
            Err(_) => return Ok(reports),
        };
        let mut body = vec![0; len];
        socket.read_exact(&mut body).await?;
        reports.push(decode(&body).ok_or_else(|| io::Error::other("a malformed report"))?);
    }
}

/// What the reports come to.
fn conclude(id: &str, reports: Vec<Report>, status: &str, output: &dyn Output) -> Result<Exit, ExecError> {
    let mut start = None;
    for report in reports {
        match report {
            Report::Setup { reason } => {
                return Err(ExecError::Setup {
                    id: id.to_owned(),
                    reason,
                });
            }
            Report::Start { code, reason } => start = Some((code, reason)),
            Report::Leftover { reason } => {
                output.write(
                    Stream::Stderr,
                    format!("warning: left behind: {reason}\n").as_bytes(),
                );
            }
            Report::Exit { code, oom_killed } => {
                return Ok(match start {
                    Some((code, reason)) => {
                        output.write(Stream::Stderr, format!("{reason}\n").as_bytes());
                        Exit {
                            code,
                            oom_killed,
                            start_error: Some(reason),
                        }
                    }
                    None => Exit {
                        code,
                        oom_killed,
                        start_error: None,
                    },
                });
            }
        }
    }
    Err(ExecError::Lost {
        id: id.to_owned(),
        reason: status.to_owned(),
    })
}
