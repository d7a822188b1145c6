//! Catalogers, scanners and cache adapters on a folder: what `kiln plugin run` and `kiln plugin test` do with them.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use kiln_image::Digest;
use kiln_plugin::AdapterError;
use kiln_plugin::CacheAdapter;
use kiln_plugin::CatalogError;
use kiln_plugin::Cataloger;
use kiln_plugin::FileTree;
use kiln_plugin::HostError;
use kiln_plugin::Matched;
use kiln_plugin::MemoryTree;
use kiln_plugin::PackageInfo;
use kiln_plugin::PluginKind;
use kiln_plugin::ScanError;
use kiln_plugin::Scanned;
use kiln_plugin::Scanner;

use super::FindArgs;
use super::Session;
use super::cache;
use super::failed;
use super::find;
use crate::exit::Failure;
use crate::plugins::tree_of;
use crate::plugins::unusable;
use crate::wiring;

/// Most files of one page.
const PAGE: usize = 4096;

/// What finds packages.
enum Finder {
    Cataloger(Arc<dyn Cataloger>),
    Scanner(Arc<dyn Scanner>),
    Adapter(Arc<dyn CacheAdapter>),
}

/// A cataloger or scanner that is loaded, and the threads that it runs on.
pub(super) struct Cataloged {
    runtime: tokio::runtime::Runtime,
    finder: Finder,
}

impl Cataloged {
    /// Finds and loads a cataloger or scanner; none when the plugin is a frontend, which is loaded otherwise.
    pub(super) fn open(plugin: &str, args: &FindArgs) -> Result<Option<Self>, Failure> {
        let session = Session::open()?;
        let resolver = args.resolver(&session)?;
        let runtime = super::super::runtime()?;
        let found = runtime.block_on(find(&resolver, plugin))?;
        let Some(kind @ (PluginKind::Cataloger | PluginKind::Scanner | PluginKind::Cache)) = found.seen.kind
        else {
            return Ok(None);
        };
        let wasm = wiring::plugin_runtime(&session.around, &resolver, &args.limits)?;
        let finder = match kind {
            PluginKind::Scanner => wasm
                .scanner(&found.name, &found.component, found.code)
                .map(Finder::Scanner),
            PluginKind::Cache => wasm
                .adapter(&found.name, &found.component, found.code)
                .map(Finder::Adapter),
            _ => wasm
                .cataloger(&found.name, &found.component, found.code)
                .map(Finder::Cataloger),
        };
        let finder = finder.map_err(|e| failed(&e))?;
        Ok(Some(Self { runtime, finder }))
    }

    /// Returns what is found in a folder, or what an adapter plans with its parameters, as text.
    pub(super) fn packages(&self, folder: &Path) -> Result<String, Failure> {
        let tree = || tree_of(folder).map_err(|e| Failure::io(&format!("read `{}`", folder.display()), &e));
        let cataloger = match &self.finder {
            Finder::Cataloger(cataloger) => cataloger,
            Finder::Scanner(scanner) => return self.scanned(&**scanner, tree()?),
            Finder::Adapter(adapter) => return self.planned(&**adapter, folder),
        };
        let tree = tree()?;
        let found = self.runtime.block_on(catalog(&**cataloger, &tree));
        match found {
            Ok(packages) => Ok(text(&packages)),
            Err(CatalogError::Plugin(error)) => Err(failed(&error)),
            Err(error @ CatalogError::Failed { .. }) => Ok(format!("failed {error}\n")),
        }
    }

    fn planned(&self, adapter: &dyn CacheAdapter, folder: &Path) -> Result<String, Failure> {
        let config =
            cache::config(folder).map_err(|e| Failure::io(&format!("read `{}`", folder.display()), &e))?;
        match self.runtime.block_on(cache::round_trip(adapter, config)) {
            Ok(said) => Ok(said),
            Err(AdapterError::Plugin(error)) => Err(failed(&error)),
            Err(error @ AdapterError::Failed { .. }) => Ok(format!("failed {error}\n")),
        }
    }

    fn scanned(&self, scanner: &dyn Scanner, tree: MemoryTree) -> Result<String, Failure> {
        match self.runtime.block_on(scanner.scan(Arc::new(tree), &[])) {
            Ok(Scanned {
                packages, documents, ..
            }) => {
                let mut out = text(&packages);
                for document in documents {
                    let (kind, digest) = (document.media_type, Digest::of(&document.data));
                    _ = writeln!(out, "document {kind} {digest}");
                }
                Ok(out)
            }
            Err(ScanError::Plugin(error)) => Err(failed(&error)),
            Err(error @ ScanError::Failed { .. }) => Ok(format!("failed {error}\n")),
        }
    }
}

async fn catalog(cataloger: &dyn Cataloger, tree: &MemoryTree) -> Result<Vec<PackageInfo>, CatalogError> {
    let wrong = |error: HostError| unusable(&cataloger.component().name, error.to_string());
    let mut matched = Vec::new();
    for interest in cataloger.interests().await? {
        let mut after = None::<String>;
        loop {
            let page = tree.glob(&interest.globs, after.as_deref(), PAGE).await;
            let page = page.map_err(wrong)?;
            let Some(last) = page.last() else { break };
            after = Some(last.path.clone());
            for entry in page.iter().filter(|entry| entry.size <= interest.max_size) {
                let Ok(mut content) = tree.read(&entry.path, interest.max_size).await else {
                    continue;
                };
                let digest = Digest::of(&content);
                content.truncate(interest.head.map_or(usize::MAX, |head| head as usize));
                matched.push(Matched {
                    interest: interest.id.clone(),
                    path: entry.path.clone(),
                    digest,
                    content,
                });
            }
        }
    }
    let found = cataloger.catalog(&matched).await?;
    Ok(found.packages)
}

fn text(packages: &[PackageInfo]) -> String {
    let mut out = String::new();
    for package in packages {
        _ = writeln!(out, "package {} {}", package.name, package.version);
        _ = writeln!(out, "  purl {}", package.purl);
        for license in &package.licenses {
            _ = writeln!(out, "  license {license}");
        }
        for location in &package.locations {
            _ = writeln!(out, "  location {location}");
        }
        for (purl, kind) in &package.relations {
            _ = writeln!(out, "  {kind} {purl}");
        }
        for (key, value) in &package.attrs {
            _ = writeln!(out, "  {key} {value}");
        }
        out.push('\n');
    }
    out
}
