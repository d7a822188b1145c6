//! Finds the components that are embedded in the program, with their machine code where there is some.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Names of the components.
const PLUGINS: &[&str] = &["frontend-dockerfile"];

/// Names of those that a program can do without; one that is not built is left out.
const OPTIONAL: &[&str] = &[
    "cache-http",
    "cataloger-apk",
    "cataloger-arch",
    "cataloger-binary",
    "cataloger-debian",
    "cataloger-dotnet",
    "cataloger-java",
    "cataloger-lock",
    "cataloger-npm",
    "cataloger-php",
    "cataloger-python",
    "cataloger-rpm",
    "cataloger-ruby",
    "frontend-debian",
];

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let directory = |variable: &str, default: &str| {
        println!("cargo::rerun-if-env-changed={variable}");
        env::var_os(variable).map_or_else(|| manifest.join("../../target").join(default), PathBuf::from)
    };
    let plugins = directory("KILN_PLUGINS_DIR", "plugins");
    let code = directory("KILN_MACHINE_CODE_DIR", "machine-code");
    let mut table = String::from("pub(crate) const EMBEDDED: &[Embedded] = &[\n");
    for name in PLUGINS.iter().chain(OPTIONAL) {
        let component = plugins.join(name).with_extension("wasm");
        println!("cargo::rerun-if-changed={}", component.display());
        if !component.is_file() {
            if OPTIONAL.contains(name) {
                continue;
            }
            println!(
                "cargo::error=the plugin `{}` is not built: run `cargo xtask plugins`, or set KILN_PLUGINS_DIR to the \
                 directory that holds {name}.wasm",
                component.display()
            );
        }
        let code = match machine_code(&code.join(name), &component) {
            Some(path) => format!("Some(include_bytes!({path:?}))"),
            None => "None".to_owned(),
        };
        _ = writeln!(
            table,
            "    Embedded {{ name: {name:?}, component: include_bytes!({component:?}), code: {code} }},"
        );
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = fs::write(out.join("embedded.rs"), table) {
        println!("cargo::error=cannot write the table of plugins: {error}");
    }
}

/// Returns the machine code `PATH.cwasm`, if it was made of the same component: a copy of that lies beside it.
fn machine_code(path: &Path, component: &Path) -> Option<PathBuf> {
    let (copy, code) = (path.with_extension("wasm"), path.with_extension("cwasm"));
    println!("cargo::rerun-if-changed={}", copy.display());
    println!("cargo::rerun-if-changed={}", code.display());
    let same = fs::read(copy).ok()? == fs::read(component).ok()?;
    (same && code.is_file()).then_some(code)
}
