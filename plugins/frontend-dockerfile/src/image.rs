//! The image config that a build writes: OCI's with Docker's additions, fields in BuildKit's order.

use crate::api::Platform;
use crate::platform;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Says which program wrote a line of history.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// A value that is nothing but there: Go's `struct{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Present {}

/// An image config.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) author: String,
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub(crate) os_version: String,
    #[serde(
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "nullable"
    )]
    pub(crate) os_features: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) config: Config,
    /// What the host adds; read of base images to see whether they have layers.
    #[serde(skip_serializing, deserialize_with = "nullable")]
    pub(crate) rootfs: RootFs,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) history: Vec<History>,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    #[serde(deserialize_with = "nullable")]
    pub(crate) diff_ids: Vec<String>,
}

/// What a container of the image does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Config {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub(crate) exposed_ports: BTreeMap<String, Present>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) cmd: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub(crate) volumes: BTreeMap<String, Present>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stop_signal: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) args_escaped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Health>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) on_build: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) shell: Vec<String>,
}

/// How a container's health is found out; times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Health {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub(crate) test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) retries: i64,
}

/// One line of the image's history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty_layer: bool,
}

/// Whether an instruction makes a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// It does.
    Made,
    /// It only changes the config.
    Empty,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Reads `null` as nothing.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Image {
    /// Reads the config of a base image.
    ///
    /// # Errors
    /// JSON that is no image config.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|e| e.to_string())
    }

    /// Makes the config of an image from nothing.
    pub(crate) fn scratch(on: &Platform) -> Self {
        let mut image = Self::default();
        image.set_platform(on);
        image.config.working_dir = "/".to_owned();
        if on.os != "windows" {
            image.config.env = vec![format!("PATH={}", platform::DEFAULT_PATH)];
        }
        image
    }

    /// Says which platform the image is for.
    pub(crate) fn set_platform(&mut self, on: &Platform) {
        self.os.clone_from(&on.os);
        self.architecture.clone_from(&on.architecture);
        self.variant = on.variant.clone().unwrap_or_default();
        self.os_version = on.os_version.clone().unwrap_or_default();
    }

    /// Returns the platform the image is for.
    pub(crate) fn platform(&self) -> Platform {
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: known(&self.variant),
            os_version: known(&self.os_version),
        }
    }

    /// Tells whether the image has no layer.
    pub(crate) fn is_empty(&self) -> bool {
        self.rootfs.diff_ids.is_empty() && self.history.iter().all(|h| h.empty_layer)
    }

    /// Adds a line of history.
    pub(crate) fn commit(&mut self, created_by: String, layer: Layer, created: Option<&str>) {
        self.history.push(History {
            created: created.map(str::to_owned),
            created_by,
            comment: HISTORY_COMMENT.to_owned(),
            empty_layer: layer == Layer::Empty,
            ..History::default()
        });
    }

    /// Returns the config as JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Every field is a string, a number or a map with string keys: writing it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns a command in shell form with the shell in front.
    pub(crate) fn with_shell(&self, args: &[String]) -> Vec<String> {
        let mut out: Vec<String> = if self.config.shell.is_empty() {
            platform::default_shell(&self.os)
                .iter()
                .map(|&s| s.to_owned())
                .collect()
        } else {
            self.config.shell.clone()
        };
        out.push(args.join(" "));
        out
    }
}
