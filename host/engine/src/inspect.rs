//! What a reference points at: manifests, configs, and what is attested of them.

use std::collections::HashMap;

use kiln_attest::Statement;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ImageConfig;
use kiln_image::ManifestOrIndex;
use kiln_image::Reference;
use serde_json::Value;

use crate::Engine;
use crate::error::BuildError;
use crate::error::EngineError;
use crate::images::ImageError;
use crate::images::Images;
use crate::images::Layout;
use crate::images::ReadDocument;

/// Most manifests that are looked at.
const MOST_MANIFESTS: usize = 1000;
/// Largest statement that is read, in bytes.
const LARGEST_STATEMENT: u64 = 256 << 20;
/// Most attestation manifests beside an image that are read.
const MOST_BESIDE: usize = 100;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InspectDetail {
    /// Manifests and configs.
    Manifests,
    /// What is attested as well.
    Attestations,
}

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

impl InspectedImage {
    /// Returns the manifest that this one is about; none for an image.
    pub fn about(&self) -> Option<Digest> {
        kiln_attest::is_attestation(&self.descriptor)
            .then(|| kiln_attest::about(&self.descriptor))
            .flatten()
    }
}

/// What somebody stated of an image.
#[derive(Debug, Clone)]
pub struct InspectedStatement {
    /// The manifest that it is about.
    pub about: Digest,
    /// What kind of statement it is.
    pub predicate_type: String,
    /// What is stated.
    pub predicate: Value,
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
    /// What is attested, in the order of manifests and layers.
    pub statements: Vec<InspectedStatement>,
}

impl Engine {
    /// Looks at an image of the local store, else of its registry.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub async fn inspect(
        &self,
        reference: &Reference,
        detail: InspectDetail,
    ) -> Result<Inspected, BuildError> {
        let failed = |source| EngineError::Image(source);
        if let Some(stored) = self.images().get(reference)? {
            let look = inspect(stored.name, stored.descriptor, self.store(), detail);
            let mut found = look.await.map_err(failed)?;
            if detail == InspectDetail::Attestations {
                let beside = add_beside(&mut found, stored.attestations, self.store());
                beside.await.map_err(failed)?;
            }
            return Ok(found);
        }
        let images = Images::new(
            self.store().clone(),
            self.config().registry.clone(),
            HashMap::new(),
        );
        let (top, remote) = images.remote(reference).await.map_err(failed)?;
        let look = inspect(reference.to_string(), top, &remote, detail);
        let mut found = look.await.map_err(failed)?;
        if detail == InspectDetail::Attestations && found.statements.is_empty() {
            for image in manifests(&found) {
                let referrers = images.referrers(reference, &image).await.map_err(failed)?;
                add_beside(&mut found, referrers, &remote).await.map_err(failed)?;
            }
        }
        Ok(found)
    }

    /// Looks at an image of an OCI layout.
    ///
    /// # Errors
    /// When there is none or it is malformed.
    pub async fn inspect_layout(
        &self,
        layout: &Layout,
        selector: Option<&str>,
        detail: InspectDetail,
    ) -> Result<Inspected, BuildError> {
        let failed = |source: ImageError| EngineError::Image(source);
        let top = layout
            .select(selector)
            .map_err(ImageError::from)
            .map_err(failed)?;
        let look = inspect(layout.path().display().to_string(), top, layout, detail);
        Ok(look.await.map_err(failed)?)
    }
}

async fn inspect(
    name: String,
    descriptor: Descriptor,
    documents: &dyn ReadDocument,
    detail: InspectDetail,
) -> Result<Inspected, ImageError> {
    let malformed = |source| ImageError::Manifest {
        reference: name.clone(),
        source,
    };
    let raw = documents.read(&descriptor).await?;
    let mut images = Vec::new();
    let mut open = vec![(descriptor.clone(), Some(raw.clone()))];
    while let Some((next, bytes)) = open.pop() {
        if images.len() >= MOST_MANIFESTS {
            return Err(ImageError::TooMany(name, MOST_MANIFESTS));
        }
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
    let statements = match detail {
        InspectDetail::Manifests => Vec::new(),
        InspectDetail::Attestations => statements(&images, documents).await?,
    };
    Ok(Inspected {
        name,
        descriptor,
        raw,
        images,
        statements,
    })
}

/// Returns the images' manifests.
fn manifests(found: &Inspected) -> Vec<Digest> {
    let images = found.images.iter().filter(|image| image.about().is_none());
    images.map(|image| image.descriptor.digest).collect()
}

/// Adds what is attested by manifests that stand beside the images: kept with them, or referrers.
async fn add_beside(
    found: &mut Inspected,
    beside: Vec<Descriptor>,
    documents: &dyn ReadDocument,
) -> Result<(), ImageError> {
    let images = manifests(found);
    for entry in beside.into_iter().take(MOST_BESIDE) {
        let bytes = documents.read(&entry).await?;
        let malformed = |source| ImageError::Manifest {
            reference: entry.digest.to_string(),
            source,
        };
        let parsed = ManifestOrIndex::parse(&entry.media_type, &bytes).map_err(malformed)?;
        let ManifestOrIndex::Manifest(manifest) = parsed else {
            continue;
        };
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        let Some(about) = kiln_attest::refers_to(&entry).or(subject) else {
            continue;
        };
        if images.contains(&about) {
            read_statements(about, &manifest.layers, documents, &mut found.statements).await?;
        }
    }
    Ok(())
}

/// Reads what is attested.
async fn statements(
    images: &[InspectedImage],
    documents: &dyn ReadDocument,
) -> Result<Vec<InspectedStatement>, ImageError> {
    let mut found = Vec::new();
    for image in images {
        if let Some(about) = kiln_attest::refers_to(&image.descriptor) {
            read_statements(about, &image.layers, documents, &mut found).await?;
        }
    }
    Ok(found)
}

/// Reads the statements of one attestation manifest. One that is about another image is an error.
async fn read_statements(
    about: Digest,
    layers: &[Descriptor],
    documents: &dyn ReadDocument,
    found: &mut Vec<InspectedStatement>,
) -> Result<(), ImageError> {
    for (layer, predicate_type) in kiln_attest::statement_layers(layers) {
        if layer.size > LARGEST_STATEMENT {
            return Err(ImageError::TooLarge {
                what: "statement",
                reference: about.to_string(),
                size: layer.size,
                limit: LARGEST_STATEMENT,
            });
        }
        let unbelievable = |source| ImageError::Attestation {
            digest: layer.digest,
            source,
        };
        let bytes = documents.read_up_to(layer, LARGEST_STATEMENT).await?;
        let statement = Statement::parse(&layer.media_type, &bytes).map_err(unbelievable)?;
        statement.check(predicate_type, &about).map_err(unbelievable)?;
        found.push(InspectedStatement {
            about,
            predicate_type: statement.predicate_type,
            predicate: statement.predicate,
        });
    }
    Ok(())
}
