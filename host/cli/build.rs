//! Finds the components that are embedded in the program.

use std::env;
use std::path::PathBuf;

/// The component that reads Dockerfiles.
const FRONTEND: &str = "frontend-dockerfile.wasm";

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let default = manifest.join("../../target/plugins");
    let plugins = env::var_os("KILN_PLUGINS_DIR").map_or(default, PathBuf::from);
    let component = plugins.join(FRONTEND);
    println!("cargo::rerun-if-env-changed=KILN_PLUGINS_DIR");
    println!("cargo::rerun-if-changed={}", component.display());
    if component.is_file() {
        println!(
            "cargo::rustc-env=KILN_FRONTEND_DOCKERFILE={}",
            component.display()
        );
    } else {
        println!(
            "cargo::error=the plugin `{}` is not built: run `cargo xtask plugins`, or set KILN_PLUGINS_DIR to the \
             directory that holds {FRONTEND}",
            component.display()
        );
    }
}
