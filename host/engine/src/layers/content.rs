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

/// Opens the contents of one change set.
#[derive(Debug)]
pub(crate) struct Contents {
    sources: Vec<(BTreeSet<Digest>, Arc<LayerFiles>)>,
    _scratch: Vec<Arc<kiln_store::Scratch>>,
}

impl Contents {
    /// Makes one source of several.
    pub(crate) fn join(all: &[Arc<Self>]) -> Self {
        let sources = all.iter().flat_map(|one| one.sources.clone()).collect();
        let scratch = all.iter().flat_map(|one| one._scratch.clone()).collect();
        Self {
            sources,
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
        self.of(entry)?.open(entry)
    }

    fn open_file(&self, entry: &Entry) -> io::Result<Option<File>> {
        self.of(entry)?.open_file(entry)
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
