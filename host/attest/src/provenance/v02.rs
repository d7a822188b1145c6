//! The predicate `https://slsa.dev/provenance/v0.2`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::BuildConfig;
use super::BuildkitMetadata;
use super::Completeness;
use super::ConfigSource;
use super::Material;
use super::Provenance;
use super::Request;

const BUILD_TYPE: &str = "https://mobyproject.org/buildkit@v1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct V02 {
    builder: Builder,
    #[serde(default)]
    build_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    materials: Vec<Material>,
    #[serde(default)]
    invocation: Invocation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    build_config: Option<BuildConfig>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
struct Builder {
    #[serde(default)]
    id: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    #[serde(default)]
    config_source: Source,
    #[serde(default)]
    parameters: Request,
    #[serde(default)]
    environment: Environment,
}

#[derive(Serialize, Deserialize, Default)]
struct Source {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<String, String>,
    #[serde(rename = "entryPoint", default, skip_serializing_if = "Option::is_none")]
    entry_point: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Environment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dockerfile_version: Option<String>,
    #[serde(default)]
    platform: String,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize, Default)]
struct Metadata {
    #[serde(
        rename = "buildInvocationID",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    invocation: String,
    #[serde(rename = "buildStartedOn", default, skip_serializing_if = "String::is_empty")]
    started: String,
    #[serde(rename = "buildFinishedOn", default, skip_serializing_if = "String::is_empty")]
    finished: String,
    #[serde(default)]
    completeness: Complete,
    #[serde(default)]
    reproducible: bool,
    #[serde(
        rename = "https://mobyproject.org/buildkit@v1#hermetic",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    hermetic: bool,
    #[serde(rename = "https://mobyproject.org/buildkit@v1#metadata", default)]
    buildkit: BuildkitMetadata,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kiln_plugins: Vec<Value>,
}

#[derive(Serialize, Deserialize, Default)]
struct Complete {
    #[serde(default)]
    parameters: bool,
    #[serde(default)]
    environment: bool,
    #[serde(default)]
    materials: bool,
}

impl From<&Provenance> for V02 {
    fn from(from: &Provenance) -> Self {
        let source = from.config_source.clone();
        Self {
            builder: Builder {
                id: from.builder_id.clone(),
            },
            build_type: BUILD_TYPE.to_owned(),
            materials: from.materials.clone(),
            invocation: Invocation {
                config_source: Source {
                    uri: source.uri,
                    digest: source.digest,
                    entry_point: source.path,
                },
                parameters: from.request.clone(),
                environment: Environment {
                    dockerfile_version: from.dockerfile_version.clone(),
                    platform: from.builder_platform.clone(),
                    more: from.environment.clone(),
                },
            },
            build_config: from.build_config.clone(),
            metadata: Metadata {
                invocation: from.invocation_id.clone(),
                started: from.started.clone(),
                finished: from.finished.clone(),
                completeness: Complete {
                    parameters: from.completeness.request,
                    environment: true,
                    materials: from.completeness.materials,
                },
                reproducible: from.reproducible,
                hermetic: from.hermetic,
                buildkit: from.metadata.clone(),
                kiln_plugins: from.plugins.clone(),
            },
        }
    }
}

impl From<V02> for Provenance {
    fn from(from: V02) -> Self {
        let (invocation, metadata) = (from.invocation, from.metadata);
        Self {
            config_source: ConfigSource {
                uri: invocation.config_source.uri,
                digest: invocation.config_source.digest,
                path: invocation.config_source.entry_point,
            },
            request: invocation.parameters,
            builder_platform: invocation.environment.platform,
            dockerfile_version: invocation.environment.dockerfile_version,
            environment: invocation.environment.more,
            build_config: from.build_config,
            materials: from.materials,
            builder_id: from.builder.id,
            invocation_id: metadata.invocation,
            started: metadata.started,
            finished: metadata.finished,
            completeness: Completeness {
                request: metadata.completeness.parameters,
                materials: metadata.completeness.materials,
            },
            reproducible: metadata.reproducible,
            hermetic: metadata.hermetic,
            metadata: metadata.buildkit,
            plugins: metadata.kiln_plugins,
        }
    }
}
