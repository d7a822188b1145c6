//! The build tool: `cargo xtask COMMAND`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that talks to people"
)]

mod build;
mod demo;
mod deny;
mod differential;
mod docs;
mod packages;
mod plugins;
mod process;
mod reference;
mod roots;
mod test;
mod toolchain;
mod tools;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

/// A subcommand: its name, the arguments that it takes, what it does, and how.
struct Command {
    name: &'static str,
    args: &'static str,
    help: &'static str,
    run: fn(&Path, &[String]) -> anyhow::Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        args: "",
        help: "installs what is missing, builds everything, builds and runs examples/hello",
        run: demo::run,
    },
    Command {
        name: "test",
        args: "[ARG…]",
        help: "installs what the tests need and runs them all",
        run: test::run,
    },
    Command {
        name: "differential",
        args: "[ARG…]",
        help: "starts a real Docker, records anew what its BuildKit makes of the differential cases, and compares",
        run: differential::run,
    },
    Command {
        name: "build",
        args: "",
        help: "leaves target/release/kiln with its plugins",
        run: build::run,
    },
    Command {
        name: "plugins",
        args: "[--debian] [NAME…]",
        help: "builds the plugins to target/plugins/NAME.wasm",
        run: plugins::run,
    },
    Command {
        name: "roots",
        args: "",
        help: "makes the root file systems that tests and benchmarks use, and says where they are",
        run: roots::run,
    },
    Command {
        name: "reference",
        args: "[--check]",
        help: "writes docs/reference/plugin-contract.md from wit/",
        run: reference::run,
    },
    Command {
        name: "docs",
        args: "",
        help: "makes the book of docs/ with mdBook and checks its links",
        run: docs::run,
    },
    Command {
        name: "deny",
        args: "",
        help: "checks licences, sources and duplicate versions",
        run: deny::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        usage();
        return ExitCode::from(2);
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("error: unknown command `{name}`");
        usage();
        return ExitCode::from(2);
    };
    if let Some(extra) = rest.first().filter(|_| command.args.is_empty()) {
        eprintln!("error: `{name}` takes no arguments, found `{extra}`");
        usage();
        return ExitCode::from(2);
    }
    match (command.run)(&root(), rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the repository's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn usage() {
    eprintln!("usage: cargo xtask COMMAND");
    for Command { name, args, help, .. } in COMMANDS {
        eprintln!("  {:<28}{help}", format!("{name} {args}"));
    }
}
