//! `kiln plugin build`: drives the tools of the plugin's language, and makes one file of what they leave.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use kiln_plugin::Grant;
use kiln_plugin::Manifest;
use serde::Deserialize;

use super::failed;
use super::print;
use crate::exit::Failure;
use crate::report::Report;

/// Target of Rust plugins: it brings no imports of its own.
const RUST_TARGET: &str = "wasm32-unknown-unknown";

/// What `kiln plugin build` takes.
#[derive(Debug, Args)]
pub(super) struct BuildPluginArgs {
    /// Folder of the project, with its plugin.toml
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// File to write [default: NAME.wasm in the folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `plugin.toml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Project {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    license: String,
    #[serde(default)]
    asks: Vec<Grant>,
    language: Language,
    /// World of the plugin.
    #[serde(default = "frontend_world")]
    world: String,
    /// What is built: the module of Python, the file of JavaScript.
    #[serde(default)]
    source: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Language {
    Rust,
    Python,
    Javascript,
    C,
}

fn frontend_world() -> String {
    "frontend-plugin".to_owned()
}

pub(super) fn run(args: &BuildPluginArgs) -> Result<u8, Failure> {
    let output = build(&args.folder, args.output.as_deref())?;
    print(&format!("{}\n", output.display()))?;
    Ok(0)
}

/// Builds the project in `folder`, and returns the file it made.
pub(super) fn build(folder: &Path, output: Option<&Path>) -> Result<PathBuf, Failure> {
    let file = folder.join("plugin.toml");
    let text = std::fs::read_to_string(&file);
    let text = text.map_err(|e| Failure::io(&format!("read `{}`", file.display()), &e))?;
    let project: Project = toml::from_str(&text)
        .map_err(|e| Failure::usage(Report::prefixed(&format!("cannot read `{}`", file.display()), &e)))?;
    let built = match project.language {
        Language::Rust => rust(folder)?,
        Language::Python => python(folder, &project)?,
        Language::Javascript => javascript(folder, &project)?,
        Language::C => c(folder, &project)?,
    };
    let component = kiln_wasm::componentize(&project.name, &built).map_err(|e| failed(&e))?;
    let manifest = Manifest {
        name: project.name.clone(),
        version: project.version,
        description: project.description,
        license: project.license,
        asks: project.asks,
    };
    let component =
        kiln_wasm::embed_manifest(&project.name, &component, &manifest).map_err(|e| failed(&e))?;
    let output = output.map(Path::to_owned);
    let output = output.unwrap_or_else(|| folder.join(format!("{}.wasm", project.name)));
    let written = std::fs::write(&output, component);
    written.map_err(|e| Failure::io(&format!("write `{}`", output.display()), &e))?;
    Ok(output)
}

/// Runs a tool, whose output the user sees.
fn tool(command: &mut Command, missing: &str) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::failed(Report::new(format!(
            "`{name}` ended with {status}"
        )))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::failed(
            Report::new(format!("cannot find `{name}`")).hint(missing),
        )),
        Err(error) => Err(Failure::io(&format!("run `{name}`"), &error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::io(&format!("read `{}`", path.display()), &e))
}

/// Returns what a program prints, if it runs.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn rust(folder: &Path) -> Result<Vec<u8>, Failure> {
    let mut cargo = rust_toolchain()?;
    let target = folder.join("target");
    cargo
        .current_dir(folder)
        .args(["build", "--quiet", "--release", "--lib", "--target", RUST_TARGET]);
    cargo
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    tool(&mut cargo, "install Rust: https://rustup.rs")?;
    let dir = target.join(RUST_TARGET).join("release");
    let listing =
        std::fs::read_dir(&dir).map_err(|e| Failure::io(&format!("read `{}`", dir.display()), &e))?;
    let modules = listing.filter_map(|entry| Some(entry.ok()?.path()));
    let modules: Vec<PathBuf> = modules
        .filter(|path| path.extension().is_some_and(|e| e == "wasm"))
        .collect();
    match modules.as_slice() {
        [module] => read(module),
        modules => {
            let report = Report::new(format!(
                "`{}` has {} modules (expected 1)",
                dir.display(),
                modules.len()
            ));
            Err(Failure::failed(report.hint(
                "the crate needs `crate-type = [\"cdylib\"]`; remove `target` after renaming it",
            )))
        }
    }
}

/// Returns a cargo that builds for WebAssembly: the one in use, or Debian's with the library's source.
fn rust_toolchain() -> Result<Command, Failure> {
    let has_library = |dir: String| {
        let mut files = std::fs::read_dir(dir).into_iter().flatten();
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
    };
    let libraries = output("rustc", &["--print", "target-libdir", "--target", RUST_TARGET]);
    if libraries.is_some_and(has_library) {
        return Ok(Command::new("cargo"));
    }
    let source = output("/usr/bin/rustc", &["--print", "sysroot"])
        .map(|root| Path::new(&root).join("lib/rustlib/src/rust/library/Cargo.lock"));
    let own = output("rustc", &["--print", "target-libdir"])
        .and_then(|dir| Some(Path::new(&dir).parent()?.join("bin/rust-lld")));
    let mut linkers = own.into_iter().chain([PathBuf::from("/usr/bin/wasm-ld")]);
    if let (true, Some(linker)) = (
        source.is_some_and(|file| file.exists()),
        linkers.find(|path| path.exists()),
    ) {
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
            .env("CARGO_UNSTABLE_BUILD_STD_FEATURES", "")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        return Ok(cargo);
    }
    let report = Report::new(format!(
        "no Rust compiler here has a standard library for {RUST_TARGET}"
    ));
    let debian = "on Debian, type `apt-get install rustc-web cargo-web rust-web-src lld`";
    Err(Failure::failed(
        report
            .hint(format!("type `rustup target add {RUST_TARGET}`"))
            .hint(debian),
    ))
}

fn python(folder: &Path, project: &Project) -> Result<Vec<u8>, Failure> {
    let scratch = tempfile::tempdir().map_err(|e| Failure::io("make a directory", &e))?;
    let built = scratch.path().join("plugin.wasm");
    let source = project.source.as_deref().unwrap_or("app");
    let mut command = Command::new("componentize-py");
    command
        .current_dir(folder)
        .args(["--wit-path", "wit", "--world", &project.world, "componentize"]);
    command.arg("--stub-wasi").arg(source).arg("--output").arg(&built);
    tool(&mut command, "type `pip install componentize-py`")?;
    read(&built)
}

/// What node runs. `jco` does the same, and cannot read a folder of WIT in some of its versions.
const COMPONENTIZE_JS: &str = r#"
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
const [source, world, out] = process.argv.slice(1);
const disableFeatures = ["random", "stdio", "clocks", "http", "fetch-event"];
const { component } = await componentize({
  sourcePath: resolve(source), witPath: resolve("wit"), worldName: world, disableFeatures,
});
await writeFile(out, component);
"#;

fn javascript(folder: &Path, project: &Project) -> Result<Vec<u8>, Failure> {
    if !folder
        .join("node_modules/@bytecodealliance/componentize-js")
        .exists()
    {
        let report =
            Report::new("cannot find `@bytecodealliance/componentize-js` in the project's node_modules");
        return Err(Failure::failed(
            report.hint("type `npm install` in the project's folder"),
        ));
    }
    let scratch = tempfile::tempdir().map_err(|e| Failure::io("make a directory", &e))?;
    let built = scratch.path().join("plugin.wasm");
    let source = project.source.as_deref().unwrap_or("app.js");
    let mut command = Command::new("node");
    command.current_dir(folder).args([
        "--input-type=module",
        "--eval",
        COMPONENTIZE_JS,
        source,
        &project.world,
    ]);
    command.arg(&built);
    tool(&mut command, "install Node.js: https://nodejs.org")?;
    read(&built)
}

/// Programs that compile C for WebAssembly, best first; `python-zig` is what PyPI's `ziglang` brings.
const C_COMPILERS: [&str; 2] = ["zig", "python-zig"];

fn c(folder: &Path, project: &Project) -> Result<Vec<u8>, Failure> {
    let scratch = tempfile::tempdir().map_err(|e| Failure::io("make a directory", &e))?;
    let source = project.source.as_deref().unwrap_or("plugin.c");
    let bindings = kiln_wasm::c_bindings(&project.name, &folder.join("wit"), &project.world);
    let mut inputs = Vec::new();
    for (name, data) in bindings.map_err(|e| failed(&e))? {
        let path = scratch.path().join(name);
        std::fs::write(&path, data).map_err(|e| Failure::io(&format!("write `{}`", path.display()), &e))?;
        if path.extension().is_some_and(|extension| extension != "h") {
            inputs.push(path);
        }
    }
    let compiler = C_COMPILERS
        .into_iter()
        .find(|name| output(name, &["version"]).is_some());
    let built = scratch.path().join("plugin.wasm");
    let mut command = Command::new(compiler.unwrap_or(C_COMPILERS[0]));
    command
        .current_dir(folder)
        .args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor"]);
    // Names of functions stay for backtraces; the stack is sixteen megabytes unless it is said.
    command.args(["-Os", "-Wall", "-Wl,--strip-debug", "-Wl,-z,stack-size=262144"]);
    command.arg("-I").arg(scratch.path());
    command
        .arg("-o")
        .arg(&built)
        .arg(source)
        .args(inputs)
        // Its cache is of no use to anybody else.
        .env("ZIG_LOCAL_CACHE_DIR", scratch.path().join("zig"));
    tool(
        &mut command,
        "type `pip install ziglang`, or install https://ziglang.org",
    )?;
    read(&built)
}
