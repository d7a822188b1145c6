//! What a reference points at: manifests, configs, and what is attested of them.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
/// Annotations of a descriptor that say which manifest it is about.
const ABOUT: [&str; 2] = ["vnd.docker.reference.digest", "com.docker.reference.digest"];
/// Annotation of a layer that says what is stated.
const PREDICATE: &str = "in-toto.io/predicate-type";

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
        let annotations = &self.descriptor.annotations;
        ABOUT.iter().find_map(|key| annotations.get(*key)?.parse().ok())
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
            return Ok(look.await.map_err(failed)?);
        }
        let images = Images::new(
            self.store().clone(),
            self.config().registry.clone(),
            HashMap::new(),
        );
        let (top, remote) = images.remote(reference).await.map_err(failed)?;
        let look = inspect(reference.to_string(), top, &remote, detail);
        Ok(look.await.map_err(failed)?)
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

/// Reads what is attested. A statement that is not one says nothing.
async fn statements(
    images: &[InspectedImage],
    documents: &dyn ReadDocument,
) -> Result<Vec<InspectedStatement>, ImageError> {
    let mut found = Vec::new();
    for image in images {
        let Some(about) = image.about() else { continue };
        for layer in &image.layers {
            let Some(predicate_type) = layer.annotations.get(PREDICATE).filter(|_| is_statement(layer))
            else {
                continue;
            };
            if layer.size > LARGEST_STATEMENT {
                return Err(ImageError::TooLarge {
                    what: "statement",
                    reference: about.to_string(),
                    size: layer.size,
                    limit: LARGEST_STATEMENT,
                });
            }
            let bytes = documents.read_up_to(layer, LARGEST_STATEMENT).await?;
            if let Some(predicate) = predicate(&layer.media_type, &bytes) {
                found.push(InspectedStatement {
                    about,
                    predicate_type: predicate_type.clone(),
                    predicate,
                });
            }
        }
    }
    Ok(found)
}

fn is_statement(layer: &Descriptor) -> bool {
    layer.media_type == "application/vnd.in-toto+json" || is_envelope(&layer.media_type)
}

/// Tells a signed statement, `application/vnd.in-toto.KIND+dsse`.
fn is_envelope(media_type: &str) -> bool {
    let kind = media_type.strip_prefix("application/vnd.in-toto.");
    kind.is_some_and(|kind| kind.ends_with("+dsse"))
}

fn predicate(media_type: &str, bytes: &[u8]) -> Option<Value> {
    let mut statement: Value = serde_json::from_slice(bytes).ok()?;
    if is_envelope(media_type) {
        let payload = STANDARD.decode(statement["payload"].as_str()?).ok()?;
        statement = serde_json::from_slice(&payload).ok()?;
    }
    match statement["predicate"].take() {
        Value::Null => None,
        predicate => Some(predicate),
    }
}
