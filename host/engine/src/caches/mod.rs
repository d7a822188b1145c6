//! Caches of elsewhere: what a build reads of them and what it leaves there.
//!
//! Reading never fails a build: what is wrong with a cache is a warning, and the steps run.

mod export;
mod fetch;
mod import;

use std::sync::Arc;

use kiln_cache::Backend;
use kiln_cache::LocalBackend;
use kiln_cache::Location;
use kiln_cache::ManifestForm;
use kiln_cache::RegistryBackend;

pub(crate) use self::export::Solved;
pub(crate) use self::export::export;
pub(crate) use self::export::inline;
pub(crate) use self::import::Imports;

/// Returns who reads and writes at a place; none for what is inside an image.
fn open(client: &kiln_registry::Client, location: &Location, form: ManifestForm) -> Option<Arc<dyn Backend>> {
    match location {
        Location::Inline => None,
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
            Some(Arc::new(backend))
        }
        Location::Registry { reference, insecure } => {
            let client = if *insecure {
                client.allowing_insecure(reference.registry())
            } else {
                client.clone()
            };
            let backend = RegistryBackend::new(client, (**reference).clone()).form(form);
            Some(Arc::new(backend))
        }
    }
}
