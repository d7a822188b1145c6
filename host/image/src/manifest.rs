//! Descriptors, manifests and indexes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::Digest;
use crate::MediaType;
use crate::Platform;

/// What a blob is, how large it is and which bytes it has (OCI content descriptor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Media type of the blob.
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Places to fetch the blob from; kept, never used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free-form annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Platform of an index's entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Artifact type of an index's entry.
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Returns a descriptor with the three required fields.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Returns the descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// An OCI image manifest or a Docker manifest of schema 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u8,
    /// Media type of this manifest.
    #[serde(rename = "mediaType", default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Type of the artifact when the config says nothing (OCI 1.1).
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to (OCI 1.1 referrers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An OCI image index or a Docker manifest list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Always 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u8,
    /// Media type of this index.
    #[serde(rename = "mediaType", default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Type of the artifact (OCI 1.1).
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The entries.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to (OCI 1.1 referrers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Returns an OCI index of `manifests`.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX.to_owned(),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns the entry that serves `wanted` best. Entries without a platform, or with `unknown` (attestations),
    /// are passed over; of equally good ones the first wins.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let rank = |d: &Descriptor| d.platform.as_ref()?.serves(wanted);
        let ranked = self.manifests.iter().filter_map(|d| Some((rank(d)?, d)));
        ranked
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, descriptor)| descriptor)
    }
}

/// Either kind of document that a tag can point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestOrIndex {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several images.
    Index(Box<Index>),
}

/// Largest manifest or index that is read, in bytes; registries refuse larger ones.
const MAX_MANIFEST: usize = 4 << 20;

impl ManifestOrIndex {
    /// Parses a manifest or an index and checks its shape. `media_type` is what the registry or descriptor said and
    /// may be empty; a `mediaType` inside the document that says something else is an error, since two readers could
    /// then see two different images (CVE-2021-41190).
    ///
    /// # Errors
    /// When the document is too large, malformed, ambiguous, or of a kind that is not an image.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Peek {
            #[serde(rename = "mediaType", default)]
            media_type: String,
            #[serde(rename = "schemaVersion", default)]
            schema_version: u8,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
        }
        if bytes.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let peek: Peek = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if peek.schema_version != 2 {
            return Err(ManifestError::SchemaVersion(peek.schema_version));
        }
        let image = peek.layers.is_some() || peek.config.is_some();
        if peek.manifests.is_some() && image {
            return Err(ManifestError::Ambiguous);
        }
        let inside = if peek.media_type.is_empty() {
            None
        } else {
            Some(peek.media_type.as_str())
        };
        let outside = Some(media_type).filter(|m| MediaType::is_index(m) || MediaType::is_manifest(m));
        if let (Some(inside), Some(outside)) = (inside, outside)
            && inside != outside
        {
            return Err(ManifestError::MediaType {
                inside: inside.to_owned(),
                outside: outside.to_owned(),
            });
        }
        let default = if image {
            MediaType::OCI_MANIFEST
        } else {
            MediaType::OCI_INDEX
        };
        let kind = inside.or(outside).unwrap_or(default).to_owned();
        if MediaType::is_index(&kind) {
            let mut index: Index = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
            index.media_type = kind;
            Ok(Self::Index(Box::new(index)))
        } else if MediaType::is_manifest(&kind) {
            let mut manifest: Manifest = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
            manifest.media_type = kind;
            Ok(Self::Manifest(Box::new(manifest)))
        } else {
            Err(ManifestError::Unsupported(kind))
        }
    }
}

/// A manifest or index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Over the size that is read.
    #[error("manifest has {0} bytes (at most {MAX_MANIFEST} are read)")]
    TooLarge(usize),
    /// Not the JSON it should be.
    #[error("manifest is malformed")]
    Json(#[source] serde_json::Error),
    /// Schema 1, or none.
    #[error("manifest has schemaVersion {0} (expected 2; push the image again with a current client)")]
    SchemaVersion(u8),
    /// Both a manifest and an index.
    #[error("manifest has both `layers` and `manifests`: two readers would see two images")]
    Ambiguous,
    /// Two media types for one document.
    #[error("manifest says it is `{inside}`, the registry says `{outside}`")]
    MediaType {
        /// What the document says.
        inside: String,
        /// What the registry or descriptor says.
        outside: String,
    },
    /// Not an image.
    #[error("`{0}` is not an image manifest or index")]
    Unsupported(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_both_kinds_is_refused() {
        let text = br#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#;
        assert!(matches!(
            ManifestOrIndex::parse("", text),
            Err(ManifestError::Ambiguous)
        ));
    }

    #[test]
    fn the_registry_may_not_rename_a_document() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
            MediaType::OCI_INDEX
        );
        let error = ManifestOrIndex::parse(MediaType::OCI_MANIFEST, text.as_bytes());
        assert!(matches!(error, Err(ManifestError::MediaType { .. })));
        assert!(matches!(
            ManifestOrIndex::parse("", text.as_bytes()),
            Ok(ManifestOrIndex::Index(_))
        ));
    }
}
