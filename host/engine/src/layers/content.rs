//! The bytes of files, wherever they are.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_image::Digest;
use kiln_image::MediaType;
use kiln_layer::ContentSource;
use kiln_layer::LayerError;
use kiln_layer::LayerFiles;
use kiln_layer::ReadOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::Tree;
use kiln_tree::TreePath;

use super::Layer;
use super::LayerId;
use super::Layers;
use super::LayersError;
use super::Origin;
use super::blocking;
use crate::context::LocalTree;
use crate::context::WalkError;

/// Opens the contents of one change set.
#[derive(Debug)]
pub(crate) struct Contents {
    sources: Vec<(BTreeSet<Digest>, Arc<LayerFiles>)>,
    contexts: Vec<Arc<LocalTree>>,
    _scratch: Vec<Arc<kiln_store::Scratch>>,
}

impl Contents {
    /// Makes one source of several.
    pub(crate) fn join(all: &[Arc<Self>]) -> Self {
        let sources = all.iter().flat_map(|one| one.sources.clone()).collect();
        let scratch = all.iter().flat_map(|one| one._scratch.clone()).collect();
        let mut contexts: Vec<_> = all.iter().flat_map(|one| one.contexts.clone()).collect();
        contexts.sort_by_key(Arc::as_ptr);
        contexts.dedup_by(|a, b| Arc::ptr_eq(a, b));
        Self {
            sources,
            contexts,
            _scratch: scratch,
        }
    }

    fn of(&self, entry: &Entry) -> io::Result<&LayerFiles> {
        let wanted = diff_id(entry);
        let found = self
            .sources
            .iter()
            .find(|(ids, _)| wanted.is_none_or(|id| ids.contains(id)));
        found
            .map(|(_, files)| &**files)
            .ok_or_else(|| io::Error::other("the layer is not open"))
    }

    /// Tells whether a file of a context is as it was when the context was listed; none for other files.
    fn is_as_listed(&self, entry: &Entry) -> Option<bool> {
        let Node::File {
            content: Content::Disk { root, path },
            ..
        } = &entry.node
        else {
            return None;
        };
        let known = self
            .contexts
            .iter()
            .filter_map(|context| context.is_as_listed(root, path));
        known.reduce(|a, b| a || b)
    }

    /// A file of a context that cannot be opened any more has changed.
    fn explain(&self, entry: &Entry, error: io::Error) -> io::Error {
        match self.is_as_listed(entry) {
            Some(false) => changed(entry),
            Some(true) | None => error,
        }
    }
}

/// Returns the error for a file that is gone or was written to since the context was listed.
fn changed(entry: &Entry) -> io::Error {
    let path = match &entry.node {
        Node::File {
            content: Content::Disk { root, path },
            ..
        } => root.join(path.as_path()),
        _ => entry.path.as_path().to_owned(),
    };
    io::Error::other(WalkError::Changed { path })
}

/// Tells whether a file's bytes are in a layer's archive, and not in a file of this machine.
pub(crate) fn is_in_layer(entry: &Entry) -> bool {
    diff_id(entry).is_some()
}

fn diff_id(entry: &Entry) -> Option<&Digest> {
    match &entry.node {
        Node::File {
            content: Content::Layer { diff_id, .. },
            ..
        } => Some(diff_id),
        _ => None,
    }
}

impl ContentSource for Contents {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        let opened = self.of(entry)?.open(entry);
        opened.map_err(|error| self.explain(entry, error))
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        let opened = self.of(entry)?.open_file(entry);
        opened.map_err(|error| self.explain(entry, error))
    }

    fn unchanged(&self, entry: &Entry) -> io::Result<()> {
        match self.is_as_listed(entry) {
            Some(false) => Err(changed(entry)),
            Some(true) | None => Ok(()),
        }
    }
}

impl Layers {
    /// Returns who opens the contents of `changes`. What lies in layers' archives is copied out first.
    pub(crate) async fn content_source(&self, changes: &ChangeSet) -> Result<Arc<Contents>, LayersError> {
        let entries: Vec<Entry> = changes
            .entries()
            .iter()
            .filter(|entry| is_in_layer(entry))
            .cloned()
            .collect();
        self.contents_of(entries).await
    }

    /// Returns who opens the contents of these files.
    pub(crate) async fn contents_of(&self, entries: Vec<Entry>) -> Result<Arc<Contents>, LayersError> {
        let ids: BTreeSet<Digest> = entries.iter().filter_map(diff_id).copied().collect();
        let mut archives = Vec::new();
        for id in &ids {
            archives.push((*id, self.archive(LayerId(*id)).await?));
        }
        let contexts = self.contexts().values().cloned().collect();
        let store = self.shared.store.clone();
        let files = move || -> Result<_, LayersError> {
            let scratch = Arc::new(store.scratch()?);
            let open = |id: &Digest| {
                let found = archives.iter().find(|(known, _)| known == id);
                let (_, archive) = found.ok_or_else(|| io::Error::other("the layer is not open"))?;
                archive.open().map_err(io::Error::other)
            };
            let files =
                LayerFiles::extract(&entries, scratch.path(), open).map_err(|source| LayersError::Read {
                    path: TreePath::root(),
                    source,
                })?;
            Ok((files, scratch))
        };
        let (files, scratch) = blocking(files).await?;
        Ok(Arc::new(Contents {
            sources: vec![(ids, Arc::new(files))],
            contexts,
            _scratch: vec![scratch],
        }))
    }

    /// Returns the blob of a layer as an archive to read.
    pub(super) async fn archive(&self, id: LayerId) -> Result<Archive, LayersError> {
        let layer = self.load(id)?.ok_or(LayersError::Gone(id.0))?;
        self.archive_of(&layer).await
    }

    pub(super) async fn archive_of(&self, layer: &Layer) -> Result<Archive, LayersError> {
        if let Origin::Image { .. } = layer.origin {
            self.fetch(layer).await?;
        }
        let blob = layer
            .state()
            .blobs
            .first()
            .map(|(_, blob)| blob.descriptor.clone());
        let blob = blob.ok_or(LayersError::Gone(layer.id.0))?;
        Ok(Archive {
            path: self.shared.store.blob_path(&blob.digest),
            blob,
        })
    }

    /// Reads what the layer changes from its blob.
    pub(super) async fn index_blob(&self, layer: &Arc<Layer>) -> Result<ChangeSet, LayersError> {
        let archive = self.archive_of(layer).await?;
        let expected = match &layer.origin {
            Origin::Image { .. } => Some(layer.id.0),
            Origin::Made => None,
        };
        let blob = archive.blob.digest;
        let index = blocking(move || {
            let options = ReadOptions::new(blob.to_string());
            let index = kiln_layer::read_layer(archive.open()?, &options)?;
            match expected {
                Some(expected) if expected != index.diff_id => Err(LayersError::DiffId {
                    blob,
                    expected,
                    found: index.diff_id,
                }),
                _ => Ok(index),
            }
        })
        .await
        .inspect_err(|error| layer.condemn(error))?;
        // The files' contents name the archive by its diff ID, which is not this layer's own name.
        self.live().insert(LayerId(index.diff_id), Arc::downgrade(layer));
        if expected.is_some() {
            self.write_record(layer)?;
            self.record_changes(layer, &index.changes)?;
        }
        Ok(index.changes)
    }

    /// Reads a whole file of a tree; none when there is no regular file at `path`.
    pub(crate) async fn read_file(
        &self,
        tree: &Tree,
        path: &TreePath,
    ) -> Result<Option<Vec<u8>>, LayersError> {
        let Some(entry) = tree.file(path) else {
            return Ok(None);
        };
        let source = self.contents_of(vec![entry.clone()]).await?;
        let path = path.clone();
        blocking(move || {
            let failed = |source| LayersError::Read {
                path: path.clone(),
                source,
            };
            let mut bytes = Vec::new();
            source
                .open(&entry)
                .map_err(failed)?
                .read_to_end(&mut bytes)
                .map_err(failed)?;
            source.unchanged(&entry).map_err(failed)?;
            Ok::<_, LayersError>(Some(bytes))
        })
        .await
    }
}

/// A layer's blob in the store.
#[derive(Debug, Clone)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) blob: kiln_image::Descriptor,
}

impl Archive {
    /// Opens the uncompressed archive.
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>, LayerError> {
        let name = self.blob.digest.to_string();
        let file = File::open(&self.path).map_err(|source| LayerError::Stream {
            layer: name.clone(),
            source,
        })?;
        let compression = MediaType::layer_compression(&self.blob.media_type);
        kiln_layer::decompress(file, compression, &ReadOptions::new(name))
    }
}
