//! What is done with a store beside building: looking, pushing, saving, cleaning up.

use std::collections::HashMap;
use std::sync::Arc;

use kiln_export::ArchiveKind;
use kiln_export::Blob;
use kiln_export::BlobBytes;
use kiln_export::Destination;
use kiln_export::ImageName;
use kiln_export::Top;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ImageConfig;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Reference;
use kiln_progress::End;
use kiln_progress::Sink;
use kiln_progress::Step;
use kiln_store::GcPolicy;
use kiln_store::GcReport;
use kiln_store::StoreError;
use kiln_store::Usage;

use crate::Engine;
use crate::bridge::chain;
use crate::error::BuildError;
use crate::error::EngineError;
use crate::images::ImageError;
use crate::images::Images;
use crate::images::Layout;
use crate::images::ReadDocument;

/// Largest document that is shown, in bytes.
const MAX_DOCUMENT: u64 = 8 << 20;

/// One image of what was inspected.
#[derive(Debug, Clone)]
pub struct InspectedImage {
    /// Its manifest's descriptor.
    pub descriptor: Descriptor,
    /// Its config; none when it is not here.
    pub config: Option<ImageConfig>,
    /// Its layers.
    pub layers: Vec<Descriptor>,
}

/// What a reference points at.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The name that was asked for, in full.
    pub name: String,
    /// Descriptor of the manifest or index.
    pub descriptor: Descriptor,
    /// The document as it is stored.
    pub raw: Vec<u8>,
    /// The images; one unless it is an index.
    pub images: Vec<InspectedImage>,
}

impl Engine {
    /// Returns what the store holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        self.store().usage()
    }

    /// Removes what nothing needs any more, by `policy`.
    ///
    /// # Errors
    /// When the store cannot be changed.
    pub fn prune(&self, policy: &GcPolicy) -> Result<GcReport, StoreError> {
        if policy.scope == kiln_store::Scope::All && policy.filters.is_empty() {
            // A repository that cannot be removed does no harm; the next build removes it.
            let _ = self.fetchers().git.tidy(policy.keep_duration);
        }
        self.store().gc(policy)
    }

    /// Looks at an image of the local store, else of its registry.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub async fn inspect(&self, reference: &Reference) -> Result<Inspected, BuildError> {
        let failed = |source| EngineError::Image(source);
        if let Some(stored) = self.images().get(reference)? {
            return Ok(inspect(stored.name, stored.descriptor, self.store())
                .await
                .map_err(failed)?);
        }
        let images = Images::new(
            self.store().clone(),
            self.config().registry.clone(),
            HashMap::new(),
        );
        let (top, remote) = images.remote(reference).await.map_err(failed)?;
        Ok(inspect(reference.to_string(), top, &remote)
            .await
            .map_err(failed)?)
    }

    /// Looks at an image of an OCI layout.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub async fn inspect_layout(
        &self,
        layout: &Layout,
        selector: Option<&str>,
    ) -> Result<Inspected, BuildError> {
        let failed = |source: ImageError| EngineError::Image(source);
        let top = layout
            .select(selector)
            .map_err(ImageError::from)
            .map_err(failed)?;
        Ok(inspect(layout.path().display().to_string(), top, layout)
            .await
            .map_err(failed)?)
    }

    /// Returns every blob of an image of the local store, documents in memory.
    fn image_blobs(&self, reference: &Reference) -> Result<(Descriptor, String, Vec<Blob>), BuildError> {
        let missing = || BuildError::Usage(format!("no such image: {}", reference.familiar()));
        let stored = self.images().get(reference)?.ok_or_else(missing)?;
        let blobs = self
            .images()
            .blobs(&stored.descriptor)
            .map_err(EngineError::Image)?;
        let mut found = Vec::new();
        for blob in blobs {
            let document = MediaType::is_manifest(&blob.media_type) || MediaType::is_index(&blob.media_type);
            let bytes = if document {
                BlobBytes::Memory(self.store().read_blob(&blob.digest, MAX_DOCUMENT)?)
            } else {
                BlobBytes::File(self.store().blob_path(&blob.digest))
            };
            found.push(Blob {
                digest: blob.digest,
                size: blob.size,
                bytes,
            });
        }
        Ok((stored.descriptor, stored.created, found))
    }

    /// Pushes an image of the local store under its name.
    ///
    /// # Errors
    /// When there is no such image or the registry refuses it.
    pub async fn push(&self, reference: &Reference, sink: Arc<dyn Sink>) -> Result<Digest, BuildError> {
        let (top, _, blobs) = self.image_blobs(reference)?;
        let title = format!("pushing {reference}");
        let step = Step::start(&sink, Digest::of(&title), &title);
        let result = crate::export::push(&self.config().registry, &step, reference, &top, &blobs).await;
        match result {
            Ok(()) => step.finish(End::Done),
            Err(error) => {
                step.finish(End::Failed(chain(&*error)));
                return Err(BuildError::Export(error));
            }
        }
        Ok(top.digest)
    }

    /// Writes images of the local store as one archive that `docker load`, `podman load` and `skopeo` read.
    ///
    /// # Errors
    /// When there is no such image or the archive cannot be written.
    pub fn save(&self, reference: &Reference, dest: &Destination) -> Result<(), BuildError> {
        let (descriptor, created, blobs) = self.image_blobs(reference)?;
        let bytes = self.store().read_blob(&descriptor.digest, MAX_DOCUMENT)?;
        let parsed = ManifestOrIndex::parse(&descriptor.media_type, &bytes);
        let kind = match parsed {
            Ok(ManifestOrIndex::Manifest(manifest)) => ArchiveKind::Docker {
                config: manifest.config.digest,
                layers: manifest.layers.iter().map(|layer| layer.digest).collect(),
            },
            _ => ArchiveKind::Oci,
        };
        let names = vec![ImageName(reference.clone())];
        let top = Top {
            descriptor,
            names,
            created,
            annotations: std::collections::BTreeMap::new(),
        };
        crate::export::to_file(dest, |out, place| {
            Ok(kiln_export::write_archive(out, place, &top, &blobs, &kind)?)
        })
        .map_err(BuildError::Export)
    }
}

async fn inspect(
    name: String,
    descriptor: Descriptor,
    documents: &dyn ReadDocument,
) -> Result<Inspected, ImageError> {
    let malformed = |source| ImageError::Manifest {
        reference: name.clone(),
        source,
    };
    let raw = documents.read(&descriptor).await?;
    let mut images = Vec::new();
    let mut open = vec![(descriptor.clone(), Some(raw.clone()))];
    while let Some((next, bytes)) = open.pop() {
        let bytes = match bytes {
            Some(bytes) => bytes,
            // A platform whose manifest is not here is listed without more.
            None => match documents.read(&next).await {
                Ok(bytes) => bytes,
                Err(ImageError::Store(_) | ImageError::Layout(_)) => {
                    images.push(InspectedImage {
                        descriptor: next,
                        config: None,
                        layers: Vec::new(),
                    });
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        match ManifestOrIndex::parse(&next.media_type, &bytes).map_err(malformed)? {
            ManifestOrIndex::Index(index) => {
                open.extend(index.manifests.into_iter().rev().map(|d| (d, None)));
            }
            ManifestOrIndex::Manifest(manifest) => {
                let config = match documents.read(&manifest.config).await {
                    Ok(bytes) => ImageConfig::parse(&bytes).ok(),
                    Err(_) => None,
                };
                images.push(InspectedImage {
                    descriptor: next,
                    config,
                    layers: manifest.layers,
                });
            }
        }
    }
    Ok(Inspected {
        name,
        descriptor,
        raw,
        images,
    })
}
