//! Entries and archives to test with.

use std::path::Path;
use std::sync::Arc;

use kiln_image::Compression;
use kiln_layer::DiskSource;
use kiln_layer::LayerError;
use kiln_layer::LayerIndex;
use kiln_layer::LayerSums;
use kiln_layer::Pool;
use kiln_layer::ReadOptions;
use kiln_layer::WriteOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

pub(crate) fn meta(mode: u32) -> Metadata {
    Metadata {
        mode,
        mtime: Timestamp {
            seconds: 1_600_000_000,
            nanos: 0,
        },
        ..Metadata::default()
    }
}

pub(crate) fn entry(at: &str, mode: u32, node: Node) -> Entry {
    Entry {
        path: path(at),
        meta: meta(mode),
        node,
    }
}

pub(crate) fn dir(at: &str) -> Entry {
    entry(at, 0o755, Node::Directory { opaque: false })
}

pub(crate) fn file(at: &str, bytes: &[u8]) -> Entry {
    entry(
        at,
        0o644,
        Node::File {
            size: bytes.len() as u64,
            content: Content::Inline(bytes.into()),
        },
    )
}

pub(crate) fn symlink(at: &str, target: &str) -> Entry {
    entry(
        at,
        0o777,
        Node::Symlink {
            target: target.as_bytes().into(),
        },
    )
}

pub(crate) fn hardlink(at: &str, target: &str) -> Entry {
    entry(at, 0o644, Node::Hardlink { target: path(target) })
}

pub(crate) fn whiteout(at: &str) -> Entry {
    Entry {
        path: path(at),
        meta: Metadata::default(),
        node: Node::Whiteout,
    }
}

/// One of everything.
pub(crate) fn everything() -> ChangeSet {
    let mut owned = file("dir/owned", b"owned");
    owned.meta.uid = 3_000_000; // does not fit into a header
    owned.meta.gid = 5;
    owned.meta.mode = 0o4711;
    let mut old = file("dir/old", b"from before the epoch");
    old.meta.mtime.seconds = -100;
    let mut marked = file("dir/marked", b"marked");
    marked.meta.xattrs = vec![(b"user.a".as_slice().into(), b"1\0=\n".as_slice().into())];
    let long = format!("dir/{}/{}", "d".repeat(200), "f".repeat(255));
    let mut sticky = dir("sticky");
    sticky.meta.mode = 0o1777;
    ChangeSet::new(vec![
        dir("dir"),
        owned,
        old,
        marked,
        file("dir/empty", b""),
        file("dir/block", &[7; 512]),
        file(&long, b"long"),
        file("dir/umlaut-\u{e4}", b"utf-8"),
        symlink("dir/link", "../elsewhere"),
        symlink("dir/long-link", &"x/".repeat(150)),
        hardlink("a-link", "dir/block"),
        hardlink("z-link", "dir/block"),
        entry("fifo", 0o600, Node::Fifo),
        entry("null", 0o666, Node::CharDevice { major: 1, minor: 3 }),
        entry("disk", 0o660, Node::BlockDevice { major: 8, minor: 300 }),
        entry("opaque", 0o755, Node::Directory { opaque: true }),
        file("opaque/new", b"new"),
        sticky,
        whiteout("dir/gone"),
        whiteout("gone"),
    ])
}

pub(crate) fn options(compression: Compression) -> WriteOptions {
    WriteOptions {
        compression,
        level: None,
        clamp: None,
        pool: Pool::new(2),
    }
}

pub(crate) fn write(changes: &ChangeSet, options: &WriteOptions) -> (Vec<u8>, LayerSums) {
    let mut blob = Vec::new();
    let sums = kiln_layer::write_layer(changes, &DiskSource::new(), &mut blob, options).unwrap();
    (blob, sums)
}

pub(crate) fn tar(changes: &ChangeSet) -> Vec<u8> {
    write(changes, &options(Compression::None)).0
}

pub(crate) fn read(tar: &[u8]) -> Result<LayerIndex, LayerError> {
    kiln_layer::read_layer(tar, &ReadOptions::new("sha256:test"))
}

/// Replaces contents by what they are in `tar`.
pub(crate) fn inline(changes: ChangeSet, tar: &[u8]) -> ChangeSet {
    let mut entries = changes.into_entries();
    for entry in &mut entries {
        if let Node::File { size, content } = &mut entry.node
            && let Content::Layer { offset, .. } = *content
        {
            let start = offset as usize;
            *content = Content::Inline(tar[start..start + *size as usize].into());
        }
    }
    ChangeSet::new(entries)
}

/// A member of an archive, as raw as a test wants it.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn raw(name: &str, kind: u8) -> Raw {
    Raw {
        name: name.into(),
        kind,
        link: Vec::new(),
        data: Vec::new(),
    }
}

impl Raw {
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.data = data.into();
        self
    }

    pub(crate) fn link(mut self, link: &str) -> Self {
        self.link = link.into();
        self
    }

    pub(crate) fn header(&self) -> [u8; 512] {
        let mut block = [0; 512];
        block[..self.name.len()].copy_from_slice(&self.name);
        block[100..108].copy_from_slice(b"0000755\0");
        block[108..116].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        block[124..136].copy_from_slice(format!("{:011o}\0", self.data.len()).as_bytes());
        block[136..148].copy_from_slice(b"00000000012\0");
        block[156] = self.kind;
        block[157..157 + self.link.len()].copy_from_slice(&self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        checksum(&mut block);
        block
    }
}

pub(crate) fn checksum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub(crate) fn raw_tar(members: &[Raw]) -> Vec<u8> {
    let mut tar = Vec::new();
    for member in members {
        tar.extend_from_slice(&member.header());
        tar.extend_from_slice(&member.data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// A change set with contents in `root`.
pub(crate) fn on_disk(root: &Path, names: &[&str]) -> ChangeSet {
    let root: Arc<Path> = root.into();
    let of = |name: &&str| {
        let size = std::fs::metadata(root.join(name)).unwrap().len();
        let content = Content::Disk {
            root: root.clone(),
            path: path(name),
        };
        entry(name, 0o644, Node::File { size, content })
    };
    ChangeSet::new(names.iter().map(of).collect())
}

/// Bytes that compress, but not to nothing; the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length)
        .map(|at| {
            if at % 3 == 0 {
                b'a'
            } else {
                (next() & 31) as u8 + b'A'
            }
        })
        .collect()
}
