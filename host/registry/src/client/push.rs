//! Pushes blobs.

use std::path::PathBuf;

use bytes::Bytes;
use kiln_image::Descriptor;
use kiln_image::Reference;

use super::manifest::stub;
use crate::Client;
use crate::RegistryError;

/// Where the bytes of a pushed blob are.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(PathBuf),
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Its bytes were sent.
    Uploaded,
    /// The registry took it from another repository.
    Mounted,
    /// It was there.
    Existed,
}

impl Client {
    /// Brings a blob into the reference's repository: nothing is sent when it is there already, or when the registry
    /// mounts it from the repository `mount_from`. `progress` hears how many of the blob's bytes were sent so far.
    ///
    /// # Errors
    /// When the registry refuses it, or the source has other bytes than the descriptor says.
    #[expect(
        clippy::too_many_arguments,
        reason = "what, where, from where: there is no pair that belongs together"
    )]
    pub async fn push_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        source: BlobSource,
        mount_from: Option<&str>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Pushed, RegistryError> {
        let _ = (blob, source, mount_from, progress);
        stub(reference).await
    }
}
