//! Which attestations a build makes.

use kiln_attest::ProvenanceMode;
use kiln_attest::ProvenanceVersion;

/// Where attestations go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttestLayout {
    /// Into the index where there is one, or where attestations were asked for by name; else beside the one image.
    #[default]
    Auto,
    /// Into the index, as BuildKit puts them.
    Index,
    /// Beside each image, as referrers.
    Referrers,
}

/// Provenance that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProvenanceOptions {
    /// How much is told.
    pub mode: ProvenanceMode,
    /// Version of the predicate.
    pub version: ProvenanceVersion,
    /// Who builds, as a URI.
    pub builder_id: String,
    /// The user says that the build is reproducible.
    pub reproducible: bool,
    /// Only for outputs that are images in a store or registry.
    pub inline_only: bool,
    /// It is an error when something that was used cannot be told.
    pub complete_materials: bool,
}

/// Format of an SBOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SbomFormat {
    /// SPDX 2.3 JSON.
    Spdx,
    /// CycloneDX 1.6 JSON.
    CycloneDx,
}

/// SBOMs that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomOptions {
    /// Formats, without repetition.
    pub formats: Vec<SbomFormat>,
    /// More catalogers: paths or references of components; with any, the built-in ones are still used.
    pub generators: Vec<String>,
    /// A scan that fails fails the build.
    pub required: bool,
}

impl Default for SbomOptions {
    fn default() -> Self {
        Self {
            formats: vec![SbomFormat::Spdx],
            generators: Vec::new(),
            required: false,
        }
    }
}

/// What is said of the images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attestations {
    /// How they were built.
    pub provenance: Option<ProvenanceOptions>,
    /// What is in them.
    pub sbom: Option<SbomOptions>,
    /// What is in them is found out for the caller too, who keeps it beside the result.
    pub sidecar: bool,
    /// Where it goes.
    pub layout: AttestLayout,
}

impl Attestations {
    /// Tells whether they were asked for by name, not only made as a default.
    pub fn is_explicit(&self) -> bool {
        self.sbom.is_some() || self.provenance.as_ref().is_some_and(|p| !p.inline_only)
    }
}
