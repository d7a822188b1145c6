//! Pushes images to registries.

use std::collections::BTreeSet;

use kiln_export::Blob;
use kiln_export::BlobBytes;
use kiln_export::ImageOutput;
use kiln_image::Descriptor;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Reference;
use kiln_progress::Step;
use kiln_registry::BlobSource;
use kiln_registry::Client;

use super::AnyError;
use super::Export;

impl Export<'_> {
    pub(super) async fn push(
        &self,
        step: &Step,
        output: &ImageOutput,
        name: &Reference,
        (top, blobs): (&Descriptor, &[Blob]),
    ) -> Result<(), AnyError> {
        let client = self.client(output, name);
        let name = if output.push_by_digest {
            name.with_digest(top.digest)
        } else {
            name.clone()
        };
        push(&client, step, &name, top, blobs).await
    }

    /// Returns who talks to the image's registry.
    pub(super) fn client(&self, output: &ImageOutput, name: &Reference) -> Client {
        let client = &self.build.config.registry;
        if output.insecure {
            client.allowing_insecure(name.registry())
        } else {
            client.clone()
        }
    }
}

/// Makes attestations that were pushed known as such of the image.
pub(crate) async fn list_referrer(
    client: &Client,
    name: &Reference,
    image: &Descriptor,
    attestation: &Descriptor,
) -> Result<(), AnyError> {
    let mut entry = Descriptor::new(&attestation.media_type, attestation.digest, attestation.size);
    entry.artifact_type = Some(kiln_attest::ARTIFACT_TYPE.to_owned());
    entry.annotations.clone_from(&attestation.annotations);
    client.list_referrer(name, &image.digest, &entry).await?;
    Ok(())
}

/// Pushes everything that `top` needs: layers and configs first, manifests then, `top` last.
pub(crate) async fn push(
    client: &Client,
    step: &Step,
    name: &Reference,
    top: &Descriptor,
    blobs: &[Blob],
) -> Result<(), AnyError> {
    let mut manifests = Vec::new();
    let mut plain = Vec::new();
    let mut seen = BTreeSet::new();
    for blob in blobs.iter().filter(|blob| seen.insert(blob.digest)) {
        let document = match &blob.bytes {
            BlobBytes::Memory(bytes) => ManifestOrIndex::parse("", bytes)
                .ok()
                .map(|document| (document, bytes)),
            BlobBytes::File(_) => None,
        };
        match document {
            Some((ManifestOrIndex::Manifest(manifest), bytes)) => {
                manifests.push((manifest.media_type, bytes, blob));
            }
            Some((ManifestOrIndex::Index(index), bytes)) => {
                manifests.push((index.media_type, bytes, blob));
            }
            None => plain.push(blob),
        }
    }
    let part = step.part("pushing", "pushing layers", 0);
    futures::future::try_join_all(plain.into_iter().map(|blob| push_blob(client, step, name, blob))).await?;
    part.done();
    let part = step.part(
        "pushing",
        format!("pushing manifest for {name}@{}", top.digest),
        0,
    );
    manifests.sort_by_key(|(media_type, ..)| MediaType::is_index(media_type));
    for (media_type, bytes, blob) in manifests {
        let named = if blob.digest == top.digest {
            name.clone()
        } else {
            name.with_digest(blob.digest)
        };
        client
            .push_manifest(&named, &media_type, bytes.clone().into())
            .await?;
    }
    part.done();
    Ok(())
}

async fn push_blob(client: &Client, step: &Step, name: &Reference, blob: &Blob) -> Result<(), AnyError> {
    let mut part = step.part("pushing", format!("pushing layer {}", blob.digest), blob.size);
    let source = match &blob.bytes {
        BlobBytes::Memory(bytes) => BlobSource::Bytes(bytes.clone().into()),
        BlobBytes::File(path) => BlobSource::File(path.clone()),
    };
    let descriptor = Descriptor::new("application/octet-stream", blob.digest, blob.size);
    client
        .push_blob(name, &descriptor, source, None, &mut |sent| part.advance(sent))
        .await?;
    part.done();
    Ok(())
}
