//! A build that answers from memory and counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Platform;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::Frontend;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::Limits;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::MemoStore;
use kiln_plugin::MemoryTree;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;

/// A build with one empty context for every name.
#[derive(Default)]
pub(crate) struct Bridge {
    pub(crate) contexts: Mutex<u32>,
    pub(crate) logs: Mutex<Vec<String>>,
    /// The frontend that is called by any name.
    pub(crate) other: Option<Arc<dyn Frontend>>,
}

#[async_trait]
impl FrontendBridge for Bridge {
    async fn resolve_image(
        &self,
        identifier: &str,
        _platform: Option<&Platform>,
        _mode: &str,
        _name: &str,
    ) -> Result<ResolvedImage, HostError> {
        Err(HostError::NotFound(identifier.to_owned()))
    }

    async fn resolve_source(&self, source: &Source, _name: &str) -> Result<ResolvedSource, HostError> {
        Err(HostError::NotFound(source.identifier.clone()))
    }

    async fn context(&self, _name: &str, _filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        *self.contexts.lock().unwrap() += 1;
        Ok(Some(Arc::new(MemoryTree::new())))
    }

    async fn solve(&self, _definition: &Definition, _result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        Err(HostError::Other("nothing is built here".into()))
    }

    async fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        let Some(other) = &self.other else {
            return Err(Failure::of(format!("unknown frontend `{name}`")));
        };
        let files = Arc::new(MemoryTree::new());
        let lowered = other.lower(request, files, Arc::new(Self::default())).await;
        lowered.map_err(|error| Failure::of(error.to_string()))
    }

    fn report(&self, _diagnostic: Diagnostic) {}

    fn log(&self, _level: LogLevel, message: &str) {
        self.logs.lock().unwrap().push(message.to_owned());
    }
}

/// Remembers in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl MemoStore for Memory {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    async fn put(&self, key: &str, value: &[u8]) {
        self.0.lock().unwrap().insert(key.to_owned(), value.to_vec());
    }
}

/// Returns a request for `Dockerfile`.
pub(crate) fn request() -> Request {
    Request::new("Dockerfile", Platform::new("linux", "amd64", None))
}

/// Returns a runtime with limits from text over those of a frontend.
pub(crate) fn runtime(limits: &str) -> Runtime {
    let mut frontend = Limits::frontend();
    for limit in limits.split(',').filter(|limit| !limit.is_empty()) {
        frontend.set(limit).unwrap();
    }
    let config = RuntimeConfig {
        frontend,
        ..RuntimeConfig::default()
    };
    Runtime::open(config).unwrap()
}
