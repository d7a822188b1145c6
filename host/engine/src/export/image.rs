//! Outputs that are images.

use std::io::Write;
use std::path::Path;

use futures::future::try_join_all;
use kiln_attest::AttestationManifest;
use kiln_export::ArchiveKind;
use kiln_export::Assembled;
use kiln_export::Blob;
use kiln_export::BlobBytes;
use kiln_export::Destination;
use kiln_export::Format;
use kiln_export::ImageName;
use kiln_export::ImageOutput;
use kiln_export::ImageParts;
use kiln_export::LayerPart;
use kiln_export::Output;
use kiln_export::Rewrite;
use kiln_export::Top;
use kiln_image::Descriptor;
use kiln_image::Platform;
use kiln_image::Reference;
use kiln_progress::Step;
use serde_json::Value;
use serde_json::json;

use super::AnyError;
use super::Built;
use super::Export;
use crate::layers::BlobForm;
use crate::layers::Recompress;
use crate::outcome::BuildOutcome;
use crate::outcome::BuiltImage;

/// Where a layout goes, and in which form.
#[derive(Clone, Copy)]
struct Place<'a> {
    dest: &'a Destination,
    tar: bool,
    docker: bool,
}

/// An image that is ready, with every blob it needs.
pub(super) struct Ready {
    pub(super) top: Descriptor,
    pub(super) images: Vec<Assembled>,
    pub(super) index: Option<Vec<u8>>,
    pub(super) attached: Vec<AttestationManifest>,
    /// The attestations are in no index.
    pub(super) beside: bool,
    pub(super) created: String,
}

impl Export<'_> {
    pub(super) async fn image(
        &self,
        step: &Step,
        output: &Output,
        outcome: &mut BuildOutcome,
    ) -> Result<(), AnyError> {
        let Some(format) = output.format() else {
            return Ok(());
        };
        if self.multi && matches!(output, Output::Docker { dest: Some(_), .. }) {
            return Err("docker exporter does not currently support exporting manifest lists".into());
        }
        let names = self.names(output)?;
        let ready = self.assemble(step, output, format, &names).await?;
        match output {
            Output::Image(image) => self.to_store(step, image, &ready, &names).await?,
            Output::Docker {
                dest: None, format, ..
            } => {
                let image = ImageOutput {
                    store: true,
                    format: format.clone(),
                    ..ImageOutput::default()
                };
                self.to_store(step, &image, &ready, &names).await?;
            }
            Output::Oci { dest, tar, .. } => {
                let place = Place {
                    dest,
                    tar: *tar,
                    docker: false,
                };
                self.to_layout(step, place, &ready, &names).await?;
            }
            Output::Docker {
                dest: Some(dest),
                tar,
                ..
            } => {
                let place = Place {
                    dest,
                    tar: *tar,
                    docker: true,
                };
                self.to_layout(step, place, &ready, &names).await?;
            }
            Output::Tar { .. } | Output::Local { .. } | Output::CacheOnly => {}
        }
        if outcome.sboms.is_empty() {
            outcome.sboms = self.sidecars(Some(&ready.images), &names);
        }
        fill(outcome, ready, &names);
        Ok(())
    }

    fn names(&self, output: &Output) -> Result<Vec<Reference>, AnyError> {
        let given: &[String] = match output {
            Output::Image(image) => &image.names,
            Output::Oci { names, .. } | Output::Docker { names, .. } => names,
            _ => &[],
        };
        let mut names = self.build.request.tags.clone();
        for name in given {
            names.push(name.parse()?);
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.to_string()));
        Ok(names)
    }

    /// Makes blobs of all layers, several at a time, and puts the images together.
    async fn assemble(
        &self,
        step: &Step,
        output: &Output,
        format: &Format,
        names: &[Reference],
    ) -> Result<Ready, AnyError> {
        let epoch = format.epoch.or(self.epoch);
        let part = step.part("exporting", "exporting layers", 0);
        let parts = try_join_all(self.built.iter().map(|built| self.parts(built, format, epoch))).await?;
        part.done();
        let images: Vec<Assembled> = parts
            .iter()
            .map(|parts| kiln_export::assemble(parts, format))
            .collect::<Result<_, _>>()?;
        for image in &images {
            step.part(
                "exporting",
                format!("exporting manifest {}", image.descriptor.digest),
                0,
            )
            .done();
            step.part(
                "exporting",
                format!("exporting config {}", image.manifest.config.digest),
                0,
            )
            .done();
        }
        let created = match epoch {
            Some(epoch) => kiln_export::created_time(epoch)?.to_string(),
            None => jiff::Timestamp::now().round(jiff::Unit::Second)?.to_string(),
        };
        let (attached, beside) = self.attach(step, output, &images, names)?;
        let (top, index) = match (&images[..], self.multi || !(attached.is_empty() || beside)) {
            ([image], false) => {
                kiln_export::check_single(format)?;
                (image.descriptor.clone(), None)
            }
            (images, _) => {
                let (descriptor, bytes) =
                    kiln_export::assemble_index(images, &listed(&attached, beside), format);
                step.part(
                    "exporting",
                    format!("exporting manifest list {}", descriptor.digest),
                    0,
                )
                .done();
                (descriptor, Some(bytes))
            }
        };
        Ok(Ready {
            top,
            images,
            index,
            attached,
            beside,
            created,
        })
    }

    async fn parts(
        &self,
        built: &Built,
        format: &Format,
        epoch: Option<i64>,
    ) -> Result<ImageParts, AnyError> {
        let clamp = epoch.filter(|_| format.rewrite_timestamp != Rewrite::Keep);
        let form = BlobForm::new(format.compression, format.level, clamp);
        let recompress = if format.force_compression {
            Recompress::Yes
        } else {
            Recompress::No
        };
        let layers = &self.build.layers;
        let blobs =
            (0..built.stack.layers().len()).map(|at| layers.blob(&built.stack, at, &form, recompress));
        let blobs = try_join_all(blobs).await?;
        let parts = built
            .stack
            .layers()
            .iter()
            .zip(blobs)
            .map(|(layer, blob)| LayerPart {
                descriptor: marked(blob.descriptor, clamp.filter(|_| layer.is_made()), format),
                diff_id: blob.diff_id,
                created: layer.created(),
                created_by: layer.created_by().to_owned(),
            });
        let attr = |name: &str| {
            built
                .output
                .attrs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, v)| v.clone())
        };
        Ok(ImageParts {
            config: built.output.config.clone(),
            base_config: attr("base-config").unwrap_or_default().into_bytes(),
            layers: parts.collect(),
            platform: built
                .output
                .platform
                .clone()
                .unwrap_or_else(|| self.build.config.platform.clone()),
            epoch,
        })
    }

    fn documents(ready: &Ready) -> Vec<Blob> {
        let images = ready.images.iter();
        let documents = images.flat_map(|image| [image.config.clone(), image.manifest_bytes.clone()]);
        let documents = documents.chain(ready.index.clone());
        let attached = ready.attached.iter().flat_map(super::attest::documents);
        documents.chain(attached).map(Blob::of).collect()
    }

    fn layer_blobs(&self, ready: &Ready) -> Vec<Blob> {
        let layers = ready.images.iter().flat_map(|image| &image.manifest.layers);
        let blob = |layer: &Descriptor| Blob {
            digest: layer.digest,
            size: layer.size,
            bytes: BlobBytes::File(self.build.layers.store().blob_path(&layer.digest)),
        };
        layers.map(blob).collect()
    }

    async fn to_store(
        &self,
        step: &Step,
        output: &ImageOutput,
        ready: &Ready,
        names: &[Reference],
    ) -> Result<(), AnyError> {
        let store = self.build.layers.store();
        for document in Self::documents(ready) {
            if let BlobBytes::Memory(bytes) = document.bytes
                && !store.contains(&document.digest)?
            {
                let mut ingest = store.ingest()?;
                ingest.write_all(&bytes)?;
                ingest.commit(Some(&document.digest))?;
            }
        }
        if output.store {
            let images = crate::images::ImageStore::new(store.clone());
            for name in names {
                let part = step.part("naming", format!("naming to {name}"), 0);
                let beside = if ready.beside { &ready.attached[..] } else { &[] };
                let beside = beside.iter().map(|attached| attached.descriptor.clone());
                images.put(name, ready.top.clone(), ready.created.clone(), beside.collect())?;
                part.done();
            }
        }
        if output.push || output.push_by_digest {
            if names.is_empty() {
                return Err("tag is needed when pushing to registry (give one with `-t` or `name=`)".into());
            }
            let layers = self.layer_blobs(ready);
            for name in names {
                let blobs = [Self::documents(ready), layers.clone()].concat();
                self.push(step, output, name, (&ready.top, &blobs)).await?;
                let client = self.client(output, name);
                for attached in ready.attached.iter().filter(|_| ready.beside) {
                    super::push::list_referrer(&client, name, &ready.top, &attached.descriptor).await?;
                }
            }
        }
        Ok(())
    }

    async fn to_layout(
        &self,
        step: &Step,
        place: Place<'_>,
        ready: &Ready,
        names: &[Reference],
    ) -> Result<(), AnyError> {
        let Place { dest, tar, docker } = place;
        let blobs = [Self::documents(ready), self.layer_blobs(ready)].concat();
        let top = Top {
            descriptor: ready.top.clone(),
            names: names.iter().cloned().map(ImageName).collect(),
            created: ready.created.clone(),
            annotations: std::collections::BTreeMap::new(),
        };
        let kind = match ready.images.first() {
            Some(image) if docker => ArchiveKind::Docker {
                config: image.manifest.config.digest,
                layers: image.manifest.layers.iter().map(|layer| layer.digest).collect(),
            },
            _ => ArchiveKind::Oci,
        };
        let part = step.part(
            "sending",
            if tar { "sending tarball" } else { "copying files" },
            0,
        );
        let dest = dest.clone();
        let write = move || match (&dest, tar) {
            (Destination::Path(path), false) => Ok(kiln_export::write_directory(path, &top, &blobs)?),
            (dest, _) => super::files::to_file(dest, |out, place| {
                Ok(kiln_export::write_archive(out, place, &top, &blobs, &kind)?)
            }),
        };
        tokio::task::spawn_blocking(write).await??;
        part.done();
        Ok(())
    }
}

/// What an index lists beside images.
fn listed(attached: &[AttestationManifest], beside: bool) -> Vec<Descriptor> {
    let attached = attached.iter().filter(|_| !beside);
    attached.map(|attached| attached.descriptor.clone()).collect()
}

/// Says in a layer's descriptor that its times were clamped, where that was asked for.
fn marked(mut layer: Descriptor, clamp: Option<i64>, format: &Format) -> Descriptor {
    if let (Some(epoch), Rewrite::Marked) = (clamp, format.rewrite_timestamp) {
        let key = "buildkit/rewritten-timestamp".to_owned();
        layer.annotations.insert(key, epoch.to_string());
    }
    layer
}

/// Notes what was written, by BuildKit's metadata keys.
fn fill(outcome: &mut BuildOutcome, ready: Ready, names: &[Reference]) {
    let unknown = || Platform::new("unknown", "unknown", None);
    outcome.images = ready
        .images
        .iter()
        .map(|image| BuiltImage {
            platform: image.descriptor.platform.clone().unwrap_or_else(unknown),
            manifest: image.descriptor.clone(),
            config: image.manifest.config.digest,
            layers: image.manifest.layers.len(),
            size: image.manifest.layers.iter().map(|layer| layer.size).sum(),
        })
        .collect();
    let mut set = |key: &str, value: Value| drop(outcome.metadata.insert(key.to_owned(), value));
    if let (Some(image), None) = (ready.images.first(), &ready.index) {
        set(
            "containerimage.config.digest",
            image.manifest.config.digest.to_string().into(),
        );
    }
    let mut descriptor = ready.top.clone();
    descriptor
        .annotations
        .insert("org.opencontainers.image.created".to_owned(), ready.created);
    set("containerimage.descriptor", json!(descriptor));
    set("containerimage.digest", ready.top.digest.to_string().into());
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        set("image.name", names.join(",").into());
    }
    outcome.names = names.iter().map(ToString::to_string).collect();
    outcome.descriptor = Some(ready.top);
}

/// Returns the place's name for errors.
pub(super) fn place(dest: &Destination) -> &Path {
    match dest {
        Destination::Stdout => Path::new("standard output"),
        Destination::Path(path) => path,
    }
}
