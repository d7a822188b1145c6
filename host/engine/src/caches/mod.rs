//! Caches of elsewhere: what a build reads of them and what it leaves there.
//!
//! Reading never fails a build: what is wrong with a cache is a warning, and the steps run.

mod export;
mod fetch;
mod import;

use std::sync::Arc;

use kiln_cache::Backend;
use kiln_cache::CacheError;
use kiln_cache::LocalBackend;
use kiln_cache::Location;
use kiln_cache::ManifestForm;
use kiln_cache::ObjectBackend;
use kiln_cache::RegistryBackend;

pub(crate) use self::export::Solved;
pub(crate) use self::export::export;
pub(crate) use self::export::inline;
pub(crate) use self::import::Imports;

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
