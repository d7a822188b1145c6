//! Cache adapters of this version. Each call opens the adapter anew: nothing stays in it between two calls.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_plugin::AdapterCall;
use kiln_plugin::AdapterError;
use kiln_plugin::BlobRef;
use kiln_plugin::CacheAdapter;
use kiln_plugin::Component;
use kiln_plugin::GetPlan;
use kiln_plugin::HttpRequest;
use kiln_plugin::PluginError;
use kiln_plugin::PutPlan;
use wasmtime::Store;
use wasmtime::component::HasSelf;
use wasmtime::component::Linker;

use crate::Runtime;
use crate::call::CallState;
use crate::call::within;
use crate::component::Loaded;
use crate::component::World;
use crate::v0_1::bindings::api::kiln::plugin::types;
use crate::v0_1::bindings::cache::CachePlugin;
use crate::v0_1::bindings::cache::CachePluginPre;
use crate::v0_1::bindings::cache::exports::kiln::plugin::cache as wit;
use crate::v0_1::convert::Convert;
use crate::v0_1::driver::Driver;
use crate::v0_1::outside::check_request;
use crate::v0_1::silent::SilentBridge;

const WORLD: World = World {
    name: "cache-plugin",
    version: "0.1.0",
    imports: &["types", "log", "objects", "http"],
    export: "cache",
};

/// Longest key of a plan, and most requests for one blob.
const KEY: usize = 1024;
const PARTS: usize = 10_000;
/// Smallest part of a blob: smaller ones would be requests without end.
const PART: u64 = 64 << 10;

/// A cache adapter that is a component.
pub(crate) struct WasmAdapter {
    driver: Driver,
    pre: CachePluginPre<CallState>,
}

/// A call of an export.
enum Ask<'a> {
    Open,
    PlanGet(&'a [BlobRef]),
    PlanPut(&'a [BlobRef]),
    GetManifest(&'a str),
    PutManifest(&'a str, &'a [u8]),
    Commit(&'a [BlobRef]),
}

/// What an export returned.
enum Told {
    Done,
    Gets(Vec<GetPlan>),
    Puts(Vec<PutPlan>),
    Manifest(Option<Vec<u8>>),
}

impl Ask<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::PlanGet(_) => "plan-get",
            Self::PlanPut(_) => "plan-put",
            Self::GetManifest(_) => "get-manifest",
            Self::PutManifest(..) => "put-manifest",
            Self::Commit(_) => "commit",
        }
    }

    /// Returns how many bytes the call hands over.
    fn bytes(&self) -> u64 {
        match self {
            Self::Open => 0,
            Self::GetManifest(name) => name.len() as u64,
            Self::PutManifest(name, data) => (name.len() + data.len()) as u64,
            Self::PlanGet(blobs) | Self::PlanPut(blobs) | Self::Commit(blobs) => blobs.len() as u64 * 80,
        }
    }
}

impl WasmAdapter {
    /// Fits the component to the world.
    pub(crate) fn new(runtime: Runtime, loaded: Loaded) -> Result<Self, PluginError> {
        let limits = runtime.shared.config.cache;
        let (driver, pre) = Driver::fit(runtime, loaded, (&WORLD, limits), link, CachePluginPre::new)?;
        Ok(Self { driver, pre })
    }

    async fn run(&self, call: &AdapterCall, ask: Ask<'_>) -> Result<Told, AdapterError> {
        let bridge = Arc::new(SilentBridge::telling(Arc::clone(&call.bridge)));
        let mut session = self.driver.session(bridge, None);
        session.lend_outside(Arc::clone(&call.bridge));
        let mut running = self.driver.begin(ask.name(), session).await?;
        let clock = running.clock.clone();
        let invoked = invoke(&self.pre, &mut running.store, &call.config, &ask);
        let result = within(&clock, self.driver.limits.wall, invoked).await;
        let told = self.driver.end(running, ask.bytes(), result)?;
        told.map_err(|error| AdapterError::Failed {
            plugin: self.driver.name.clone(),
            error: error.convert(),
        })
    }

    /// Returns the error of an answer to something else; the calls and their answers are matched in one place.
    fn mixed_up(&self, call: &str) -> AdapterError {
        self.driver
            .bad(call, "an answer to another call".to_owned())
            .into()
    }

    fn check<T>(
        &self,
        call: &str,
        blobs: &[BlobRef],
        plans: Vec<T>,
        wrong: fn(&T, u64) -> Result<(), String>,
    ) -> Result<Vec<T>, AdapterError> {
        if plans.len() != blobs.len() {
            let why = format!("{} plans for {} blobs", plans.len(), blobs.len());
            return Err(self.driver.bad(call, why).into());
        }
        for (plan, blob) in plans.iter().zip(blobs) {
            wrong(plan, blob.size).map_err(|why| self.driver.bad(call, why))?;
        }
        Ok(plans)
    }
}

fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    CachePlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

async fn invoke(
    pre: &CachePluginPre<CallState>,
    store: &mut Store<CallState>,
    config: &[(String, String)],
    ask: &Ask<'_>,
) -> wasmtime::Result<Result<Told, types::Error>> {
    let plugin = pre.instantiate_async(&mut *store).await?;
    let cache = plugin.kiln_plugin_cache();
    let config: Vec<types::Attr> = config.to_vec().convert();
    if let Err(error) = cache.call_open(&mut *store, &config).await? {
        return Ok(Err(error));
    }
    let refs = |blobs: &[BlobRef]| -> Vec<wit::BlobRef> { blobs.to_vec().convert() };
    Ok(match ask {
        Ask::Open => Ok(Told::Done),
        Ask::PlanGet(blobs) => {
            let plans = cache.call_plan_get(store, &refs(blobs)).await?;
            plans.map(|plans| Told::Gets(plans.convert()))
        }
        Ask::PlanPut(blobs) => {
            let plans = cache.call_plan_put(store, &refs(blobs)).await?;
            plans.map(|plans| Told::Puts(plans.convert()))
        }
        Ask::GetManifest(name) => cache.call_get_manifest(store, name).await?.map(Told::Manifest),
        Ask::PutManifest(name, data) => {
            let stored = cache.call_put_manifest(store, name, data).await?;
            stored.map(|()| Told::Done)
        }
        Ask::Commit(blobs) => cache.call_commit(store, &refs(blobs)).await?.map(|()| Told::Done),
    })
}

fn check_key(key: &str) -> Result<(), String> {
    match key.len() <= KEY && !key.is_empty() {
        true => Ok(()),
        false => Err(format!("a key of {} bytes", key.len())),
    }
}

fn check_get(plan: &GetPlan, _: u64) -> Result<(), String> {
    match plan {
        GetPlan::Miss => Ok(()),
        GetPlan::Object(key) => check_key(key),
        GetPlan::Http(request) => check_request(request),
    }
}

fn check_put(plan: &PutPlan, size: u64) -> Result<(), String> {
    let bodiless = |request: &HttpRequest| match request.body.is_empty() {
        true => check_request(request),
        false => Err("a request with a body, where the blob is the body".to_owned()),
    };
    match plan {
        PutPlan::Present => Ok(()),
        PutPlan::Object(key) => check_key(key),
        PutPlan::Http(request) => bodiless(request),
        PutPlan::Multipart(part, requests) => {
            let enough = part.saturating_mul(requests.len() as u64) >= size;
            if *part < PART || requests.len() > PARTS || !enough {
                let parts = requests.len();
                return Err(format!("{parts} parts of {part} bytes for a blob of {size}"));
            }
            requests.iter().try_for_each(bodiless)
        }
    }
}

#[async_trait]
impl CacheAdapter for WasmAdapter {
    async fn open(&self, call: &AdapterCall) -> Result<(), AdapterError> {
        self.run(call, Ask::Open).await.map(drop)
    }

    async fn plan_get(&self, call: &AdapterCall, blobs: &[BlobRef]) -> Result<Vec<GetPlan>, AdapterError> {
        let ask = Ask::PlanGet(blobs);
        let name = ask.name();
        match self.run(call, ask).await? {
            Told::Gets(plans) => self.check(name, blobs, plans, check_get),
            _ => Err(self.mixed_up(name)),
        }
    }

    async fn plan_put(&self, call: &AdapterCall, blobs: &[BlobRef]) -> Result<Vec<PutPlan>, AdapterError> {
        let ask = Ask::PlanPut(blobs);
        let name = ask.name();
        match self.run(call, ask).await? {
            Told::Puts(plans) => self.check(name, blobs, plans, check_put),
            _ => Err(self.mixed_up(name)),
        }
    }

    async fn get_manifest(&self, call: &AdapterCall, name: &str) -> Result<Option<Vec<u8>>, AdapterError> {
        match self.run(call, Ask::GetManifest(name)).await? {
            Told::Manifest(data) => Ok(data),
            _ => Err(self.mixed_up("get-manifest")),
        }
    }

    async fn put_manifest(&self, call: &AdapterCall, name: &str, data: &[u8]) -> Result<(), AdapterError> {
        self.run(call, Ask::PutManifest(name, data)).await.map(drop)
    }

    async fn commit(&self, call: &AdapterCall, blobs: &[BlobRef]) -> Result<(), AdapterError> {
        self.run(call, Ask::Commit(blobs)).await.map(drop)
    }

    fn component(&self) -> Component {
        self.driver.component()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_checked() {
        let request = |body: &[u8]| HttpRequest {
            method: "PUT".to_owned(),
            url: "http://h/a".to_owned(),
            headers: Vec::new(),
            body: body.to_vec(),
            auth: None,
        };
        let check = |plan: PutPlan, size: u64, expect: bool| {
            assert_eq!(check_put(&plan, size).is_ok(), expect, "{plan:?}");
        };
        check(PutPlan::Present, 1, true);
        check(PutPlan::Object("a".into()), 1, true);
        check(PutPlan::Object(String::new()), 1, false);
        check(PutPlan::Object("a".repeat(1025)), 1, false);
        check(PutPlan::Http(request(b"")), 1, true);
        check(PutPlan::Http(request(b"mine")), 1, false);
        check(PutPlan::Multipart(PART, vec![request(b""); 2]), 2 * PART, true);
        check(
            PutPlan::Multipart(PART, vec![request(b""); 2]),
            2 * PART + 1,
            false,
        );
        check(PutPlan::Multipart(1, vec![request(b""); 2]), 2, false);
        check(PutPlan::Multipart(u64::MAX, vec![]), 1, false);
        assert!(check_get(&GetPlan::Miss, 1).is_ok());
        assert!(check_get(&GetPlan::Object(String::new()), 1).is_err());
    }
}
