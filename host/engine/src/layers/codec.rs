//! Change sets as bytes, for the store. Contents in the layer's own directory are written without it.

use std::path::Path;
use std::sync::Arc;

use kiln_image::Digest;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;

/// Version of the form; another one is not read, and the index is made again.
const VERSION: u8 = 1;

/// Returns the bytes; none when a content lies outside `own`, so that the change set means nothing later.
pub(super) fn encode(changes: &ChangeSet, own: Option<&Path>) -> Option<Vec<u8>> {
    let mut out = vec![VERSION];
    for entry in changes.entries() {
        bytes(&mut out, entry.path.as_bytes());
        let meta = &entry.meta;
        for number in [meta.mode, meta.uid, meta.gid, meta.mtime.nanos] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&meta.mtime.seconds.to_le_bytes());
        out.extend_from_slice(&(meta.xattrs.len() as u32).to_le_bytes());
        for (key, value) in &meta.xattrs {
            bytes(&mut out, key);
            bytes(&mut out, value);
        }
        node(&mut out, &entry.node, own)?;
    }
    Some(out)
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn pair(out: &mut Vec<u8>, tag: u8, major: u32, minor: u32) {
    out.push(tag);
    out.extend_from_slice(&major.to_le_bytes());
    out.extend_from_slice(&minor.to_le_bytes());
}

fn node(out: &mut Vec<u8>, node: &Node, own: Option<&Path>) -> Option<()> {
    match node {
        Node::Directory { opaque } => out.extend_from_slice(&[0, u8::from(*opaque)]),
        Node::File { size, content } => {
            out.push(1);
            out.extend_from_slice(&size.to_le_bytes());
            match content {
                Content::Inline(data) => {
                    out.push(0);
                    bytes(out, data);
                }
                Content::Disk { root, path } if own == Some(&**root) => {
                    out.push(1);
                    bytes(out, path.as_bytes());
                }
                Content::Disk { .. } => return None,
                Content::Layer { diff_id, offset } => {
                    out.push(2);
                    out.extend_from_slice(diff_id.as_bytes());
                    out.extend_from_slice(&offset.to_le_bytes());
                }
            }
        }
        Node::Symlink { target } => {
            out.push(2);
            bytes(out, target);
        }
        Node::Hardlink { target } => {
            out.push(3);
            bytes(out, target.as_bytes());
        }
        Node::CharDevice { major, minor } => pair(out, 4, *major, *minor),
        Node::BlockDevice { major, minor } => pair(out, 5, *major, *minor),
        Node::Fifo => out.push(6),
        Node::Whiteout => out.push(7),
    }
    Some(())
}

/// Reads the bytes back; none when they are damaged or of another version.
pub(super) fn decode(bytes: &[u8], own: Option<&Path>) -> Option<ChangeSet> {
    let (version, rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let own: Option<Arc<Path>> = own.map(Arc::from);
    let mut reader = Reader(rest);
    let mut entries = Vec::new();
    while !reader.0.is_empty() {
        entries.push(entry(&mut reader, own.as_ref())?);
    }
    Some(ChangeSet::new(entries))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn path(&mut self) -> Option<TreePath> {
        TreePath::parse(self.bytes()?).ok()
    }
}

fn entry(reader: &mut Reader<'_>, own: Option<&Arc<Path>>) -> Option<Entry> {
    let path = reader.path()?;
    let [mode, uid, gid, nanos] = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
    let seconds = reader.array().map(i64::from_le_bytes)?;
    let count = reader.u32()?;
    let mut xattrs = Vec::new();
    for _ in 0..count {
        xattrs.push((reader.bytes()?.into(), reader.bytes()?.into()));
    }
    let meta = Metadata {
        mode,
        uid,
        gid,
        mtime: Timestamp { seconds, nanos },
        xattrs,
    };
    let node = match reader.u8()? {
        0 => Node::Directory {
            opaque: reader.u8()? != 0,
        },
        1 => {
            let size = reader.u64()?;
            let content = match reader.u8()? {
                0 => Content::Inline(reader.bytes()?.into()),
                1 => Content::Disk {
                    root: own?.clone(),
                    path: reader.path()?,
                },
                2 => Content::Layer {
                    diff_id: Digest::from_bytes(reader.array()?),
                    offset: reader.u64()?,
                },
                _ => return None,
            };
            Node::File { size, content }
        }
        2 => Node::Symlink {
            target: reader.bytes()?.into(),
        },
        3 => Node::Hardlink {
            target: reader.path()?,
        },
        4 => Node::CharDevice {
            major: reader.u32()?,
            minor: reader.u32()?,
        },
        5 => Node::BlockDevice {
            major: reader.u32()?,
            minor: reader.u32()?,
        },
        6 => Node::Fifo,
        7 => Node::Whiteout,
        _ => return None,
    };
    Some(Entry { path, meta, node })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ChangeSet {
        let own: Arc<Path> = Path::new("/layers/x").into();
        let path = |p: &str| TreePath::parse(p).unwrap();
        let disk = Content::Disk {
            root: own,
            path: path("f"),
        };
        let layer = Content::Layer {
            diff_id: Digest::of("l"),
            offset: 512,
        };
        let nodes = [
            ("d", Node::Directory { opaque: true }),
            (
                "f",
                Node::File {
                    size: 3,
                    content: disk,
                },
            ),
            (
                "g",
                Node::File {
                    size: 4,
                    content: layer,
                },
            ),
            ("h", Node::Hardlink { target: path("f") }),
            (
                "i",
                Node::File {
                    size: 1,
                    content: Content::Inline(Arc::from(*b"x")),
                },
            ),
            (
                "l",
                Node::Symlink {
                    target: b"../f".as_slice().into(),
                },
            ),
            ("n", Node::CharDevice { major: 1, minor: 3 }),
            ("o", Node::BlockDevice { major: 7, minor: 0 }),
            ("p", Node::Fifo),
            ("w", Node::Whiteout),
        ];
        let xattrs = vec![(b"user.a".as_slice().into(), b"\0b".as_slice().into())];
        let meta = Metadata {
            mode: 0o4755,
            uid: 1,
            gid: 2,
            mtime: Timestamp {
                seconds: -5,
                nanos: 7,
            },
            xattrs,
        };
        ChangeSet::new(
            nodes
                .map(|(p, node)| Entry {
                    path: path(p),
                    meta: meta.clone(),
                    node,
                })
                .into(),
        )
    }

    #[test]
    fn what_is_written_is_read_back() {
        let own = Path::new("/layers/x");
        let bytes = encode(&sample(), Some(own)).unwrap();
        assert_eq!(decode(&bytes, Some(own)), Some(sample()));
        assert_eq!(encode(&sample(), Some(Path::new("/other"))), None);
    }

    #[test]
    fn damaged_bytes_are_not_read() {
        let own = Path::new("/layers/x");
        let bytes = encode(&sample(), Some(own)).unwrap();
        for end in 0..bytes.len() {
            assert_ne!(decode(&bytes[..end], Some(own)), Some(sample()));
        }
        assert_eq!(decode(&[9, 9], Some(own)), None);
    }
}
