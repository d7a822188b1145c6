//! The thread that draws. Events only change the state; drawing never makes the build wait.

use std::io::IsTerminal;
use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::SystemTime;

use kiln_progress::Event;
use kiln_progress::Sink;

use super::limit::Limit;
use super::plain;
use super::plain::Plain;
use super::rawjson::RawJson;
use super::state::State;
use super::summary;
use super::summary::Detail;
use super::terminal::Colour;
use super::terminal::Size;
use super::tty::Phase;
use super::tty::Tty;

/// Time between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Mode {
    /// `tty` if standard error is a terminal, else `plain`.
    #[default]
    Auto,
    /// Lines.
    Plain,
    /// A picture that is redrawn.
    Tty,
    /// Nothing but errors.
    Quiet,
    /// BuildKit's `SolveStatus` as JSON, one a line.
    Rawjson,
}

/// A mode that no longer depends on the terminal.
#[derive(Debug)]
enum Drawer {
    Plain(Plain),
    Tty(Tty),
    Quiet,
    RawJson,
}

impl Drawer {
    fn of(mode: Mode) -> Self {
        let terminal = std::io::stderr().is_terminal();
        match mode {
            Mode::Tty | Mode::Auto if terminal => Self::Tty(Tty::new(SystemTime::now(), Colour::of_stderr())),
            Mode::Auto | Mode::Tty | Mode::Plain => Self::Plain(Plain::default()),
            Mode::Quiet => Self::Quiet,
            Mode::Rawjson => Self::RawJson,
        }
    }

    fn draw(&mut self, board: &mut Board, phase: Phase) -> String {
        let now = SystemTime::now();
        let mut out = std::mem::take(&mut board.lines);
        match self {
            Self::Plain(plain) => out += &plain.draw(&mut board.state, now),
            Self::Tty(tty) => {
                // Only the last lines are ever shown.
                board.state.steps.iter_mut().for_each(|step| step.pending.clear());
                out += &tty.draw(&board.state, now, Size::of_stderr(), phase);
            }
            Self::Quiet | Self::RawJson => board.state.steps.iter_mut().for_each(|step| step.pending.clear()),
        }
        if phase == Phase::Over && !matches!(self, Self::RawJson) {
            out += &plain::excerpts(&board.state);
        }
        if phase == Phase::Over && matches!(self, Self::Plain(_) | Self::Tty(_)) {
            out += &summary::warnings(&board.state, board.detail, Colour::of_stderr());
        }
        out
    }
}

#[derive(Debug, Default)]
struct Board {
    state: State,
    limit: Limit,
    /// JSON to write; unused by the other modes.
    lines: String,
    raw: Option<RawJson>,
    closed: bool,
    detail: Detail,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    closing: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Shared {
    fn emit(&self, event: Event) {
        let mut board = self.lock();
        if board.closed {
            return;
        }
        let Some(event) = board.limit.pass(event) else {
            return;
        };
        if let Some(line) = board.raw.as_mut().and_then(|raw| raw.line(event.clone())) {
            board.lines += &line;
            board.lines.push('\n');
        }
        board.state.apply(event, SystemTime::now());
    }
}

/// Shows a build on standard error until it is finished.
#[derive(Debug)]
pub(crate) struct Display {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Starts to show.
    pub(crate) fn start(mode: Mode, detail: Detail) -> Self {
        let drawer = Drawer::of(mode);
        let raw = matches!(drawer, Drawer::RawJson).then(RawJson::default);
        let board = Mutex::new(Board {
            raw,
            detail,
            ..Board::default()
        });
        let shared = Arc::new(Shared {
            board,
            closing: Condvar::new(),
        });
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn({
            let shared = shared.clone();
            move || run(&shared, drawer)
        });
        // Without a thread the build is merely silent.
        Self {
            shared,
            thread: thread.ok(),
        }
    }

    /// Returns where events go.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        self.shared.clone()
    }

    /// Draws what is left and stops. Later events are dropped.
    pub(crate) fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.closing.notify_all();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(shared: &Shared, mut drawer: Drawer) {
    loop {
        let board = shared.lock();
        let waited = shared
            .closing
            .wait_timeout_while(board, TICK, |board| !board.closed);
        let (mut board, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let phase = if board.closed { Phase::Over } else { Phase::Running };
        let text = drawer.draw(&mut board, phase);
        drop(board);
        let mut out = std::io::stderr().lock();
        // Nobody to tell when standard error is gone.
        _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if phase == Phase::Over {
            return;
        }
    }
}
