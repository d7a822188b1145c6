//! Catalogers of this version.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_plugin::CatalogError;
use kiln_plugin::Cataloged;
use kiln_plugin::Cataloger;
use kiln_plugin::Component;
use kiln_plugin::HostError;
use kiln_plugin::Interest;
use kiln_plugin::Matched;
use kiln_plugin::PackageInfo;
use kiln_plugin::PluginError;
use wasmtime::Store;
use wasmtime::component::HasSelf;
use wasmtime::component::Linker;

use crate::Runtime;
use crate::call::CallState;
use crate::call::within;
use crate::component::Loaded;
use crate::component::World;
use crate::v0_1::bindings::api::kiln::plugin::types::Error;
use crate::v0_1::bindings::cataloger::CatalogerPlugin;
use crate::v0_1::bindings::cataloger::CatalogerPluginPre;
use crate::v0_1::bindings::cataloger::exports::kiln::plugin::cataloger as wit;
use crate::v0_1::convert::Convert;
use crate::v0_1::driver::Driver;
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
    driver: Driver,
    pre: CatalogerPluginPre<CallState>,
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
        let limits = runtime.shared.config.cataloger;
        let (driver, pre) = Driver::fit(runtime, loaded, (&WORLD, limits), link, CatalogerPluginPre::new)?;
        Ok(Self { driver, pre })
    }

    async fn run(&self, call: Call<'_>, bridge: Arc<SilentBridge>) -> Result<Returned, PluginError> {
        let session = self.driver.session(bridge, None);
        let mut running = self.driver.begin(call.name(), session).await?;
        let clock = running.clock.clone();
        let invoked = invoke(&self.pre, &mut running.store, &call);
        let result = within(&clock, self.driver.limits.wall, invoked).await;
        self.driver.end(running, call.bytes(), result)
    }
}

fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
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
            Returned::Packages(packages.map_err(said))
        }
    })
}

/// Returns what a plugin says went wrong, in its own words.
pub(crate) fn said(error: Error) -> String {
    let error: HostError = error.convert();
    error.to_string()
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
            _ => Err(self
                .driver
                .bad("interests", format!("more than {INTERESTS} interests"))),
        }
    }

    async fn catalog(&self, files: &[Matched]) -> Result<Cataloged, CatalogError> {
        let bridge: Arc<SilentBridge> = Arc::default();
        let Returned::Packages(packages) = self.run(Call::Catalog(files), bridge.clone()).await? else {
            return Err(self
                .driver
                .bad("catalog", "an answer to another call".to_owned())
                .into());
        };
        let packages = packages.map_err(|message| CatalogError::Failed {
            plugin: self.driver.name.clone(),
            message,
        })?;
        check_packages(&packages).map_err(|why| self.driver.bad("catalog", why))?;
        Ok(Cataloged {
            packages,
            warnings: bridge.warnings(),
        })
    }

    fn component(&self) -> Component {
        self.driver.component()
    }
}
