//! `--cache-to`: what a build did, for other machines.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::future::try_join_all;
use futures::stream;
use kiln_cache::Backend;
use kiln_cache::CacheImage;
use kiln_cache::CacheTo;
use kiln_cache::Export;
use kiln_cache::ExportInput;
use kiln_cache::ExportStep;
use kiln_cache::LayerInfo;
use kiln_cache::Location;
use kiln_cache::Mode;
use kiln_cache::ObjectKind;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_progress::End;
use kiln_progress::Step;
use kiln_solver::Edge;
use kiln_solver::Graph;
use kiln_solver::Session;
use kiln_solver::Trace;

use crate::bridge::chain;
use crate::build::BuildContext;
use crate::error::BuildError;
use crate::export::AnyError;
use crate::layers::BlobForm;
use crate::layers::LayerId;
use crate::layers::Recompress;
use crate::layers::Ref;

/// Blobs that are sent at a time.
pub(super) const UPLOADS: usize = 4;

/// A graph whose targets were solved.
pub(crate) struct Solved {
    pub(crate) graph: Graph<Ref>,
    pub(crate) targets: Vec<Edge>,
}

/// Leaves the build's cache wherever the request says.
pub(crate) async fn export(
    build: &Arc<BuildContext>,
    session: &Session<Ref>,
    solved: &Solved,
) -> Result<(), BuildError> {
    let mut trace = None;
    for (number, to) in build.request.cache_to.iter().enumerate() {
        let name = match &to.location {
            Location::Inline => continue,
            Location::Local { .. } => "exporting cache to client directory",
            Location::Registry { .. } => "exporting cache to registry",
            Location::Objects(objects) if objects.kind() == ObjectKind::S3 => "exporting cache to Amazon S3",
            Location::Objects(_) => "exporting cache to Azure Blob Storage",
            Location::Adapter(_) => "exporting cache by a plugin",
        };
        let step = Step::start(
            &build.sink,
            Digest::of(format!("{} {number} {name}", build.session)),
            name,
        );
        if trace.is_none() {
            trace = Some(session.trace(&solved.graph, &solved.targets).await);
        }
        let Some(trace) = &trace else { continue };
        let done = match super::Places::new(&build.config, &build.request)
            .open(&to.location, to.form)
            .await
        {
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(Some(backend)) => {
                let job = Job {
                    build,
                    to,
                    trace,
                    backend,
                };
                job.run(&step).await
            }
        };
        match done {
            Ok(()) => step.finish(End::Done),
            Err(error) => {
                step.finish(End::Failed(chain(&*error)));
                if !to.ignore_error {
                    return Err(BuildError::CacheExport(error));
                }
            }
        }
    }
    Ok(())
}

/// One export.
struct Job<'a> {
    build: &'a Arc<BuildContext>,
    to: &'a CacheTo,
    trace: &'a Trace<Ref>,
    backend: Arc<dyn Backend>,
}

impl Job<'_> {
    async fn run(&self, step: &Step) -> Result<(), AnyError> {
        let part = step.part("exporting", "preparing build cache for export", 0);
        let kept = kept(self.trace, self.to.mode);
        let described = kept.iter().map(|stack| async move {
            match stack {
                Some(stack) => self.describe(stack).await.map(Some),
                None => Ok(None),
            }
        });
        let results = try_join_all(described).await?;
        let image = Export::of(&steps(self.trace, results));
        part.done();
        self.upload(step, &image, &kept).await?;
        let part = step.part("exporting", "writing cache manifest", 0);
        self.backend.commit(&image).await?;
        part.done();
        super::mounts_export::export(self.build, self.to, step).await
    }

    fn form(&self) -> (BlobForm, Recompress) {
        let recompress = if self.to.force_compression {
            Recompress::Yes
        } else {
            Recompress::No
        };
        (
            BlobForm::new(self.to.compression, self.to.level, None),
            recompress,
        )
    }

    /// Returns the blobs of a stack; those that are elsewhere are not fetched.
    async fn describe(&self, stack: &Ref) -> Result<Vec<LayerInfo>, AnyError> {
        let (form, recompress) = self.form();
        let layers = &self.build.layers;
        let blobs = (0..stack.layers().len()).map(|at| layers.described_blob(stack, at, &form, recompress));
        let blobs = try_join_all(blobs).await?;
        let infos = stack.layers().iter().zip(blobs).map(|(layer, blob)| LayerInfo {
            descriptor: blob.descriptor,
            diff_id: blob.diff_id,
            created: Some(layer.created()),
        });
        Ok(infos.collect())
    }

    async fn upload(&self, step: &Step, image: &CacheImage, stacks: &[Option<Ref>]) -> Result<(), AnyError> {
        let blobs: Vec<Descriptor> = image
            .layers
            .values()
            .map(|layer| layer.descriptor.clone())
            .collect();
        let absent = self.backend.absent(&blobs).await?;
        if absent.is_empty() {
            return Ok(());
        }
        // Layers that lie elsewhere are named by their diff IDs, and can be fetched.
        let mut places = BTreeMap::new();
        for stack in stacks.iter().flatten() {
            for (at, layer) in stack.layers().iter().enumerate() {
                places.entry(layer.id()).or_insert((stack, at));
            }
        }
        let sends = absent.iter().filter_map(|digest| image.layers.get(digest));
        let sends = sends.map(|layer| {
            let place = places.get(&LayerId(layer.diff_id)).copied();
            self.send(step, &layer.descriptor, place)
        });
        stream::iter(sends.collect::<Vec<_>>())
            .buffer_unordered(UPLOADS)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn send(
        &self,
        step: &Step,
        blob: &Descriptor,
        place: Option<(&Ref, usize)>,
    ) -> Result<(), AnyError> {
        let part = step.part("exporting", format!("writing layer {}", blob.digest), blob.size);
        let store = self.build.layers.store();
        if let Some((stack, at)) = place
            && !store.contains(&blob.digest)?
        {
            let (form, recompress) = self.form();
            self.build.layers.blob(stack, at, &form, recompress).await?;
        }
        self.backend.put(blob, &store.blob_path(&blob.digest)).await?;
        part.done();
        Ok(())
    }
}

/// Returns the results that are exported, by step.
fn kept(trace: &Trace<Ref>, mode: Mode) -> Vec<Option<Ref>> {
    let ids = |stack: &Ref| stack.layers().iter().map(|layer| layer.id()).collect::<Vec<_>>();
    let targets: Vec<Vec<LayerId>> = trace
        .targets
        .iter()
        .filter_map(|target| trace.steps[*target].result.as_ref())
        .map(ids)
        .collect();
    let steps = trace.steps.iter().map(|step| {
        let stack = step
            .result
            .clone()
            .filter(|_| !step.keys.is_empty() && !step.inputs.is_empty())?;
        let own = ids(&stack);
        let wanted = mode == Mode::Max || targets.iter().any(|target| target.starts_with(&own));
        (wanted && !own.is_empty()).then_some(stack)
    });
    steps.collect()
}

fn steps(trace: &Trace<Ref>, results: Vec<Option<Vec<LayerInfo>>>) -> Vec<ExportStep> {
    let steps = trace.steps.iter().zip(results).map(|(step, result)| {
        let inputs = step.inputs.iter().map(|input| ExportInput {
            step: input.step,
            selector: input.selector,
            content: input.content,
        });
        ExportStep {
            keys: step.keys.clone(),
            output: step.output,
            inputs: inputs.collect(),
            result,
        }
    });
    steps.collect()
}

/// Returns the cache to put into the config of the image that `target` is; none when there is nothing to tell.
pub(crate) async fn inline(session: &Session<Ref>, solved: &Solved, target: Edge) -> Option<String> {
    let trace = session.trace(&solved.graph, &[target]).await;
    let stack = trace.steps[*trace.targets.first()?].result.clone()?;
    // Only places in the image are written down, so the layers' own names will do.
    let name = |layer: &Arc<crate::layers::Layer>| LayerInfo {
        descriptor: Descriptor::new("", layer.id().0, 0),
        diff_id: layer.id().0,
        created: Some(layer.created()),
    };
    let results = kept(&trace, Mode::Max).into_iter();
    let results = results.map(|stack| stack.map(|stack| stack.layers().iter().map(name).collect()));
    let cache = Export::of(&steps(&trace, results.collect()));
    let image: Vec<Digest> = stack.layers().iter().map(|layer| layer.id().0).collect();
    kiln_cache::inline(&cache, &image)
}
