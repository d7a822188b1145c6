//! What provenance tells, independent of its version. Parts that look the same in both are written as they are here.

use std::collections::BTreeMap;

use kiln_image::Descriptor;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::v1::V1;
use super::v02::V02;

type Digests = BTreeMap<String, String>;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProvenanceMode {
    /// What went in; nothing that could hold what the user typed.
    Min,
    /// Everything: arguments, steps, the build file.
    #[default]
    Max,
}

/// Version of the predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProvenanceVersion {
    /// `https://slsa.dev/provenance/v0.2`.
    V02,
    /// `https://slsa.dev/provenance/v1`.
    #[default]
    V1,
}

impl ProvenanceVersion {
    /// Returns the predicate type.
    pub fn predicate_type(self) -> &'static str {
        match self {
            Self::V02 => crate::PROVENANCE_V02,
            Self::V1 => crate::PROVENANCE_V1,
        }
    }
}

/// Something that the build used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// Where it comes from: a package URL, or a URL.
    pub uri: String,
    /// Its digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: Digests,
}

/// Where the build file comes from; empty for files of the user's machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigSource {
    /// Where.
    pub uri: Option<String>,
    /// Which.
    pub digest: Digests,
    /// The file there.
    pub path: Option<String>,
}

/// A secret or an SSH agent that was asked for: its name only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdOptional {
    /// Name that the user gave it.
    pub id: String,
    /// The build goes on without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A context on the user's machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Local {
    /// Its name.
    pub name: String,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Request {
    /// Who reads the build file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frontend: String,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Secrets by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<IdOptional>,
    /// SSH agents by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<IdOptional>,
    /// Contexts of the user's machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locals: Vec<Local>,
    /// The request as it was before the frontend chose another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Version of what affects digests.
    #[serde(
        rename = "compatibilityVersion",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub compatibility_version: Option<u32>,
}

/// The request as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Root {
    /// Where its build file comes from.
    #[serde(rename = "configSource", default)]
    pub config_source: BTreeMap<String, Value>,
    /// What it asked.
    #[serde(default)]
    pub request: RootRequest,
}

/// What the first request asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RootRequest {
    /// Its attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// One step of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepDef {
    /// Its name, `step<N>`.
    pub id: String,
    /// LLB's operation as JSON.
    pub op: Value,
    /// Where it gets its inputs from, `step<N>:<output>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// The graph.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BuildConfig {
    /// The steps.
    #[serde(rename = "llbDefinition", default, skip_serializing_if = "Vec::is_empty")]
    pub llb_definition: Vec<StepDef>,
    /// Digests of the steps.
    #[serde(rename = "digestMapping", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest_mapping: BTreeMap<String, String>,
}

/// A line of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Line, counted from 1.
    pub line: u32,
    /// Character in the line.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub character: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Some lines of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub start: Place,
    /// The last.
    pub end: Place,
}

/// Lines of one source file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Location {
    /// Which file of [`SourceMap::infos`].
    #[serde(rename = "sourceIndex", default, skip_serializing_if = "is_zero")]
    pub source_index: u32,
    /// The lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Locations {
    /// The places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
}

/// A source file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filename: String,
    /// Its language.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// Its bytes in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// How it was brought in.
    #[serde(flatten)]
    pub config: BuildConfig,
}

/// Which step comes from which line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourceMap {
    /// Places by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locations: BTreeMap<String, Locations>,
    /// The files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infos: Vec<SourceInfo>,
}

/// BuildKit's own part.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BuildkitMetadata {
    /// Version control: `source` and `revision`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vcs: BTreeMap<String, String>,
    /// Which step comes from which line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceMap>,
    /// Layers by step and output.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, Vec<Vec<Descriptor>>>,
}

/// Whether something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Completeness {
    /// All arguments are told.
    pub request: bool,
    /// All that was used is told.
    pub materials: bool,
}

/// What provenance tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// Where the build file comes from.
    pub config_source: ConfigSource,
    /// What was asked for.
    pub request: Request,
    /// Platform of the machine that built.
    pub builder_platform: String,
    /// Version of the Dockerfile language.
    pub dockerfile_version: Option<String>,
    /// More about the machine.
    pub environment: BTreeMap<String, Value>,
    /// The graph.
    pub build_config: Option<BuildConfig>,
    /// What was used.
    pub materials: Vec<Material>,
    /// Who built.
    pub builder_id: String,
    /// Tells this build from others.
    pub invocation_id: String,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub finished: String,
    /// Whether something is missing.
    pub completeness: Completeness,
    /// The user says that the build is reproducible.
    pub reproducible: bool,
    /// Nothing came over the network but materials.
    pub hermetic: bool,
    /// BuildKit's own part.
    pub metadata: BuildkitMetadata,
    /// kiln's own part: the plugins that took part.
    pub plugins: Vec<Value>,
}

impl Provenance {
    /// Returns the predicate of this version.
    pub fn predicate(&self, version: ProvenanceVersion) -> Value {
        let written = match version {
            ProvenanceVersion::V1 => serde_json::to_value(V1::from(self)),
            ProvenanceVersion::V02 => serde_json::to_value(V02::from(self)),
        };
        written.expect("provenance serialises to JSON")
    }

    /// Reads a predicate of either version; unknown fields are passed over.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(predicate_type: &str, predicate: &Value) -> Result<Self, serde_json::Error> {
        if predicate_type == crate::PROVENANCE_V02 {
            V02::deserialize(predicate).map(Self::from)
        } else {
            V1::deserialize(predicate).map(Self::from)
        }
    }
}
