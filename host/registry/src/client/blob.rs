//! Fetches blobs.

use std::io;

use bytes::Bytes;
use kiln_image::Descriptor;
use kiln_image::Reference;

use super::manifest::stub;
use crate::Client;
use crate::RegistryError;

/// The bytes of a blob as they arrive. Goes on by itself where a connection broke or stalled, and never gives more
/// bytes than the descriptor has. The digest is for the caller to check.
#[derive(Debug)]
pub struct BlobStream {}

impl BlobStream {
    /// Waits for the next bytes; `None` when all have been given.
    ///
    /// # Errors
    /// When the registry does not give the rest.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        std::future::ready(Ok(None)).await
    }
}

impl Client {
    /// Fetches a blob from byte `from` on.
    ///
    /// # Errors
    /// When the registry does not have it.
    pub async fn blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        from: u64,
    ) -> Result<BlobStream, RegistryError> {
        let _ = (blob, from);
        stub(reference).await
    }

    /// Fetches a whole blob into `sink` and checks its digest.
    ///
    /// # Errors
    /// When the registry does not have it or is not to be believed; the sink has then seen wrong bytes.
    pub async fn fetch_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), RegistryError> {
        let _ = (blob, sink);
        stub(reference).await
    }

    /// Returns true when the repository has the blob.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn has_blob(&self, reference: &Reference, blob: &Descriptor) -> Result<bool, RegistryError> {
        let _ = blob;
        stub(reference).await
    }
}
