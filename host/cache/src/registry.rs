//! Caches in registries: BuildKit's `type=registry`, and caches inside images.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Reference;
use kiln_registry::BlobSource;
use kiln_registry::Client;
use kiln_registry::RegistryError;

use crate::backend::Backend;
use crate::backend::BlobSink;
use crate::backend::CacheImage;
use crate::error::CacheError;
use crate::manifest;
use crate::manifest::Documents;
use crate::manifest::ManifestForm;

/// Questions that are asked at a time.
const QUESTIONS: usize = 8;

/// A repository with a cache under a tag.
#[derive(Debug, Clone)]
pub struct RegistryBackend {
    client: Client,
    reference: Reference,
    form: ManifestForm,
    /// The manifest that is there.
    there: Arc<Mutex<Option<Digest>>>,
}

impl RegistryBackend {
    /// Returns the cache that `reference` names.
    pub fn new(client: Client, reference: Reference) -> Self {
        Self {
            client,
            reference,
            form: ManifestForm::Image,
            there: Arc::default(),
        }
    }

    /// Writes manifests of this form.
    #[must_use]
    pub fn form(mut self, form: ManifestForm) -> Self {
        self.form = form;
        self
    }

    fn failed(&self, source: RegistryError) -> CacheError {
        CacheError::Registry {
            place: Backend::place(self),
            source: Arc::new(source),
        }
    }

    fn remember(&self, digest: Digest) {
        *self.there.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
    }

    /// Returns the blobs of the cache that is there: the registry keeps what a manifest names.
    async fn listed(&self) -> Result<BTreeSet<Digest>, CacheError> {
        let top = match self.client.resolve(&self.reference).await {
            Err(error) if error.is_not_found() => return Ok(BTreeSet::new()),
            top => top.map_err(|error| self.failed(error))?,
        };
        self.remember(top.descriptor.digest);
        let parsed = ManifestOrIndex::parse(&top.descriptor.media_type, &top.bytes);
        let entries = match parsed {
            Ok(ManifestOrIndex::Manifest(manifest)) => manifest.layers,
            Ok(ManifestOrIndex::Index(index)) => index.manifests,
            Err(_) => Vec::new(),
        };
        Ok(entries.into_iter().map(|entry| entry.digest).collect())
    }

    async fn fetch(&self, blob: &Descriptor) -> Result<Vec<u8>, CacheError> {
        if blob.size > manifest::DOCUMENT {
            return Err(CacheError::Invalid {
                place: Backend::place(self),
                what: "manifest",
                problem: format!("it names a document of {} bytes", blob.size),
            });
        }
        let mut bytes = Vec::new();
        let mut take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        let fetched = self.client.fetch_blob(&self.reference, blob, &mut take).await;
        fetched.map_err(|error| self.failed(error))?;
        Ok(bytes)
    }
}

#[async_trait]
impl Documents for RegistryBackend {
    fn place(&self) -> String {
        Backend::place(self)
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, CacheError> {
        let is_manifest =
            MediaType::is_manifest(&descriptor.media_type) || MediaType::is_index(&descriptor.media_type);
        if !is_manifest {
            return self.fetch(descriptor).await;
        }
        let found = self.client.manifest(&self.reference, &descriptor.digest).await;
        Ok(found.map_err(|error| self.failed(error))?.bytes.to_vec())
    }
}

#[async_trait]
impl Backend for RegistryBackend {
    fn place(&self) -> String {
        self.reference.to_string()
    }

    async fn read(&self) -> Result<Vec<CacheImage>, CacheError> {
        let top = match self.client.resolve(&self.reference).await {
            Err(error) if error.is_not_found() => return Err(CacheError::NoCache(Backend::place(self))),
            top => top.map_err(|error| self.failed(error))?,
        };
        self.remember(top.descriptor.digest);
        manifest::caches(self, &top.descriptor.media_type, &top.bytes).await
    }

    async fn absent(&self, blobs: &[Descriptor]) -> Result<Vec<Digest>, CacheError> {
        let listed = self.listed().await?;
        let unlisted = blobs.iter().filter(|blob| !listed.contains(&blob.digest));
        let asked = unlisted.map(|blob| async move {
            let is_there = self.client.has_blob(&self.reference, blob).await;
            let is_there = is_there.map_err(|error| self.failed(error))?;
            Ok((!is_there).then_some(blob.digest))
        });
        let absent: Vec<Option<Digest>> = stream::iter(asked.collect::<Vec<_>>())
            .buffered(QUESTIONS)
            .try_collect()
            .await?;
        Ok(absent.into_iter().flatten().collect())
    }

    async fn put(&self, blob: &Descriptor, file: &Path) -> Result<(), CacheError> {
        let source = BlobSource::File(file.to_owned());
        let pushed = self
            .client
            .push_blob(&self.reference, blob, source, None, &mut |_| {})
            .await;
        pushed.map(drop).map_err(|error| self.failed(error))
    }

    async fn get(&self, blob: &Descriptor, offset: u64, sink: &mut BlobSink<'_>) -> Result<(), CacheError> {
        let failed = |error: RegistryError| {
            if error.is_not_found() {
                let place = Backend::place(self);
                let digest = blob.digest;
                return CacheError::NoBlob { place, digest };
            }
            self.failed(error)
        };
        let mut stream = self
            .client
            .blob(&self.reference, blob, offset)
            .await
            .map_err(failed)?;
        while let Some(bytes) = stream.next().await.map_err(failed)? {
            let written = |error: io::Error| CacheError::io("write", blob.digest.to_string(), error);
            sink(&bytes).map_err(written)?;
        }
        Ok(())
    }

    async fn commit(&self, image: &CacheImage) -> Result<(), CacheError> {
        let written = manifest::write(image, self.form);
        let there = *self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if there == Some(written.manifest.0.digest) {
            return Ok(());
        }
        let (config, bytes) = written.config;
        let source = BlobSource::Bytes(bytes.into());
        let pushed = self
            .client
            .push_blob(&self.reference, &config, source, None, &mut |_| {})
            .await;
        pushed.map_err(|error| self.failed(error))?;
        let (top, bytes) = written.manifest;
        let pushed = self
            .client
            .push_manifest(&self.reference, &top.media_type, bytes.into())
            .await;
        pushed.map_err(|error| self.failed(error))?;
        self.remember(top.digest);
        Ok(())
    }
}
