//! `kiln plugin …`: what authors and operators do with plugins.

mod cache;
mod catalog;
mod dev;
mod inspect;
mod lock;
mod project;
mod registry;
mod replay;
mod run;
mod template;
mod test;

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use kiln_plugin::PluginError;

use super::Session;
use super::print;
use crate::args::PluginArgs;
use crate::exit::Failure;
use crate::plugins::Resolved;
use crate::plugins::Resolver;
use crate::report::Report;
use crate::wiring;
use crate::wiring::Wanted;
use crate::wiring::WantedPlugins;

/// What `kiln plugin` takes.
#[derive(Debug, Args)]
pub(crate) struct PluginCommandArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Start a project for a plugin: builds, has a test, a README and a sample input
    New(template::NewArgs),
    /// Build the plugin of a project with its language's own tools
    Build(project::BuildPluginArgs),
    /// Show what a plugin asks for, what it is granted, and what is denied
    Inspect(inspect::InspectPluginArgs),
    /// Run a frontend on a folder, without building anything
    Run(run::RunArgs),
    /// Show the build graph that a frontend makes of a folder
    Graph(run::GraphArgs),
    /// Run a recorded run again, without its context, and compare the outcome
    Replay(replay::ReplayArgs),
    /// Build a project whenever it changes, run it, and show what changed in the graph
    Dev(dev::DevArgs),
    /// Compare what a frontend makes of each folder of cases with what was expected
    Test(test::TestArgs),
    /// List plugins: those of kiln.toml, those that come with kiln, and those that were fetched
    #[command(visible_alias = "list")]
    Ls(lock::LsArgs),
    /// Pin the plugins of kiln.toml in kiln.lock
    Lock(lock::LockArgs),
    /// Copy the plugins of kiln.toml that come from registries beside the project, for builds without a network
    Vendor(lock::VendorArgs),
    /// Push a plugin to a registry
    Push(registry::PushArgs),
    /// Fetch a plugin from a registry
    Pull(registry::PullArgs),
}

/// What all commands that look for plugins take.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FindArgs {
    /// Policy that holds beside /etc/kiln/policy.toml
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Use only plugins that kiln.lock has
    #[arg(long)]
    locked: bool,
    /// Fetch nothing
    #[arg(long)]
    offline: bool,
    /// Registry that may speak plain HTTP or have a certificate that nobody vouches for
    #[arg(long = "insecure-registry", value_name = "HOST")]
    insecure_registries: Vec<String>,
    /// Bound of a plugin's call, such as memory=256MiB
    #[arg(long = "plugin-limit", value_name = "KEY=VALUE")]
    limits: Vec<String>,
}

impl FindArgs {
    /// Returns what finds plugins.
    fn resolver(&self, session: &Session) -> Result<Resolver, Failure> {
        let wanted = Wanted {
            insecure_registries: self.insecure_registries.clone(),
            plugins: WantedPlugins {
                selections: Vec::new(),
                locked: self.locked,
                offline: self.offline,
                policy: self.policy.clone(),
                trace: None,
            },
            ..Wanted::default()
        };
        wiring::resolver(&session.around, &session.settings, &wanted)
    }
}

/// Returns what `kiln build` wants of plugins.
pub(super) fn wanted(args: &PluginArgs) -> Result<WantedPlugins, Failure> {
    Ok(WantedPlugins {
        selections: args.selections()?,
        locked: args.locked,
        offline: args.offline,
        policy: args.policy.clone(),
        trace: args.trace.clone(),
    })
}

/// Runs a command.
pub(super) fn run(args: PluginCommandArgs) -> Result<u8, Failure> {
    match args.command {
        PluginCommand::New(args) => template::run(&args),
        PluginCommand::Build(args) => project::run(&args),
        PluginCommand::Inspect(args) => inspect::run(&args),
        PluginCommand::Run(args) => run::run(&args),
        PluginCommand::Graph(args) => run::graph(&args),
        PluginCommand::Replay(args) => replay::run(&args),
        PluginCommand::Dev(args) => dev::run(&args),
        PluginCommand::Test(args) => test::run(&args),
        PluginCommand::Ls(args) => lock::ls(&args),
        PluginCommand::Lock(args) => lock::lock(&args),
        PluginCommand::Vendor(args) => lock::vendor(&args),
        PluginCommand::Push(args) => registry::push(&args),
        PluginCommand::Pull(args) => registry::pull(&args),
    }
}

/// Makes a failed command of a plugin's error.
fn failed(error: &PluginError) -> Failure {
    let report = Report::of(error);
    Failure::failed(error.hint().into_iter().fold(report, Report::hint))
}

/// Finds a plugin that was typed as in `--plugin`.
async fn find(resolver: &Resolver, text: &str) -> Result<Resolved, Failure> {
    let selection = text.parse::<kiln_plugin::Selection>();
    let selection = selection.map_err(|e| Failure::usage(Report::of(&e)))?;
    resolver.select(&selection).await.map_err(|e| failed(&e))
}
