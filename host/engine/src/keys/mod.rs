//! Cache keys of operations, by BuildKit's rules: the JSON that an operation is hashed as, and which paths of which
//! input its result depends on. The rules are those of `docs/solver.md`.
//!
//! Pure. Compatible with BuildKit byte for byte where `cachekey-vectors` says so: our cache records are to be readable
//! by BuildKit and its by us.

mod exec;
mod file;
mod json;

use kiln_fetch::HttpSource;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Op;
use kiln_image::Digest;
use kiln_image::Platform;

/// Files of an input that an operation's result depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selector {
    /// Path in the input.
    pub(crate) path: String,
    /// `path` has wildcards.
    pub(crate) wildcard: bool,
    /// Follow a symbolic link at the end of `path`.
    pub(crate) follow_links: bool,
    /// Only what matches.
    pub(crate) include: Vec<String>,
    /// Not what matches.
    pub(crate) exclude: Vec<String>,
    /// Paths that must be there.
    pub(crate) required: Vec<String>,
}

impl Selector {
    fn has_wildcard_or_filters(&self) -> bool {
        self.wildcard || !self.include.is_empty() || !self.exclude.is_empty() || !self.required.is_empty()
    }
}

/// How a result depends on one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dependency {
    /// Digest of the selected paths; part of the link between the two keys.
    pub(crate) selector: Option<Digest>,
    /// The paths whose content stands for the input; none when only the input's own key does. An empty list is the
    /// whole tree.
    pub(crate) content: Option<Vec<Selector>>,
}

/// The key of an operation without its inputs' keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpKey {
    /// What is hashed; kept so that a miss can be explained.
    pub(crate) preimage: String,
    /// One for each of [`Op::inputs`], in that order.
    pub(crate) dependencies: Vec<Dependency>,
}

/// Returns the key of every operation but sources, whose keys follow from what they bring in.
pub(crate) fn op_key(op: &Op, platform: &Platform) -> Option<OpKey> {
    match op {
        Op::Source(_) => None,
        Op::Exec(step) => Some(exec::key(step, &op.inputs(), platform)),
        Op::File(actions) => Some(file::key(actions, &op.inputs())),
        Op::Merge(inputs) => Some(merge(inputs, &op.inputs())),
        Op::Diff { lower, upper } => Some(diff(*lower, *upper, &op.inputs())),
    }
}

/// Returns the key of an image source from its manifest.
pub(crate) fn image_manifest(manifest: &Digest, platform: &Platform) -> String {
    let key = json::image(manifest, platform);
    format!("buildkit.source.v0:{}", Digest::of(key))
}

/// Returns the key of an image source from its layers: the chain ID of the OCI image specification.
pub(crate) fn image_chain(diff_ids: &[Digest]) -> Option<String> {
    let chain = diff_ids
        .iter()
        .copied()
        .reduce(|chain, diff_id| Digest::of(format!("{chain} {diff_id}")))?;
    Some(format!("buildkit.source.v0:{chain}"))
}

/// Returns the key of a file that an http server has.
pub(crate) fn http(source: &HttpSource, name: &str, checksum: &str, modified: Option<&str>) -> String {
    let key = json::http(source, name, checksum, modified);
    format!("buildkit.source.v0:{}", Digest::of(key))
}

/// Returns the key of a commit of a repository.
pub(crate) fn git(key: &str) -> String {
    format!("buildkit.source.v0:{key}")
}

fn merge(inputs: &[Input], distinct: &[Input]) -> OpKey {
    let places: Vec<usize> = inputs.iter().map(|input| place(distinct, *input)).collect();
    OpKey {
        preimage: json::merge(&places),
        dependencies: vec![Dependency::default(); distinct.len()],
    }
}

fn diff(lower: Option<Input>, upper: Option<Input>, distinct: &[Input]) -> OpKey {
    let at = |input: Option<Input>| input.map(|input| place(distinct, input));
    OpKey {
        preimage: json::diff(at(lower), at(upper)),
        dependencies: vec![Dependency::default(); distinct.len()],
    }
}

fn place(distinct: &[Input], input: Input) -> usize {
    distinct.iter().position(|i| *i == input).unwrap_or_default()
}

/// Returns the platform that a vertex runs on.
pub(crate) fn platform_of(definition: &Definition, vertex: usize, default: &Platform) -> Platform {
    definition.vertices[vertex]
        .platform
        .clone()
        .unwrap_or_else(|| default.clone())
}

/// Drops paths that lie below another one of the list, and duplicates; sorts.
fn dedupe_paths(paths: &[String]) -> Vec<String> {
    let below = |path: &str, above: &str| {
        path != above
            && path
                .strip_prefix(above)
                .is_some_and(|rest| above.ends_with('/') || rest.starts_with('/'))
    };
    let mut kept: Vec<String> = paths
        .iter()
        .filter(|path| !paths.iter().any(|above| below(path, above)))
        .cloned()
        .collect();
    kept.sort();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests;
