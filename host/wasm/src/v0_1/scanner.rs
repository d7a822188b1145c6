//! Scanners of this version.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use kiln_image::Digest;
use kiln_plugin::CallUse;
use kiln_plugin::Component;
use kiln_plugin::FileTree;
use kiln_plugin::Limits;
use kiln_plugin::Memo;
use kiln_plugin::PackageInfo;
use kiln_plugin::PluginError;
use kiln_plugin::ScanDocument;
use kiln_plugin::ScanError;
use kiln_plugin::Scanned;
use kiln_plugin::Scanner;
use kiln_plugin::Usage;
use wasmtime::Store;
use wasmtime::UpdateDeadline;
use wasmtime::component::HasSelf;
use wasmtime::component::Linker;
use wasmtime::component::Resource;

use crate::Runtime;
use crate::call::CallState;
use crate::call::LimitHit;
use crate::call::Session;
use crate::call::link_wasi;
use crate::call::plugin_error;
use crate::call::within;
use crate::component::Loaded;
use crate::component::World;
use crate::v0_1::bindings::api::kiln::plugin::types::Attr;
use crate::v0_1::bindings::scanner::ScannerPlugin;
use crate::v0_1::bindings::scanner::ScannerPluginPre;
use crate::v0_1::bindings::scanner::exports::kiln::plugin::scanner as wit;
use crate::v0_1::cataloger::check_packages;
use crate::v0_1::cataloger::package;
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
    runtime: Runtime,
    name: String,
    digest: Digest,
    pre: ScannerPluginPre<CallState>,
    limits: Limits,
}

impl WasmScanner {
    /// Fits the component to the world.
    pub(crate) fn new(runtime: Runtime, loaded: Loaded) -> Result<Self, PluginError> {
        let engine = &runtime.shared.engine;
        let wrong = |problems: Vec<String>| PluginError::WrongWorld {
            plugin: loaded.name.clone(),
            world: format!("{}@{}", WORLD.name, WORLD.version),
            problems,
        };
        let problems = WORLD.problems(engine, &loaded.component);
        if !problems.is_empty() {
            return Err(wrong(problems));
        }
        let mut linker = Linker::new(engine);
        let pre = link(&mut linker, &loaded)
            .and_then(|()| linker.instantiate_pre(&loaded.component))
            .and_then(ScannerPluginPre::new)
            .map_err(|error| wrong(vec![format!("{error:#}")]))?;
        Ok(Self {
            limits: runtime.shared.config.scanner,
            runtime,
            name: loaded.name,
            digest: loaded.digest,
            pre,
        })
    }

    async fn run(
        &self,
        root: Arc<dyn FileTree>,
        options: &[(String, String)],
        bridge: Arc<SilentBridge>,
    ) -> Result<Result<wit::Report, String>, PluginError> {
        let permits = Arc::clone(&self.runtime.shared.permits);
        let mut session = Session::new(bridge, Some(root), self.limits, permits);
        session.wait_for_room().await;
        let started = Instant::now();
        let clock = session.clock.clone();
        let failed = |error: &wasmtime::Error, panic: Option<&str>| {
            plugin_error(&self.name, CALL, &self.limits, error, panic)
        };
        let state = CallState::new(session, self.limits, &self.digest);
        let mut store = self.store(state).map_err(|error| failed(&error, None))?;
        let invoked = invoke(&self.pre, &mut store, options);
        let result = within(&clock, self.limits.wall, invoked).await;
        let left = store.get_fuel().unwrap_or_default();
        let state = store.into_data();
        if let Some(ledger) = &self.runtime.ledger {
            let usage = Usage {
                fuel: self.limits.fuel.saturating_sub(left),
                wall: started.elapsed(),
                peak_memory: state.used.peak_memory,
                host_calls: state.session.calls,
                bytes: state.session.bytes,
                memo_hit: false,
            };
            let call = CallUse {
                call: CALL.to_owned(),
                usage,
                memo: Memo::Off,
                answers: Vec::new(),
            };
            ledger.called(&self.name, call);
        }
        result.map_err(|error| failed(&error, state.panic()))
    }

    fn store(&self, state: CallState) -> wasmtime::Result<Store<CallState>> {
        let limits = self.limits;
        let clock = state.session.clock.clone();
        let mut store = Store::new(&self.runtime.shared.engine, state);
        store.limiter(|state| &mut state.used);
        store.set_fuel(limits.fuel)?;
        store.set_hostcall_fuel(usize::try_from(limits.output).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match clock.taken() >= limits.wall {
            true => Err(LimitHit(kiln_plugin::Limit::Wall).into()),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        Ok(store)
    }

    fn bad(&self, why: String) -> PluginError {
        PluginError::BadOutput {
            plugin: self.name.clone(),
            call: CALL.to_owned(),
            why,
        }
    }
}

fn link(linker: &mut Linker<CallState>, loaded: &Loaded) -> wasmtime::Result<()> {
    if loaded.imports_wasi() {
        link_wasi(linker)?;
    }
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
    Ok(report.map_err(|error| format!("{error:?}")))
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
            plugin: self.name.clone(),
            message,
        })?;
        let packages: Vec<PackageInfo> = report.packages.into_iter().map(package).collect();
        let document = |document: wit::Document| ScanDocument {
            media_type: document.media_type,
            data: document.data,
        };
        let documents: Vec<ScanDocument> = report.documents.into_iter().map(document).collect();
        check_packages(&packages).map_err(|why| self.bad(why))?;
        check_documents(&documents).map_err(|why| self.bad(why))?;
        Ok(Scanned {
            packages,
            documents,
            warnings: bridge.warnings(),
        })
    }

    fn component(&self) -> Component {
        Component {
            name: self.name.clone(),
            digest: self.digest,
            world: format!("kiln:plugin/{}@{}", WORLD.name, WORLD.version),
            grants: Vec::new(),
        }
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
