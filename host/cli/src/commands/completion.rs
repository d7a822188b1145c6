//! `kiln completion`.

use clap::Args;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::print;
use crate::exit::Failure;

/// What `kiln completion` takes.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a shell's completions.
pub(crate) fn run(args: &CompletionArgs) -> Result<u8, Failure> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kiln", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(0)
}
