//! The key of a step that runs a process.

use kiln_graph::CacheSharing;
use kiln_graph::Exec;
use kiln_graph::Input;
use kiln_graph::Mount;
use kiln_graph::MountKind;
use kiln_image::Digest;
use kiln_image::Platform;

use super::Dependency;
use super::OpKey;
use super::Selector;
use super::dedupe_paths;
use super::json;
use super::place;

pub(super) fn key(step: &Exec, inputs: &[Input], platform: &Platform) -> OpKey {
    let dependencies = dependencies(step, inputs);
    let mut hashed = step.clone();
    for mount in &mut hashed.mounts {
        if let MountKind::Cache { id, sharing } = &mut mount.kind
            && !is_default_cache(id, *sharing, &mount.dest)
        {
            id.clear();
            *sharing = CacheSharing::Shared;
        }
    }
    if let [only] = hashed.mounts.as_slice()
        && only.dest == "/"
        && !only.readonly
        && only.kind == MountKind::Bind
    {
        hashed.mounts.clear();
    }
    let places: Vec<i64> = hashed
        .mounts
        .iter()
        .map(|m| m.input.map_or(-1, |input| place(inputs, input) as i64))
        .collect();
    OpKey {
        preimage: json::exec(&hashed, &places, platform),
        dependencies,
    }
}

/// The cache that a Dockerfile gets without an `id`: it is named by its destination, maybe below a namespace.
fn is_default_cache(id: &str, sharing: CacheSharing, dest: &str) -> bool {
    let named = id == dest || id.split_once('/').is_some_and(|(_, rest)| rest == dest);
    named && sharing == CacheSharing::Shared
}

fn dependencies(step: &Exec, inputs: &[Input]) -> Vec<Dependency> {
    let mut selected: Vec<(Vec<String>, bool)> = vec![(Vec::new(), false); inputs.len()];
    for mount in &step.mounts {
        let Some(input) = mount.input else { continue };
        if !matches!(mount.kind, MountKind::Bind | MountKind::Cache { .. }) {
            continue;
        }
        let path = selector_path(mount);
        let (paths, content) = &mut selected[place(inputs, input)];
        *content = content_counts(mount, &path);
        paths.push(path);
    }
    selected
        .into_iter()
        .map(|(paths, content)| dependency(&paths, content))
        .collect()
}

fn dependency(paths: &[String], content: bool) -> Dependency {
    if paths.is_empty() {
        return Dependency::default();
    }
    Dependency {
        selector: Some(Digest::of(paths.join("\0"))),
        content: content.then(|| content_selectors(&dedupe_paths(paths))),
    }
}

/// Returns what is hashed of the input; an empty list is the whole tree.
fn content_selectors(paths: &[String]) -> Vec<Selector> {
    if paths.iter().any(|path| path == "/") {
        return Vec::new();
    }
    paths
        .iter()
        .map(|path| Selector {
            path: path.clone(),
            follow_links: true,
            ..Selector::default()
        })
        .collect()
}

fn selector_path(mount: &Mount) -> String {
    let parts: Vec<&str> = mount
        .selector
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    format!("/{}", parts.join("/"))
}

/// The content of a mount may stand for its input only where the step cannot carry unselected files into its result:
/// the mount's changes are thrown away, it cannot be written, or it is the whole source. Never for the root: hashing
/// it costs more than it saves.
fn content_counts(mount: &Mount, path: &str) -> bool {
    mount.dest != "/" && (mount.output.is_none() || mount.readonly || path == "/")
}
