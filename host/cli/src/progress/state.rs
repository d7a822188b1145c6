//! What is known of a running build: steps, their parts, their last output. Renderers read it; it draws nothing.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::SystemTime;

use kiln_image::Digest;
use kiln_progress::End;
use kiln_progress::Event;
use kiln_progress::Status;
use kiln_progress::Vertex;
use kiln_progress::Warning;

/// Lines of output that are kept of each step, for the excerpt of a failed one (BuildKit keeps as many).
const TAIL: usize = 10;

/// Longest piece of one line that is kept; what is behind it starts a new line.
const LONGEST_LINE: usize = 64 << 10;

/// A time span of a step.
#[derive(Debug, Clone, Copy)]
struct Interval {
    member: Digest,
    start: SystemTime,
    stop: Option<SystemTime>,
}

/// A line of a step's output.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Since the step began.
    pub(crate) since: Duration,
    /// The text without its line end.
    pub(crate) text: Vec<u8>,
    /// How many bytes of it were shown.
    pub(crate) shown: usize,
}

impl Line {
    /// Returns `0.264 text` as BuildKit writes it: fewer digits the longer it runs.
    pub(crate) fn stamped(&self) -> String {
        format!("{} {}", stamp(self.since), String::from_utf8_lossy(&self.text))
    }
}

/// Formats seconds with three digits below 10, two below 100, then one.
pub(crate) fn stamp(since: Duration) -> String {
    let seconds = since.as_secs_f64();
    let digits = match seconds {
        s if s < 10.0 => 3,
        s if s < 100.0 => 2,
        _ => 1,
    };
    format!("{seconds:.digits$}")
}

/// A part of a step.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What was reported last.
    pub(crate) status: Status,
    /// When it was reported.
    pub(crate) at: SystemTime,
    /// It changed since it was shown.
    pub(crate) changed: bool,
    /// Bytes and time when it was shown last.
    pub(crate) shown: Option<(u64, SystemTime)>,
}

/// A step, or several that are shown as one.
#[derive(Debug)]
pub(crate) struct Step {
    /// What is shown.
    pub(crate) name: String,
    /// Number that `plain` gives it; 0 before it is shown.
    pub(crate) number: usize,
    /// Parts in the order they began.
    pub(crate) parts: Vec<Part>,
    /// Output that `plain` has not shown.
    pub(crate) pending: Vec<Line>,
    /// The last lines of output.
    pub(crate) tail: VecDeque<Line>,
    /// The last line is not complete.
    pub(crate) partial: bool,
    /// Warnings.
    pub(crate) warnings: Vec<Warning>,
    /// How many of them were shown.
    pub(crate) warned: usize,
    /// Something changed since it was shown.
    pub(crate) changed: bool,
    /// How much it did since it became the current one of `plain`.
    pub(crate) activity: usize,
    intervals: Vec<Interval>,
    end: Option<End>,
}

impl Step {
    fn new(name: String) -> Self {
        Self {
            name,
            number: 0,
            parts: Vec::new(),
            pending: Vec::new(),
            tail: VecDeque::new(),
            partial: false,
            warnings: Vec::new(),
            warned: 0,
            changed: false,
            activity: 0,
            intervals: Vec::new(),
            end: None,
        }
    }

    /// Tells whether it began.
    pub(crate) fn is_started(&self) -> bool {
        !self.intervals.is_empty()
    }

    /// Tells whether it runs now.
    pub(crate) fn is_running(&self) -> bool {
        self.is_started() && self.end().is_none()
    }

    /// Returns how it ended, when all of it did.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end
            .as_ref()
            .filter(|_| self.intervals.iter().all(|interval| interval.stop.is_some()))
    }

    /// Returns how long it ran so far; times that overlap count once.
    pub(crate) fn duration(&self, now: SystemTime) -> Duration {
        let mut spans: Vec<_> = self
            .intervals
            .iter()
            .map(|i| (i.start, i.stop.unwrap_or(now)))
            .collect();
        spans.sort_unstable();
        let mut total = Duration::ZERO;
        let mut reached = None;
        for (start, stop) in spans {
            let start = reached.map_or(start, |reached: SystemTime| reached.max(start));
            total += stop.duration_since(start).unwrap_or_default();
            reached = Some(start.max(stop));
        }
        total
    }

    fn start(&mut self, member: Digest, at: SystemTime) {
        self.intervals.push(Interval {
            member,
            start: at,
            stop: None,
        });
        self.touch();
    }

    fn finish(&mut self, member: Digest, end: End, at: SystemTime) {
        let mut open = self
            .intervals
            .iter_mut()
            .rev()
            .filter(|i| i.member == member && i.stop.is_none());
        match open.next() {
            Some(interval) => interval.stop = Some(at),
            // A step that was in the cache never began.
            None => self.intervals.push(Interval {
                member,
                start: at,
                stop: Some(at),
            }),
        }
        self.end = Some(match (self.end.take(), end) {
            (Some(failed @ End::Failed(_)), _) => failed,
            (Some(End::Done), End::Cached) if self.intervals.len() > 1 => End::Done,
            (_, end) => end,
        });
        self.touch();
    }

    fn status(&mut self, status: Status, now: SystemTime) {
        let at = status.completed.unwrap_or(now).max(status.started);
        match self.parts.iter_mut().find(|part| part.status.id == status.id) {
            Some(part) => (part.status, part.at, part.changed) = (status, at, true),
            None => self.parts.push(Part {
                status,
                at,
                changed: true,
                shown: None,
            }),
        }
        self.touch();
    }

    fn log(&mut self, data: &[u8], at: SystemTime) {
        let began = self.intervals.last().map_or(at, |interval| interval.start);
        let since = at.duration_since(began).unwrap_or_default();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let complete = piece.ends_with(b"\n");
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.append(since, text);
            self.partial = !complete;
        }
        self.touch();
    }

    fn append(&mut self, since: Duration, text: &[u8]) {
        let line = || Line {
            since,
            text: text.to_vec(),
            shown: 0,
        };
        let continues = |last: &&mut Line| last.text.len() + text.len() <= LONGEST_LINE;
        match self.pending.last_mut().filter(|_| self.partial).filter(continues) {
            Some(last) => last.text.extend_from_slice(text),
            None => self.pending.push(line()),
        }
        match self.tail.back_mut().filter(|_| self.partial).filter(continues) {
            Some(last) => last.text.extend_from_slice(text),
            None => self.tail.push_back(line()),
        }
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }

    fn touch(&mut self) {
        self.changed = true;
        self.activity += 1;
    }
}

/// What is known of a running build.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Steps in the order they were learnt.
    pub(crate) steps: Vec<Step>,
    /// Indexes of steps in the order they began.
    pub(crate) started: Vec<usize>,
    known: HashMap<Digest, usize>,
    groups: HashMap<String, usize>,
}

impl State {
    /// Takes in one event that was reported at `now`. Events of steps that were never announced are dropped.
    pub(crate) fn apply(&mut self, event: Event, now: SystemTime) {
        match event {
            Event::Known(vertex) => self.learn(vertex),
            Event::Started { vertex, at } => {
                let Some(index) = self.known.get(&vertex).copied() else {
                    return;
                };
                self.begin(index);
                self.steps[index].start(vertex, at);
            }
            Event::Status(status) => {
                if let Some(step) = self.step(&status.vertex) {
                    step.status(status, now);
                }
            }
            Event::Log { vertex, data, at, .. } => {
                if let Some(step) = self.step(&vertex) {
                    step.log(&data, at);
                }
            }
            // BuildKit shows a warning with the next change of its step and does not make one of it.
            Event::Warning(warning) => {
                if let Some(step) = self.step(&warning.vertex) {
                    step.warnings.push(*warning);
                }
            }
            Event::Finished { vertex, end, at } => {
                let Some(index) = self.known.get(&vertex).copied() else {
                    return;
                };
                // Never begun and not needed: nobody saw it, nobody misses it.
                if !self.steps[index].is_started() && end == End::Canceled {
                    return;
                }
                self.begin(index);
                self.steps[index].finish(vertex, end, at);
            }
        }
    }

    /// Returns how many steps are known, and how many of them are over.
    pub(crate) fn count(&self) -> (usize, usize) {
        let over = self.steps.iter().filter(|step| step.end().is_some()).count();
        (self.steps.len(), over)
    }

    /// Returns all warnings in the order of steps.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.steps.iter().flat_map(|step| step.warnings.iter())
    }

    /// Returns the steps that failed, with their last output.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &Step> {
        let steps = self.started.iter().map(|index| &self.steps[*index]);
        steps.filter(|step| matches!(step.end(), Some(End::Failed(_))))
    }

    fn learn(&mut self, vertex: Vertex) {
        if self.known.contains_key(&vertex.digest) {
            return;
        }
        let index = match vertex.group.as_ref().and_then(|group| self.groups.get(group)) {
            Some(index) => *index,
            None => {
                let name = vertex.group.clone().unwrap_or(vertex.name);
                self.steps.push(Step::new(printable(&name)));
                self.steps.len() - 1
            }
        };
        if let Some(group) = vertex.group {
            self.groups.insert(group, index);
        }
        self.known.insert(vertex.digest, index);
    }

    fn begin(&mut self, index: usize) {
        if !self.steps[index].is_started() {
            self.started.push(index);
        }
    }

    fn step(&mut self, vertex: &Digest) -> Option<&mut Step> {
        self.known.get(vertex).map(|index| &mut self.steps[*index])
    }
}

/// Returns `text` on one line without control characters: names come from build files and plugins.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Formats bytes as BuildKit does: `30B`, `2.14MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count}B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}
