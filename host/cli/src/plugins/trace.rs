//! A run that is written down: what a plugin was asked, what it asked, and what it was told. Played again without the
//! context, the network or a daemon.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileBlob;
use kiln_plugin::FileEntry;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;

/// Changes when the file changes its shape.
const VERSION: u32 = 1;

/// A run, as the file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trace {
    /// Version of the file.
    kiln_trace: u32,
    /// The plugin, as it was typed.
    pub(crate) plugin: String,
    /// Digest of its component.
    pub(crate) digest: String,
    /// What it was asked.
    pub(crate) request: Request,
    /// What it asked, and what it was told.
    answers: Vec<(Value, Value)>,
    /// What came out, as text.
    pub(crate) outcome: String,
}

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not a trace of this version.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let trace: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match trace.kiln_trace {
            VERSION => Ok(trace),
            other => Err(format!("its version is {other} (expected {VERSION})")),
        }
    }

    /// Writes the file.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data is written as JSON") + "\n"
    }
}

/// What is written down while a plugin runs.
#[derive(Debug, Default)]
struct Notes {
    answers: Vec<(Value, Value)>,
    next: u32,
}

/// Writes down what goes between a plugin and whoever answers it.
#[derive(Clone)]
pub(crate) struct Recorder {
    inner: Arc<dyn FrontendBridge>,
    notes: Arc<Mutex<Notes>>,
}

impl Recorder {
    /// Starts to write down.
    pub(crate) fn new(inner: Arc<dyn FrontendBridge>) -> Self {
        let notes = Arc::default();
        Self { inner, notes }
    }

    /// Returns the tree that is lent with the call.
    pub(crate) fn files(&self, inner: Arc<dyn FileTree>) -> Arc<dyn FileTree> {
        self.tree(inner).0
    }

    fn tree(&self, inner: Arc<dyn FileTree>) -> (Arc<dyn FileTree>, u32) {
        let (notes, number) = (Arc::clone(&self.notes), self.number());
        (Arc::new(RecordedTree { inner, notes, number }), number)
    }

    fn number(&self) -> u32 {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.next += 1;
        notes.next - 1
    }

    /// Makes the file.
    pub(crate) fn finish(self, plugin: &str, digest: String, request: Request, outcome: String) -> Trace {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        Trace {
            kiln_trace: VERSION,
            plugin: plugin.to_owned(),
            digest,
            request,
            answers: std::mem::take(&mut notes.answers),
            outcome,
        }
    }
}

/// Writes an answer down, and returns it.
fn note<T: Serialize>(notes: &Mutex<Notes>, question: Value, answer: T) -> T {
    let written = serde_json::to_value(&answer).unwrap_or_default();
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.answers.push((question, written));
    answer
}

/// Returns bytes as text where they are text.
fn written(data: &[u8]) -> Value {
    match std::str::from_utf8(data) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(data),
    }
}

fn solved(definition: &Definition, result: Input) -> Value {
    let definition = serde_json::to_vec(definition).expect("a definition is written as JSON");
    json!(["solve", Digest::of(definition), result])
}

#[async_trait]
impl FrontendBridge for Recorder {
    async fn resolve_image(
        &self,
        identifier: &str,
        platform: Option<&Platform>,
        mode: &str,
        name: &str,
    ) -> Result<ResolvedImage, HostError> {
        let answer = self.inner.resolve_image(identifier, platform, mode, name).await;
        note(&self.notes, json!(["image", identifier, platform, mode]), answer)
    }

    async fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, HostError> {
        let answer = self.inner.resolve_source(source, name).await;
        note(&self.notes, json!(["source", source]), answer)
    }

    async fn context(&self, name: &str, filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        let answer = self.inner.context(name, filter).await;
        let answer = answer.map(|tree| tree.map(|tree| self.tree(tree)));
        let number = match &answer {
            Ok(tree) => Ok(tree.as_ref().map(|(_, number)| *number)),
            Err(error) => Err(error),
        };
        let _written = note(&self.notes, json!(["context", name, filter]), number);
        answer.map(|tree| tree.map(|(tree, _)| tree))
    }

    async fn solve(&self, definition: &Definition, result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        let answer = self.inner.solve(definition, result).await;
        let answer = answer.map(|tree| self.tree(tree));
        let number = answer.as_ref().map(|(_, number)| *number);
        let _written = note(&self.notes, solved(definition, result), number);
        answer.map(|(tree, _)| tree)
    }

    async fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        let answer = self.inner.call_frontend(name, request).await;
        note(&self.notes, json!(["frontend", name, request]), answer)
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.inner.report(diagnostic);
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.inner.log(level, message);
    }
}

struct RecordedTree {
    inner: Arc<dyn FileTree>,
    notes: Arc<Mutex<Notes>>,
    number: u32,
}

#[async_trait]
impl FileTree for RecordedTree {
    async fn stat(&self, path: &str) -> Result<Option<FileEntry>, HostError> {
        let answer = self.inner.stat(path).await;
        note(&self.notes, json!(["stat", self.number, path]), answer)
    }

    async fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError> {
        let answer = self.inner.glob(patterns, after, limit).await;
        let question = json!(["glob", self.number, patterns, after, limit]);
        note(&self.notes, question, answer)
    }

    async fn open(&self, path: &str) -> Result<Arc<dyn FileBlob>, HostError> {
        let answer = self.inner.open(path).await;
        let size = answer.as_ref().map(|blob| blob.size());
        let _written = note(&self.notes, json!(["open", self.number, path]), size);
        Ok(Arc::new(RecordedBlob {
            inner: answer?,
            notes: Arc::clone(&self.notes),
            name: (self.number, path.to_owned()),
        }))
    }
}

struct RecordedBlob {
    inner: Arc<dyn FileBlob>,
    notes: Arc<Mutex<Notes>>,
    name: (u32, String),
}

#[async_trait]
impl FileBlob for RecordedBlob {
    async fn digest(&self) -> Result<Digest, HostError> {
        let answer = self.inner.digest().await;
        note(&self.notes, json!(["digest", self.name.0, self.name.1]), answer)
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    async fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let answer = self.inner.read(offset, len).await;
        let bytes = answer.as_ref().map(|data| written(data));
        let question = json!(["read", self.name.0, self.name.1, offset, len]);
        let _written = note(&self.notes, question, bytes);
        answer
    }
}

/// Answers as it was answered before.
#[derive(Clone)]
pub(crate) struct Player {
    answers: Arc<HashMap<String, Value>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Player {
    /// Plays a trace.
    pub(crate) fn new(trace: &Trace) -> Self {
        let answers = trace.answers.iter();
        Self {
            answers: Arc::new(
                answers
                    .map(|(ask, tell)| (ask.to_string(), tell.clone()))
                    .collect(),
            ),
            said: Arc::default(),
        }
    }

    /// Returns the tree that is lent with the call.
    pub(crate) fn files(&self) -> Arc<dyn FileTree> {
        self.tree(0)
    }

    /// Returns what the plugin logged and reported.
    pub(crate) fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tree(&self, number: u32) -> Arc<dyn FileTree> {
        let player = self.clone();
        Arc::new(PlayedTree { player, number })
    }

    fn say(&self, line: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(line);
    }

    fn value(&self, question: &Value) -> Option<&Value> {
        let known = self.answers.get(&question.to_string());
        if known.is_none() {
            self.say(format!("the trace has no answer to {question}"));
        }
        known
    }

    fn tell<T: DeserializeOwned>(&self, question: &Value) -> Result<T, HostError> {
        let unknown = || HostError::Unavailable(format!("the trace has no answer to {question}"));
        let known = self.value(question).ok_or_else(unknown)?;
        let known: Result<T, HostError> = serde_json::from_value(known.clone())
            .map_err(|error| HostError::Invalid(format!("the trace is malformed: {error}")))?;
        known
    }
}

#[async_trait]
impl FrontendBridge for Player {
    async fn resolve_image(
        &self,
        identifier: &str,
        platform: Option<&Platform>,
        mode: &str,
        _name: &str,
    ) -> Result<ResolvedImage, HostError> {
        self.tell(&json!(["image", identifier, platform, mode]))
    }

    async fn resolve_source(&self, source: &Source, _name: &str) -> Result<ResolvedSource, HostError> {
        self.tell(&json!(["source", source]))
    }

    async fn context(&self, name: &str, filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        let number: Option<u32> = self.tell(&json!(["context", name, filter]))?;
        Ok(number.map(|number| self.tree(number)))
    }

    async fn solve(&self, definition: &Definition, result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        Ok(self.tree(self.tell(&solved(definition, result))?))
    }

    async fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        let known = self.value(&json!(["frontend", name, request]));
        known
            .and_then(|known| serde_json::from_value(known.clone()).ok())
            .unwrap_or_else(|| Err(Failure::of("the trace has no such call of a frontend")))
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.say(format!("{:?}: {}", diagnostic.severity, diagnostic.message).to_lowercase());
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.say(format!("log {level:?}: {message}"));
    }
}

struct PlayedTree {
    player: Player,
    number: u32,
}

#[async_trait]
impl FileTree for PlayedTree {
    async fn stat(&self, path: &str) -> Result<Option<FileEntry>, HostError> {
        self.player.tell(&json!(["stat", self.number, path]))
    }

    async fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError> {
        self.player
            .tell(&json!(["glob", self.number, patterns, after, limit]))
    }

    async fn open(&self, path: &str) -> Result<Arc<dyn FileBlob>, HostError> {
        let size = self.player.tell(&json!(["open", self.number, path]))?;
        Ok(Arc::new(PlayedBlob {
            player: self.player.clone(),
            name: (self.number, path.to_owned()),
            size,
        }))
    }
}

struct PlayedBlob {
    player: Player,
    name: (u32, String),
    size: u64,
}

#[async_trait]
impl FileBlob for PlayedBlob {
    async fn digest(&self) -> Result<Digest, HostError> {
        self.player.tell(&json!(["digest", self.name.0, self.name.1]))
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let data: Value = self
            .player
            .tell(&json!(["read", self.name.0, self.name.1, offset, len]))?;
        match data {
            Value::String(text) => Ok(text.into_bytes()),
            bytes => serde_json::from_value(bytes)
                .map_err(|error| HostError::Invalid(format!("the trace is malformed: {error}"))),
        }
    }
}
