//! Trees as frontends see them.

use std::io::Read as _;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Digest;
use kiln_layer::ContentSource as _;
use kiln_pattern::Patterns;
use kiln_plugin::EntryKind;
use kiln_plugin::FileBlob;
use kiln_plugin::FileEntry;
use kiln_plugin::FileTree;
use kiln_plugin::HostError;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::Tree;
use kiln_tree::TreePath;

use crate::layers::Layers;
use crate::layers::LayersError;

/// Largest file that is read at once, in bytes.
const MAX_READ: u64 = 64 << 20;

/// A stack of layers as a tree of files.
#[derive(Debug)]
pub(crate) struct RefTree {
    layers: Layers,
    tree: Tree,
}

impl RefTree {
    pub(crate) fn new(layers: Layers, tree: Tree) -> Self {
        Self { layers, tree }
    }

    /// Returns the size of a regular file.
    pub(crate) fn size_of(&self, path: &str) -> Option<u64> {
        let path = self.tree.resolve_existing(&clean(path).ok()?).ok()?;
        self.tree.file(&path)?.size()
    }

    /// Returns the first bytes of a regular file; none where there is no such file.
    pub(crate) async fn read_head(&self, path: &TreePath, length: usize) -> Result<Vec<u8>, LayersError> {
        let Some(entry) = self.tree.file(path) else {
            return Ok(Vec::new());
        };
        let contents = self.layers.contents_of(vec![entry.clone()]).await?;
        let path = path.clone();
        crate::layers::blocking(move || {
            let failed = |source| LayersError::Read {
                path: path.clone(),
                source,
            };
            let mut head = Vec::new();
            let file = contents.open(&entry).map_err(failed)?;
            file.take(length as u64).read_to_end(&mut head).map_err(failed)?;
            Ok::<_, LayersError>(head)
        })
        .await
    }

    fn entry(path: &TreePath, found: &Entry) -> FileEntry {
        let (kind, size, target) = match &found.node {
            Node::Directory { .. } => (EntryKind::Directory, 0, None),
            Node::File { size, .. } => (EntryKind::File, *size, None),
            Node::Symlink { target } => (
                EntryKind::Symlink,
                0,
                Some(String::from_utf8_lossy(target).into_owned()),
            ),
            _ => (EntryKind::Other, 0, None),
        };
        let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
        let meta = &found.meta;
        FileEntry {
            path,
            kind,
            size,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            target,
        }
    }

    async fn load(&self, path: &str, limit: u64) -> Result<Vec<u8>, HostError> {
        let resolved = self
            .tree
            .resolve_existing(&clean(path)?)
            .map_err(|_| not_found(path))?;
        let file = self.tree.file(&resolved);
        let invalid = || HostError::Invalid(format!("`{path}` is not a regular file"));
        let size = file.and_then(|file| file.size()).ok_or_else(invalid)?;
        if size > limit {
            return Err(HostError::Limit(format!(
                "`{path}` has {size} bytes, {limit} were allowed"
            )));
        }
        let read = self.layers.read_file(&self.tree, &resolved).await;
        read.map_err(|error| HostError::Other(error.to_string()))?
            .ok_or_else(|| not_found(path))
    }
}

fn clean(path: &str) -> Result<TreePath, HostError> {
    TreePath::clean(path).map_err(|error| HostError::Invalid(error.to_string()))
}

fn not_found(path: &str) -> HostError {
    HostError::NotFound(path.to_owned())
}

#[derive(Debug)]
struct Loaded {
    bytes: Vec<u8>,
}

#[async_trait]
impl FileBlob for Loaded {
    async fn digest(&self) -> Result<Digest, HostError> {
        Ok(Digest::of(&self.bytes))
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let end = start.saturating_add(len as usize).min(self.bytes.len());
        Ok(self.bytes[start..end].to_vec())
    }
}

#[async_trait]
impl FileTree for RefTree {
    async fn stat(&self, path: &str) -> Result<Option<FileEntry>, HostError> {
        let path = clean(path)?;
        Ok(self
            .tree
            .lookup(&path)
            .map(|found| Self::entry(&path, found.entry())))
    }

    async fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError> {
        let patterns = Patterns::new(patterns).map_err(|error| HostError::Invalid(error.to_string()))?;
        let walked = self.tree.walk(&TreePath::root());
        let mut found: Vec<FileEntry> = walked
            .filter(|found| patterns.matches_or_parent_matches(found.entry().path.as_bytes()))
            .map(|found| Self::entry(&found.entry().path, found.entry()))
            .collect();
        // By path as bytes, which is not the order of a walk.
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let start = after.map_or(0, |after| {
            found.partition_point(|entry| entry.path.as_str() <= after)
        });
        Ok(found.into_iter().skip(start).take(limit).collect())
    }

    async fn open(&self, path: &str) -> Result<Arc<dyn FileBlob>, HostError> {
        Ok(Arc::new(Loaded {
            bytes: self.load(path, MAX_READ).await?,
        }))
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, HostError> {
        self.load(path, limit.min(MAX_READ)).await
    }
}
