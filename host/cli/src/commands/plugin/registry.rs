//! `kiln plugin push` and `pull`.

use std::path::PathBuf;

use clap::Args;
use kiln_plugin::PluginRef;

use super::FindArgs;
use super::Session;
use super::failed;
use super::find;
use super::print;
use crate::exit::Failure;
use crate::plugins;
use crate::plugins::Artifact;
use crate::report::Report;

/// What `kiln plugin push` takes.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// The plugin, as `--plugin` takes it
    #[arg(value_name = "SPEC")]
    plugin: String,
    /// Where it goes, `oci://HOST/NAME:TAG`
    #[arg(value_name = "REF")]
    to: PluginRef,
    #[command(flatten)]
    find: FindArgs,
}

/// What `kiln plugin pull` takes.
#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// The plugin, `oci://HOST/NAME:TAG` or `oci://HOST/NAME@DIGEST`
    #[arg(value_name = "REF")]
    from: PluginRef,
    /// File to write the component to
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    find: FindArgs,
}

fn reference(plugin: &PluginRef) -> Result<&kiln_image::Reference, Failure> {
    match plugin {
        PluginRef::Oci(reference) => Ok(reference),
        other => Err(Failure::usage(Report::new(format!(
            "invalid reference `{other}` (expected `oci://HOST/NAME:TAG`)"
        )))),
    }
}

pub(super) fn push(args: &PushArgs) -> Result<u8, Failure> {
    let to = reference(&args.to)?;
    let session = Session::open()?;
    let resolver = args.find.resolver(&session)?;
    let pushed = super::super::runtime()?.block_on(async {
        let found = find(&resolver, &args.plugin).await?;
        if found.seen.kind.is_none() {
            let message = format!("plugin `{}` exports no interface of kiln:plugin", found.name);
            return Err(Failure::failed(Report::new(message)));
        }
        let pushed = plugins::push(&resolver.client, to, found.component.into_owned(), &found.seen).await;
        pushed.map_err(|e| Failure::failed(Report::of(&e)))
    })?;
    print(&format!("oci://{}@{pushed}\n", to.name()))?;
    Ok(0)
}

pub(super) fn pull(args: &PullArgs) -> Result<u8, Failure> {
    let from = reference(&args.from)?;
    let session = Session::open()?;
    let resolver = args.find.resolver(&session)?;
    let checked = resolver
        .policies
        .check_reference(&args.from.to_string(), &args.from);
    checked.map_err(|e| failed(&e))?;
    let pull = Artifact::pull(&resolver.client, from, resolver.store());
    let artifact = super::super::runtime()?.block_on(pull).map_err(|e| failed(&e))?;
    let seen = kiln_wasm::inspect(&args.from.to_string(), &artifact.component);
    seen.map_err(|e| failed(&e))?;
    if let Some(path) = &args.output {
        let path = session.around.directory.join(path);
        let written = std::fs::write(&path, &artifact.component);
        written.map_err(|e| Failure::io(&format!("write `{}`", path.display()), &e))?;
    }
    print(&format!("oci://{}@{}\n", from.name(), artifact.manifest))?;
    Ok(0)
}
