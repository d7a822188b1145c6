//! Caches of elsewhere: what a build reads of them and what it leaves there.
//!
//! Reading never fails a build: what is wrong with a cache is a warning, and the steps run.

mod adapter;
mod export;
mod fetch;
mod import;
mod mounts;
mod mounts_export;
mod outside;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kiln_cache::AdapterPlace;
use kiln_cache::Backend;
use kiln_cache::Bucket;
use kiln_cache::CacheError;
use kiln_cache::LocalBackend;
use kiln_cache::Location;
use kiln_cache::ManifestForm;
use kiln_cache::ObjectBackend;
use kiln_cache::RegistryBackend;
use kiln_image::Digest;
use kiln_plugin::Ledger;
use kiln_progress::Event;
use kiln_progress::Sink;
use kiln_progress::Warning;

use self::adapter::AdapterBackend;
pub(crate) use self::export::Solved;
pub(crate) use self::export::export;
pub(crate) use self::export::inline;
pub(crate) use self::import::Imports;
pub(crate) use self::mounts::CacheMounts;
use self::outside::Outside;
use crate::config::Config;
use crate::request::BuildRequest;
use crate::request::Secret;

/// Opens the places of caches.
#[derive(Clone)]
pub(crate) struct Places {
    config: Arc<Config>,
    secrets: BTreeMap<String, Secret>,
    ledger: Ledger,
}

impl Places {
    /// Returns who opens places in the name of a build.
    pub(crate) fn new(config: &Arc<Config>, request: &BuildRequest) -> Self {
        Self {
            config: config.clone(),
            secrets: request.secrets.clone(),
            ledger: request.ledger.clone(),
        }
    }

    /// Returns who reads and writes at a place; none for what is inside an image.
    async fn open(
        &self,
        location: &Location,
        form: ManifestForm,
    ) -> Result<Option<Arc<dyn Backend>>, CacheError> {
        let client = &self.config.registry;
        let backend: Arc<dyn Backend> = match location {
            Location::Inline => return Ok(None),
            Location::Objects(objects) => Arc::new(ObjectBackend::open(objects)?),
            Location::Adapter(place) => Arc::new(self.adapter(place).await?),
            Location::Local {
                path,
                tag,
                digest,
                reset,
            } => {
                let mut backend = LocalBackend::new(path, tag).form(form);
                if let Some(digest) = digest {
                    backend = backend.at(*digest);
                }
                if *reset {
                    backend = backend.resetting();
                }
                Arc::new(backend)
            }
            Location::Registry { reference, insecure } => {
                let client = if *insecure {
                    client.allowing_insecure(reference.registry())
                } else {
                    client.clone()
                };
                let backend = RegistryBackend::new(client, (**reference).clone()).form(form);
                Arc::new(backend)
            }
        };
        Ok(Some(backend))
    }

    /// Opens a place that may take its time: a plugin's.
    async fn open_within(
        &self,
        location: &Location,
        timeout: Duration,
    ) -> Result<Option<Arc<dyn Backend>>, CacheError> {
        let opened = tokio::time::timeout(timeout, self.open(location, ManifestForm::default())).await;
        opened.unwrap_or_else(|_| {
            Err(CacheError::Timeout {
                place: match location {
                    Location::Adapter(place) => place.place(),
                    location => format!("{location:?}"),
                },
                seconds: timeout.as_secs(),
            })
        })
    }

    async fn adapter(&self, place: &AdapterPlace) -> Result<AdapterBackend, CacheError> {
        let unavailable = |problem: String| CacheError::Unavailable {
            place: place.place(),
            problem,
        };
        let opened = self.config.adapters.open(place, &self.ledger).await;
        let opened = opened.map_err(|error| unavailable(error.to_string()))?;
        let bucket = place.bucket.as_ref().map(Bucket::open).transpose()?;
        let secrets = self.secrets.clone();
        let outside = Outside::new(opened.authority, bucket, secrets, &self.config.fetch);
        let outside = outside.map_err(|error| unavailable(error.to_string()))?;
        AdapterBackend::open(opened.adapter, place, outside, opened.options).await
    }
}

fn warn_text(sink: &Arc<dyn Sink>, vertex: Digest, short: String) {
    sink.emit(Event::Warning(Box::new(Warning {
        vertex,
        level: 1,
        short,
        detail: Vec::new(),
        url: None,
        source: None,
        ranges: Vec::new(),
    })));
}
