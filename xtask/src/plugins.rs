//! `cargo xtask plugins`: builds each plugin crate and makes a component of it.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::bail;
use wit_component::ComponentEncoder;

use crate::toolchain::TARGET;
use crate::toolchain::Toolchain;

/// A plugin of the repository.
struct Plugin {
    /// Name of its folder and of the component.
    name: String,
    /// Name of its package.
    package: String,
}

/// Builds the plugins named in `args`, or all. Components are left in `target/plugins/NAME.wasm`. With `--debian`,
/// Debian's toolchain is used even where rustup has the target.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    let (flags, names): (Vec<String>, Vec<String>) =
        args.iter().cloned().partition(|arg| arg.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| *flag != "--debian") {
        bail!("unknown flag `{unknown}` (there is `--debian`)");
    }
    let mut plugins = discover(&root.join("plugins"))?;
    plugins.extend(discover(&root.join("tests"))?);
    if let Some(unknown) = names
        .iter()
        .find(|name| !plugins.iter().any(|plugin| plugin.name == **name))
    {
        let known: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        bail!("no plugin `{unknown}` (there are: {})", known.join(", "));
    }
    plugins.retain(|plugin| names.is_empty() || names.contains(&plugin.name));

    let toolchain = match flags.is_empty() {
        true => Toolchain::find_or_install()?,
        false => Toolchain::debian_or_install()?,
    };
    eprintln!("plugins: using {}", toolchain.describe());
    let work = work_dir(root).join(toolchain.slug());
    build(root, &toolchain, &work, &plugins)?;
    let out = root.join("target/plugins");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make `{}`", out.display()))?;
    for plugin in &plugins {
        let module = plugin.package.replace('-', "_");
        let module = work.join(format!("{TARGET}/plugin/{module}.wasm"));
        let component = out.join(format!("{}.wasm", plugin.name));
        componentize(&module, &component).with_context(|| format!("plugin `{}`", plugin.name))?;
        println!("{}", component.display());
    }
    Ok(())
}

/// Returns the components that are there.
pub(crate) fn built(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let plugins = discover(&root.join("plugins"))?;
    let component = |plugin: &Plugin| root.join("target/plugins").join(format!("{}.wasm", plugin.name));
    Ok(plugins
        .iter()
        .map(component)
        .filter(|path| path.is_file())
        .collect())
}

/// Finds the folders below `dir` whose crate is a `cdylib`, sorted by name.
fn discover(dir: &Path) -> anyhow::Result<Vec<Plugin>> {
    let mut plugins = Vec::new();
    let listing = std::fs::read_dir(dir).with_context(|| format!("cannot list `{}`", dir.display()))?;
    for entry in listing {
        let path = entry?.path();
        let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) else {
            continue;
        };
        let manifest: toml::Table = manifest
            .parse()
            .with_context(|| format!("cannot read `{}/Cargo.toml`", path.display()))?;
        let is_cdylib = manifest
            .get("lib")
            .and_then(|lib| lib.get("crate-type")?.as_array())
            .is_some_and(|types| types.iter().any(|t| t.as_str() == Some("cdylib")));
        let package = manifest
            .get("package")
            .and_then(|package| package.get("name")?.as_str());
        if let (true, Some(package), Some(name)) = (is_cdylib, package, path.file_name()) {
            plugins.push(Plugin {
                name: name.to_string_lossy().into_owned(),
                package: package.to_owned(),
            });
        }
    }
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(plugins)
}

/// Returns where modules and their standard library are built; kept apart from native builds.
fn work_dir(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(target).join("wasm")
}

fn build(root: &Path, toolchain: &Toolchain, work: &Path, plugins: &[Plugin]) -> anyhow::Result<()> {
    let mut command = toolchain.cargo_build();
    command
        .current_dir(root)
        .args(["--quiet", "--profile", "plugin", "--lib", "--target-dir"])
        .arg(work);
    // Absolute paths of the machine would get into panic texts.
    command.env("CARGO_ENCODED_RUSTFLAGS", remap(root));
    for plugin in plugins {
        command.args(["--package", &plugin.package]);
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", command.get_program().display()))?;
    if !status.success() {
        bail!("the plugins do not build");
    }
    Ok(())
}

/// Returns compiler flags, separated as cargo wants them.
fn remap(root: &Path) -> String {
    let cargo_home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .unwrap_or_default();
    let mut flags = vec![format!("--remap-path-prefix={}=.", root.display())];
    if !cargo_home.is_empty() {
        flags.push(format!("--remap-path-prefix={cargo_home}=cargo"));
    }
    flags.join("\u{1f}")
}

/// Makes a component of a module. It is not written again when it is the same, so that what is built from it is not
/// built again.
fn componentize(module: &Path, component: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read `{}`", module.display()))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .context("cannot make a component")?;
    if std::fs::read(component).is_ok_and(|there| there == encoded) {
        return Ok(());
    }
    // Whoever reads the component meanwhile sees the old one or the new one.
    let half = component.with_extension("wasm.new");
    std::fs::write(&half, encoded).with_context(|| format!("cannot write `{}`", half.display()))?;
    std::fs::rename(&half, component).with_context(|| format!("cannot write `{}`", component.display()))
}
