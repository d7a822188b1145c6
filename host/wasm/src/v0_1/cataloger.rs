//! Catalogers of this version.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use kiln_image::Digest;
use kiln_plugin::CallUse;
use kiln_plugin::CatalogError;
use kiln_plugin::Cataloged;
use kiln_plugin::Cataloger;
use kiln_plugin::Component;
use kiln_plugin::Interest;
use kiln_plugin::Limits;
use kiln_plugin::Matched;
use kiln_plugin::Memo;
use kiln_plugin::PackageInfo;
use kiln_plugin::PluginError;
use kiln_plugin::Usage;
use wasmtime::Store;
use wasmtime::UpdateDeadline;
use wasmtime::component::HasSelf;
use wasmtime::component::Linker;

use crate::Runtime;
use crate::call::CallState;
use crate::call::LimitHit;
use crate::call::Session;
use crate::call::link_wasi;
use crate::call::plugin_error;
use crate::call::within;
use crate::component::Loaded;
use crate::component::World;
use crate::v0_1::bindings::cataloger::CatalogerPlugin;
use crate::v0_1::bindings::cataloger::CatalogerPluginPre;
use crate::v0_1::bindings::cataloger::exports::kiln::plugin::cataloger as wit;
use crate::v0_1::silent::SilentBridge;

const WORLD: World = World {
    name: "cataloger-plugin",
    version: "0.1.0",
    imports: &["types", "log", "sbom"],
    export: "cataloger",
};

/// Types only.
impl crate::v0_1::bindings::api::kiln::plugin::sbom::Host for CallState {}

/// Most interests of a cataloger, most packages of one answer, longest text in one.
const INTERESTS: usize = 100;
const PACKAGES: usize = 200_000;
const TEXT: usize = 64 << 10;

/// A cataloger that is a component.
pub(crate) struct WasmCataloger {
    runtime: Runtime,
    name: String,
    digest: Digest,
    pre: CatalogerPluginPre<CallState>,
    limits: Limits,
}

/// A call of an export.
enum Call<'a> {
    Interests,
    Catalog(&'a [Matched]),
}

/// What an export returned.
enum Returned {
    Interests(Vec<Interest>),
    Packages(Result<Vec<PackageInfo>, String>),
}

impl Call<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Interests => "interests",
            Self::Catalog(_) => "catalog",
        }
    }
}

impl Call<'_> {
    /// Returns how many bytes of files the call hands over.
    fn bytes(&self) -> u64 {
        match self {
            Self::Interests => 0,
            Self::Catalog(files) => files.iter().map(|file| file.content.len() as u64).sum(),
        }
    }
}

impl WasmCataloger {
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
            .and_then(CatalogerPluginPre::new)
            .map_err(|error| wrong(vec![format!("{error:#}")]))?;
        Ok(Self {
            limits: runtime.shared.config.cataloger,
            runtime,
            name: loaded.name,
            digest: loaded.digest,
            pre,
        })
    }

    async fn run(&self, call: Call<'_>, bridge: Arc<SilentBridge>) -> Result<Returned, PluginError> {
        let permits = Arc::clone(&self.runtime.shared.permits);
        let mut session = Session::new(bridge, None, self.limits, permits);
        session.wait_for_room().await;
        let started = Instant::now();
        let clock = session.clock.clone();
        let failed = |error: &wasmtime::Error, panic: Option<&str>| {
            plugin_error(&self.name, call.name(), &self.limits, error, panic)
        };
        let state = CallState::new(session, self.limits, &self.digest);
        let mut store = self.store(state).map_err(|error| failed(&error, None))?;
        let invoked = invoke(&self.pre, &mut store, &call);
        let result = within(&clock, self.limits.wall, invoked).await;
        let left = store.get_fuel().unwrap_or_default();
        let state = store.into_data();
        if let Some(ledger) = &self.runtime.ledger {
            let usage = Usage {
                fuel: self.limits.fuel.saturating_sub(left),
                wall: started.elapsed(),
                peak_memory: state.used.peak_memory,
                host_calls: state.session.calls,
                bytes: state.session.bytes + call.bytes(),
                memo_hit: false,
            };
            let call = CallUse {
                call: call.name().to_owned(),
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

    fn bad(&self, call: &str, why: String) -> PluginError {
        PluginError::BadOutput {
            plugin: self.name.clone(),
            call: call.to_owned(),
            why,
        }
    }
}

fn link(linker: &mut Linker<CallState>, loaded: &Loaded) -> wasmtime::Result<()> {
    if loaded.imports_wasi() {
        link_wasi(linker)?;
    }
    CatalogerPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

async fn invoke(
    pre: &CatalogerPluginPre<CallState>,
    store: &mut Store<CallState>,
    call: &Call<'_>,
) -> wasmtime::Result<Returned> {
    let plugin = pre.instantiate_async(&mut *store).await?;
    let cataloger = plugin.kiln_plugin_cataloger();
    Ok(match call {
        Call::Interests => {
            let found = cataloger.call_interests(store).await?;
            let interest = |interest: wit::Interest| Interest {
                id: interest.id,
                globs: interest.globs,
                max_size: interest.max_size,
                head: interest.head,
            };
            Returned::Interests(found.into_iter().map(interest).collect())
        }
        Call::Catalog(files) => {
            let file = |file: &Matched| wit::Matched {
                interest: file.interest.clone(),
                path: file.path.clone(),
                digest: file.digest.to_string(),
                content: file.content.clone(),
            };
            let files: Vec<wit::Matched> = files.iter().map(file).collect();
            let found = cataloger.call_catalog(store, &files).await?;
            let packages = found.map(|found| found.into_iter().map(package).collect());
            Returned::Packages(packages.map_err(|error| format!("{error:?}")))
        }
    })
}

pub(crate) fn package(package: wit::PackageInfo) -> PackageInfo {
    let relations = package.relations.into_iter().map(|r| (r.purl, r.kind));
    let attrs = package.attrs.into_iter().map(|attr| (attr.key, attr.value));
    PackageInfo {
        name: package.name,
        version: package.version,
        purl: package.purl,
        licenses: package.licenses,
        locations: package.locations,
        relations: relations.collect(),
        attrs: attrs.collect(),
    }
}

/// Bounds the packages of an answer; returns what is wrong with them.
pub(crate) fn check_packages(packages: &[PackageInfo]) -> Result<(), String> {
    if packages.len() > PACKAGES {
        let found = packages.len();
        return Err(format!("{found} packages where at most {PACKAGES} are allowed"));
    }
    let long = |p: &&PackageInfo| {
        [&p.name, &p.version, &p.purl]
            .iter()
            .any(|text| text.len() > TEXT)
    };
    let Some(package) = packages.iter().find(long) else {
        return Ok(());
    };
    let name: String = package.name.chars().take(80).collect();
    Err(format!("package `{name}` has a text of more than {TEXT} bytes"))
}

#[async_trait]
impl Cataloger for WasmCataloger {
    async fn interests(&self) -> Result<Vec<Interest>, PluginError> {
        match self.run(Call::Interests, Arc::default()).await? {
            Returned::Interests(interests) if interests.len() <= INTERESTS => Ok(interests),
            _ => Err(self.bad("interests", format!("more than {INTERESTS} interests"))),
        }
    }

    async fn catalog(&self, files: &[Matched]) -> Result<Cataloged, CatalogError> {
        let bridge: Arc<SilentBridge> = Arc::default();
        let Returned::Packages(packages) = self.run(Call::Catalog(files), bridge.clone()).await? else {
            return Err(self.bad("catalog", "an answer to another call".to_owned()).into());
        };
        let packages = packages.map_err(|message| CatalogError::Failed {
            plugin: self.name.clone(),
            message,
        })?;
        check_packages(&packages).map_err(|why| self.bad("catalog", why))?;
        Ok(Cataloged {
            packages,
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
