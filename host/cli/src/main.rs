//! The `kiln` command: reads arguments, wires the engine, shows what it reports. Everything else is below.

mod args;
mod commands;
mod compiler;
mod embedded;
mod exit;
mod plugins;
mod progress;
mod record;
mod report;
mod settings;
mod wiring;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use kiln_exec::UserNamespace;

use crate::commands::Cli;
use crate::exit::Failure;
use crate::progress::Colour;
use crate::report::Report;

fn main() -> ExitCode {
    // For the clients of object stores; an error means that it is installed.
    _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody to tell when the stream is gone.
            _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
        }
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let text = failure.report.render(Colour::of_stderr());
            _ = std::io::stderr().lock().write_all(text.as_bytes());
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<u8, Failure> {
    if cli.needs_namespace() {
        let entered = kiln_exec::enter_user_namespace(std::env::args_os().skip(1));
        match entered.map_err(|error| Failure::failed(Report::of(&error)))? {
            UserNamespace::Ended { code } => return Ok(u8::try_from(code).unwrap_or(exit::FAILED)),
            // `kiln doctor` and the first step that has to run say what is missing.
            UserNamespace::AlreadyInside | UserNamespace::NotPossible { .. } => {}
        }
    }
    cli.run()
}
