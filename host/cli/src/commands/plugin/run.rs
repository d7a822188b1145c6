//! `kiln plugin run` and `kiln plugin graph`: a frontend on a folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;

use clap::Args;
use clap::ValueEnum;
use kiln_image::Platform;
use kiln_plugin::FileTree;
use kiln_plugin::Frontend;
use kiln_plugin::FrontendBridge;
use kiln_plugin::FrontendError;
use kiln_plugin::Ledger;
use kiln_plugin::Lowered;
use kiln_plugin::Request;

use super::FindArgs;
use super::Session;
use super::catalog::Cataloged;
use super::failed;
use super::find;
use super::print;
use crate::exit::Failure;
use crate::plugins::Fixture;
use crate::plugins::Recorder;
use crate::plugins::dot;
use crate::plugins::graph_digest;
use crate::plugins::graph_json;
use crate::plugins::graph_text;
use crate::plugins::outcome;
use crate::plugins::svg;
use crate::plugins::tree_of;
use crate::progress::bytes;
use crate::progress::printable;
use crate::report::Report;
use crate::wiring;

/// What a frontend is run on.
#[derive(Debug, Clone, Args)]
pub(super) struct InputArgs {
    /// The plugin, as `--plugin` takes it
    #[arg(value_name = "SPEC")]
    plugin: String,
    /// Folder with the build file and the context
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Build file in the folder
    #[arg(short, long, value_name = "PATH", default_value = "Dockerfile")]
    file: String,
    /// Stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Build argument
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    build_args: Vec<String>,
    #[command(flatten)]
    find: FindArgs,
}

/// What `kiln plugin run` takes.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Run so many times, and fail when the results differ
    #[arg(long, value_name = "COUNT", default_value = "1")]
    runs: std::num::NonZeroUsize,
    /// Write down what the plugin is asked, asks and is told, for `kiln plugin replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// What `kiln plugin graph` takes.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    #[command(flatten)]
    input: InputArgs,
    /// How the graph is shown; dot is for Graphviz, svg for browsers
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Dot,
    Svg,
}

/// A frontend that is loaded, and the threads that it runs on.
pub(super) struct Loaded {
    runtime: tokio::runtime::Runtime,
    frontend: Arc<dyn Frontend>,
}

impl Loaded {
    /// Finds and loads a frontend.
    pub(super) fn open(plugin: &str, args: &FindArgs) -> Result<Self, Failure> {
        let session = Session::open()?;
        let resolver = args.resolver(&session)?;
        let runtime = super::super::runtime()?;
        let frontend = runtime.block_on(async {
            let found = find(&resolver, plugin).await?;
            let wasm = wiring::plugin_runtime(&session.around, &resolver, &args.limits)?;
            let loaded = wiring::load(wasm, found, &resolver.policies, &Ledger::default()).await;
            loaded.map_err(|e| failed(&e))
        })?;
        Ok(Self { runtime, frontend })
    }

    /// Lowers a folder's build file. What the plugin says meanwhile comes with the answer.
    pub(super) fn lower(
        &self,
        folder: &Path,
        request: &Request,
    ) -> Result<(Result<Lowered, FrontendError>, Vec<String>), Failure> {
        let tree = tree_of(folder).map_err(|e| Failure::io(&format!("read `{}`", folder.display()), &e))?;
        let fixture = Arc::new(Fixture::new(tree.clone()));
        let lowered = self.call(request, Arc::new(tree), fixture.clone());
        let said = std::mem::take(&mut *fixture.said.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((lowered, said))
    }

    /// Lowers with answers of anybody.
    pub(super) fn call(
        &self,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Lowered, FrontendError> {
        self.runtime.block_on(self.frontend.lower(request, files, bridge))
    }

    /// Returns the digest of the component.
    pub(super) fn digest(&self) -> String {
        let component = self.frontend.component();
        component.map_or_else(String::new, |component| component.digest.to_string())
    }

    /// Runs once, and writes that down.
    fn record(&self, args: &InputArgs, request: &Request, file: &Path) -> Result<(), Failure> {
        let folder = args.folder.display();
        let tree = tree_of(&args.folder).map_err(|e| Failure::io(&format!("read `{folder}`"), &e))?;
        let recorder = Recorder::new(Arc::new(Fixture::new(tree.clone())));
        let files = recorder.files(Arc::new(tree));
        let result = self.call(request, files, Arc::new(recorder.clone()));
        let trace = recorder.finish(&args.plugin, self.digest(), request.clone(), outcome(&result));
        std::fs::write(file, trace.text())
            .map_err(|e| Failure::io(&format!("write `{}`", file.display()), &e))
    }
}

/// Returns what came out as text: the graph, or what the frontend says of the build file.
pub(super) fn outcome_text(result: Result<Lowered, FrontendError>) -> Result<String, Failure> {
    match result {
        Err(error @ FrontendError::Plugin(_)) => Err(frontend_failed(error)),
        result => Ok(outcome(&result)),
    }
}

fn request(args: &InputArgs) -> Result<Request, Failure> {
    // The same on every machine.
    let mut request = Request::new(args.file.clone(), Platform::new("linux", "amd64", None));
    request.target.clone_from(&args.target);
    for pair in &args.build_args {
        let pair = pair.split_once('=').ok_or_else(|| {
            Failure::usage(Report::new(format!(
                "invalid value `{pair}` for `--build-arg` (expected `KEY=VALUE`)"
            )))
        })?;
        request.args.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    Ok(request)
}

/// Makes a failed command of a frontend's error.
pub(super) fn frontend_failed(error: FrontendError) -> Failure {
    let error = match error {
        FrontendError::Failure(failure) => kiln_engine::BuildError::Frontend(Box::new(failure)),
        FrontendError::Plugin(error) => kiln_engine::BuildError::Plugin(error),
    };
    error.into()
}

fn lowered(args: &InputArgs) -> Result<(Loaded, Request, Lowered), Failure> {
    let (loaded, request) = (Loaded::open(&args.plugin, &args.find)?, request(args)?);
    let (result, said) = loaded.lower(&args.folder, &request)?;
    for line in said {
        super::super::warn(&Report::new(printable(&line)));
    }
    let result = result.map_err(frontend_failed)?;
    Ok((loaded, request, result))
}

pub(super) fn graph(args: &GraphArgs) -> Result<u8, Failure> {
    let (_, _, lowered) = lowered(&args.input)?;
    match args.format {
        Format::Text => print(&graph_text(&lowered))?,
        Format::Json => print(&format!("{:#}\n", graph_json(&lowered)))?,
        Format::Dot => print(&dot(&lowered))?,
        Format::Svg => print(&svg(&lowered))?,
    }
    Ok(0)
}

/// Runs a cataloger or scanner; all its answers must be the same.
fn run_cataloger(args: &RunArgs, cataloged: &Cataloged) -> Result<u8, Failure> {
    if args.record.is_some() {
        let report = Report::new("`--record` is for frontends: it writes down what they ask of a build");
        return Err(Failure::usage(report));
    }
    let first = cataloged.packages(&args.input.folder)?;
    for number in 2..=args.runs.get() {
        if cataloged.packages(&args.input.folder)? != first {
            let report = Report::new(format!(
                "plugin `{}` gave other packages in run {number} of the same input",
                args.input.plugin
            ));
            return Err(Failure::failed(report));
        }
    }
    print(&first)?;
    Ok(0)
}

pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    if let Some(cataloged) = Cataloged::open(&args.input.plugin, &args.input.find)? {
        return run_cataloger(args, &cataloged);
    }
    if let Some(file) = &args.record {
        Loaded::open(&args.input.plugin, &args.input.find)?.record(
            &args.input,
            &request(&args.input)?,
            file,
        )?;
    }
    let (loaded, request, first) = lowered(&args.input)?;
    let used = loaded.frontend.usage();
    let digest = graph_digest(&first);
    let mut digests = BTreeMap::from([(digest, 1_usize)]);
    let mut fuel_differs = false;
    for number in 2..=args.runs.get() {
        let (result, _) = loaded.lower(&args.input.folder, &request)?;
        let result = result.map_err(frontend_failed)?;
        digests.entry(graph_digest(&result)).or_insert(number);
        fuel_differs |= loaded.frontend.usage().fuel != used.fuel;
    }
    if digests.len() > 1 {
        let list = digests
            .iter()
            .map(|(digest, run)| format!("  {digest} first in run {run}"));
        let report = Report::new(format!(
            "plugin `{}` gave {} different graphs in {} runs of the same input",
            args.input.plugin,
            digests.len(),
            args.runs
        ));
        let report = report.note(list.collect::<Vec<_>>().join("\n"));
        return Err(Failure::failed(report.hint(
            "iterate over sorted keys, and use no addresses, times or random numbers",
        )));
    }
    let lines = [
        format!("graph    {digest}"),
        format!("vertices {}", first.definition.vertices.len()),
        format!("outputs  {}", first.outputs.len()),
        format!("runs     {}", args.runs),
        format!(
            "fuel     {}{}",
            used.fuel,
            if fuel_differs {
                ", not the same in each run"
            } else {
                ""
            }
        ),
        format!("memory   {}", bytes(used.peak_memory)),
        format!("asked    {} times, {}", used.host_calls, bytes(used.bytes)),
    ];
    print(&(lines.join("\n") + "\n"))?;
    Ok(0)
}
