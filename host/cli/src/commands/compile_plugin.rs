//! `kiln compile-plugin`, which kiln runs for itself: a component on standard input becomes machine code on standard
//! output, within limits. What a component makes the compiler do is its author's choice.

use std::io::Read;

use clap::Args;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;
use rustix::process::Resource;
use rustix::process::Rlimit;

use crate::exit::Failure;
use crate::report::Report;

/// Flags of the command.
#[derive(Debug, Args)]
pub(crate) struct CompilePluginArgs {
    /// Processor time, in seconds
    #[arg(long, value_name = "SECONDS")]
    cpu: Option<u64>,
    /// Address space, in bytes
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
}

/// Compiles.
pub(crate) fn run(args: &CompilePluginArgs) -> Result<u8, Failure> {
    limit(Resource::Core, Some(0))?;
    limit(Resource::Cpu, args.cpu)?;
    limit(Resource::As, args.memory)?;
    let mut component = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut component);
    read.map_err(|e| Failure::io("read the component", &e))?;
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::failed(Report::of(error));
    let runtime = Runtime::open(RuntimeConfig::default()).map_err(|e| failed(&e))?;
    let code = runtime
        .precompile("the component", &component)
        .map_err(|e| failed(&e))?;
    super::print_bytes(&code)?;
    Ok(0)
}

/// Sets a limit of this process, or keeps the one that it has if that is lower.
fn limit(resource: Resource, most: Option<u64>) -> Result<(), Failure> {
    let Some(most) = most else { return Ok(()) };
    let hard = rustix::process::getrlimit(resource).maximum;
    let most = hard.map_or(most, |hard| hard.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    rustix::process::setrlimit(resource, limit).map_err(|e| Failure::io("limit this process", &e.into()))
}
