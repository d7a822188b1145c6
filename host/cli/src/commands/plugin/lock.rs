//! `kiln plugin ls`, `lock` and `vendor`: the plugins of a project.

use std::path::PathBuf;

use clap::Args;
use kiln_plugin::Lock;
use kiln_plugin::LockedPlugin;
use kiln_plugin::PluginRef;

use super::FindArgs;
use super::Session;
use super::find;
use super::print;
use crate::embedded;
use crate::exit::Failure;
use crate::plugins::PluginStore;
use crate::plugins::Resolved;
use crate::report::Report;

/// What `kiln plugin ls` takes.
#[derive(Debug, Args)]
pub(super) struct LsArgs {
    #[command(flatten)]
    find: FindArgs,
}

/// What `kiln plugin lock` takes.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    find: FindArgs,
}

/// What `kiln plugin vendor` takes.
#[derive(Debug, Args)]
pub(super) struct VendorArgs {
    /// Folder for them; builds look into `kiln-plugins`
    #[arg(value_name = "FOLDER", default_value = "kiln-plugins")]
    folder: PathBuf,
    #[command(flatten)]
    find: FindArgs,
}

pub(super) fn ls(args: &LsArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let resolver = args.find.resolver(&session)?;
    let mut rows = vec![["NAME", "SOURCE", "LOCKED", "DIGEST"].map(str::to_owned).to_vec()];
    for (name, entry) in &session.settings.plugins {
        let locked = resolver
            .lock
            .as_ref()
            .and_then(|lock| lock.find(Some(name), &entry.source));
        let digest = locked.map(|locked| locked.digest.to_string()).unwrap_or_default();
        let is_locked = if locked.is_some() { "yes" } else { "no" };
        rows.push(vec![
            name.clone(),
            entry.source.clone(),
            is_locked.to_owned(),
            digest,
        ]);
    }
    for name in embedded::names() {
        let digest = embedded::find(name).map(|found| kiln_image::Digest::of(found.component).to_string());
        rows.push(vec![
            String::new(),
            format!("builtin:{name}"),
            String::new(),
            digest.unwrap_or_default(),
        ]);
    }
    for store in &resolver.stores {
        for (name, manifest) in store.names() {
            rows.push(vec![
                String::new(),
                format!("oci://{name}"),
                String::new(),
                manifest.digest.to_string(),
            ]);
        }
    }
    print(&super::super::table(&rows))?;
    Ok(0)
}

pub(super) fn lock(args: &LockArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let mut resolver = args.find.resolver(&session)?;
    // What was pinned is forgotten: this is how a new version gets in.
    resolver.lock = None;
    resolver.locked = false;
    if resolver.entries.is_empty() {
        let report = Report::new("kiln.toml names no plugins");
        return Err(Failure::usage(
            report.hint("add `[plugins.NAME]` with `source = \"oci://…\"`"),
        ));
    }
    let runtime = super::super::runtime()?;
    let mut lock = Lock::default();
    for (name, entry) in resolver.entries.clone() {
        let found = runtime.block_on(async {
            pin(&mut resolver, &name, &entry.source).await?;
            find(&resolver, &name).await
        })?;
        lock.plugins.push(locked(&name, &entry.source, &found)?);
    }
    let text = toml::to_string(&lock).map_err(|e| Failure::failed(Report::of(&e)))?;
    let path = session.around.path("kiln.lock");
    let text = format!("# Written by `kiln plugin lock`; keep it beside kiln.toml.\n{text}");
    std::fs::write(&path, text).map_err(|e| Failure::io(&format!("write `{}`", path.display()), &e))?;
    let lines = lock
        .plugins
        .iter()
        .map(|plugin| format!("{} {}\n", plugin.name, plugin.digest));
    print(&lines.collect::<String>())?;
    Ok(0)
}

/// Finds out which manifest a tag means, so that the resolver goes on with its digest.
async fn pin(resolver: &mut crate::plugins::Resolver, name: &str, source: &str) -> Result<(), Failure> {
    let Ok(PluginRef::Oci(reference)) = source.parse::<PluginRef>() else {
        return Ok(());
    };
    if reference.digest().is_some() {
        return Ok(());
    }
    let checked = resolver
        .policies
        .check_reference(name, &PluginRef::Oci(reference.clone()));
    checked.map_err(|e| super::failed(&e))?;
    let resolved = resolver.client.resolve(&reference).await;
    let resolved = resolved.map_err(|e| Failure::failed(Report::of(&e)))?;
    let entry = LockedPlugin {
        name: name.to_owned(),
        reference: source.to_owned(),
        pinned: Some(format!(
            "oci://{}@{}",
            reference.name(),
            resolved.descriptor.digest
        )),
        digest: resolved.descriptor.digest,
        world: String::new(),
        grants: Vec::new(),
        signer: None,
    };
    let pinned = entry.pinned.as_deref().unwrap_or_default().to_owned();
    let artifact: PluginRef = pinned
        .parse()
        .map_err(|e| Failure::failed(Report::of(&e as &kiln_plugin::PluginRefError)))?;
    let found = resolver
        .select(&kiln_plugin::Selection::of(artifact))
        .await
        .map_err(|e| super::failed(&e))?;
    let entry = LockedPlugin {
        digest: found.seen.digest,
        grants: resolver
            .entries
            .get(name)
            .map(|entry| entry.grants.clone())
            .unwrap_or_default(),
        ..entry
    };
    resolver
        .lock
        .get_or_insert_with(Lock::default)
        .plugins
        .push(entry);
    Ok(())
}

fn locked(name: &str, source: &str, found: &Resolved) -> Result<LockedPlugin, Failure> {
    let world = found.seen.world().ok_or_else(|| {
        Failure::failed(Report::new(format!(
            "plugin `{name}` exports no interface of kiln:plugin"
        )))
    })?;
    Ok(LockedPlugin {
        name: name.to_owned(),
        reference: source.to_owned(),
        pinned: found.pinned.clone(),
        digest: found.seen.digest,
        world: world.to_owned(),
        grants: found.grants.clone(),
        signer: found.signer.clone(),
    })
}

pub(super) fn vendor(args: &VendorArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let resolver = args.find.resolver(&session)?;
    let folder = session.around.directory.join(&args.folder);
    let to = PluginStore::at(folder.clone());
    let runtime = super::super::runtime()?;
    let failed = |e: &std::io::Error| Failure::io(&format!("write to `{}`", folder.display()), e);
    let mut out = String::new();
    for name in resolver.entries.keys() {
        let found = runtime.block_on(find(&resolver, name))?;
        let Some(pinned) = found
            .pinned
            .as_deref()
            .and_then(|pinned| pinned.strip_prefix("oci://"))
        else {
            continue;
        };
        let digest = pinned
            .rsplit_once('@')
            .and_then(|(_, digest)| digest.parse().ok());
        let manifest = digest.and_then(|digest| resolver.stores.iter().find_map(|store| store.blob(&digest)));
        let Some(manifest) = manifest else { continue };
        let descriptor = kiln_image::Descriptor::of(kiln_image::MediaType::OCI_MANIFEST, &manifest);
        to.put(&manifest).map_err(|e| failed(&e))?;
        to.put(&found.component).map_err(|e| failed(&e))?;
        to.name(descriptor, pinned).map_err(|e| failed(&e))?;
        out += &format!("{name} {pinned}\n");
    }
    if out.is_empty() {
        out = "kiln.toml has no plugins from registries\n".to_owned();
    }
    print(&out)?;
    Ok(0)
}
