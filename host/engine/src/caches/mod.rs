//! Caches of elsewhere: what a build reads of them and what it leaves there.
//!
//! Reading never fails a build: what is wrong with a cache is a warning, and the steps run.

mod export;
mod fetch;
mod import;
mod mounts;
mod mounts_export;

use std::sync::Arc;

use kiln_cache::Backend;
use kiln_cache::CacheError;
use kiln_cache::LocalBackend;
use kiln_cache::Location;
use kiln_cache::ManifestForm;
use kiln_cache::ObjectBackend;
use kiln_cache::RegistryBackend;
use kiln_image::Digest;
use kiln_progress::Event;
use kiln_progress::Sink;
use kiln_progress::Warning;

pub(crate) use self::export::Solved;
pub(crate) use self::export::export;
pub(crate) use self::export::inline;
pub(crate) use self::import::Imports;
pub(crate) use self::mounts::CacheMounts;

/// Returns who reads and writes at a place; none for what is inside an image.
fn open(
    client: &kiln_registry::Client,
    location: &Location,
    form: ManifestForm,
) -> Result<Option<Arc<dyn Backend>>, CacheError> {
    let backend: Arc<dyn Backend> = match location {
        Location::Inline => return Ok(None),
        Location::Objects(objects) => Arc::new(ObjectBackend::open(objects)?),
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
