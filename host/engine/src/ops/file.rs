//! File operations: pure functions on trees, and the digests of what they read.

use std::io;
use std::io::Read;
use std::sync::Arc;

use kiln_graph::FileAct;
use kiln_graph::FileAction;
use kiln_graph::FileInput;
use kiln_graph::Input;
use kiln_graph::Owner;
use kiln_graph::UserRef;
use kiln_image::Digest;
use kiln_image::Hasher;
use kiln_layer::ContentSource;
use kiln_solver::OpContext;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Timestamp;
use kiln_tree::Tree;
use kiln_tree::hash;
use kiln_tree::hash::RootHeader;
use kiln_tree::ops;
use kiln_tree::users::Ids;

use crate::build::BuildContext;
use crate::context::LocalTree;
use crate::error::EngineError;
use crate::keys::Selector;
use crate::layers::Contents;
use crate::layers::Ref;

/// A tree that is worked on.
#[derive(Debug, Clone, Default)]
struct Work {
    base: Ref,
    tree: Tree,
    changes: Vec<Arc<ChangeSet>>,
}

/// Runs the actions and returns the outputs.
pub(super) async fn run(
    build: &Arc<BuildContext>,
    ctx: &OpContext,
    actions: &[FileAction],
    inputs: &[(Input, Ref)],
) -> Result<Vec<Ref>, EngineError> {
    let mut done: Vec<Work> = Vec::with_capacity(actions.len());
    let mut outputs: Vec<(u32, Ref)> = Vec::new();
    let created = Timestamp {
        seconds: build.created.as_second(),
        nanos: 0,
    };
    for action in actions {
        let mut work = find(build, action.on, inputs, &done).await?;
        let source = match &action.act {
            FileAct::Copy(copy) => Some(find(build, copy.from, inputs, &done).await?.tree),
            _ => None,
        };
        let changes = act(build, &work.tree, source.as_ref(), &action.act, created).await;
        let changes = changes.map_err(|error| match error {
            EngineError::File(problem @ kiln_tree::OpError::NotFound { .. }) => EngineError::Checksum {
                vertex: ctx.vertex().digest,
                problem,
            },
            error => error,
        })?;
        for change in changes.into_iter().map(Arc::new) {
            work.tree.push(change.clone());
            work.changes.push(change);
        }
        if let Some(output) = action.output {
            let changes = match work.changes.as_slice() {
                [only] => only.clone(),
                some => Arc::new(
                    some.iter()
                        .fold(ChangeSet::default(), |all, change| all.then(change)),
                ),
            };
            let layer = build.layers.of_changes(changes, ctx.vertex().name.clone());
            outputs.push((output, work.base.push(layer)));
        }
        done.push(work);
    }
    outputs.sort_by_key(|(output, _)| *output);
    Ok(outputs.into_iter().map(|(_, result)| result).collect())
}

async fn find(
    build: &BuildContext,
    input: FileInput,
    inputs: &[(Input, Ref)],
    done: &[Work],
) -> Result<Work, EngineError> {
    match input {
        FileInput::Scratch => Ok(Work::default()),
        FileInput::Action(at) => Ok(done.get(at as usize).cloned().unwrap_or_default()),
        FileInput::Vertex(input) => {
            let found = inputs.iter().find(|(at, _)| *at == input);
            let base = found.map(|(_, found)| found.clone()).unwrap_or_default();
            let tree = build.layers.tree(&base).await?;
            Ok(Work {
                base,
                tree,
                changes: Vec::new(),
            })
        }
    }
}

async fn act(
    build: &Arc<BuildContext>,
    dest: &Tree,
    source: Option<&Tree>,
    act: &FileAct,
    created: Timestamp,
) -> Result<Vec<ChangeSet>, EngineError> {
    let time = |seconds: Option<i64>| seconds.map(|seconds| Timestamp { seconds, nanos: 0 });
    let one = match act {
        FileAct::Copy(copy) => {
            let mut action = ops::CopyAction {
                src: copy.src.clone(),
                dest: copy.dest.clone(),
                owner: owner(build, dest, copy.owner.as_ref()).await?,
                mode: None,
                follow_symlink: copy.follow_symlink,
                dir_copy_contents: copy.dir_copy_contents,
                create_dest_path: copy.create_dest_path,
                allow_wildcard: copy.allow_wildcard,
                allow_empty_wildcard: copy.allow_empty_wildcard,
                timestamp: time(copy.timestamp),
                include_patterns: copy.include_patterns.clone(),
                exclude_patterns: copy.exclude_patterns.clone(),
                always_replace_existing_dest_paths: copy.always_replace_existing_dest_paths,
                required_paths: copy.required_paths.clone(),
            };
            action.mode = match (copy.mode, copy.mode_str.as_str()) {
                (_, text) if !text.is_empty() => Some(text.parse().map_err(EngineError::File)?),
                (Some(mode), _) => Some(ops::Chmod::Octal(mode)),
                (None, _) => None,
            };
            let nothing = Tree::default();
            let source = source.unwrap_or(&nothing);
            if copy.attempt_unpack {
                return super::unpack::copy_or_unpack(build, dest, source, &action, created).await;
            }
            ops::copy(dest, source, &action, created)
        }
        FileAct::Mkfile(mkfile) => {
            let action = ops::MkfileAction {
                path: mkfile.path.clone(),
                mode: mkfile.mode,
                data: mkfile.data.as_slice().into(),
                owner: owner(build, dest, mkfile.owner.as_ref()).await?,
                timestamp: time(mkfile.timestamp),
            };
            ops::mkfile(dest, &action, created)
        }
        FileAct::Mkdir(mkdir) => {
            let action = ops::MkdirAction {
                path: mkdir.path.clone(),
                mode: mkdir.mode,
                make_parents: mkdir.make_parents,
                owner: owner(build, dest, mkdir.owner.as_ref()).await?,
                timestamp: time(mkdir.timestamp),
            };
            ops::mkdir(dest, &action, created)
        }
        FileAct::Rm(rm) => {
            let action = ops::RmAction {
                path: rm.path.clone(),
                allow_not_found: rm.allow_not_found,
                allow_wildcard: rm.allow_wildcard,
            };
            ops::rm(dest, &action)
        }
        FileAct::Symlink(symlink) => {
            let action = ops::SymlinkAction {
                old_path: symlink.old_path.clone(),
                new_path: symlink.new_path.clone(),
                owner: owner(build, dest, symlink.owner.as_ref()).await?,
                timestamp: time(symlink.timestamp),
            };
            ops::symlink(dest, &action, created)
        }
    };
    Ok(vec![one.map_err(EngineError::File)?])
}

/// Finds out numbers of an owner's names in the tree that is worked on.
async fn owner(build: &BuildContext, tree: &Tree, owner: Option<&Owner>) -> Result<Option<Ids>, EngineError> {
    let Some(owner) = owner else { return Ok(None) };
    let named = |user: &Option<UserRef>| matches!(user, Some(UserRef::Name(_)));
    let (mut passwd, mut group) = (Vec::new(), Vec::new());
    if named(&owner.user) {
        passwd = super::owner::read(build, tree, "etc/passwd").await?;
    }
    if named(&owner.group) {
        group = super::owner::read(build, tree, "etc/group").await?;
    }
    Ok(Some(super::owner::ids(owner, &passwd, &group)))
}

/// Digests of files of a tree, from the context's own memory where they are a context's.
struct Digests {
    context: Option<Arc<LocalTree>>,
    contents: Arc<Contents>,
}

impl Digests {
    fn read(&self, entry: &Entry, header: &[u8]) -> io::Result<Digest> {
        let mut hasher = Hasher::new();
        hasher.update(header);
        let mut reader = self.contents.open(entry)?;
        let mut left = entry.size().unwrap_or_default();
        let mut buffer = vec![0; left.saturating_add(1).min(128 << 10) as usize];
        loop {
            let got = reader.read(&mut buffer)?;
            let Some(rest) = left.checked_sub(got as u64) else {
                return Err(io::Error::other("the file grew while it was read"));
            };
            if got == 0 && left > 0 {
                return Err(io::Error::other("the file shrank while it was read"));
            }
            if got == 0 {
                self.contents.unchanged(entry)?;
                return Ok(hasher.finish());
            }
            left = rest;
            hasher.update(&buffer[..got]);
        }
    }
}

impl hash::FileDigests for Digests {
    fn digest(&self, entry: &Entry, header: &[u8]) -> io::Result<Digest> {
        match &self.context {
            Some(context) => context.file_digest(entry, |entry| self.read(entry, header)),
            None => self.read(entry, header),
        }
    }
}

/// Returns the digest of what the selectors select of a tree; of all of it without selectors.
pub(super) async fn content_digest(
    build: &Arc<BuildContext>,
    ctx: &OpContext,
    input: &Ref,
    selectors: &[Selector],
) -> Result<Digest, EngineError> {
    let tree = build.layers.tree(input).await?;
    let context = match input.layers() {
        [only] => build.layers.context_of(only.id()),
        _ => None,
    };
    let vertex = ctx.vertex().digest;
    let failed = move |problem| EngineError::Checksum { vertex, problem };
    let root = if context.is_some() {
        RootHeader::Empty
    } else {
        RootHeader::Entry
    };
    let selectors: Vec<hash::Selector> = selectors
        .iter()
        .map(|selector| selection(selector, root))
        .collect();
    let known = |entry: &Entry| context.as_ref().and_then(|context| context.known_digest(entry));
    let missing = hash::Missing::new(known);
    let key = hash::content_key(&tree, &selectors, root, &missing).map_err(failed)?;
    let missing = missing.into_files();
    if missing.is_empty() {
        return Ok(key);
    }
    let in_layers = |entry: &&Entry| crate::layers::is_in_layer(entry);
    let files = missing.iter().map(|(entry, _)| entry).filter(in_layers);
    let contents = build.layers.contents_of(files.cloned().collect()).await?;
    let threads = build.config.threads;
    let work = move || {
        let digests = Digests { context, contents };
        if let Some(context) = &digests.context {
            context.hash_ahead(&missing, threads, &|entry, header| digests.read(entry, header));
        }
        hash::content_key(&tree, &selectors, root, &digests).map_err(failed)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::Panicked(error.to_string()))?
}

fn selection(selector: &Selector, root: RootHeader) -> hash::Selector {
    let options = hash::Options {
        wildcard: selector.wildcard,
        follow_links: selector.follow_links,
        include_patterns: selector.include.clone(),
        exclude_patterns: selector.exclude.clone(),
        required_paths: selector.required.clone(),
        root,
    };
    hash::Selector {
        path: selector.path.clone(),
        options,
    }
}
