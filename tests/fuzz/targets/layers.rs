//! Layers: archives and compressed archives are read, unpacked and written again.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use kiln_image::Compression;
use kiln_image::Digest;
use kiln_layer::Devices;
use kiln_layer::DiskSource;
use kiln_layer::LayerError;
use kiln_layer::LayerIndex;
use kiln_layer::Limits;
use kiln_layer::Owner;
use kiln_layer::Pool;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;
use kiln_layer::WriteOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::TreePath;

use crate::engine::Target;
use crate::engine::shape;
use crate::sandbox::Sandbox;
use crate::tarball::Member;
use crate::tarball::dir;
use crate::tarball::file;
use crate::tarball::gzip;
use crate::tarball::hardlink;
use crate::tarball::member;
use crate::tarball::pax;
use crate::tarball::symlink;
use crate::tarball::tarball;
use crate::tarball::with_checksums;
use crate::tarball::zstd;
use crate::tarball::zstd_bomb;

const TOKENS: &[&[u8]] = &[
    b"../",
    b"../../canary/file",
    b"/kiln-fuzz-canary",
    b"./",
    b"//",
    b"..",
    b".wh.",
    b".wh..wh..opq",
    b".wh..wh.plnk",
    b"dir/",
    b"dir/link/x",
    b"ustar\x0000",
    b"ustar  \0",
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
    b"7",
    b"L",
    b"K",
    b"x",
    b"g",
    b"S",
    b"20 path=../canary/x\n",
    b"14 size=99999\n",
    b"30 SCHILY.xattr.user.a=\x00\x01\x02\n",
    b"22 GNU.sparse.major=1\n",
    b"12 uid=-1\n",
    b"30 mtime=9999999999999999999.9\n",
    b"77777777777\0",
    b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0",
];

/// Bounds that keep the fuzzer fast.
fn read_options() -> ReadOptions {
    let limits = Limits {
        entries: 2000,
        uncompressed: 8 << 20,
        header: 64 << 10,
        index: 4 << 20,
        ..Limits::default()
    };
    ReadOptions {
        name: "sha256:fuzzed".to_owned(),
        limits,
    }
}

pub(crate) fn unpack_options() -> UnpackOptions {
    UnpackOptions {
        read: read_options(),
        devices: Devices::Skip,
        owner: Owner::Own,
        ..UnpackOptions::default()
    }
}

pub(crate) fn archives() -> Target {
    Target {
        name: "archives",
        run: |bytes| {
            let plain = run_archive(bytes);
            format!("{plain}|{}", run_archive(&with_checksums(bytes)))
        },
        tokens: TOKENS,
        seeds: seeds(),
    }
}

pub(crate) fn blobs() -> Target {
    let compressed = seeds().into_iter().flat_map(|tar| [gzip(&tar), zstd(&tar)]);
    let bombs = [
        gzip(&vec![0; 1 << 20]).repeat(16),
        zstd_bomb(100),
        b"\x50\x2a\x4d\x18\0\0\0\0".repeat(5000),
    ];
    Target {
        name: "blobs",
        run: run_blob,
        tokens: &[
            b"\x1f\x8b\x08",
            b"\x28\xb5\x2f\xfd",
            b"\x50\x2a\x4d\x18",
            b"\xfd7zXZ",
            b"BZh",
            b"\x04\x22\x4d\x18",
            b"\xff\xff\xff\xff",
            b"\0\0\0\0",
        ],
        seeds: compressed.chain(bombs).collect(),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let long = "n/".repeat(120) + "file";
    let lists: Vec<Vec<Member>> = vec![
        vec![file("a", b"content")],
        vec![
            dir("dir/"),
            file("dir/a", &[7; 600]),
            hardlink("dir/b", "dir/a"),
            symlink("dir/link", "../elsewhere"),
        ],
        vec![
            symlink("l", "dir"),
            dir("dir"),
            file("l/x", b"1"),
            hardlink("y", "l/x"),
            file("dir", b""),
        ],
        vec![
            symlink("up", "../canary"),
            file("up/file", b"1"),
            symlink("abs", "/kiln-fuzz-canary"),
            file("abs", b"2"),
        ],
        vec![
            pax("path", long.as_bytes()),
            file("short", b"long name"),
            pax("size", b"3"),
            file("b", b"abc"),
        ],
        vec![
            pax("SCHILY.xattr.user.a", b"\0=\n"),
            pax("mtime", b"-1.5"),
            file("c", b""),
        ],
        vec![
            member("long", b'L').data(long.as_bytes()),
            member("link", b'K').data(b"dir/a"),
            symlink("s", "t"),
        ],
        vec![
            dir("d"),
            file("d/.wh.gone", b""),
            file("d/.wh..wh..opq", b""),
            file(".wh.e", b""),
            file("e/f", b""),
        ],
        vec![
            member("null", b'3').device(1, 3),
            member("disk", b'4').device(8, 0),
            member("pipe", b'6'),
            member("g", b'g'),
        ],
        vec![
            dir("./"),
            file("./a", b"1"),
            file("a", b"2"),
            dir("a"),
            file("a/b", b"3"),
            symlink("a", "b"),
        ],
        (0..60)
            .map(|number| file(&format!("many/{}/{number}", number % 7), b"x"))
            .collect(),
    ];
    lists.iter().map(|members| tarball(members)).collect()
}

fn run_blob(bytes: &[u8]) -> String {
    let reader = match kiln_layer::decompress(bytes, None, &read_options()) {
        Ok(reader) => reader,
        Err(error) => return describe(&error),
    };
    match kiln_layer::read_layer(reader, &read_options()) {
        Ok(index) => {
            check_index(&index);
            format!("ok {}", index.changes.entries().len().min(4))
        }
        Err(error) => describe(&error),
    }
}

fn run_archive(tar: &[u8]) -> String {
    let index = kiln_layer::read_layer(tar, &read_options());
    let sandbox = Sandbox::new();
    let unpacked = kiln_layer::unpack(tar, &sandbox.dest(), &unpack_options());
    sandbox.check();
    let index = match (index, &unpacked) {
        (Ok(index), _) => index,
        (Err(error), Err(_)) => return describe(&error),
        (Err(error), Ok(_)) => panic!("what cannot be read was unpacked: {error}"),
    };
    check_index(&index);
    assert_eq!(index.diff_id, Digest::of(tar));
    assert_eq!(index.uncompressed_size, tar.len() as u64);
    // Writing starts threads: now and then is enough.
    if index.diff_id.hex().starts_with(['0', '1', '2']) {
        check_written_again(&index.changes, tar);
    }
    match unpacked {
        Ok(unpacked) => {
            assert_eq!(unpacked.diff_id, index.diff_id);
            check_files(&unpacked.changes, &sandbox.dest());
            kinds(&index.changes)
        }
        Err(error) => describe(&error),
    }
}

/// An error's shape; it names the layer.
fn describe(error: &LayerError) -> String {
    let text = error.to_string();
    let named = text.contains("sha256:fuzzed")
        || matches!(error, LayerError::Unpack { .. } | LayerError::Read { .. });
    assert!(named, "an error does not name the layer: {text}");
    shape(&text)
}

fn kinds(changes: &ChangeSet) -> String {
    let mut kinds: Vec<_> = changes.entries().iter().map(|entry| kind(&entry.node)).collect();
    kinds.dedup();
    kinds.truncate(8);
    kinds.join(" ")
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Directory { opaque: true } => "opaque",
        Node::Directory { .. } => "directory",
        Node::File { .. } | Node::Hardlink { .. } => "file",
        Node::Symlink { .. } => "symlink",
        Node::CharDevice { .. } => "char",
        Node::BlockDevice { .. } => "block",
        Node::Fifo => "fifo",
        Node::Whiteout => "whiteout",
    }
}

/// Paths are clean, each is there once, in order, and nothing lies below a file.
fn check_index(index: &LayerIndex) {
    let entries = index.changes.entries();
    let mut solid: Option<&TreePath> = None;
    for (at, entry) in entries.iter().enumerate() {
        let again = TreePath::parse(entry.path.as_bytes()).expect("the path is clean");
        assert!(at == 0 || entries[at - 1].path < again, "{again} is out of order");
        assert!(
            entry.meta.mode <= 0o7777 && entry.meta.mtime.nanos < 1_000_000_000,
            "{entry:?}"
        );
        assert!(entry.meta.xattrs.is_sorted_by(|a, b| a.0 < b.0), "{entry:?}");
        let covered = solid.is_some_and(|solid| entry.path.starts_with(solid));
        assert!(!covered, "{again} lies below {solid:?}, which is no directory");
        if let Node::File {
            size,
            content: Content::Layer { offset, diff_id },
        } = &entry.node
        {
            assert!(
                *diff_id == index.diff_id && offset + size <= index.uncompressed_size,
                "{entry:?}"
            );
        }
        if let Node::Hardlink { target } = &entry.node {
            let node = index.changes.get(target).map(|entry| &entry.node);
            assert!(
                !matches!(node, Some(Node::Directory { .. } | Node::Whiteout)),
                "{entry:?} to {node:?}"
            );
        }
        if !matches!(entry.node, Node::Directory { .. } | Node::Whiteout) {
            solid = Some(&entry.path);
        }
    }
}

/// What was read is written, read and written again: nothing is lost.
fn check_written_again(changes: &ChangeSet, tar: &[u8]) {
    let first = write(changes, tar);
    let index =
        kiln_layer::read_layer(&*first, &ReadOptions::new("again")).expect("what was written is read");
    let name = |entry: &Entry| (entry.path.clone(), kind(&entry.node));
    // A tar archive has no entry of the root directory, but its mark.
    let before: Vec<_> = changes.entries().iter().map(name).collect();
    let after: Vec<_> = index.changes.entries().iter().map(name).collect();
    assert_eq!(after, before);
    assert!(
        write(&index.changes, &first) == first,
        "written twice, it differs"
    );
}

fn write(changes: &ChangeSet, tar: &[u8]) -> Vec<u8> {
    let mut entries = changes.clone().into_entries();
    for entry in &mut entries {
        if let Node::File { size, content } = &mut entry.node
            && let Content::Layer { offset, .. } = *content
        {
            let start = usize::try_from(offset).expect("it lies in memory");
            let end = start + usize::try_from(*size).expect("it lies in memory");
            *content = Content::Inline(tar[start..end].into());
        }
    }
    let options = WriteOptions {
        compression: Compression::None,
        level: None,
        clamp: None,
        pool: Pool::new(1),
    };
    let mut out = Vec::new();
    kiln_layer::write_layer(&ChangeSet::new(entries), &DiskSource::new(), &mut out, &options)
        .expect("what was read can be written");
    out
}

/// The directory holds what the index says.
pub(crate) fn check_files(changes: &ChangeSet, dest: &Path) {
    for entry in changes.entries() {
        let path = dest.join(entry.path.as_path());
        let found = std::fs::symlink_metadata(&path);
        if matches!(entry.node, Node::CharDevice { .. } | Node::BlockDevice { .. }) {
            assert!(found.is_err(), "{entry:?} was to be left out");
            continue;
        }
        let found = found.unwrap_or_else(|e| panic!("{entry:?} is missing: {e}"));
        let right = match &entry.node {
            Node::Directory { .. } => found.is_dir(),
            Node::File { size, .. } => found.is_file() && found.len() == *size,
            Node::Symlink { target } => {
                std::fs::read_link(&path).is_ok_and(|found| found.as_os_str().as_bytes() == &**target)
            }
            Node::Hardlink { target } => {
                let other = std::fs::symlink_metadata(dest.join(target.as_path()));
                other.is_ok_and(|other| (other.dev(), other.ino()) == (found.dev(), found.ino()))
            }
            Node::Whiteout => found.rdev() == 0 && !found.is_file() && !found.is_dir(),
            _ => true,
        };
        assert!(right, "{entry:?} is {found:?}");
    }
}

/// Reads a compressed archive to its end.
pub(crate) fn read_blob(blob: &[u8], options: &ReadOptions) -> Result<u64, LayerError> {
    let mut reader = kiln_layer::decompress(blob, None, options)?;
    let (mut buffer, mut count) = (vec![0; 64 << 10], 0);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(read) => count += read as u64,
            Err(error) => return Err(error.downcast().expect("a limit is an error of the layer")),
        }
    }
}
