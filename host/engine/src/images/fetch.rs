//! Brings layers' blobs into the store.

use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Descriptor;
use kiln_image::Reference;
use kiln_store::Store;

use super::ImageError;
use super::Layout;
use crate::layers::FetchLayer;

/// From a registry, going on where a broken download stopped.
#[derive(Debug)]
pub(crate) struct FromRegistry {
    client: kiln_registry::Client,
    reference: Reference,
}

impl FromRegistry {
    pub(crate) fn new(client: kiln_registry::Client, reference: Reference) -> Self {
        Self { client, reference }
    }

    fn failed(&self, blob: &Descriptor) -> impl Fn(kiln_registry::RegistryError) -> ImageError {
        let (reference, digest) = (self.reference.to_string(), blob.digest);
        move |source| ImageError::Fetch {
            reference: reference.clone(),
            digest,
            source: Box::new(source),
        }
    }
}

#[async_trait]
impl FetchLayer for FromRegistry {
    async fn fetch(
        &self,
        store: &Store,
        blob: &Descriptor,
        report: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        if store.contains(&blob.digest)? {
            return Ok(());
        }
        let digest = blob.digest;
        let resumed = store.clone();
        let mut partial = tokio::task::spawn_blocking(move || resumed.resume_when_free(&digest))
            .await
            .map_err(|error| self.lost(blob, std::io::Error::other(error)))??;
        if store.contains(&digest)? {
            return Ok(()); // another process was faster
        }
        if partial.len() > blob.size {
            partial.restart()?;
        }
        let mut stream = self
            .client
            .blob(&self.reference, blob, partial.len())
            .await
            .map_err(self.failed(blob))?;
        while let Some(bytes) = stream.next().await.map_err(self.failed(blob))? {
            partial
                .write_all(&bytes)
                .map_err(|source| self.lost(blob, source))?;
            report(partial.len());
        }
        partial.commit()?;
        Ok(())
    }

    fn origin(&self) -> String {
        format!("docker-image://{}", self.reference)
    }
}

impl FromRegistry {
    fn lost(&self, blob: &Descriptor, source: std::io::Error) -> ImageError {
        ImageError::Read {
            reference: self.reference.to_string(),
            digest: blob.digest,
            source,
        }
    }
}

/// From an OCI layout.
#[derive(Debug)]
pub(crate) struct FromLayout {
    layout: Layout,
}

impl FromLayout {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout }
    }
}

#[async_trait]
impl FetchLayer for FromLayout {
    async fn fetch(
        &self,
        store: &Store,
        blob: &Descriptor,
        _: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        let (store, layout, blob) = (store.clone(), self.layout.clone(), blob.clone());
        let reference = layout.path().display().to_string();
        let digest = blob.digest;
        let copy = move || {
            let failed = |source| ImageError::Read {
                reference: reference.clone(),
                digest: blob.digest,
                source,
            };
            let mut ingest = store.ingest()?;
            let mut reader = layout.open_blob(&blob.digest)?.take(blob.size + 1);
            let copied = std::io::copy(&mut reader, &mut ingest).map_err(failed)?;
            if copied != blob.size {
                let problem = format!("it has not the {} bytes that its descriptor announces", blob.size);
                return Err(failed(std::io::Error::other(problem)));
            }
            ingest.commit(Some(&blob.digest))?;
            Ok(())
        };
        let lost = |error| {
            let reference = self.layout.path().display().to_string();
            ImageError::Read {
                reference,
                digest,
                source: std::io::Error::other(error),
            }
        };
        tokio::task::spawn_blocking(copy).await.map_err(lost)?
    }

    fn origin(&self) -> String {
        format!("oci-layout-path://{}", self.layout.path().display())
    }
}

/// From the store itself: nothing to do but to notice what is gone.
#[derive(Debug)]
pub(crate) struct FromStore {
    name: String,
}

impl FromStore {
    pub(crate) fn new(name: String) -> Self {
        Self { name }
    }
}

#[async_trait]
impl FetchLayer for FromStore {
    async fn fetch(
        &self,
        store: &Store,
        blob: &Descriptor,
        _: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ImageError> {
        store.open_blob(&blob.digest)?;
        Ok(())
    }

    fn origin(&self) -> String {
        format!("store://{}", self.name)
    }
}

/// Finds again where layers of an earlier build came from.
#[derive(Debug)]
pub(crate) struct Fetchers {
    pub(crate) client: kiln_registry::Client,
}

impl crate::layers::Fetchers for Fetchers {
    fn fetcher(&self, origin: &str) -> Option<Arc<dyn FetchLayer>> {
        match origin.split_once("://")? {
            ("docker-image", reference) => Some(Arc::new(FromRegistry::new(
                self.client.clone(),
                reference.parse().ok()?,
            ))),
            ("oci-layout-path", path) => Some(Arc::new(FromLayout::new(Layout::open(Path::new(path)).ok()?))),
            ("store", name) => Some(Arc::new(FromStore::new(name.to_owned()))),
            _ => None,
        }
    }
}
