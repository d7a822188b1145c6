//! Scanners of this version.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_plugin::Component;
use kiln_plugin::FileTree;
use kiln_plugin::PackageInfo;
use kiln_plugin::PluginError;
use kiln_plugin::ScanDocument;
use kiln_plugin::ScanError;
use kiln_plugin::Scanned;
use kiln_plugin::Scanner;
use wasmtime::Store;
use wasmtime::component::HasSelf;
use wasmtime::component::Linker;
use wasmtime::component::Resource;

use crate::Runtime;
use crate::call::CallState;
use crate::call::Session;
use crate::call::within;
use crate::component::Loaded;
use crate::component::World;
use crate::v0_1::bindings::api::kiln::plugin::types::Attr;
use crate::v0_1::bindings::scanner::ScannerPlugin;
use crate::v0_1::bindings::scanner::ScannerPluginPre;
use crate::v0_1::bindings::scanner::exports::kiln::plugin::scanner as wit;
use crate::v0_1::cataloger::check_packages;
use crate::v0_1::cataloger::package;
use crate::v0_1::cataloger::said;
use crate::v0_1::driver::Driver;
use crate::v0_1::silent::SilentBridge;

const WORLD: World = World {
    name: "scanner-plugin",
    version: "0.1.0",
    imports: &["types", "log", "content", "sbom"],
    export: "scanner",
};

/// What the export is called.
const CALL: &str = "scan";
/// Most documents of one report. Their bytes are bounded by the limit of a call's output.
const DOCUMENTS: usize = 16;

/// A scanner that is a component.
pub(crate) struct WasmScanner {
    driver: Driver,
    pre: ScannerPluginPre<CallState>,
}

impl WasmScanner {
    /// Fits the component to the world.
    pub(crate) fn new(runtime: Runtime, loaded: Loaded) -> Result<Self, PluginError> {
        let limits = runtime.shared.config.scanner;
        let (driver, pre) = Driver::fit(runtime, loaded, (&WORLD, limits), link, ScannerPluginPre::new)?;
        Ok(Self { driver, pre })
    }

    async fn run(
        &self,
        root: Arc<dyn FileTree>,
        options: &[(String, String)],
        bridge: Arc<SilentBridge>,
    ) -> Result<Result<wit::Report, String>, PluginError> {
        let session = self.driver.session(bridge, Some(root));
        let mut running = self.driver.begin(CALL, session).await?;
        let clock = running.clock.clone();
        let invoked = invoke(&self.pre, &mut running.store, options);
        let result = within(&clock, self.driver.limits.wall, invoked).await;
        self.driver.end(running, 0, result)
    }
}

fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    ScannerPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

async fn invoke(
    pre: &ScannerPluginPre<CallState>,
    store: &mut Store<CallState>,
    options: &[(String, String)],
) -> wasmtime::Result<Result<wit::Report, String>> {
    let plugin = pre.instantiate_async(&mut *store).await?;
    let attr = |(key, value): &(String, String)| Attr {
        key: key.clone(),
        value: value.clone(),
    };
    let options: Vec<Attr> = options.iter().map(attr).collect();
    let root = Resource::new_borrow(Session::FILES);
    let scanner = plugin.kiln_plugin_scanner();
    let report = scanner.call_scan(store, root, &options).await?;
    Ok(report.map_err(said))
}

/// Checks the documents of a report; returns what is wrong with them.
fn check_documents(documents: &[ScanDocument]) -> Result<(), String> {
    if documents.len() > DOCUMENTS {
        let found = documents.len();
        return Err(format!("{found} documents where at most {DOCUMENTS} are allowed"));
    }
    match documents.iter().find(|d| !is_media_type(&d.media_type)) {
        Some(document) => {
            let shown: String = document.media_type.chars().take(80).collect();
            Err(format!("`{}` is no media type", shown.escape_debug()))
        }
        None => Ok(()),
    }
}

/// Tells whether a text is a media type without parameters (RFC 6838, section 4.2).
fn is_media_type(text: &str) -> bool {
    let name = |name: &str| {
        name.len() <= 127
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    text.split_once('/')
        .is_some_and(|(kind, sub)| name(kind) && name(sub))
}

#[async_trait]
impl Scanner for WasmScanner {
    async fn scan(
        &self,
        root: Arc<dyn FileTree>,
        options: &[(String, String)],
    ) -> Result<Scanned, ScanError> {
        let bridge: Arc<SilentBridge> = Arc::default();
        let report = self.run(root, options, bridge.clone()).await?;
        let report = report.map_err(|message| ScanError::Failed {
            plugin: self.driver.name.clone(),
            message,
        })?;
        let packages: Vec<PackageInfo> = report.packages.into_iter().map(package).collect();
        let document = |document: wit::Document| ScanDocument {
            media_type: document.media_type,
            data: document.data,
        };
        let documents: Vec<ScanDocument> = report.documents.into_iter().map(document).collect();
        check_packages(&packages).map_err(|why| self.driver.bad(CALL, why))?;
        check_documents(&documents).map_err(|why| self.driver.bad(CALL, why))?;
        Ok(Scanned {
            packages,
            documents,
            warnings: bridge.warnings(),
        })
    }

    fn component(&self) -> Component {
        self.driver.component()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_few_and_have_media_types() {
        let document = |media_type: &str| ScanDocument {
            media_type: media_type.to_owned(),
            data: Vec::new(),
        };
        let check = |media_type: &str, expect: bool| {
            let checked = check_documents(&[document(media_type)]);
            assert_eq!(checked.is_ok(), expect, "{media_type:?}");
        };
        check("application/spdx+json", true);
        check("application/vnd.cyclonedx+json", true);
        for wrong in [
            "",
            "json",
            "/json",
            "application/",
            "a/b/c",
            "a/b\n",
            "a/b; c=d",
            ".a/b",
        ] {
            check(wrong, false);
        }
        check(&format!("a/{}", "b".repeat(128)), false);
        let many = vec![document("a/b"); DOCUMENTS + 1];
        assert!(check_documents(&many).unwrap_err().contains("at most 16"));
    }
}
