//! `ADD` of a local archive: what is in it, or the file itself when it is none.

use std::io::Read as _;
use std::sync::Arc;

use kiln_layer::ContentSource as _;
use kiln_layer::ReadOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Timestamp;
use kiln_tree::Tree;
use kiln_tree::TreePath;
use kiln_tree::ops;

use crate::build::BuildContext;
use crate::error::EngineError;
use crate::layers::blocking;

/// Bytes that tell an archive.
const HEAD: usize = 512;

/// Copies each source; archives are unpacked at the destination instead.
pub(super) async fn copy_or_unpack(
    build: &Arc<BuildContext>,
    dest: &Tree,
    source: &Tree,
    action: &ops::CopyAction,
    created: Timestamp,
) -> Result<Vec<ChangeSet>, EngineError> {
    let mut tree = dest.clone();
    let mut done = Vec::new();
    for path in ops::sources(&tree, source, action).map_err(EngineError::File)? {
        let change = match archive(build, source, &path).await? {
            Some(archive) => ops::unpack(&tree, &archive, action, created).map_err(EngineError::File)?,
            None => ops::copy_from(&tree, source, &path, action, created).map_err(EngineError::File)?,
        };
        tree.push(Arc::new(change.clone()));
        done.push(change);
    }
    Ok(done)
}

/// Returns what is in the archive at `path`; none when it is no archive.
async fn archive(
    build: &Arc<BuildContext>,
    source: &Tree,
    path: &TreePath,
) -> Result<Option<ChangeSet>, EngineError> {
    let Some(entry) = source.file(path) else {
        return Ok(None);
    };
    let contents = build
        .layers
        .content_source(&ChangeSet::new(vec![entry.clone()]))
        .await?;
    let head = {
        let failed = |source| EngineError::ReadSource {
            path: path.clone(),
            source,
        };
        let mut head = Vec::new();
        contents
            .open(&entry)
            .map_err(failed)?
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .map_err(failed)?;
        head
    };
    match kind(&head) {
        Kind::NoArchive => return Ok(None),
        Kind::Compressed | Kind::Tar => {}
    }
    let layers = build.layers.clone();
    let name = path.to_string();
    let unpacked = blocking(move || read(&layers, &contents, &entry, &name)).await?;
    match unpacked {
        None => Ok(None),
        Some((changes, layer)) => {
            build.keep(layer);
            Ok(Some(changes))
        }
    }
}

type Unpacked = Option<(ChangeSet, Arc<crate::layers::Layer>)>;

/// Brings the archive into the store, uncompressed, so that its files can be read later.
fn read(
    layers: &crate::layers::Layers,
    contents: &crate::layers::Contents,
    entry: &Entry,
    name: &str,
) -> Result<Unpacked, crate::layers::LayersError> {
    let failed = |source| crate::layers::LayersError::Read {
        path: entry.path.clone(),
        source,
    };
    let options = ReadOptions::new(name);
    let Ok(mut plain) = kiln_layer::decompress(contents.open(entry).map_err(failed)?, None, &options) else {
        return Ok(None);
    };
    let mut head = Vec::new();
    plain
        .by_ref()
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    if !is_tar(&head) {
        return Ok(None);
    }
    let mut ingest = layers.store().ingest()?;
    std::io::copy(&mut head.as_slice().chain(plain), &mut ingest).map_err(failed)?;
    let (digest, size) = ingest.commit(None)?;
    let index = kiln_layer::read_layer(layers.store().open_blob(&digest)?, &options)?;
    let layer = layers.of_archive(digest, size, index.diff_id);
    Ok(Some((index.changes, layer)))
}

enum Kind {
    Tar,
    Compressed,
    NoArchive,
}

fn kind(head: &[u8]) -> Kind {
    match head {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Compressed,
        [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Kind::Compressed,
        head if is_tar(head) => Kind::Tar,
        _ => Kind::NoArchive,
    }
}

/// Returns true when the first header of a tar archive has its checksum.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEAD) else {
        return false;
    };
    let text = String::from_utf8_lossy(&header[148..156]);
    let Ok(sum) = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8) else {
        return false;
    };
    let blank = |at: usize, byte: u8| if (148..156).contains(&at) { b' ' } else { byte };
    sum != 0
        && sum
            == header
                .iter()
                .enumerate()
                .map(|(at, byte)| u32::from(blank(at, *byte)))
                .sum::<u32>()
}
