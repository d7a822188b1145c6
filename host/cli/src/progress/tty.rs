//! `--progress=tty`: the picture of a running build, line by line. Pure: time and size come from the caller.

use std::fmt::Write;
use std::time::Duration;
use std::time::SystemTime;

use kiln_progress::End;

use super::state::Part;
use super::state::State;
use super::state::Step;
use super::state::bytes;
use super::state::printable;
use super::terminal::Colour;
use super::terminal::Size;
use super::terminal::fit;
use super::terminal::visible;
use super::terminal::width;

/// Lines of output that are shown of a running step.
const LOG_LINES: usize = 6;

const BLUE: &str = "34";
const RED: &str = "31";
const YELLOW: &str = "33";
const GREY: &str = "90";

/// Whether the build goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It goes on.
    Running,
    /// The last picture: it stays.
    Over,
}

/// A line of the picture.
struct Row {
    text: String,
    time: String,
    colour: &'static str,
    /// What goes first when there is too little room; 0 never goes.
    spare: u8,
}

/// Draws.
#[derive(Debug)]
pub(crate) struct Tty {
    began: SystemTime,
    colour: Colour,
    height: usize,
}

impl Tty {
    /// Starts a picture.
    pub(crate) fn new(began: SystemTime, colour: Colour) -> Self {
        Self {
            began,
            colour,
            height: 0,
        }
    }

    /// Returns what turns the picture that is on the terminal into the one of `now`.
    pub(crate) fn draw(&mut self, state: &State, now: SystemTime, size: Size, phase: Phase) -> String {
        let lines = frame(
            state,
            now.duration_since(self.began).unwrap_or_default(),
            now,
            size,
            phase,
        );
        let mut out = String::from("\x1b[?25l");
        if self.height > 0 {
            _ = write!(out, "\x1b[{}A", self.height);
        }
        out.push('\r');
        for (text, colour) in &lines {
            let text = if colour.is_empty() {
                text.clone()
            } else {
                self.colour.paint(colour, text)
            };
            _ = writeln!(out, "{text}\x1b[K");
        }
        // What is left of a taller picture.
        out.push_str("\x1b[J\x1b[?25h");
        self.height = lines.len();
        out
    }
}

/// Returns the lines of the picture with their colours.
pub(crate) fn frame(
    state: &State,
    elapsed: Duration,
    now: SystemTime,
    size: Size,
    phase: Phase,
) -> Vec<(String, &'static str)> {
    let (known, over) = state.count();
    let finished = if phase == Phase::Over { " FINISHED" } else { "" };
    let header = format!(
        "[+] Building {:.1}s ({over}/{known}){finished}",
        elapsed.as_secs_f64()
    );
    let mut rows = Vec::new();
    for index in &state.started {
        step_rows(&state.steps[*index], now, phase, &mut rows);
    }
    // The last line stays free: the cursor is in it.
    let room = if phase == Phase::Over {
        usize::MAX
    } else {
        size.rows.saturating_sub(2).max(1)
    };
    shrink(&mut rows, room);
    let mut lines = vec![(fit(&header, size.columns), "")];
    lines.extend(rows.iter().map(|row| (laid_out(row, size.columns), row.colour)));
    lines
}

/// Takes away what matters least, oldest first, until `room` rows are left.
fn shrink(rows: &mut Vec<Row>, room: usize) {
    for spare in (1..=4).rev() {
        let mut surplus = rows.len().saturating_sub(room);
        rows.retain(|row| {
            let goes = surplus > 0 && row.spare == spare;
            surplus -= usize::from(goes);
            !goes
        });
    }
    let surplus = rows.len().saturating_sub(room);
    rows.drain(..surplus);
}

fn step_rows(step: &Step, now: SystemTime, phase: Phase, rows: &mut Vec<Row>) {
    let (mark, colour) = match step.end() {
        None if phase == Phase::Over => ("CANCELED ", YELLOW),
        None => ("", ""),
        Some(End::Done) => ("", BLUE),
        Some(End::Cached) => ("CACHED ", BLUE),
        Some(End::Canceled) => ("CANCELED ", YELLOW),
        Some(End::Failed(_)) => ("ERROR ", RED),
    };
    let running = step.is_running();
    let failed = matches!(step.end(), Some(End::Failed(_)));
    let spare = if running || failed { 0 } else { 1 };
    let time = format!("{:.1}s", step.duration(now).as_secs_f64());
    rows.push(Row {
        text: format!(" => {mark}{}", step.name),
        time,
        colour,
        spare,
    });
    for part in &step.parts {
        let spare = if running && part.status.completed.is_none() {
            2
        } else {
            4
        };
        let colour = if part.status.completed.is_some() { BLUE } else { "" };
        rows.push(Row {
            text: format!(" => => {}", part_text(part, now)),
            time: part_time(part, now),
            colour,
            spare,
        });
    }
    if running && phase == Phase::Running {
        let from = step.tail.len().saturating_sub(LOG_LINES);
        let shown = step
            .tail
            .range(from..)
            .map(|line| visible(&line.text))
            .filter(|line| !line.trim().is_empty());
        rows.extend(shown.map(|line| Row {
            text: format!(" => => # {line}"),
            time: String::new(),
            colour: GREY,
            spare: 3,
        }));
    }
}

fn part_text(part: &Part, now: SystemTime) -> String {
    let status = &part.status;
    let id = printable(&status.id);
    let moved = match (status.total, status.current) {
        (0, 0) => return id,
        (0, current) => bytes(current),
        (total, current) => format!("{} / {}", bytes(current), bytes(total)),
    };
    let seconds = now
        .duration_since(status.started)
        .unwrap_or_default()
        .as_secs_f64();
    if status.completed.is_some() || seconds < 0.5 {
        return format!("{id} {moved}");
    }
    format!(
        "{id} {moved} {}/s",
        bytes((status.current as f64 / seconds) as u64)
    )
}

fn part_time(part: &Part, now: SystemTime) -> String {
    let until = part.status.completed.unwrap_or(now);
    format!(
        "{:.1}s",
        until
            .duration_since(part.status.started)
            .unwrap_or_default()
            .as_secs_f64()
    )
}

/// Puts the time to the right edge.
fn laid_out(row: &Row, columns: usize) -> String {
    let room = columns.saturating_sub(row.time.len() + 1);
    let text = fit(&row.text, room);
    if row.time.is_empty() {
        return text;
    }
    let gap = columns.saturating_sub(width(&text) + row.time.len());
    format!("{text}{}{}", " ".repeat(gap), row.time)
}
