//! What is done with a store beside building: looking, pushing, saving, cleaning up.

use std::sync::Arc;

use kiln_export::ArchiveKind;
use kiln_export::Blob;
use kiln_export::BlobBytes;
use kiln_export::Destination;
use kiln_export::ImageName;
use kiln_export::Top;
use kiln_image::Digest;
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
use kiln_store::UsageKind;
use kiln_store::UsageRecord;

use crate::Engine;
use crate::bridge::chain;
use crate::error::BuildError;
use crate::error::EngineError;
use crate::images::StoredImage;

/// Largest document that is shown, in bytes.
const MAX_DOCUMENT: u64 = 8 << 20;

impl Engine {
    /// Returns what the store holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let mut usage = self.store().usage()?;
        for kept in self.fetchers().git.kept() {
            usage.total += kept.size;
            if !kept.in_use {
                usage.reclaimable += kept.size;
            }
            usage.records.push(repository(&kept));
        }
        Ok(usage)
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

    /// Returns every blob of an image of the local store, documents in memory.
    fn image_blobs(&self, reference: &Reference) -> Result<(StoredImage, Vec<Blob>), BuildError> {
        let missing = || BuildError::Usage(format!("no such image: {}", reference.familiar()));
        let stored = self.images().get(reference)?.ok_or_else(missing)?;
        let mut blobs = Vec::new();
        for top in stored.attestations.iter().chain([&stored.descriptor]) {
            blobs.extend(self.images().blobs(top).map_err(EngineError::Image)?);
        }
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
        Ok((stored, found))
    }

    /// Pushes an image of the local store under its name.
    ///
    /// # Errors
    /// When there is no such image or the registry refuses it.
    pub async fn push(&self, reference: &Reference, sink: Arc<dyn Sink>) -> Result<Digest, BuildError> {
        let (stored, blobs) = self.image_blobs(reference)?;
        let top = &stored.descriptor;
        let title = format!("pushing {reference}");
        let step = Step::start(&sink, Digest::of(&title), &title);
        let client = &self.config().registry;
        let push = async {
            crate::export::push(client, &step, reference, top, &blobs).await?;
            for attestation in &stored.attestations {
                crate::export::list_referrer(client, reference, top, attestation).await?;
            }
            Ok::<_, crate::export::AnyError>(())
        };
        match push.await {
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
        let (stored, mut blobs) = self.image_blobs(reference)?;
        let (descriptor, created) = (stored.descriptor, stored.created);
        // What is said of the image has no place in such an archive.
        let needed = self.images().blobs(&descriptor).map_err(EngineError::Image)?;
        blobs.retain(|blob| needed.iter().any(|needed| needed.digest == blob.digest));
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

/// Returns a repository that is kept as a record like others.
fn repository(kept: &kiln_fetch::Kept) -> UsageRecord {
    UsageRecord {
        id: format!("git/{}", kept.name),
        kind: UsageKind::Owner,
        size: kept.size,
        created: kept.created,
        last_used: kept.last_used,
        uses: 0,
        in_use: kept.in_use,
        pinned: false,
        shared: false,
        record_type: "source.git.checkout".to_owned(),
        description: format!("git repository {}", kept.remote),
        owners: Vec::new(),
    }
}
