//! Measures a frontend component: `cargo run --example frontend_speed -- COMPONENT BUILDFILE`.
//!
//! Prints the time to compile, to start with machine code on disk, of a call, of a check, of a remembered call, and the call's use.
#![expect(clippy::print_stdout, reason = "a measuring tool")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::MemoStore;
use kiln_plugin::MemoryTree;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;

const RUNS: u32 = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [component, build_file] = args.as_slice() else {
        return Err("usage: frontend_speed COMPONENT BUILDFILE".into());
    };
    let component = std::fs::read(component)?;
    let build_file = std::fs::read(build_file)?;
    let files = Arc::new(MemoryTree::new().file("Dockerfile", &build_file));
    let request = Request::new("Dockerfile", Platform::new("linux", "amd64", None));
    let dir = tempfile::tempdir()?;
    let open = |memo: Option<Arc<dyn MemoStore>>| {
        Runtime::open(RuntimeConfig {
            cache_dir: Some(dir.path().join("code")),
            memo,
            ..RuntimeConfig::default()
        })
    };

    let start = Instant::now();
    open(None)?.frontend("measured", &component, None)?;
    println!("compile and start          {:>10.2?}", start.elapsed());
    for _ in 0..3 {
        let start = Instant::now();
        let runtime = open(None)?;
        let engine = start.elapsed();
        let frontend = runtime.frontend("measured", &component, None)?;
        let loaded = start.elapsed();
        let lowered = frontend.lower(&request, files.clone(), Arc::new(Images)).await?;
        println!(
            "cold start to definition   {:>10.2?}  (engine {engine:.2?}, code {:.2?}, call {:.2?}, {} vertices)",
            start.elapsed(),
            loaded - engine,
            start.elapsed() - loaded,
            lowered.definition.vertices.len()
        );
    }

    let frontend = open(None)?.frontend("measured", &component, None)?;
    let describe = best(async || frontend.describe().await.map(drop)).await?;
    println!("instance and empty call    {describe:>10.2?}");
    let lower = best(async || {
        let lowered = frontend.lower(&request, files.clone(), Arc::new(Images)).await;
        lowered.map(drop)
    })
    .await?;
    println!(
        "lower                      {lower:>10.2?}  {:?}",
        frontend.usage()
    );

    let check = best(async || {
        let answer = frontend
            .subrequest("frontend.lint", &request, files.clone(), Arc::new(Images))
            .await;
        answer.map(drop)
    })
    .await?;
    println!(
        "lint                       {check:>10.2?}  {:?}",
        frontend.usage()
    );

    let frontend = open(Some(Arc::new(Memory::default())))?.frontend("measured", &component, None)?;
    let remembered = best(async || {
        let lowered = frontend.lower(&request, files.clone(), Arc::new(Images)).await;
        lowered.map(drop)
    })
    .await?;
    println!(
        "lower, remembered          {remembered:>10.2?}  hit: {}",
        frontend.usage().memo_hit
    );
    Ok(())
}

/// Returns the shortest of some runs.
async fn best<E>(run: impl AsyncFn() -> Result<(), E>) -> Result<Duration, E> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        run().await?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl MemoStore for Memory {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    async fn put(&self, key: &str, value: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key.to_owned(), value.to_vec());
    }
}

/// A build in which every image is there.
struct Images;

#[async_trait]
impl FrontendBridge for Images {
    async fn resolve_image(
        &self,
        identifier: &str,
        _platform: Option<&Platform>,
        _mode: &str,
        _name: &str,
    ) -> Result<ResolvedImage, HostError> {
        let digest = Digest::of(identifier).to_string();
        let reference = identifier.split_once("://").map_or(identifier, |(_, name)| name);
        Ok(ResolvedImage {
            reference: format!("{reference}@{digest}"),
            digest,
            config: br#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":[]}}"#
                .to_vec(),
        })
    }

    async fn resolve_source(&self, source: &Source, _name: &str) -> Result<ResolvedSource, HostError> {
        Ok(ResolvedSource {
            pinned: source.clone(),
            attrs: BTreeMap::new(),
        })
    }

    async fn context(&self, _name: &str, _filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        Ok(Some(Arc::new(MemoryTree::new())))
    }

    async fn solve(&self, _definition: &Definition, _result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        Ok(Arc::new(MemoryTree::new()))
    }

    async fn call_frontend(&self, name: &str, _request: &Request) -> Result<Lowered, Failure> {
        Err(Failure::of(format!("unknown frontend `{name}`")))
    }

    fn report(&self, _diagnostic: Diagnostic) {}

    fn log(&self, level: LogLevel, message: &str) {
        println!("[{level:?}] {message}");
    }
}
