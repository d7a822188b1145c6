//! Images: where they are looked for, and what is known of them before a layer is fetched.
//!
//! A name is looked for in the local image store first and in its registry then, as docker does; `--pull` asks the
//! registry first.

mod fetch;
mod layout;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ImageConfig;
use kiln_image::Manifest;
use kiln_image::ManifestError;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Platform;
use kiln_image::Reference;
use kiln_registry::RegistryError;
use kiln_store::Store;
use kiln_store::StoreError;

pub(crate) use fetch::Fetchers;
pub use layout::Layout;
pub use layout::LayoutError;
pub use store::ImageStore;
pub use store::StoredImage;

use crate::layers::FetchLayer;

/// Largest manifest or config that is read, in bytes.
const MAX_DOCUMENT: u64 = 8 << 20;

/// An image as a source names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ImageId {
    /// `docker-image://REFERENCE`.
    Registry(Reference),
    /// `oci-layout://NAME[@DIGEST]`; the name is a named context's.
    Layout { name: String, digest: Option<Digest> },
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Layout { name, digest: None } => write!(f, "oci-layout://{name}"),
            Self::Layout {
                name,
                digest: Some(digest),
            } => write!(f, "oci-layout://{name}@{digest}"),
        }
    }
}

impl FromStr for ImageId {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = |source| ImageError::Reference {
            text: text.to_owned(),
            source,
        };
        match text.split_once("://") {
            Some(("docker-image", reference)) => Ok(Self::Registry(reference.parse().map_err(malformed)?)),
            Some(("oci-layout", rest)) => {
                let (name, digest) = match rest.split_once('@') {
                    Some((name, digest)) => (name, digest.parse().ok()),
                    None => (rest, None),
                };
                Ok(Self::Layout {
                    name: name.to_owned(),
                    digest,
                })
            }
            _ => Err(ImageError::Scheme(text.to_owned())),
        }
    }
}

/// An image that was found, with everything but its layers.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The reference with the digest that it was resolved to.
    pub(crate) pinned: String,
    /// Digest of the manifest or index that the name points at.
    pub(crate) digest: Digest,
    /// Digest of the chosen manifest.
    pub(crate) manifest_digest: Digest,
    /// The chosen manifest.
    pub(crate) manifest: Manifest,
    /// The config's bytes.
    pub(crate) config: Arc<[u8]>,
    /// Who fetches its layers.
    pub(crate) fetch: Arc<dyn FetchLayer>,
}

impl Image {
    /// Returns the digests of the uncompressed layers.
    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        ImageConfig::parse(&self.config)
            .map(|config| config.diff_ids())
            .unwrap_or_default()
    }
}

/// An image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// What is said of an image is not what it should be.
    #[error("attestation `{digest}` is not to be believed")]
    Attestation {
        /// The statement.
        digest: Digest,
        /// Why.
        #[source]
        source: kiln_attest::AttestError,
    },
    /// The name is none.
    #[error("failed to parse image name \"{text}\"")]
    Reference {
        /// The name.
        text: String,
        /// What is wrong.
        #[source]
        source: kiln_image::ParseReferenceError,
    },
    /// Not an image's identifier.
    #[error("`{0}` does not name an image (expected docker-image:// or oci-layout://)")]
    Scheme(String),
    /// The registry does not give it.
    #[error("failed to resolve source metadata for {reference}")]
    Resolve {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// It is not here and must not be asked for.
    #[error("{0} is not in the local image store (`--pull=false` and offline builds use nothing else)")]
    NotLocal(String),
    /// A layer cannot be fetched.
    #[error("failed to fetch {digest} of {reference}")]
    Fetch {
        /// The image.
        reference: String,
        /// The layer.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// A layer of a cache cannot be had.
    #[error(transparent)]
    Cache(Box<kiln_cache::CacheError>),
    /// A manifest is malformed.
    #[error("the manifest of {reference} cannot be used")]
    Manifest {
        /// The image.
        reference: String,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// A config is malformed.
    #[error("the config of {reference} cannot be used")]
    Config {
        /// The image.
        reference: String,
        /// What is wrong.
        #[source]
        source: kiln_image::ConfigError,
    },
    /// Layers and config do not agree.
    #[error("the image {reference} has {layers} layers and {diff_ids} diff IDs")]
    LayerCount {
        /// The image.
        reference: String,
        /// Layers in the manifest.
        layers: usize,
        /// Diff IDs in the config.
        diff_ids: usize,
    },
    /// No image for that platform.
    #[error(
        "{reference}: no match for platform in manifest: not found (wanted {platform}, there is {offered})"
    )]
    Platform {
        /// The image.
        reference: String,
        /// What was wanted.
        platform: Platform,
        /// What there is.
        offered: String,
    },
    /// An index inside an index.
    #[error("the image {0} is an index of indexes")]
    Nested(String),
    /// A layer of a kind that cannot be unpacked.
    #[error(
        "the image {reference} has a layer of media type `{media_type}`, which is not a file system layer"
    )]
    LayerType {
        /// The image.
        reference: String,
        /// What the layer is.
        media_type: String,
    },
    /// A named context's layout is not there.
    #[error("no OCI layout named `{0}` (give it with `--build-context {0}=oci-layout://PATH`)")]
    NoLayout(String),
    /// A layout cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is larger than is read.
    #[error("{what} of {reference} has {size} bytes (at most {limit} are read)")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// The image.
        reference: String,
        /// Its size.
        size: u64,
        /// The largest size.
        limit: u64,
    },
    /// An index of more than is looked at.
    #[error("{0} has more than {1} manifests")]
    TooMany(String, usize),
    /// A layer's bytes are not what its descriptor says.
    #[error("blob {expected} of {reference} has the content {actual}")]
    Mismatch {
        /// The image.
        reference: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// A layer cannot be read.
    #[error("cannot read blob {digest} of {reference}")]
    Read {
        /// The image.
        reference: String,
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Whether registries are asked for what is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Only for what is not here.
    Missing,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Finds images.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    store: Store,
    local: ImageStore,
    client: kiln_registry::Client,
    layouts: Arc<HashMap<String, Layout>>,
}

/// One document of an image with its descriptor.
struct Document {
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

impl Images {
    pub(crate) fn new(store: Store, client: kiln_registry::Client, layouts: HashMap<String, Layout>) -> Self {
        let local = ImageStore::new(store.clone());
        Self {
            store,
            local,
            client,
            layouts: Arc::new(layouts),
        }
    }

    /// Finds the image that serves `platform`.
    pub(crate) async fn find(
        &self,
        id: &ImageId,
        platform: &Platform,
        pull: Pull,
    ) -> Result<Image, ImageError> {
        match id {
            ImageId::Registry(reference) => self.find_named(reference, platform, pull).await,
            ImageId::Layout { name, digest } => {
                let short = name.rsplit('/').next().unwrap_or(name);
                let short = short.split(':').next().unwrap_or(short);
                let found = self.layouts.get(name).or_else(|| self.layouts.get(short));
                let layout = found.ok_or_else(|| ImageError::NoLayout(name.clone()))?;
                let selector = digest.map(|digest| digest.to_string());
                let top = layout.select(selector.as_deref())?;
                let bytes = layout.read(&top.digest, MAX_DOCUMENT)?;
                let fetch: Arc<dyn FetchLayer> = Arc::new(fetch::FromLayout::new(layout.clone()));
                let top = Document {
                    descriptor: top,
                    bytes,
                };
                complete(&id.to_string(), top, platform, fetch, layout).await
            }
        }
    }

    async fn find_named(
        &self,
        reference: &Reference,
        platform: &Platform,
        pull: Pull,
    ) -> Result<Image, ImageError> {
        let name = reference.to_string();
        if pull != Pull::Always
            && let Some(stored) = self.local.get(reference)?
        {
            let bytes = self.store.read_blob(&stored.descriptor.digest, MAX_DOCUMENT)?;
            let top = Document {
                descriptor: stored.descriptor,
                bytes,
            };
            let fetch: Arc<dyn FetchLayer> = Arc::new(fetch::FromStore::new(name.clone()));
            match complete(&name, top, platform, fetch, &self.store).await {
                // Another platform may be in the registry.
                Err(ImageError::Platform { .. }) if pull == Pull::Missing => {}
                result => return result,
            }
        }
        if pull == Pull::Never {
            return Err(ImageError::NotLocal(reference.familiar()));
        }
        let failed = |source| ImageError::Resolve {
            reference: name.clone(),
            source: Box::new(source),
        };
        let resolved = self.client.resolve(reference).await.map_err(failed)?;
        let top = Document {
            descriptor: resolved.descriptor,
            bytes: resolved.bytes.to_vec(),
        };
        let fetch: Arc<dyn FetchLayer> =
            Arc::new(fetch::FromRegistry::new(self.client.clone(), reference.clone()));
        let remote = Remote {
            images: self,
            reference,
        };
        complete(&name, top, platform, fetch, &remote).await
    }

    /// Returns the attestation manifests that a registry knows for an image.
    pub(crate) async fn referrers(
        &self,
        reference: &Reference,
        image: &Digest,
    ) -> Result<Vec<Descriptor>, ImageError> {
        let failed = |source| ImageError::Resolve {
            reference: format!("{}@{image}", reference.name()),
            source: Box::new(source),
        };
        let listed = self.client.referrers(reference, image).await.map_err(failed)?;
        let ours = |entry: &Descriptor| entry.artifact_type.as_deref() == Some(kiln_attest::ARTIFACT_TYPE);
        Ok(listed.manifests.into_iter().filter(ours).collect())
    }

    /// Reads a manifest or config of a registry, through the store.
    async fn read_remote(
        &self,
        reference: &Reference,
        wanted: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, ImageError> {
        if self.store.contains(&wanted.digest)? {
            return Ok(self.store.read_blob(&wanted.digest, limit)?);
        }
        let name = reference.to_string();
        let failed = |source| ImageError::Resolve {
            reference: name.clone(),
            source: Box::new(source),
        };
        if MediaType::is_manifest(&wanted.media_type) || MediaType::is_index(&wanted.media_type) {
            return Ok(self
                .client
                .manifest(reference, &wanted.digest)
                .await
                .map_err(failed)?
                .bytes
                .to_vec());
        }
        let fetch = fetch::FromRegistry::new(self.client.clone(), reference.clone());
        fetch.fetch(&self.store, wanted, &|_| {}).await?;
        Ok(self.store.read_blob(&wanted.digest, limit)?)
    }
}

/// Reads manifests and configs.
#[async_trait]
pub(crate) trait ReadDocument: Sync {
    /// Returns the whole document of at most `limit` bytes, checked against its digest.
    async fn read_up_to(&self, document: &Descriptor, limit: u64) -> Result<Vec<u8>, ImageError>;

    /// Returns a manifest or config, checked against its digest.
    async fn read(&self, document: &Descriptor) -> Result<Vec<u8>, ImageError> {
        self.read_up_to(document, MAX_DOCUMENT).await
    }
}

#[async_trait]
impl ReadDocument for Layout {
    async fn read_up_to(&self, document: &Descriptor, limit: u64) -> Result<Vec<u8>, ImageError> {
        Ok(Self::read(self, &document.digest, limit)?)
    }
}

#[async_trait]
impl ReadDocument for Store {
    async fn read_up_to(&self, document: &Descriptor, limit: u64) -> Result<Vec<u8>, ImageError> {
        Ok(self.read_blob(&document.digest, limit)?)
    }
}

/// Documents of a registry, through the store.
struct Remote<'a> {
    images: &'a Images,
    reference: &'a Reference,
}

#[async_trait]
impl ReadDocument for Remote<'_> {
    async fn read_up_to(&self, document: &Descriptor, limit: u64) -> Result<Vec<u8>, ImageError> {
        self.images.read_remote(self.reference, document, limit).await
    }
}

async fn complete(
    name: &str,
    top: Document,
    platform: &Platform,
    fetch: Arc<dyn FetchLayer>,
    documents: &dyn ReadDocument,
) -> Result<Image, ImageError> {
    let digest = top.descriptor.digest;
    let (chosen, parsed) = match parse(name, &top)? {
        manifest @ ManifestOrIndex::Manifest(_) => (top, manifest),
        ManifestOrIndex::Index(index) => {
            let entry = index
                .select(platform)
                .cloned()
                .ok_or_else(|| no_platform(name, platform, &index))?;
            check_size("manifest", name, &entry)?;
            let bytes = documents.read(&entry).await?;
            let document = Document {
                descriptor: entry,
                bytes,
            };
            let parsed = parse(name, &document)?;
            (document, parsed)
        }
    };
    let ManifestOrIndex::Manifest(manifest) = parsed else {
        return Err(ImageError::Nested(name.to_owned()));
    };
    check_size("config", name, &manifest.config)?;
    let config = documents.read(&manifest.config).await?;
    let parsed = ImageConfig::parse(&config).map_err(|source| ImageError::Config {
        reference: name.to_owned(),
        source,
    })?;
    check_layers(name, &manifest, &parsed)?;
    let pinned = if name.contains('@') {
        name.to_owned()
    } else {
        format!("{name}@{digest}")
    };
    let manifest_digest = chosen.descriptor.digest;
    Ok(Image {
        pinned,
        digest,
        manifest_digest,
        manifest: *manifest,
        config: config.into(),
        fetch,
    })
}

fn parse(name: &str, document: &Document) -> Result<ManifestOrIndex, ImageError> {
    ManifestOrIndex::parse(&document.descriptor.media_type, &document.bytes).map_err(|source| {
        ImageError::Manifest {
            reference: name.to_owned(),
            source,
        }
    })
}

fn check_size(what: &'static str, name: &str, document: &Descriptor) -> Result<(), ImageError> {
    let size = document.size;
    let too_large = || ImageError::TooLarge {
        what,
        reference: name.to_owned(),
        size,
        limit: MAX_DOCUMENT,
    };
    (size <= MAX_DOCUMENT).then_some(()).ok_or_else(too_large)
}

fn no_platform(name: &str, platform: &Platform, index: &kiln_image::Index) -> ImageError {
    let offered: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|d| d.platform.as_ref())
        .map(ToString::to_string)
        .collect();
    let offered = if offered.is_empty() {
        "nothing".to_owned()
    } else {
        offered.join(", ")
    };
    ImageError::Platform {
        reference: name.to_owned(),
        platform: platform.clone(),
        offered,
    }
}

fn check_layers(name: &str, manifest: &Manifest, config: &ImageConfig) -> Result<(), ImageError> {
    let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids().len());
    if layers != diff_ids {
        return Err(ImageError::LayerCount {
            reference: name.to_owned(),
            layers,
            diff_ids,
        });
    }
    match manifest
        .layers
        .iter()
        .find(|layer| MediaType::layer_compression(&layer.media_type).is_none())
    {
        None => Ok(()),
        Some(layer) => {
            let media_type = layer.media_type.clone();
            Err(ImageError::LayerType {
                reference: name.to_owned(),
                media_type,
            })
        }
    }
}

impl Images {
    /// Returns the digest of what `selector` names in the layout of that name.
    pub(crate) fn layout_digest(&self, name: &str, selector: Option<&str>) -> Option<Digest> {
        let layout = self.layouts.get(name)?;
        layout.select(selector).ok().map(|descriptor| descriptor.digest)
    }
}

impl Images {
    /// Resolves a name at its registry; returns where it points and who reads its documents.
    pub(crate) async fn remote<'a>(
        &'a self,
        reference: &'a Reference,
    ) -> Result<(Descriptor, impl ReadDocument + 'a), ImageError> {
        let failed = |source| ImageError::Resolve {
            reference: reference.to_string(),
            source: Box::new(source),
        };
        let resolved = self.client.resolve(reference).await.map_err(failed)?;
        Ok((
            resolved.descriptor,
            Remote {
                images: self,
                reference,
            },
        ))
    }
}
