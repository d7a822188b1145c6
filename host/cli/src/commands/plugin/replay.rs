//! `kiln plugin replay`: a recorded run again, as a test and as a report of a fault.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::FindArgs;
use super::print;
use super::run::Loaded;
use super::test::difference;
use crate::exit;
use crate::exit::Failure;
use crate::plugins::Player;
use crate::plugins::Trace;
use crate::plugins::outcome;
use crate::progress::printable;
use crate::report::Report;

/// What `kiln plugin replay` takes.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// File that `kiln plugin run --record` wrote
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// Another plugin than the one that was recorded, as `--plugin` takes it
    #[arg(long, value_name = "SPEC")]
    plugin: Option<String>,
    #[command(flatten)]
    find: FindArgs,
}

pub(super) fn run(args: &ReplayArgs) -> Result<u8, Failure> {
    let shown = args.trace.display();
    let text =
        std::fs::read_to_string(&args.trace).map_err(|e| Failure::io(&format!("read `{shown}`"), &e))?;
    let trace = Trace::parse(&text)
        .map_err(|why| Failure::usage(Report::new(format!("`{shown}` is not a trace: {why}"))))?;
    let loaded = Loaded::open(args.plugin.as_deref().unwrap_or(&trace.plugin), &args.find)?;
    let player = Player::new(&trace);
    let result = loaded.call(&trace.request, player.files(), Arc::new(player.clone()));
    for line in player.said() {
        super::super::warn(&Report::new(printable(&line)));
    }
    let actual = outcome(&result);
    if loaded.digest() != trace.digest {
        print("the plugin is not the one that was recorded\n")?;
    }
    if actual == trace.outcome {
        print("same outcome as recorded\n")?;
        return Ok(0);
    }
    print(&difference(&trace.outcome, &actual))?;
    Ok(exit::FAILED)
}
