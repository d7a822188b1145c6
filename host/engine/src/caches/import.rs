//! `--cache-from`: caches are read side by side, before the first step is looked up.

use std::sync::Arc;

use futures::future::join_all;
use kiln_cache::Backend;
use kiln_cache::CacheError;
use kiln_cache::CacheFrom;
use kiln_cache::CacheImage;
use kiln_cache::ImportedIndex;
use kiln_cache::LayerInfo;
use kiln_cache::Materialise;
use kiln_image::Digest;
use kiln_image::MediaType;
use kiln_progress::End;
use kiln_progress::Sink;
use kiln_progress::Step;
use kiln_solver::CacheIndex;

use super::Places;
use super::fetch::Faults;
use super::fetch::FromCache;
use super::warn_text;
use crate::bridge::chain;
use crate::layers::FetchLayer;
use crate::layers::Layers;
use crate::layers::Ref;

/// The caches that a build looks into.
pub(crate) struct Imports {
    indexes: Vec<Arc<dyn CacheIndex<Ref>>>,
    faults: Faults,
    sink: Arc<dyn Sink>,
    /// The step that warnings are shown under.
    step: Option<Digest>,
}

/// Makes stacks of imported layers.
struct Stacks {
    layers: Layers,
    place: String,
    fetch: Arc<dyn FetchLayer>,
    faults: Faults,
}

impl Materialise<Ref> for Stacks {
    fn result(&self, layers: &[LayerInfo]) -> Option<Ref> {
        let usable = |layer: &LayerInfo| {
            MediaType::layer_compression(&layer.descriptor.media_type).is_some()
                && self.faults.allow(&self.place, &layer.descriptor.digest)
        };
        if !layers.iter().all(usable) {
            return None;
        }
        let layers = layers
            .iter()
            .map(|layer| self.layers.of_cache(layer, self.fetch.clone()));
        Some(Ref::new(layers.collect()))
    }
}

impl Imports {
    /// Reads all caches. What cannot be read is a warning.
    pub(crate) async fn read(
        from: &[CacheFrom],
        places: &Places,
        layers: &Layers,
        sink: &Arc<dyn Sink>,
    ) -> Self {
        let faults = Faults::default();
        let reads = (0..)
            .zip(from)
            .map(|(number, from)| read_one(number, from, places, sink));
        let mut imports = Self {
            indexes: Vec::new(),
            faults: faults.clone(),
            sink: sink.clone(),
            step: None,
        };
        for (step, backend, images) in join_all(reads).await.into_iter().flatten() {
            imports.step = imports.step.or(Some(step.digest()));
            let place = backend.place();
            let fetch = FromCache {
                backend,
                faults: faults.clone(),
            };
            let mut index = ImportedIndex::new(Stacks {
                layers: layers.clone(),
                place: place.clone(),
                fetch: Arc::new(fetch),
                faults: faults.clone(),
            });
            for image in images {
                if let Err(problem) = index.add(image) {
                    let error = CacheError::Invalid {
                        place: place.clone(),
                        what: "cache config",
                        problem,
                    };
                    warn(sink, step.digest(), &error);
                }
            }
            step.finish(End::Done);
            if !index.is_empty() {
                imports.indexes.push(Arc::new(index));
            }
        }
        imports
    }

    /// Returns the caches as indexes for the solver.
    pub(crate) fn indexes(&self) -> Vec<Arc<dyn CacheIndex<Ref>>> {
        self.indexes.clone()
    }

    /// Returns whether something turned out to be wrong since the last call, after a warning: what failed for it is
    /// worth another try, which uses it no more.
    pub(crate) fn has_failed(&self) -> bool {
        let news = self.faults.news();
        for text in &news {
            if let Some(step) = self.step {
                warn_text(&self.sink, step, format!("{text}; its steps run instead"));
            }
        }
        !news.is_empty()
    }
}

async fn read_one(
    number: usize,
    from: &CacheFrom,
    places: &Places,
    sink: &Arc<dyn Sink>,
) -> Option<(Step, Arc<dyn Backend>, Vec<CacheImage>)> {
    let backend = match places.open_within(&from.location, from.timeout).await {
        Ok(backend) => backend?,
        Err(error) => {
            let name = "importing cache manifest";
            let step = Step::start(sink, Digest::of(format!("{number} {name}")), name);
            warn(sink, step.digest(), &error);
            step.finish(End::Done);
            return None;
        }
    };
    let place = backend.place();
    let name = format!("importing cache manifest from {place}");
    let step = Step::start(sink, Digest::of(format!("{number} {name}")), &name);
    let timeout = |_| CacheError::Timeout {
        place,
        seconds: from.timeout.as_secs(),
    };
    let read = tokio::time::timeout(from.timeout, backend.read()).await;
    let images = match read.map_err(timeout).and_then(|read| read) {
        Ok(images) => images,
        Err(error) => {
            warn(sink, step.digest(), &error);
            Vec::new()
        }
    };
    Some((step, backend, images))
}

fn warn(sink: &Arc<dyn Sink>, step: Digest, error: &CacheError) {
    warn_text(sink, step, format!("cache not used: {}", chain(error)));
}
