//! The local image store: names and the manifests that they point at.

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ManifestOrIndex;
use kiln_image::Reference;
use kiln_store::Object;
use kiln_store::Owner;
use kiln_store::OwnerInfo;
use kiln_store::Pin;
use kiln_store::Store;
use kiln_store::StoreError;
use serde::Deserialize;
use serde::Serialize;

use super::ImageError;
use super::MAX_DOCUMENT;

/// Bucket of the names.
pub(crate) const BUCKET: &str = "image";

/// A named image of the local store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Its name with tag.
    pub name: String,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// When it was made, as RFC 3339.
    pub created: String,
    /// Size of its blobs in bytes.
    pub size: u64,
    /// Attestation manifests that stand beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<Descriptor>,
}

/// The names of the local store.
#[derive(Debug, Clone)]
pub struct ImageStore {
    store: Store,
}

impl ImageStore {
    /// Uses the images of `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Returns the image of that name; a reference with a digest matches only that digest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, reference: &Reference) -> Result<Option<StoredImage>, StoreError> {
        let wanted = reference.digest();
        let name = match (reference.tag(), wanted) {
            (Some(tag), _) => format!("{}:{tag}", reference.name()),
            (None, _) => String::new(),
        };
        if let Some(bytes) = self.store.get(BUCKET, name.as_bytes())?
            && let Ok(image) = serde_json::from_slice::<StoredImage>(&bytes)
            && wanted.is_none_or(|digest| *digest == image.descriptor.digest)
        {
            return Ok(Some(image));
        }
        let Some(digest) = wanted else { return Ok(None) };
        let prefix = format!("{}:", reference.name());
        let same =
            |image: &StoredImage| image.name.starts_with(&prefix) && image.descriptor.digest == *digest;
        Ok(self.list()?.into_iter().find(same))
    }

    /// Returns all images, sorted by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        let rows = self.store.scan(BUCKET, b"")?;
        Ok(rows
            .into_iter()
            .filter_map(|(_, value)| serde_json::from_slice(&value).ok())
            .collect())
    }

    /// Gives an image, whose blobs are in the store, a name.
    ///
    /// # Errors
    /// When the store cannot be written or a manifest is malformed.
    pub fn put(
        &self,
        reference: &Reference,
        descriptor: Descriptor,
        created: String,
        attestations: Vec<Descriptor>,
    ) -> Result<(), ImageError> {
        let tag = reference.tag().unwrap_or("latest");
        let name = format!("{}:{tag}", reference.name());
        let mut blobs = self.blobs(&descriptor)?;
        for attestation in &attestations {
            blobs.extend(self.blobs(attestation)?);
        }
        let size = blobs.iter().map(|blob| blob.size).sum();
        let image = StoredImage {
            name: name.clone(),
            descriptor,
            created,
            size,
            attestations,
        };
        let bytes = serde_json::to_vec(&image).expect("an image's record serialises to JSON");
        let objects: Vec<Object> = blobs.iter().map(|blob| Object::Blob(blob.digest)).collect();
        let info = OwnerInfo {
            pin: Pin::Pinned,
            description: format!("image {name}"),
            ..OwnerInfo::default()
        };
        self.store
            .refer_as(&Owner::new(BUCKET, name.as_bytes()), &info, &objects)?;
        Ok(self.store.put(BUCKET, name.as_bytes(), &bytes)?)
    }

    /// Takes a name away. Blobs that nothing else needs are collected later. False when there was no such name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove(&self, reference: &Reference) -> Result<bool, StoreError> {
        let Some(image) = self.get(reference)? else {
            return Ok(false);
        };
        self.store.delete(BUCKET, image.name.as_bytes())?;
        self.store.unrefer(&Owner::new(BUCKET, image.name.as_bytes()))?;
        Ok(true)
    }

    /// Returns every blob of an image: indexes, manifests, configs, layers; those of platforms that are not here are
    /// left out.
    ///
    /// # Errors
    /// When a manifest cannot be read.
    pub fn blobs(&self, top: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
        let mut found: Vec<Descriptor> = Vec::new();
        let mut open = vec![top.clone()];
        while let Some(next) = open.pop() {
            if found.iter().any(|known| known.digest == next.digest) || !self.store.contains(&next.digest)? {
                continue;
            }
            found.push(next.clone());
            if !is_document(&next.media_type) {
                continue;
            }
            let bytes = self.store.read_blob(&next.digest, MAX_DOCUMENT)?;
            let malformed = |source| ImageError::Manifest {
                reference: next.digest.to_string(),
                source,
            };
            match ManifestOrIndex::parse(&next.media_type, &bytes).map_err(malformed)? {
                ManifestOrIndex::Index(index) => open.extend(index.manifests),
                ManifestOrIndex::Manifest(manifest) => {
                    open.push(manifest.config);
                    open.extend(manifest.layers);
                }
            }
        }
        Ok(found)
    }

    /// Returns the blob's path, for readers.
    pub fn blob_path(&self, digest: &Digest) -> std::path::PathBuf {
        self.store.blob_path(digest)
    }
}

fn is_document(media_type: &str) -> bool {
    use kiln_image::MediaType;
    MediaType::is_index(media_type) || MediaType::is_manifest(media_type)
}
