//! Caches as OCI artifacts: the document is the config of an image manifest, or the last entry of an index.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use kiln_image::Compression;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::Manifest;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;

use crate::backend::CacheImage;
use crate::backend::LayerInfo;
use crate::config::CacheConfig;
use crate::config::LayerAnnotations;
use crate::error::CacheError;

/// The diff ID, in a layer's descriptor.
const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// When the layer was made, in its descriptor.
const CREATED: &str = "buildkit/createdat";

/// Which manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestForm {
    /// An OCI image manifest.
    #[default]
    Image,
    /// An OCI index.
    Index,
    /// A Docker manifest list.
    DockerList,
}

/// A cache ready to be stored: the document, and the manifest that names it.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) config: (Descriptor, Vec<u8>),
    pub(crate) manifest: (Descriptor, Vec<u8>),
}

/// Writes a cache's documents.
pub(crate) fn write(image: &CacheImage, form: ManifestForm) -> Written {
    let bytes = to_json(&image.config);
    let config = Descriptor::of(CacheConfig::MEDIA_TYPE, &bytes);
    let oci = form != ManifestForm::DockerList;
    let layers = image.layers.values().map(|info| {
        let mut layer = info.descriptor.clone();
        if let Some(compression) = MediaType::layer_compression(&layer.media_type) {
            MediaType::layer(compression, oci).clone_into(&mut layer.media_type);
        }
        layer.annotations = annotations(info);
        layer
    });
    let (media_type, manifest) = match form {
        ManifestForm::Image => {
            let manifest = Manifest {
                schema_version: 2,
                media_type: MediaType::OCI_MANIFEST.to_owned(),
                artifact_type: None,
                config: config.clone(),
                layers: layers.collect(),
                subject: None,
                annotations: BTreeMap::new(),
            };
            (MediaType::OCI_MANIFEST, to_json(&manifest))
        }
        ManifestForm::Index | ManifestForm::DockerList => {
            let media_type = if oci {
                MediaType::OCI_INDEX
            } else {
                MediaType::DOCKER_INDEX
            };
            let mut index = Index::new(layers.chain([config.clone()]).collect());
            media_type.clone_into(&mut index.media_type);
            (media_type, to_json(&index))
        }
    };
    Written {
        config: (config, bytes),
        manifest: (Descriptor::of(media_type, &manifest), manifest),
    }
}

fn annotations(info: &LayerInfo) -> BTreeMap<String, String> {
    let created = info.created.map(|at| (CREATED.to_owned(), at.to_string()));
    let is_layer = MediaType::layer_compression(&info.descriptor.media_type).is_some();
    let diff_id = is_layer.then(|| (UNCOMPRESSED.to_owned(), info.diff_id.to_string()));
    diff_id.into_iter().chain(created).collect()
}

fn to_json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("documents serialise to JSON")
}

/// What a manifest is about.
#[derive(Debug)]
pub(crate) enum Found {
    /// A cache: its document, and facts about the layers.
    Cache {
        config: Descriptor,
        layers: BTreeMap<Digest, LayerInfo>,
    },
    /// An image, whose config may have a cache inside.
    Image(Box<Manifest>),
    /// An index of images.
    Images(Vec<Descriptor>),
}

/// Reads a manifest of any of the forms.
pub(crate) fn read(media_type: &str, bytes: &[u8]) -> Result<Found, String> {
    let parsed = ManifestOrIndex::parse(media_type, bytes).map_err(|error| error.to_string())?;
    Ok(match parsed {
        ManifestOrIndex::Manifest(manifest) if manifest.config.media_type == CacheConfig::MEDIA_TYPE => {
            Found::Cache {
                config: manifest.config.clone(),
                layers: facts(&manifest.layers),
            }
        }
        ManifestOrIndex::Manifest(manifest) => Found::Image(manifest),
        ManifestOrIndex::Index(index) => {
            let is_config = |entry: &&Descriptor| entry.media_type == CacheConfig::MEDIA_TYPE;
            match index.manifests.iter().find(is_config) {
                Some(config) => Found::Cache {
                    config: config.clone(),
                    layers: facts(&index.manifests),
                },
                None => Found::Images(index.manifests),
            }
        }
    })
}

fn facts(entries: &[Descriptor]) -> BTreeMap<Digest, LayerInfo> {
    let known = entries.iter().filter_map(|entry| {
        MediaType::layer_compression(&entry.media_type)?;
        let diff_id = match entry.annotations.get(UNCOMPRESSED) {
            Some(text) => text.parse().ok()?,
            None if MediaType::layer_compression(&entry.media_type) == Some(Compression::None) => {
                entry.digest
            }
            None => return None,
        };
        let created: Option<Timestamp> = entry.annotations.get(CREATED).and_then(|text| text.parse().ok());
        let descriptor = Descriptor::new(&entry.media_type, entry.digest, entry.size);
        let info = LayerInfo {
            descriptor,
            diff_id,
            created,
        };
        Some((entry.digest, info))
    });
    known.collect()
}

/// Writes the document of a cache that has no manifest: with facts about the layers inside.
pub fn write_config(image: &CacheImage) -> Vec<u8> {
    let mut config = image.config.clone();
    for layer in &mut config.layers {
        layer.annotations = image.layers.get(&layer.blob).map(|info| LayerAnnotations {
            media_type: info.descriptor.media_type.clone(),
            diff_id: Some(info.diff_id),
            size: info.descriptor.size,
            created_at: info.created,
        });
    }
    serde_json::to_vec(&config).expect("a document serialises to JSON")
}

/// Reads the document; what its layers' own annotations say is added to `layers`.
///
/// # Errors
/// Says what is wrong with it.
pub fn read_config(bytes: &[u8], mut layers: BTreeMap<Digest, LayerInfo>) -> Result<CacheImage, String> {
    let config: CacheConfig = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    for layer in &config.layers {
        if let Some(info) = layer.info()
            && MediaType::layer_compression(&info.descriptor.media_type).is_some()
        {
            layers.entry(layer.blob).or_insert(info);
        }
    }
    Ok(CacheImage { config, layers })
}

/// Most bytes of a manifest or document that is read.
pub const DOCUMENT: u64 = 32 << 20;
/// Most images of an index that are asked for caches of their own.
const IMAGES: usize = 64;

/// Where documents are.
#[async_trait]
pub(crate) trait Documents: Sync {
    fn place(&self) -> String;

    /// Returns a small blob or manifest, checked.
    async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, CacheError>;
}

/// Returns the caches that a manifest leads to.
pub(crate) async fn caches(
    source: &dyn Documents,
    media_type: &str,
    bytes: &[u8],
) -> Result<Vec<CacheImage>, CacheError> {
    let invalid = |what| {
        let place = source.place();
        move |problem| CacheError::Invalid { place, what, problem }
    };
    match read(media_type, bytes).map_err(invalid("manifest"))? {
        Found::Cache { config, layers } => {
            let bytes = source.document(&config).await?;
            let image = read_config(&bytes, layers).map_err(invalid("cache config"))?;
            Ok(vec![image])
        }
        Found::Image(manifest) => Ok(inlined(source, &manifest).await?.into_iter().collect()),
        Found::Images(images) => {
            let mut found = Vec::new();
            let images = images
                .iter()
                .filter(|image| MediaType::is_manifest(&image.media_type));
            for image in images.take(IMAGES) {
                let bytes = source.document(image).await?;
                if let Found::Image(manifest) =
                    read(&image.media_type, &bytes).map_err(invalid("manifest"))?
                {
                    found.extend(inlined(source, &manifest).await?);
                }
            }
            Ok(found)
        }
    }
}

async fn inlined(source: &dyn Documents, manifest: &Manifest) -> Result<Option<CacheImage>, CacheError> {
    let bytes = source.document(&manifest.config).await?;
    crate::inline::inline_caches(manifest, &bytes).map_err(|problem| CacheError::Invalid {
        place: source.place(),
        what: "inline cache",
        problem,
    })
}
