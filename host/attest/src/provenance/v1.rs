//! The predicate `https://slsa.dev/provenance/v1`.

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

const BUILD_TYPE: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct V1 {
    build_definition: Definition,
    run_details: Run,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(default)]
    build_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resolved_dependencies: Vec<Material>,
    external_parameters: External,
    #[serde(default)]
    internal_parameters: Internal,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct External {
    #[serde(default)]
    config_source: Source,
    #[serde(default)]
    request: Request,
}

#[derive(Serialize, Deserialize, Default)]
struct Source {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Internal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    build_config: Option<BuildConfig>,
    #[serde(default)]
    builder_platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dockerfile_version: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Run {
    builder: Builder,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
struct Builder {
    #[serde(default)]
    id: String,
}

#[derive(Serialize, Deserialize, Default)]
struct Metadata {
    #[serde(rename = "invocationId", default, skip_serializing_if = "String::is_empty")]
    invocation_id: String,
    #[serde(rename = "startedOn", default, skip_serializing_if = "String::is_empty")]
    started_on: String,
    #[serde(rename = "finishedOn", default, skip_serializing_if = "String::is_empty")]
    finished_on: String,
    #[serde(default)]
    buildkit_metadata: BuildkitMetadata,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    buildkit_hermetic: bool,
    #[serde(default)]
    buildkit_completeness: Complete,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    buildkit_reproducible: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kiln_plugins: Vec<Value>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Complete {
    #[serde(default)]
    request: bool,
    #[serde(default)]
    resolved_dependencies: bool,
}

impl From<&Provenance> for V1 {
    fn from(from: &Provenance) -> Self {
        let source = from.config_source.clone();
        Self {
            build_definition: Definition {
                build_type: BUILD_TYPE.to_owned(),
                resolved_dependencies: from.materials.clone(),
                external_parameters: External {
                    config_source: Source {
                        uri: source.uri,
                        digest: source.digest,
                        path: source.path,
                    },
                    request: from.request.clone(),
                },
                internal_parameters: Internal {
                    build_config: from.build_config.clone(),
                    builder_platform: from.builder_platform.clone(),
                    dockerfile_version: from.dockerfile_version.clone(),
                    more: from.environment.clone(),
                },
            },
            run_details: Run {
                builder: Builder {
                    id: from.builder_id.clone(),
                },
                metadata: Metadata {
                    invocation_id: from.invocation_id.clone(),
                    started_on: from.started.clone(),
                    finished_on: from.finished.clone(),
                    buildkit_metadata: from.metadata.clone(),
                    buildkit_hermetic: from.hermetic,
                    buildkit_completeness: Complete {
                        request: from.completeness.request,
                        resolved_dependencies: from.completeness.materials,
                    },
                    buildkit_reproducible: from.reproducible,
                    kiln_plugins: from.plugins.clone(),
                },
            },
        }
    }
}

impl From<V1> for Provenance {
    fn from(from: V1) -> Self {
        let (definition, run) = (from.build_definition, from.run_details);
        let (external, internal) = (definition.external_parameters, definition.internal_parameters);
        let metadata = run.metadata;
        Self {
            config_source: ConfigSource {
                uri: external.config_source.uri,
                digest: external.config_source.digest,
                path: external.config_source.path,
            },
            request: external.request,
            builder_platform: internal.builder_platform,
            dockerfile_version: internal.dockerfile_version,
            environment: internal.more,
            build_config: internal.build_config,
            materials: definition.resolved_dependencies,
            builder_id: run.builder.id,
            invocation_id: metadata.invocation_id,
            started: metadata.started_on,
            finished: metadata.finished_on,
            completeness: Completeness {
                request: metadata.buildkit_completeness.request,
                materials: metadata.buildkit_completeness.resolved_dependencies,
            },
            reproducible: metadata.buildkit_reproducible,
            hermetic: metadata.buildkit_hermetic,
            metadata: metadata.buildkit_metadata,
            plugins: metadata.kiln_plugins,
        }
    }
}
