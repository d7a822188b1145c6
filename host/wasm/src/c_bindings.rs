//! What a plugin written in C is compiled with: declarations and glue of its world.

use std::path::Path;

use kiln_plugin::PluginError;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// Returns the names and contents of the files that C code of `world` is compiled with. `wit` is the folder with the
/// contract.
///
/// # Errors
/// The folder cannot be read, is malformed, or has no such world.
pub fn c_bindings(name: &str, wit: &Path, world: &str) -> Result<Vec<(String, Vec<u8>)>, PluginError> {
    generate(wit, world).map_err(|message| PluginError::Open {
        plugin: name.to_owned(),
        message: format!("cannot make C declarations of `{}`: {message}", wit.display()),
    })
}

fn generate(wit: &Path, world: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).map_err(|e| format!("{e:#}"))?;
    let world = resolve
        .select_world(&[package], Some(world))
        .map_err(|e| format!("{e:#}"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)
        .map_err(|e| format!("{e:#}"))?;
    Ok(files
        .iter()
        .map(|(name, data)| (name.to_owned(), data.to_vec()))
        .collect())
}
