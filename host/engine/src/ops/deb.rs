//! Debian packages as sources: `kiln.unpack=deb` on a file of an http server makes its result a tree with the
//! package's files below `data` and its control files below `control`.
//!
//! A package is an `ar` archive of `debian-binary`, `control.tar` and `data.tar`, the latter two compressed or not.

use std::io;
use std::io::Read;
use std::sync::Arc;

use kiln_graph::Source;
use kiln_image::Compression;
use kiln_layer::ContentSource as _;
use kiln_layer::ReadOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Found;
use kiln_tree::OpError;
use kiln_tree::Timestamp;
use kiln_tree::Tree;
use kiln_tree::TreePath;
use kiln_tree::ops;

use crate::build::BuildContext;
use crate::error::EngineError;
use crate::layers::BlobForm;
use crate::layers::Contents;
use crate::layers::Layer;
use crate::layers::Layers;
use crate::layers::LayersError;
use crate::layers::Recompress;
use crate::layers::Ref;
use crate::layers::blocking;

/// The attribute of a source.
const ATTRIBUTE: &str = "kiln.unpack";
const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Most members of an archive: a package has three, and some that tools of others add.
const MEMBERS: usize = 16;
/// Longest `debian-binary`.
const VERSION_LIMIT: u64 = 64;
/// Largest package when it is unpacked, in bytes.
const UNCOMPRESSED: u64 = 16 << 30;
/// Most files of a package.
const ENTRIES: u64 = 500_000;

/// Returns true when the result is what is in the package.
///
/// # Errors
/// The attribute has another value than `deb`.
pub(super) fn wanted(source: &Source) -> Result<bool, EngineError> {
    match source.attrs.get(ATTRIBUTE).map(String::as_str) {
        None => Ok(false),
        Some("deb") => Ok(true),
        Some(other) => Err(EngineError::Attribute {
            key: ATTRIBUTE.to_owned(),
            value: other.to_owned(),
        }),
    }
}

/// Unpacks the one file of `fetched`.
pub(super) async fn unpack(
    build: &Arc<BuildContext>,
    fetched: &Ref,
    shown: String,
) -> Result<Ref, EngineError> {
    let tree = build.layers.tree(fetched).await?;
    let file = tree
        .walk(&TreePath::default())
        .map(Found::into_entry)
        .find(|entry| !entry.node.is_directory());
    let file = file.ok_or_else(|| EngineError::Panicked("nothing was fetched".to_owned()))?;
    let contents = build
        .layers
        .content_source(&ChangeSet::new(vec![file.clone()]))
        .await?;
    let layers = build.layers.clone();
    let (changes, kept) = blocking(move || read(&layers, &contents, &file)).await?;
    kept.into_iter().for_each(|layer| build.keep(layer));
    let layer = build.layers.of_changes(Arc::new(changes), shown);
    let result = Ref::new(vec![layer]);
    // With a blob of its own the store keeps the result; without, the next build would fetch again.
    let form = BlobForm::new(Compression::None, None, None);
    build.layers.blob(&result, 0, &form, Recompress::No).await?;
    Ok(result)
}

type Unpacked = (ChangeSet, Vec<Arc<Layer>>);

/// Brings both archives of a package into the store, uncompressed, and lists what is in them.
fn read(layers: &Layers, contents: &Contents, file: &Entry) -> Result<Unpacked, LayersError> {
    let failed = |source| LayersError::Read {
        path: file.path.clone(),
        source,
    };
    let mut package = contents.open(file).map_err(failed)?;
    let mut members = Members::open(&mut package).map_err(failed)?;
    let (mut all, mut kept) = (ChangeSet::default(), Vec::new());
    let mut seen = Vec::new();
    while let Some((name, size)) = members.next().map_err(failed)? {
        let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let place = match (stem, seen.as_slice()) {
            ("debian-binary", []) => {
                members.version(size).map_err(failed)?;
                "debian-binary"
            }
            ("control", ["debian-binary"]) => "control",
            ("data", ["debian-binary", "control"]) => "data",
            (_, [_, ..]) if name.starts_with('_') => continue,
            _ => return Err(failed(unexpected(&name))),
        };
        seen.push(place);
        if place == "debian-binary" {
            continue;
        }
        let label = format!("{} of {}", name, file.path);
        let (changes, layer) = unpack_tar(layers, members.body(size), &label, failed)?;
        all = all.then(&below(&changes, place).map_err(|error| failed(io::Error::other(error)))?);
        kept.push(layer);
        if place == "data" {
            return Ok((all, kept));
        }
    }
    Err(failed(malformed("`data.tar` is missing")))
}

/// Returns the changes as they are in a directory of their own.
fn below(changes: &ChangeSet, place: &str) -> Result<ChangeSet, OpError> {
    let action = ops::CopyAction {
        dest: format!("/{place}"),
        create_dest_path: true,
        ..ops::CopyAction::default()
    };
    let time = Timestamp::default();
    ops::unpack(&Tree::default(), changes, &action, time)
}

fn unpack_tar(
    layers: &Layers,
    member: impl Read + Send,
    label: &str,
    failed: impl Fn(io::Error) -> LayersError,
) -> Result<(ChangeSet, Arc<Layer>), LayersError> {
    let mut options = ReadOptions::new(label);
    options.limits.uncompressed = UNCOMPRESSED;
    options.limits.entries = ENTRIES;
    let plain = kiln_layer::decompress(member, None, &options)?;
    let mut ingest = layers.store().ingest()?;
    let written = io::copy(&mut plain.take(UNCOMPRESSED + 1), &mut ingest).map_err(&failed)?;
    if written > UNCOMPRESSED {
        return Err(failed(malformed("it is too large when it is unpacked")));
    }
    let (digest, size) = ingest.commit(None)?;
    let index = kiln_layer::read_layer(layers.store().open_blob(&digest)?, &options)?;
    Ok((index.changes, layers.of_archive(digest, size, index.diff_id)))
}

fn malformed(problem: &str) -> io::Error {
    let text = format!("it is no Debian package: {problem}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn unexpected(name: &str) -> io::Error {
    let problem =
        format!("the member `{name}` is not expected there (debian-binary, control.tar, data.tar are)");
    malformed(&problem)
}

/// The members of an `ar` archive, one after the other.
struct Members<R> {
    inner: R,
    /// Bytes of the member that were not read yet, with the padding.
    left: u64,
    count: usize,
}

impl<R: Read> Members<R> {
    fn open(mut inner: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        let read = inner.read_exact(&mut magic);
        if read.is_err() || magic != *MAGIC {
            return Err(malformed("expected an `ar` archive"));
        }
        Ok(Self {
            inner,
            left: 0,
            count: 0,
        })
    }

    /// Returns name and size of the next member.
    fn next(&mut self) -> io::Result<Option<(String, u64)>> {
        let skipped = io::copy(&mut self.inner.by_ref().take(self.left), &mut io::sink())?;
        if skipped < self.left {
            return Err(malformed("it ends early"));
        }
        let mut header = Vec::new();
        self.inner.by_ref().take(60).read_to_end(&mut header)?;
        self.count += 1;
        if header.is_empty() {
            return Ok(None);
        }
        if header.len() < 60 || header[58..] != *b"`\n" || self.count > MEMBERS {
            return Err(malformed("a header of a member is damaged"));
        }
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim().to_owned();
        let size: u64 = (text(48..58).parse()).map_err(|_| malformed("the size of a member is damaged"))?;
        self.left = size + size % 2;
        Ok(Some((text(0..16).trim_end_matches('/').to_owned(), size)))
    }

    /// Returns the bytes of the member that [`Members::next`] returned.
    fn body(&mut self, size: u64) -> Body<'_, R> {
        Body {
            members: self,
            left: size,
        }
    }

    fn version(&mut self, size: u64) -> io::Result<()> {
        let mut text = String::new();
        let mut body = self.body(size).take(VERSION_LIMIT);
        let read = body.read_to_string(&mut text);
        match read.is_ok() && text.starts_with("2.") {
            true => Ok(()),
            false => Err(malformed("expected the version 2 in `debian-binary`")),
        }
    }
}

/// One member's bytes: an error when the archive ends before.
struct Body<'m, R> {
    members: &'m mut Members<R>,
    left: u64,
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let got = self.members.inner.read(&mut into[..most])?;
        if got == 0 {
            return Err(malformed("it ends early"));
        }
        self.left -= got as u64;
        self.members.left -= got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            644,
            data.len()
        )
        .into_bytes();
        out.extend(data);
        out.extend(vec![b'\n'; data.len() % 2]);
        out
    }

    fn list(archive: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut members = Members::open(archive)?;
        let mut all = Vec::new();
        while let Some((name, size)) = members.next()? {
            let mut data = Vec::new();
            members.body(size).read_to_end(&mut data)?;
            all.push((name, data));
        }
        Ok(all)
    }

    #[test]
    fn members_are_found() {
        let archive = [
            &MAGIC[..],
            &member("debian-binary", b"2.0\n"),
            &member("data.tar/", b"abc"),
        ]
        .concat();
        let found = list(&archive).expect("an archive");
        assert_eq!(found[0], ("debian-binary".to_owned(), b"2.0\n".to_vec()));
        assert_eq!(found[1], ("data.tar".to_owned(), b"abc".to_vec()));
    }

    #[test]
    fn damaged_archives_are_errors() {
        let whole = [
            &MAGIC[..],
            &member("debian-binary", b"2.0\n"),
            &member("x", b"abc"),
        ]
        .concat();
        let edges = [8, 8 + 64, whole.len()];
        for end in 0..whole.len() {
            assert_eq!(list(&whole[..end]).is_ok(), edges.contains(&end), "{end}");
        }
        let mut huge = whole.clone();
        huge[8 + 48..8 + 58].copy_from_slice(b"9999999999");
        let mut text = whole.clone();
        text[8 + 48] = b'-';
        let many = [&MAGIC[..], &member("x", b"").repeat(MEMBERS + 1)].concat();
        for archive in [huge, text, many] {
            assert!(list(&archive).is_err());
        }
    }

    #[test]
    fn files_lie_below_their_place() {
        let changes = ChangeSet::new(vec![Entry {
            path: TreePath::clean("../../etc").expect("a path"),
            meta: kiln_tree::Metadata::default(),
            node: kiln_tree::Node::Directory { opaque: false },
        }]);
        let moved = below(&changes, "data").expect("changes");
        assert!(
            moved
                .entries()
                .iter()
                .all(|entry| entry.path.as_bytes().starts_with(b"data"))
        );
    }
}
