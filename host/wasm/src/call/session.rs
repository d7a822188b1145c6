//! Answers questions through the bridge, within limits, and records them.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use kiln_image::Digest;
use kiln_plugin::CacheBridge;
use kiln_plugin::Diagnostic;
use kiln_plugin::FileBlob;
use kiln_plugin::FileTree;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::Limit;
use kiln_plugin::Limits;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::call::Answer;
use crate::call::Clock;
use crate::call::LimitHit;
use crate::call::Question;

/// Most questions of a call that is remembered; one that asks more is cheaper to run again than to replay.
const TRACE: usize = 256;
/// Most bytes of answers of a call that is remembered: a replay reads them all.
const TRACE_BYTES: u64 = 32 << 20;

/// What was asked, each question with the digest of its answer.
pub(crate) type Trace = Vec<(Question, Digest)>;

/// What one call has asked and may still ask.
pub(crate) struct Session {
    pub(crate) bridge: Arc<dyn FrontendBridge>,
    pub(crate) clock: Clock,
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
    /// What was reported; part of what is remembered.
    pub(crate) reports: Vec<Diagnostic>,
    limits: Limits,
    trees: HashMap<u32, Arc<dyn FileTree>>,
    blobs: HashMap<u32, Arc<dyn FileBlob>>,
    next: u32,
    /// None when the call is not to be remembered.
    trace: Option<Trace>,
    /// Answers that a replay has got already.
    ready: VecDeque<(Question, Answer)>,
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    /// What a cache adapter may ask; nothing for other kinds.
    outside: Option<Arc<dyn CacheBridge>>,
}

impl Session {
    /// Number of the tree that is lent with the call.
    pub(crate) const FILES: u32 = 0;

    pub(crate) fn new(
        bridge: Arc<dyn FrontendBridge>,
        files: Option<Arc<dyn FileTree>>,
        limits: Limits,
        permits: Arc<Semaphore>,
    ) -> Self {
        Self {
            bridge,
            clock: Clock::start(),
            calls: 0,
            bytes: 0,
            reports: Vec::new(),
            limits,
            trees: files.into_iter().map(|files| (Self::FILES, files)).collect(),
            blobs: HashMap::new(),
            next: Self::FILES + 1,
            trace: None,
            ready: VecDeque::new(),
            permits,
            permit: None,
            outside: None,
        }
    }

    /// Lends the outside: for cache adapters alone.
    pub(crate) fn lend_outside(&mut self, outside: Arc<dyn CacheBridge>) {
        self.outside = Some(outside);
    }

    /// Asks the outside while the plugin's clock stands. `sent` is how many bytes go out with it; `weigh` tells how
    /// many come in.
    pub(crate) async fn outside<T, F>(
        &mut self,
        sent: u64,
        ask: impl FnOnce(Arc<dyn CacheBridge>) -> F,
        weigh: fn(&T) -> u64,
    ) -> Result<Result<T, HostError>, LimitHit>
    where
        F: Future<Output = Result<T, HostError>>,
    {
        self.count(64 + sent)?;
        let Some(outside) = self.outside.clone() else {
            return Ok(Err(HostError::Denied(
                "this kind of plugin may not ask the outside".into(),
            )));
        };
        self.clock.pause();
        let answer = ask(outside).await;
        self.clock.resume();
        self.count_bytes(answer.as_ref().map_or(0, weigh))?;
        Ok(answer)
    }

    /// Starts to record what is asked.
    pub(crate) fn record(&mut self) {
        self.trace = Some(Trace::new());
    }

    /// Returns what was asked so far, if that is recorded.
    pub(crate) fn trace(&self) -> &[(Question, Digest)] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Returns what was asked, if the call can be remembered.
    pub(crate) fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// Waits until there is room for one more instance.
    pub(crate) async fn wait_for_room(&mut self) {
        self.clock.pause();
        // The semaphore is never closed.
        self.permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        self.clock.resume();
    }

    /// Gives the room back.
    pub(crate) fn leave(&mut self) {
        self.permit = None;
    }

    /// Counts a call to the host and what it brings over the border.
    pub(crate) fn count(&mut self, bytes: u64) -> Result<(), LimitHit> {
        self.calls += 1;
        if self.calls > self.limits.host_calls {
            return Err(LimitHit(Limit::HostCalls));
        }
        self.count_bytes(bytes)
    }

    fn count_bytes(&mut self, bytes: u64) -> Result<(), LimitHit> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > self.limits.bytes {
            true => Err(LimitHit(Limit::Bytes)),
            false => Ok(()),
        }
    }

    /// Answers a question of the plugin.
    pub(crate) async fn answer(&mut self, question: Question) -> Result<Answer, LimitHit> {
        // What a question weighs is bounded by wasmtime; here it is only counted.
        self.count(64)?;
        let answer = match self.ready.pop_front() {
            Some((asked, answer)) if asked == question => answer,
            _ => {
                self.ready.clear();
                self.ask_with_room(&question).await
            }
        };
        self.count_bytes(answer.size())?;
        if (self.trees.len() + self.blobs.len()) as u64 > self.limits.handles {
            return Err(LimitHit(Limit::Handles));
        }
        let bytes = self.bytes;
        if let Some(trace) = &mut self.trace {
            trace.push((question, answer.digest()));
            if trace.len() > TRACE || bytes > TRACE_BYTES {
                self.trace = None;
            }
        }
        Ok(answer)
    }

    /// Asks a question of a recorded call and keeps the answer for the call that may follow.
    pub(crate) async fn replay(&mut self, question: Question) -> Digest {
        let answer = self.ask(&question).await;
        let digest = answer.digest();
        self.ready.push_back((question, answer));
        digest
    }

    pub(crate) fn close_tree(&mut self, tree: u32) {
        self.trees.remove(&tree);
    }

    pub(crate) fn close_blob(&mut self, blob: u32) {
        self.blobs.remove(&blob);
    }

    pub(crate) fn blob_size(&self, blob: u32) -> u64 {
        self.blobs.get(&blob).map_or(0, |blob| blob.size())
    }

    /// Asks while the plugin's clock stands. Answers that may need other plugins leave their room to them: otherwise
    /// plugins that wait for each other could fill all of it.
    async fn ask_with_room(&mut self, question: &Question) -> Answer {
        let nested = matches!(question, Question::CallFrontend { .. } | Question::Solve { .. });
        if nested {
            self.leave();
        }
        self.clock.pause();
        let answer = self.ask(question).await;
        self.clock.resume();
        if nested {
            self.wait_for_room().await;
        }
        answer
    }

    async fn ask(&mut self, question: &Question) -> Answer {
        match question {
            Question::ResolveImage {
                identifier,
                platform,
                mode,
                name,
            } => {
                let image = self
                    .bridge
                    .resolve_image(identifier, platform.as_ref(), mode, name);
                Answer::Image(image.await)
            }
            Question::ResolveSource { source, name } => {
                Answer::Source(self.bridge.resolve_source(source, name).await)
            }
            Question::Context { name, filter } => {
                let tree = self.bridge.context(name, filter).await;
                Answer::Tree(tree.map(|tree| tree.map(|tree| self.lend_tree(tree))))
            }
            Question::Solve { definition, result } => {
                let tree = self.bridge.solve(definition, *result).await;
                Answer::Tree(tree.map(|tree| Some(self.lend_tree(tree))))
            }
            Question::CallFrontend { name, request } => {
                Answer::Lowered(self.bridge.call_frontend(name, request).await.map(Box::new))
            }
            question => self.ask_files(question).await,
        }
    }

    async fn ask_files(&mut self, question: &Question) -> Answer {
        match question {
            Question::Stat { tree, path } => Answer::Entry(match self.tree(*tree) {
                Ok(tree) => tree.stat(path).await,
                Err(error) => Err(error),
            }),
            Question::Glob {
                tree,
                patterns,
                after,
                limit,
            } => Answer::Entries(match self.tree(*tree) {
                Ok(tree) => tree.glob(patterns, after.as_deref(), *limit).await,
                Err(error) => Err(error),
            }),
            Question::Open { tree, path } => {
                let blob = match self.tree(*tree) {
                    Ok(tree) => tree.open(path).await,
                    Err(error) => Err(error),
                };
                Answer::Blob(blob.map(|blob| self.lend_blob(blob)))
            }
            Question::Read { tree, path, limit } => Answer::Bytes(match self.tree(*tree) {
                Ok(tree) => tree.read(path, *limit).await,
                Err(error) => Err(error),
            }),
            Question::ReadMany { tree, paths, limit } => Answer::Files(match self.tree(*tree) {
                Ok(tree) => tree.read_many(paths, *limit).await,
                Err(error) => Err(error),
            }),
            Question::BlobDigest { blob } => Answer::Text(match self.blob(*blob) {
                Ok(blob) => blob.digest().await.map(|digest| digest.to_string()),
                Err(error) => Err(error),
            }),
            Question::BlobRead { blob, offset, len } => Answer::Bytes(match self.blob(*blob) {
                Ok(blob) => blob.read(*offset, *len).await,
                Err(error) => Err(error),
            }),
            _ => Answer::Text(Err(HostError::Other("not a question about files".into()))),
        }
    }

    fn tree(&self, number: u32) -> Result<Arc<dyn FileTree>, HostError> {
        let tree = self.trees.get(&number).cloned();
        tree.ok_or_else(|| HostError::Invalid("this tree is closed".into()))
    }

    fn blob(&self, number: u32) -> Result<Arc<dyn FileBlob>, HostError> {
        let blob = self.blobs.get(&number).cloned();
        blob.ok_or_else(|| HostError::Invalid("this blob is closed".into()))
    }

    fn lend_tree(&mut self, tree: Arc<dyn FileTree>) -> u32 {
        self.next += 1;
        self.trees.insert(self.next, tree);
        self.next
    }

    fn lend_blob(&mut self, blob: Arc<dyn FileBlob>) -> (u32, u64) {
        self.next += 1;
        let size = blob.size();
        self.blobs.insert(self.next, blob);
        (self.next, size)
    }
}
