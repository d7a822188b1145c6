//! `kiln plugin dev`: builds a project whenever it changes, runs it, and shows what changed in the graph.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use clap::Args;
use kiln_image::Platform;
use kiln_plugin::Request;

use super::FindArgs;
use super::print;
use super::project;
use super::run::Loaded;
use super::run::outcome_text;
use super::test::difference;
use crate::exit::Failure;
use crate::progress::printable;
use crate::report::Report;

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_millis(300);

/// What `kiln plugin dev` takes.
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Folder of the project
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Folder with the build file and the context [default: tests/hello/input of the project]
    #[arg(long, value_name = "FOLDER")]
    input: Option<PathBuf>,
    /// Build file in the input
    #[arg(short, long, value_name = "PATH", default_value = "image.yaml")]
    file: String,
    /// End after so many builds
    #[arg(long, value_name = "COUNT")]
    rounds: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    find: FindArgs,
}

pub(super) fn run(args: &DevArgs) -> Result<u8, Failure> {
    let input = args.input.clone();
    let input = input.unwrap_or_else(|| args.folder.join("tests/hello/input"));
    let (mut last, mut seen, mut round) = (None::<String>, BTreeMap::new(), 0);
    loop {
        let now = changes(&args.folder, &input);
        if now == seen {
            std::thread::sleep(PAUSE);
            continue;
        }
        seen = now;
        round += 1;
        match once(args, &input) {
            Ok(text) => {
                let shown = match &last {
                    None => text.clone(),
                    Some(old) if *old == text => "the graph is the same\n".to_owned(),
                    Some(old) => difference(old, &text),
                };
                print(&shown)?;
                last = Some(text);
            }
            Err(failure) => super::super::print_failure(&failure),
        }
        if args.rounds.is_some_and(|rounds| round >= rounds.get()) {
            return Ok(0);
        }
        super::super::warn(&Report::new("waiting for changes"));
    }
}

/// Builds and runs the plugin.
fn once(args: &DevArgs, input: &Path) -> Result<String, Failure> {
    let built = project::build(&args.folder, None)?;
    let loaded = Loaded::open(&format!("path:{}", built.display()), &args.find)?;
    let request = Request::new(args.file.clone(), Platform::new("linux", "amd64", None));
    let (result, said) = loaded.lower(input, &request)?;
    for line in said {
        super::super::warn(&Report::new(printable(&line)));
    }
    outcome_text(result)
}

/// Returns when each file of the project and of its input changed last. What is built is left out.
fn changes(folder: &Path, input: &Path) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let (mut todo, mut found) = (vec![folder.to_owned(), input.to_owned()], BTreeMap::new());
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let built = matches!(
                &*name,
                "target" | "node_modules" | "__pycache__" | "wit_world" | "Cargo.lock"
            );
            if built || name.starts_with('.') || name.ends_with(".wasm") {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => todo.push(path),
                Ok(metadata) => _ = found.insert(path, metadata.modified().ok()),
                Err(_) => {}
            }
        }
    }
    found
}
