//! Measures the border: `cargo run --release -p kiln-wasm --example plugin_speed -- target/plugins/guests.wasm
//! [NAME=COMPONENT=BUILDFILE …]`.
//!
//! Prints what a start, an instance, a host call and a listing take, whether a thousand calls keep all processors busy
//! and give their memory back, and a row for each component named: size, first compile, cold start, warm call.
#![expect(clippy::print_stdout, reason = "a measuring tool")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Platform;
use kiln_plugin::Diagnostic;
use kiln_plugin::EntryKind;
use kiln_plugin::Failure;
use kiln_plugin::FileBlob;
use kiln_plugin::FileEntry;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::Frontend;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::MemoryTree;
use kiln_plugin::PAGE;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Runs of which the best counts.
const RUNS: u32 = 20;
/// Entries of the listing, and host calls of the guest.
const MANY: u32 = 100_000;
/// Calls at once.
const CALLS: usize = 1000;

#[tokio::main]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [guests, others @ ..] = args.as_slice() else {
        return Err("usage: plugin_speed GUESTS [NAME=COMPONENT=BUILDFILE …]".into());
    };
    let code = tempfile::tempdir()?;
    let bench = Bench {
        code: code.path().join("code"),
    };
    println!("| what | measured | goal |\n|---|---|---|");
    bench.border(guests).await?;
    println!(
        "\n| component | size | first compile | cold start | warm call | fuel | memory |\n|---|---|---|---|---|---|---|"
    );
    for other in others {
        let parts: Vec<&str> = other.splitn(3, '=').collect();
        let [name, component, build_file] = parts.as_slice() else {
            return Err(format!("`{other}` is not NAME=COMPONENT=BUILDFILE").into());
        };
        bench.component(name, component, build_file).await?;
    }
    Ok(())
}

struct Bench {
    code: std::path::PathBuf,
}

impl Bench {
    fn open(&self) -> Outcome<Runtime> {
        let mut config = RuntimeConfig {
            cache_dir: Some(self.code.clone()),
            ..RuntimeConfig::default()
        };
        // Beside what is measured, nothing is limited.
        for limit in [
            "fuel=1000000000000",
            "wall=300s",
            "bytes=8GiB",
            "host-calls=10000000",
        ] {
            config.frontend.set(limit)?;
        }
        Ok(Runtime::open(config)?)
    }

    async fn border(&self, guests: &str) -> Outcome<()> {
        let bytes = std::fs::read(guests)?;
        self.open()?.frontend("guests", &bytes, None)?;
        let cold = best(async || {
            let bytes = std::fs::read(guests)?;
            self.open()?.frontend("guests", &bytes, None)?.describe().await?;
            Ok(())
        });
        println!(
            "| from file to the end of the first call, code cached | {:.2?} | 3 ms |",
            cold.await?
        );
        let frontend = self.open()?.frontend("guests", &bytes, None)?;
        let empty = best(async || Ok(frontend.describe().await.map(drop)?)).await?;
        println!("| store, instance and an empty call | {empty:.2?} | 100 µs |");
        let calls = best(async || call(&*frontend, "stat-often", Arc::new(Files)).await).await?;
        println!(
            "| a host call, of {MANY} | {:.2?} | 3 µs |",
            (calls - empty) / MANY
        );
        let listing = best(async || call(&*frontend, "list-all", Arc::new(Files)).await).await?;
        println!("| {MANY} entries in pages | {listing:.2?} | 150 ms |");
        self.crowd(frontend).await
    }

    /// A thousand calls at once.
    async fn crowd(&self, frontend: Arc<dyn Frontend>) -> Outcome<()> {
        let work = async |frontend: Arc<dyn Frontend>| {
            call(&*frontend, "list-all", Arc::new(Files))
                .await
                .map_err(|e| e.to_string())
        };
        work(frontend.clone()).await?;
        let (before, start, cpu) = (resident()?, Instant::now(), processor_time()?);
        let all: Vec<_> = (0..CALLS).map(|_| tokio::spawn(work(frontend.clone()))).collect();
        for one in all {
            one.await??;
        }
        let (wall, cpu) = (start.elapsed(), processor_time()? - cpu);
        let busy = cpu.as_secs_f64() / wall.as_secs_f64();
        let cores = std::thread::available_parallelism()?;
        println!("| processors that {CALLS} calls keep busy | {busy:.2} of {cores} | all |");
        let after = resident()?;
        println!("| memory before and after them | {before} and {after} MiB | the same |");
        Ok(())
    }

    async fn component(&self, name: &str, component: &str, build_file: &str) -> Outcome<()> {
        let bytes = std::fs::read(component)?;
        let files = Arc::new(MemoryTree::new().file("build.txt", &std::fs::read(build_file)?));
        let start = Instant::now();
        self.open()?.frontend(name, &bytes, None)?;
        let compile = start.elapsed();
        let lower = async |frontend: &dyn Frontend| {
            let request = Request::new("build.txt", Platform::new("linux", "amd64", None));
            let lowered = frontend.lower(&request, files.clone(), Arc::new(Nobody)).await;
            lowered.map(drop).map_err(|error| error.to_string())
        };
        let cold = best(async || {
            let frontend = self.open()?.frontend(name, &bytes, None)?;
            Ok(lower(&*frontend).await?)
        })
        .await?;
        let frontend = self.open()?.frontend(name, &bytes, None)?;
        let warm = best(async || Ok(lower(&*frontend).await?)).await?;
        let usage = frontend.usage();
        println!(
            "| {name} | {} KB | {compile:.2?} | {cold:.2?} | {warm:.2?} | {} | {:.1} MB |",
            bytes.len() / 1000,
            usage.fuel,
            usage.peak_memory as f64 / 1e6
        );
        Ok(())
    }
}

/// Calls the guest. What it says of itself is a failure, and no fault.
async fn call(frontend: &dyn Frontend, name: &str, files: Arc<dyn FileTree>) -> Outcome<()> {
    let request = Request::new("build.txt", Platform::new("linux", "amd64", None));
    let named = Arc::new(Named(name.to_owned(), files));
    match frontend.lower(&request, named, Arc::new(Nobody)).await {
        Ok(_) | Err(kiln_plugin::FrontendError::Failure(_)) => Ok(()),
        Err(kiln_plugin::FrontendError::Plugin(error)) => Err(error.into()),
    }
}

/// Returns the shortest of some runs.
async fn best(run: impl AsyncFn() -> Outcome<()>) -> Outcome<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        run().await?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// Memory of this process in MiB.
fn resident() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmRSS")?;
    Ok(kib.parse::<u64>()? / 1024)
}

/// Processor time of this process.
fn processor_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux shows ticks of 10 ms to programs.
    Ok(Duration::from_millis(ticks * 10))
}

/// The guest's order, and a tree.
struct Named(String, Arc<dyn FileTree>);

#[async_trait]
impl FileTree for Named {
    async fn stat(&self, path: &str) -> Result<Option<FileEntry>, HostError> {
        self.1.stat(path).await
    }

    async fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError> {
        self.1.glob(patterns, after, limit).await
    }

    async fn open(&self, _path: &str) -> Result<Arc<dyn FileBlob>, HostError> {
        MemoryTree::new()
            .file("build.txt", self.0.as_bytes())
            .open("build.txt")
            .await
    }
}

/// A tree of very many files, which cost the host nothing.
struct Files;

fn entry(number: u32) -> FileEntry {
    FileEntry {
        path: format!("usr/share/some/package/file-{number:06}"),
        kind: EntryKind::File,
        size: 4096,
        mode: 0o644,
        uid: 0,
        gid: 0,
        target: None,
    }
}

#[async_trait]
impl FileTree for Files {
    async fn stat(&self, _path: &str) -> Result<Option<FileEntry>, HostError> {
        Ok(Some(entry(0)))
    }

    async fn glob(
        &self,
        _: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError> {
        let number = |path: &str| {
            path.rsplit('-')
                .next()
                .and_then(|number| number.parse::<u32>().ok())
        };
        let first = after.and_then(number).map_or(0, |number| number + 1);
        let size = u32::try_from(limit.min(PAGE)).unwrap_or(u32::MAX);
        Ok((first..MANY.min(first.saturating_add(size))).map(entry).collect())
    }

    async fn open(&self, path: &str) -> Result<Arc<dyn FileBlob>, HostError> {
        Err(HostError::NotFound(path.to_owned()))
    }
}

/// A build that knows images by their names only.
struct Nobody;

#[async_trait]
impl FrontendBridge for Nobody {
    async fn resolve_image(
        &self,
        identifier: &str,
        _platform: Option<&Platform>,
        _mode: &str,
        _name: &str,
    ) -> Result<ResolvedImage, HostError> {
        Ok(ResolvedImage {
            reference: identifier.to_owned(),
            digest: kiln_image::Digest::of(identifier).to_string(),
            config: b"{}".to_vec(),
        })
    }

    async fn resolve_source(&self, source: &Source, _name: &str) -> Result<ResolvedSource, HostError> {
        Ok(ResolvedSource {
            pinned: source.clone(),
            attrs: std::collections::BTreeMap::new(),
        })
    }

    async fn context(&self, _name: &str, _filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        Ok(None)
    }

    async fn solve(&self, _: &Definition, _: Input) -> Result<Arc<dyn FileTree>, HostError> {
        Err(HostError::Invalid("nothing is built here".to_owned()))
    }

    async fn call_frontend(&self, name: &str, _request: &Request) -> Result<Lowered, Failure> {
        Err(Failure::of(format!("unknown frontend `{name}`")))
    }

    fn report(&self, _diagnostic: Diagnostic) {}

    fn log(&self, _level: LogLevel, _message: &str) {}
}
