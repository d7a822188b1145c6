//! `kiln man`.

use std::path::PathBuf;

use clap::Args;
use clap::CommandFactory;

use super::Cli;
use super::print;
use crate::exit::Failure;

/// What `kiln man` takes.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages of all commands; without it the page of `kiln` is printed
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Prints or writes the manual.
pub(crate) fn run(args: &ManArgs) -> Result<u8, Failure> {
    let mut command = Cli::command();
    command.build();
    match &args.directory {
        Some(directory) => {
            let made = std::fs::create_dir_all(directory);
            let written = made.and_then(|()| clap_mangen::generate_to(command, directory));
            written
                .map_err(|e| Failure::io(&format!("write the manual to `{}`", directory.display()), &e))?;
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|e| Failure::io("make the manual", &e))?;
            print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(0)
}
