//! Cache mounts as archives in pieces, and back.

use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use kiln_cache::Chunk;
use kiln_layer::DiskSource;
use kiln_store::Scratch;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::TreePath;

use super::Layers;
use super::LayersError;
use super::blocking;

/// What a name begins with that means a deleted file in a layer.
const WHITEOUT: &[u8] = b".wh.";

/// A cache mount in pieces.
#[derive(Debug)]
pub(crate) struct PackedMount {
    /// Owner and mode of the directory.
    pub(crate) root: Metadata,
    /// The pieces, in order.
    pub(crate) chunks: Vec<Chunk>,
    files: Scratch,
}

impl PackedMount {
    /// Returns the file with the piece's bytes.
    pub(crate) fn file(&self, chunk: &Chunk) -> PathBuf {
        self.files.path().join("chunks").join(chunk.digest.hex())
    }
}

fn failed(source: io::Error) -> LayersError {
    LayersError::Read {
        path: TreePath::root(),
        source,
    }
}

/// A layer cannot have files of such names, and an archive of a cache mount is read as one.
fn can_travel(entry: &Entry) -> bool {
    let mut names = entry.path.as_bytes().split(|byte| *byte == b'/');
    !names.any(|name| name.starts_with(WHITEOUT))
}

fn size(entry: &Entry) -> u64 {
    match entry.node {
        Node::File { size, .. } => size,
        _ => 0,
    }
}

impl Layers {
    /// Packs the directory `path`; none when its files have more than `limit` bytes.
    pub(crate) async fn pack_mount(
        &self,
        path: PathBuf,
        limit: u64,
    ) -> Result<Option<PackedMount>, LayersError> {
        let files = self.shared.store.scratch()?;
        blocking(move || {
            let changes = kiln_snapshot::scan_tree(&path)?;
            let entries: Vec<Entry> = changes
                .entries()
                .iter()
                .filter(|e| can_travel(e))
                .cloned()
                .collect();
            if entries.iter().map(size).fold(0, u64::saturating_add) > limit {
                return Ok(None);
            }
            let root = changes.get(&TreePath::root()).map(|root| root.meta.clone());
            let archive = files.path().join("archive");
            let out = File::create(&archive).map_err(failed)?;
            kiln_layer::write_tar(&entries, &DiskSource::new(), out, None)?;
            let into = files.path().join("chunks");
            std::fs::create_dir(&into).map_err(failed)?;
            let chunks = kiln_cache::pack(File::open(&archive).map_err(failed)?, &into).map_err(failed)?;
            std::fs::remove_file(&archive).map_err(failed)?;
            Ok::<_, LayersError>(Some(PackedMount {
                root: root.unwrap_or_else(super::dirs::root_metadata),
                chunks,
                files,
            }))
        })
        .await
    }

    /// Makes the directory `path` of an archive. What is in the archive is hostile.
    pub(crate) async fn unpack_mount(
        &self,
        archive: PathBuf,
        root: Metadata,
        path: PathBuf,
    ) -> Result<(), LayersError> {
        let options = self.options("cache mount".to_owned(), Vec::new());
        let parent = self.cache_mounts();
        blocking(move || {
            let made = new_mount(&parent)?;
            let archive = File::open(&archive).map_err(failed)?;
            let unpacked = kiln_layer::unpack(archive, made.path(), &options)?;
            let is_mark =
                |entry: &&Entry| matches!(entry.node, Node::Whiteout | Node::Directory { opaque: true });
            if let Some(entry) = unpacked.changes.entries().iter().find(is_mark) {
                let problem = format!("`{}` is marked as deleted", entry.path);
                return Err(failed(io::Error::other(problem)));
            }
            place_mount(made, &root, &path)
        })
        .await
    }
}

/// Returns a new directory that may become a cache mount.
pub(super) fn new_mount(parent: &Path) -> Result<tempfile::TempDir, LayersError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-").tempdir_in(parent).map_err(failed)
}

/// Puts a cache mount in its place.
pub(super) fn place_mount(made: tempfile::TempDir, root: &Metadata, path: &Path) -> Result<(), LayersError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(root.mode & 0o7777);
    // Who may give nothing away keeps the directory.
    let _ = std::os::unix::fs::chown(made.path(), Some(root.uid), Some(root.gid));
    std::fs::set_permissions(made.path(), mode).map_err(failed)?;
    // Somebody else may have been faster: theirs stays.
    let made = made.keep();
    if std::fs::rename(&made, path).is_err() {
        std::fs::remove_dir_all(&made).map_err(failed)?;
    }
    Ok(())
}
