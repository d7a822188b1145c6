//! `--progress=plain`: one block of lines per step, in BuildKit's words, switching between steps with `...`.

use std::fmt::Write;
use std::time::Duration;
use std::time::SystemTime;

use kiln_progress::End;

use super::state::Part;
use super::state::State;
use super::state::Step;
use super::state::bytes;
use super::state::stamp;

/// A part is shown again when it came further by this share of its total.
const LEAST_PROGRESS: f64 = 0.05;
/// A part is shown again after this time in any case.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// The shortest time that a step that does all of the work stays current while others wait.
const BLOCK: f64 = 5.0;
/// A step that has waited this long is shown next.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Writes a build as lines.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// The step whose block is open.
    current: Option<usize>,
    any: bool,
    last: usize,
    /// When each step was current last.
    seen: Vec<Option<SystemTime>>,
}

impl Plain {
    /// Returns what is new at `now`.
    pub(crate) fn draw(&mut self, state: &mut State, now: SystemTime) -> String {
        let mut out = String::new();
        self.seen.resize(state.steps.len(), None);
        let over = |index: &usize| state.steps[*index].changed && state.steps[*index].end().is_some();
        let mut done: Vec<usize> = state.started.iter().copied().filter(over).collect();
        // The open block first, so that it need not be opened again.
        done.sort_by_key(|index| self.current != Some(*index));
        let closed_current = self.current.is_some_and(|current| done.first() == Some(&current));
        for index in &done {
            self.block(state, *index, now, &mut out);
        }
        self.running(state, now, closed_current, &mut out);
        out
    }

    /// Shows what the running steps did: the current one at once, the others in turn.
    fn running(&mut self, state: &mut State, now: SystemTime, closed: bool, out: &mut String) {
        let moved = |index: &usize| state.steps[*index].changed && state.steps[*index].is_running();
        let waiting: Vec<usize> = state.started.iter().copied().filter(moved).collect();
        if waiting.is_empty() {
            let open = state
                .started
                .iter()
                .copied()
                .find(|index| state.steps[*index].is_running());
            if let Some(index) = open.filter(|_| self.current.is_none()) {
                self.block(state, index, now, out);
            }
            return;
        }
        if let Some(current) = self.current.filter(|current| waiting.contains(current)) {
            self.block(state, current, now, out);
        }
        for index in &waiting {
            self.seen[*index].get_or_insert(now);
        }
        if let Some(next) = self.next(state, &waiting, now, closed) {
            self.block(state, next, now, out);
        }
    }

    /// Decides which step is current next, if it is another one.
    fn next(&self, state: &State, waiting: &[usize], now: SystemTime, closed: bool) -> Option<usize> {
        let waited = |index: usize| {
            let since = self.seen[index].unwrap_or(now);
            now.duration_since(since).unwrap_or_default()
        };
        let speed =
            |index: usize| state.steps[index].activity as f64 / waited(index).as_secs_f64().max(0.001);
        let busiest = waiting
            .iter()
            .copied()
            .max_by(|a, b| speed(*a).total_cmp(&speed(*b)))?;
        let Some(current) = self.current.filter(|_| !closed) else {
            return Some(busiest);
        };
        let others = waiting.iter().copied().filter(|index| *index != current);
        if let Some(late) = others.clone().find(|index| waited(*index) > LONGEST_WAIT) {
            return Some(late);
        }
        let sum: f64 = others.clone().map(speed).sum::<f64>() + speed(current);
        let share = if sum > 0.0 { speed(current) / sum } else { 0.0 };
        let enough = BLOCK / (1.0 - share).max(1e-9) < waited(current).as_secs_f64();
        others
            .max_by(|a, b| speed(*a).total_cmp(&speed(*b)))
            .filter(|_| enough)
    }

    /// Writes what is new of one step, opening its block if another one is open.
    fn block(&mut self, state: &mut State, index: usize, now: SystemTime, out: &mut String) {
        if self.current != Some(index) {
            self.open(state, index, out);
            self.seen[index] = Some(now);
        }
        let step = &mut state.steps[index];
        let number = step.number;
        let mut is_open = false;
        for part in step.parts.iter_mut().filter(|part| part.changed) {
            part.changed = false;
            is_open |= part.status.completed.is_none();
            if worth_showing(part) {
                part.shown = Some((part.status.current, part.at));
                _ = writeln!(out, "#{number} {}", part_line(part));
            }
        }
        for warning in &step.warnings[step.warned..] {
            _ = writeln!(out, "#{number} WARN: {}", super::state::printable(&warning.short));
        }
        step.warned = step.warnings.len();
        logs(step, out);
        step.changed = false;
        self.current = Some(index);
        if !is_open && let Some(end) = step.end() {
            let line = match end {
                End::Done => format!("DONE {:.1}s", step.duration(now).as_secs_f64()),
                End::Cached => "CACHED".to_owned(),
                End::Canceled => "CANCELED".to_owned(),
                End::Failed(error) => format!("ERROR: {}", super::state::printable(error)),
            };
            if std::mem::take(&mut step.partial) {
                out.push('\n');
            }
            _ = writeln!(out, "#{number} {line}");
            step.pending.clear();
            step.activity = 0;
            self.current = None;
        }
    }

    fn open(&mut self, state: &mut State, index: usize, out: &mut String) {
        if let Some(old) = self.current.take() {
            let old = &mut state.steps[old];
            if old.partial {
                out.push('\n');
            }
            // The line is written again when the step goes on.
            old.pending.iter_mut().for_each(|line| line.shown = 0);
            old.activity = 0;
            _ = writeln!(out, "#{} ...", old.number);
        }
        let step = &mut state.steps[index];
        if step.number == 0 {
            self.last += 1;
            step.number = self.last;
        }
        if std::mem::replace(&mut self.any, true) {
            out.push('\n');
        }
        _ = writeln!(out, "#{} {}", step.number, step.name);
    }
}

/// Writes the excerpt of each step that failed.
pub(crate) fn excerpts(state: &State) -> String {
    let mut out = String::new();
    for step in state.failed() {
        _ = writeln!(out, "------\n > {}:", step.name);
        for line in &step.tail {
            _ = writeln!(out, "{}", line.stamped());
        }
        out.push_str("------\n");
    }
    out
}

fn worth_showing(part: &Part) -> bool {
    let Some((current, at)) = part.shown.filter(|_| part.status.completed.is_none()) else {
        return true;
    };
    let moved = part.status.current.saturating_sub(current) as f64;
    let progress = if part.status.total > 0 {
        moved / part.status.total as f64
    } else {
        0.0
    };
    progress >= LEAST_PROGRESS || part.at.duration_since(at).unwrap_or_default() >= LEAST_PAUSE
}

/// Returns `sha256:… 2.14MB / 2.14MB 0.0s done`.
fn part_line(part: &Part) -> String {
    let status = &part.status;
    let moved = match (status.total, status.current) {
        (0, 0) => String::new(),
        (0, current) => format!(" {}", bytes(current)),
        (total, current) => format!(" {} / {}", bytes(current), bytes(total)),
    };
    let took = status
        .completed
        .unwrap_or(part.at)
        .duration_since(status.started)
        .unwrap_or_default();
    // BuildKit leaves shorter times out.
    let took = if took > Duration::from_millis(10) {
        format!(" {:.1}s", took.as_secs_f64())
    } else {
        String::new()
    };
    let done = if status.completed.is_some() { " done" } else { "" };
    format!("{}{moved}{took}{done}", super::state::printable(&status.id))
}

fn logs(step: &mut Step, out: &mut String) {
    let count = step.pending.len();
    for (at, line) in step.pending.iter_mut().enumerate() {
        if line.shown == 0 {
            _ = write!(out, "#{} {} ", step.number, stamp(line.since));
        }
        out.push_str(&String::from_utf8_lossy(&line.text[line.shown..]));
        line.shown = line.text.len();
        if at + 1 < count || !step.partial {
            out.push('\n');
        }
    }
    let keep = usize::from(step.partial).min(count);
    step.pending.drain(..count - keep);
}
