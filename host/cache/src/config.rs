//! The document itself, as BuildKit writes it: layers that stand on each other, and records that link to each other.
//!
//! Fields that Go leaves out when they are zero are left out here, and zero where they are missing.

use jiff::Timestamp;
use kiln_image::Descriptor;
use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

use crate::backend::LayerInfo;
use crate::mounts::MountSnapshot;

/// `application/vnd.buildkit.cacheconfig.v0`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheConfig {
    /// Layers of the results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<CacheLayer>,
    /// Keys, with what leads to them and what is stored under them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<CacheRecord>,
    /// Contents of cache mounts, which BuildKit does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountSnapshot>,
}

impl CacheConfig {
    /// Media type of the document.
    pub const MEDIA_TYPE: &'static str = "application/vnd.buildkit.cacheconfig.v0";
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheLayer {
    /// Its blob.
    pub blob: Digest,
    /// Place of the layer that it stands on; -1 for a base.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parent: i64,
    /// What its descriptor would say, where there is none beside the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<LayerAnnotations>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Facts about a layer's blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerAnnotations {
    /// Media type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Digest of the uncompressed archive.
    #[serde(rename = "diffID", default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    /// Size of the blob in bytes.
    #[serde(default)]
    pub size: u64,
    /// When the layer was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

impl CacheLayer {
    /// Returns what the annotations say; none when they do not suffice to fetch the layer.
    pub fn info(&self) -> Option<LayerInfo> {
        let annotations = self.annotations.as_ref()?;
        Some(LayerInfo {
            descriptor: Descriptor::new(&annotations.media_type, self.blob, annotations.size),
            diff_id: annotations.diff_id?,
            created: annotations.created_at,
        })
    }
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRecord {
    /// Results, each the layer with those it stands on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<CacheResult>,
    /// Results, each just these layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<CacheResultChain>,
    /// Digest of the operation's key and the output.
    pub digest: Digest,
    /// For each input the alternatives under which it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Vec<CacheInput>>,
}

/// A result that is a layer with those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheResult {
    /// Place of the layer.
    #[serde(default)]
    pub layer: usize,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// A result that lists its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheResultChain {
    /// Places of the layers, base first.
    #[serde(default)]
    pub layers: Vec<usize>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// One key of an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CacheInput {
    /// Which part of the input is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Digest>,
    /// Place of the input's record.
    #[serde(default)]
    pub link: usize,
}
