//! What a build gave.

use kiln_attest::Sbom;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Platform;
use serde_json::Map;
use serde_json::Value;

/// One image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its platform.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Digest of its config: docker's image id.
    pub config: Digest,
    /// How many layers it has.
    pub layers: usize,
    /// Size of its layers' blobs in bytes.
    pub size: u64,
}

/// What is in one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltSbom {
    /// Its platform, where the frontend says.
    pub platform: Option<Platform>,
    /// Everything that a document says.
    pub sbom: Sbom,
}

/// What a build gave.
#[derive(Debug, Clone, Default)]
pub struct BuildOutcome {
    /// The images, one for each platform; none when no output asked for an image.
    pub images: Vec<BuiltImage>,
    /// The manifest or index that the names point at.
    pub descriptor: Option<Descriptor>,
    /// Names of the image, in full.
    pub names: Vec<String>,
    /// What `--metadata-file` holds, by BuildKit's keys.
    pub metadata: Map<String, Value>,
    /// What is in the result, if that was asked for: one for each platform.
    pub sboms: Vec<BuiltSbom>,
    /// How many warnings there were.
    pub warnings: usize,
}
