//! Lists: tags, and what refers to a manifest.

use std::sync::Arc;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Reference;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use serde::Deserialize;

use crate::Client;
use crate::RegistryError;
use crate::http::Answer;
use crate::http::Call;

/// Most tags or referrers that are listed.
const MOST: usize = 100_000;

/// Most pages that are asked for.
const PAGES: usize = 1000;

impl Client {
    /// Lists what refers to `digest` (signatures, SBOMs): by the referrers API, else by the tag `sha256-<hex>`.
    /// Empty when nothing does.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn referrers(&self, reference: &Reference, digest: &Digest) -> Result<Index, RegistryError> {
        let mut call = Call::pull(reference, &format!("referrers/{digest}"))
            .about(digest)
            .header(ACCEPT, MediaType::OCI_INDEX);
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let answer = match self.document(&call).await {
                Ok(answer) if answer.media_type() == MediaType::OCI_INDEX => answer,
                Ok(_) => return self.referrers_by_tag(reference, digest).await,
                Err(error) if is_unknown(&error) => return self.referrers_by_tag(reference, digest).await,
                Err(error) => return Err(error),
            };
            let index: Index = serde_json::from_slice(&answer.body).map_err(|error| {
                answer.protocol(&call, format!("the list of referrers is malformed: {error}"))
            })?;
            found.extend(index.manifests);
            if found.len() > MOST {
                return Err(answer.protocol(&call, "there are more than 100000 referrers"));
            }
            match next_page(&call, &answer)? {
                Some(next) => call = next,
                None => return Ok(Index::new(found)),
            }
        }
        Err(endless(&call))
    }

    /// Makes a manifest, which has been pushed, known as one that refers to `subject`. A registry with the referrers
    /// API does that by itself; for others the index of the tag `sha256-<hex>` lists it.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the index.
    pub async fn list_referrer(
        &self,
        reference: &Reference,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<(), RegistryError> {
        let listed = self.referrers(reference, subject).await?;
        if listed
            .manifests
            .iter()
            .any(|entry| entry.digest == referrer.digest)
        {
            return Ok(());
        }
        let tag = format!("sha256-{}", subject.hex());
        let Ok(tagged) = reference.with_tag(&tag) else {
            return Ok(());
        };
        let mut index = self.referrers_by_tag(reference, subject).await?;
        MediaType::OCI_INDEX.clone_into(&mut index.media_type);
        index.manifests.push(referrer.clone());
        let bytes = serde_json::to_vec_pretty(&index).expect("an index serialises to JSON");
        self.push_manifest(&tagged, MediaType::OCI_INDEX, bytes.into())
            .await?;
        Ok(())
    }

    async fn referrers_by_tag(&self, reference: &Reference, digest: &Digest) -> Result<Index, RegistryError> {
        let Ok(tagged) = reference.with_tag(&format!("sha256-{}", digest.hex())) else {
            return Ok(Index::new(Vec::new()));
        };
        let resolved = match self.resolve(&tagged).await {
            Ok(resolved) => resolved,
            Err(error) if error.is_not_found() => return Ok(Index::new(Vec::new())),
            Err(error) => return Err(error),
        };
        match ManifestOrIndex::parse(&resolved.descriptor.media_type, &resolved.bytes) {
            Ok(ManifestOrIndex::Index(index)) => Ok(*index),
            _ => Ok(Index::new(Vec::new())),
        }
    }

    /// Lists the tags of the reference's repository, in the registry's order; at most 100,000.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            /// Null where there are none.
            tags: Option<Vec<String>>,
        }
        let mut call = Call::pull(reference, "tags/list?n=1000");
        Arc::make_mut(&mut call.subject).what = reference.name();
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let answer = self.document(&call).await?;
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| answer.protocol(&call, format!("the list of tags is malformed: {error}")))?;
            found.extend(page.tags.unwrap_or_default());
            if found.len() > MOST {
                return Err(answer.protocol(&call, "there are more than 100000 tags"));
            }
            match next_page(&call, &answer)? {
                Some(next) => call = next,
                None => return Ok(found),
            }
        }
        Err(endless(&call))
    }
}

fn endless(call: &Call) -> RegistryError {
    RegistryError::Protocol {
        subject: Arc::clone(&call.subject),
        url: call.subject.registry.clone(),
        reason: format!("its list has more than {PAGES} pages"),
    }
}

/// A registry without the referrers API says 404, some 405 or 400.
fn is_unknown(error: &RegistryError) -> bool {
    let unknown = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::BAD_REQUEST].map(|s| s.as_u16());
    match error {
        RegistryError::Status { status, .. } => unknown.contains(status),
        other => other.is_not_found(),
    }
}

/// Follows `Link: <…>; rel="next"` (RFC 8288).
fn next_page(call: &Call, answer: &Answer) -> Result<Option<Call>, RegistryError> {
    let Some(link) = answer.header("link") else {
        return Ok(None);
    };
    let target = link
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .filter(|(_, rest)| rest.replace('"', "").contains("rel=next"));
    let Some((target, _)) = target else {
        return Ok(None);
    };
    let url = answer
        .url
        .join(target)
        .map_err(|_| answer.protocol(call, "the `Link` to the next page is no URL"))?;
    Ok(Some(call.clone().to(url)))
}
