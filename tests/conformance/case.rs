//! Cases as the file has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(crate) struct File {
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) verified: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// Name of the step where a case has several, for messages.
    pub(crate) label: String,
    pub(crate) context: Option<Vec<Item>>,
    pub(crate) context_changes: Vec<Item>,
    pub(crate) dockerfile_dir: Option<Vec<Item>>,
    pub(crate) dockerfile: Option<String>,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) opts: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) contexts: BTreeMap<String, String>,
    pub(crate) extra_dirs: BTreeMap<String, Vec<Item>>,
    pub(crate) entitlements: Vec<String>,
    /// What the daemon grants: here whoever runs the build is the one who grants.
    pub(crate) daemon_entitlements: Vec<String>,
    pub(crate) cache_to: Vec<BTreeMap<String, String>>,
    pub(crate) cache_from: Vec<BTreeMap<String, String>>,
    pub(crate) prune_before: bool,
    pub(crate) export: Option<String>,
    pub(crate) export_attrs: BTreeMap<String, String>,
    pub(crate) save_image_as: Option<String>,
    /// Images of earlier steps: they are in the case's store already.
    pub(crate) base_images: Vec<String>,
    pub(crate) save_layout_as: Option<String>,
    pub(crate) expect: String,
    pub(crate) error_contains: Vec<String>,
    pub(crate) error_regex: Option<String>,
    pub(crate) error_source: Option<Source>,
    pub(crate) files: Vec<FileCheck>,
    pub(crate) only_files: Option<Vec<String>>,
    pub(crate) compare: Vec<Compare>,
    pub(crate) config: BTreeMap<String, Value>,
    pub(crate) config_by_platform: BTreeMap<String, BTreeMap<String, Value>>,
    pub(crate) layer_files_by_platform: BTreeMap<String, Vec<FileCheck>>,
    pub(crate) index: Option<IndexCheck>,
    pub(crate) layers: Option<LayersCheck>,
    pub(crate) history_after_base: Option<Vec<HistoryCheck>>,
    pub(crate) layers_over_base: Option<usize>,
    pub(crate) progress_vertex_names: Vec<String>,
    pub(crate) progress_vertex_contains: Vec<String>,
    pub(crate) timeout_s: Option<u64>,
}

/// A file of a context.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Item {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) mode: Option<String>,
    pub(crate) content: String,
    pub(crate) target: String,
    pub(crate) from: String,
    pub(crate) gzip: bool,
    pub(crate) entries: Vec<TarItem>,
}

/// An entry of an archive in a context.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TarItem {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) mode: String,
    pub(crate) data: String,
    pub(crate) linkname: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Source {
    pub(crate) filename: String,
    pub(crate) lines: Vec<u64>,
}

/// What a file of the result must be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileCheck {
    pub(crate) path: String,
    pub(crate) content: Option<String>,
    pub(crate) contains: Vec<String>,
    pub(crate) not_contains: Vec<String>,
    pub(crate) absent: bool,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) link_target: Option<String>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) empty: bool,
    pub(crate) same_as_context: Option<String>,
    pub(crate) same_inode_as: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Compare {
    pub(crate) path: String,
    pub(crate) with_step: usize,
    pub(crate) equal: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IndexCheck {
    pub(crate) top_manifests: Option<usize>,
    pub(crate) manifests: Option<usize>,
    pub(crate) order: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LayersCheck {
    pub(crate) count: usize,
    #[serde(default)]
    pub(crate) annotations: Vec<BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HistoryCheck {
    pub(crate) created_by_contains: String,
    pub(crate) empty_layer: bool,
}
