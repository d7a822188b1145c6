//! What a build reports while it runs, in BuildKit's nouns: vertexes, statuses, logs, warnings.
//!
//! Knows nothing of terminals and text: who listens renders.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

use kiln_image::Digest;

/// Which stream a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step of the build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ran, or what it names was transferred.
    Done,
    /// Its result was in the cache.
    Cached,
    /// Nobody needed it any more.
    Canceled,
    /// It failed; the text is one line.
    Failed(String),
}

/// A step of the build as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Digest of what it does; the other events name it.
    pub digest: Digest,
    /// What is shown, such as `[build 2/3] RUN make`.
    pub name: String,
    /// Steps that it needs.
    pub inputs: Vec<Digest>,
    /// Steps that are shown as one.
    pub group: Option<String>,
}

/// How far a part of a step has come: a transfer, an extraction, an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The step.
    pub vertex: Digest,
    /// Which part, such as `extracting sha256:…`; the same id updates the same line.
    pub id: String,
    /// Verb, such as `transferring`, `downloading`, `extracting`, `exporting`.
    pub action: &'static str,
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all; 0 when unknown or when it is not about bytes.
    pub total: u64,
    /// When the part began.
    pub started: SystemTime,
    /// When the part was done.
    pub completed: Option<SystemTime>,
}

/// A place in a source text, lines and columns from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First line and column.
    pub start: (u32, u32),
    /// Last line, and the column behind the last character.
    pub end: (u32, u32),
}

/// A text that warnings point into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name, such as `Dockerfile`.
    pub name: String,
    /// Language, such as `Dockerfile`.
    pub language: String,
    /// The text.
    pub data: Arc<[u8]>,
}

/// Something the user should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The step that it is shown under.
    pub vertex: Digest,
    /// BuildKit's level; 1 for lint rules.
    pub level: i32,
    /// One line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Page that says more.
    pub url: Option<String>,
    /// The text that `ranges` points into.
    pub source: Option<Source>,
    /// The places.
    pub ranges: Vec<Range>,
}

/// Everything that a build reports. Closed on purpose: a renderer that misses a case does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step is known; it may not have started.
    Known(Vertex),
    /// A step began.
    Started {
        /// The step.
        vertex: Digest,
        /// When.
        at: SystemTime,
    },
    /// A part of a step came further.
    Status(Status),
    /// A step's process wrote something; lines may be split anywhere.
    Log {
        /// The step.
        vertex: Digest,
        /// Where it was written.
        stream: Stream,
        /// The bytes.
        data: Vec<u8>,
        /// When.
        at: SystemTime,
    },
    /// Something to look at.
    Warning(Box<Warning>),
    /// A step is over.
    Finished {
        /// The step.
        vertex: Digest,
        /// How it ended.
        end: End,
        /// When.
        at: SystemTime,
    },
}

/// Where events go. The engine never prints; the command line renders, tests collect.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Takes one event. Must return soon: the build waits.
    fn emit(&self, event: Event);
}

/// Throws events away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    fn emit(&self, _: Event) {}
}

/// Keeps events, for tests.
#[derive(Debug, Default)]
pub struct Collect(Mutex<Vec<Event>>);

impl Collect {
    /// Returns what was emitted so far.
    pub fn events(&self) -> Vec<Event> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Sink for Collect {
    fn emit(&self, event: Event) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(event);
    }
}

/// Sends each event to several sinks, in order.
#[derive(Debug, Clone)]
pub struct FanOut(Vec<Arc<dyn Sink>>);

impl FanOut {
    /// Makes one sink of several.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self(sinks)
    }
}

impl Sink for FanOut {
    fn emit(&self, event: Event) {
        let Some((last, rest)) = self.0.split_last() else {
            return;
        };
        rest.iter().for_each(|sink| sink.emit(event.clone()));
        last.emit(event);
    }
}

/// A step that the engine itself reports, such as `[internal] load build definition`. Dropped without an end it counts
/// as canceled.
#[derive(Debug)]
pub struct Step {
    sink: Arc<dyn Sink>,
    digest: Digest,
    open: bool,
}

impl Step {
    /// Reports that a step named `name` began.
    pub fn start(sink: &Arc<dyn Sink>, digest: Digest, name: &str) -> Self {
        sink.emit(Event::Known(Vertex {
            digest,
            name: name.to_owned(),
            inputs: Vec::new(),
            group: None,
        }));
        sink.emit(Event::Started {
            vertex: digest,
            at: SystemTime::now(),
        });
        Self {
            sink: sink.clone(),
            digest,
            open: true,
        }
    }

    /// Returns the step's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the sink that the step reports to.
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    /// Begins a part of the step.
    pub fn part(&self, action: &'static str, id: impl Into<String>, total: u64) -> Part {
        let started = SystemTime::now();
        let status = Status {
            vertex: self.digest,
            id: id.into(),
            action,
            current: 0,
            total,
            started,
            completed: None,
        };
        self.sink.emit(Event::Status(status.clone()));
        Part {
            sink: self.sink.clone(),
            status,
        }
    }

    /// Ends the step.
    pub fn finish(mut self, end: End) {
        self.end(end);
    }

    fn end(&mut self, end: End) {
        if std::mem::take(&mut self.open) {
            self.sink.emit(Event::Finished {
                vertex: self.digest,
                end,
                at: SystemTime::now(),
            });
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end(End::Canceled);
    }
}

/// A part of a step in progress.
#[derive(Debug)]
pub struct Part {
    sink: Arc<dyn Sink>,
    status: Status,
}

impl Part {
    /// Reports how many bytes were moved so far.
    pub fn advance(&mut self, current: u64) {
        self.status.current = current;
        self.sink.emit(Event::Status(self.status.clone()));
    }

    /// Reports that the part is done.
    pub fn done(mut self) {
        self.status.current = self.status.current.max(self.status.total);
        self.status.completed = Some(SystemTime::now());
        self.sink.emit(Event::Status(self.status));
    }
}
