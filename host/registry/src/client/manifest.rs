//! Manifests and indexes.

use bytes::Bytes;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Reference;
use reqwest::Method;
use reqwest::header::ACCEPT;
use reqwest::header::CONTENT_TYPE;

use crate::Client;
use crate::RegistryError;
use crate::http::Answer;
use crate::http::Call;
use crate::http::Payload;

/// A manifest or index, as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Media type, digest and size; the digest is that of `bytes`.
    pub descriptor: Descriptor,
    /// The document, at most 4 MiB.
    pub bytes: Bytes,
}

impl Client {
    /// Fetches the manifest or index that `reference` points at: by its digest where it has one, else by its tag.
    ///
    /// # Errors
    /// When the registry does not have it or is not to be believed.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        let accepted = [
            MediaType::OCI_INDEX,
            MediaType::DOCKER_INDEX,
            MediaType::OCI_MANIFEST,
            MediaType::DOCKER_MANIFEST,
        ];
        let call = Call::pull(reference, &format!("manifests/{}", tag_or_digest(reference)))
            .header(ACCEPT, accepted.join(", "));
        let answer = self.document(&call).await?;
        let actual = Digest::of(&answer.body);
        let promised = [reference.digest().copied(), digest_header(&answer)];
        for expected in promised.into_iter().flatten() {
            if expected != actual {
                let subject = call.subject;
                return Err(RegistryError::Digest {
                    subject,
                    expected,
                    actual,
                });
            }
        }
        let document = ManifestOrIndex::parse(answer.media_type(), &answer.body).map_err(|source| {
            RegistryError::Manifest {
                subject: call.subject.clone(),
                source,
            }
        })?;
        let media_type = match &document {
            ManifestOrIndex::Manifest(manifest) => &manifest.media_type,
            ManifestOrIndex::Index(index) => &index.media_type,
        };
        Ok(Resolved {
            descriptor: Descriptor::new(media_type, actual, answer.body.len() as u64),
            bytes: answer.body,
        })
    }

    /// Fetches the manifest or index `digest` of the reference's repository.
    ///
    /// # Errors
    /// When the registry does not have it or is not to be believed.
    pub async fn manifest(&self, reference: &Reference, digest: &Digest) -> Result<Resolved, RegistryError> {
        self.resolve(&reference.with_digest(*digest)).await
    }

    /// Pushes a manifest or index: by digest where the reference has one, else to its tag. What it names must be there.
    ///
    /// # Errors
    /// When the registry refuses it, or the digest of `bytes` is not the reference's.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let path = format!("manifests/{}", tag_or_digest(reference));
        let call = Call::push(reference, Method::PUT, &path)
            .header(CONTENT_TYPE, media_type)
            .payload(Payload::Bytes(bytes));
        let mismatch = |expected, actual| RegistryError::Digest {
            subject: call.subject.clone(),
            expected,
            actual,
        };
        if let Some(expected) = reference.digest().filter(|expected| **expected != digest) {
            return Err(mismatch(*expected, digest));
        }
        let answer = self.document(&call).await?;
        match digest_header(&answer) {
            Some(stored) if stored != digest => Err(mismatch(digest, stored)),
            _ => Ok(digest),
        }
    }
}

fn tag_or_digest(reference: &Reference) -> String {
    reference.digest().map_or_else(
        || reference.tag().unwrap_or("latest").to_owned(),
        ToString::to_string,
    )
}

/// Returns the digest that the registry says it gives; one of another algorithm says nothing.
fn digest_header(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest")?.parse().ok()
}
