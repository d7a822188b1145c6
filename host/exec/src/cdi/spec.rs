//! Device specifications as the Container Device Interface writes them, and finding them on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

/// Largest file that is read: specifications are a few kilobytes.
const SIZE_LIMIT: u64 = 4 << 20;

/// One file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    /// Version of the format.
    pub(super) cdi_version: String,
    /// `vendor/class` of all its devices.
    pub(super) kind: String,
    /// What is known of all its devices.
    pub(super) annotations: BTreeMap<String, Text>,
    /// The devices.
    pub(super) devices: Vec<Device>,
    /// What every step with one of them gets.
    pub(super) container_edits: Edits,
}

/// One device.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Device {
    /// Its name in its kind.
    pub(super) name: String,
    /// What is known of it.
    pub(super) annotations: BTreeMap<String, Text>,
    /// What a step with it gets.
    pub(super) container_edits: Edits,
}

/// What a step gets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Edits {
    /// `NAME=value`.
    pub(super) env: Vec<String>,
    /// Device files.
    pub(super) device_nodes: Vec<Node>,
    /// Files and directories of the machine.
    pub(super) mounts: Vec<Mount>,
    /// Programs of the machine around the step.
    pub(super) hooks: Vec<Hook>,
    /// Supplementary groups.
    pub(super) additional_gids: Vec<u32>,
    /// A class of cache and memory bandwidth.
    pub(super) intel_rdt: Option<serde_json::Value>,
    /// Network interfaces that are moved into the step.
    pub(super) net_devices: Vec<serde_json::Value>,
}

/// A device file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Node {
    /// Where the step sees it.
    pub(super) path: String,
    /// Where it is on the machine, when that is elsewhere.
    pub(super) host_path: String,
    /// `c`, `u`, `b` or `p`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Major number.
    pub(super) major: Option<u32>,
    /// Minor number.
    pub(super) minor: Option<u32>,
    /// Permission bits.
    pub(super) file_mode: Option<u32>,
    /// What of `rwm` the step may do with it.
    pub(super) permissions: String,
    /// Owner.
    pub(super) uid: Option<u32>,
    /// Group.
    pub(super) gid: Option<u32>,
}

/// A file or directory of the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mount {
    /// Where it is on the machine.
    pub(super) host_path: String,
    /// Where the step sees it.
    pub(super) container_path: String,
    /// `ro`, `nosuid`, …
    pub(super) options: Vec<String>,
    /// Type of the file system, empty for a bind mount.
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A program of the machine around the step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hook {
    /// When it runs.
    pub(super) hook_name: String,
    /// The program.
    pub(super) path: String,
}

/// A text, or a scalar that stands for one: people write `autoallow: true`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    /// A text.
    Written(String),
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
}

impl Text {
    /// Whether it is one of the words for "yes" that Go's `strconv.ParseBool` knows.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Written(text) => matches!(text.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"),
            Self::Bool(value) => *value,
            Self::Number(value) => (*value - 1.0).abs() < f64::EPSILON,
        }
    }

    /// Whether it is this text.
    pub(super) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Written(text) if text == expected)
    }
}

/// A file that was found.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Where.
    pub(super) path: PathBuf,
    /// What it says, or why it cannot be read.
    pub(super) content: Result<Spec, String>,
}

/// Reads the files of a directory, by name. A directory that does not exist has none.
pub(super) fn read_dir(dir: &Path) -> Vec<File> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "yaml" | "yml")) && path.is_file()
    });
    paths.sort();
    let read = |path: PathBuf| File {
        content: read(&path),
        path,
    };
    paths.into_iter().map(read).collect()
}

fn read(path: &Path) -> Result<Spec, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > SIZE_LIMIT {
        return Err(format!("it has {size} bytes (at most {SIZE_LIMIT} are read)"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let spec: Spec = if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| error.to_string())?
    } else {
        serde_json::from_value(super::yaml::read(&text)?).map_err(|error| error.to_string())?
    };
    if spec.cdi_version.is_empty() {
        return Err("it has no `cdiVersion`".to_owned());
    }
    super::check_kind(&spec.kind).map_err(|reason| format!("its kind `{}` {reason}", spec.kind))?;
    Ok(spec)
}
