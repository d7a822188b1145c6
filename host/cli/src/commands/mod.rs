//! The commands, one a file.

mod build;
mod call;
mod compile_plugin;
mod completion;
mod doctor;
mod du;
mod explain;
mod image;
mod inspect;
mod man;
mod plugin;
mod prune;
mod sbom;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use clap::Parser;
use clap::Subcommand;
use kiln_engine::Engine;
use kiln_image::Reference;

use crate::args::ArgError;
use crate::args::BuildArgs;
use crate::args::Surroundings;
use crate::exit::Failure;
use crate::progress::Detail;
use crate::report::Report;
use crate::settings::Settings;
use crate::wiring;
use crate::wiring::Wanted;

/// Environment variables that are read, for the manual.
const ENVIRONMENT: &str = "\
Environment:
  KILN_HOME             directory of the store
                        [default: $XDG_DATA_HOME/kiln, for root /var/lib/kiln]
  KILN_OCI_RUNTIME      OCI runtime that runs steps, like --oci-runtime
  KILN_SNAPSHOTTER      how steps get their file systems, like --snapshotter
  KILN_CDI_SPEC_DIRS    where devices are described, like --cdi-spec-dir
  KILN_MAX_PARALLELISM  most steps at a time, like --max-parallelism
  BUILDKIT_PROGRESS     how a build is shown, like --progress
  DOCKER_DEFAULT_PLATFORM  platform to build for, like --platform
  SOURCE_DATE_EPOCH     build argument that makes times in the result reproducible
  DOCKER_CONFIG         directory with registry credentials [default: ~/.docker]
  SSH_AUTH_SOCK         agent of --ssh default
  NO_COLOR              no colour

Configuration: kiln.toml in the current directory, $XDG_CONFIG_HOME/kiln/kiln.toml, /etc/kiln/kiln.toml";

/// Builds container images from Dockerfiles and other build files
#[derive(Debug, Parser)]
#[command(name = "kiln", version, about, after_long_help = ENVIRONMENT, propagate_version = true)]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    /// Say more: warnings with what they mean and their place
    #[arg(short = 'D', long, global = true)]
    debug: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image
    #[command(visible_alias = "b", args_override_self = true)]
    Build(Box<BuildArgs>),
    /// Work with the images of the local store
    Image(image::ImageArgs),
    /// Show what an image is made of
    Inspect(inspect::InspectArgs),
    /// Find the packages of an image or a directory, without a build
    Sbom(sbom::SbomArgs),
    /// Say why the plugins of a build ran, or did not
    Explain(explain::ExplainArgs),
    /// Show what the store holds
    Du(du::DuArgs),
    /// Remove what is not needed from the store
    Prune(prune::PruneArgs),
    /// Make, look at, run, lock and move plugins
    Plugin(plugin::PluginCommandArgs),
    /// Say what works on this machine and what to do about what does not
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completion(completion::CompletionArgs),
    /// Print the manual, or write its pages to a directory
    Man(man::ManArgs),
    /// Make machine code of a component; kiln runs it for itself
    #[command(hide = true)]
    CompilePlugin(compile_plugin::CompilePluginArgs),
}

impl Cli {
    /// Tells whether the command needs the user namespace: it handles files of many owners.
    pub(crate) fn needs_namespace(&self) -> bool {
        !matches!(
            self.command,
            Command::Completion(_) | Command::Man(_) | Command::CompilePlugin(_) | Command::Plugin(_)
        )
    }

    /// Runs the command.
    ///
    /// # Errors
    /// When it could not do its work.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        match self.command {
            Command::Build(args) if self.debug => build::run(&args, Detail::Full),
            Command::Build(args) => build::run(&args, Detail::Short),
            Command::Image(args) => image::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Sbom(args) => sbom::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Du(args) => du::run(&args),
            Command::Prune(args) => prune::run(&args),
            Command::Plugin(args) => plugin::run(args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Completion(args) => completion::run(&args),
            Command::Man(args) => man::run(&args),
            Command::CompilePlugin(args) => compile_plugin::run(&args),
        }
    }
}

/// What every command that uses the store starts with.
struct Session {
    around: Surroundings,
    settings: Settings,
}

impl Session {
    fn open() -> Result<Self, Failure> {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let directory = std::env::current_dir().map_err(|e| Failure::io("find the current directory", &e))?;
        let temporary = env
            .get("TMPDIR")
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let around = Surroundings {
            directory,
            env,
            temporary,
            stdin: Box::new(std::io::stdin()),
        };
        let settings = Settings::load(&around)?;
        Ok(Self { around, settings })
    }

    fn engine(&self, wanted: &Wanted) -> Result<Engine, Failure> {
        wiring::engine(&self.around, &self.settings, wanted)
    }
}

/// Makes the threads that a command's futures run on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("start threads", &e))
}

fn reference(text: &str) -> Result<Reference, Failure> {
    let parsed = text.parse();
    parsed.map_err(|e: kiln_image::ParseReferenceError| {
        ArgError::new(format!("invalid image `{text}`")).because(e).into()
    })
}

/// Writes data to standard output. A reader that has gone away is no error.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// As [`print()`].
fn print_bytes(data: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("write the output", &error))
        }
        _ => Ok(()),
    }
}

/// Writes a file; its path is from the current directory.
fn write_file(session: &Session, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let path = session.around.directory.join(path);
    std::fs::write(&path, bytes).map_err(|e| Failure::io(&format!("write `{}`", path.display()), &e))
}

/// Writes lines to standard error; there is nobody to tell when it is gone.
fn print_error(text: &str) {
    use std::io::Write;
    _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Says why something failed, and goes on.
fn print_failure(failure: &Failure) {
    print_error(&failure.report.render(crate::progress::Colour::of_stderr()));
}

/// Says that something is not as it should be, and goes on.
fn warn(report: &Report) {
    print_error(&report.render_warning(crate::progress::Colour::of_stderr()));
}

/// Lays rows out in columns, two blanks apart.
fn table(rows: &[Vec<String>]) -> String {
    use crate::progress::width;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| width(cell))
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, w)| format!("{cell}{}", " ".repeat(w.saturating_sub(width(cell)))));
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}
