//! The part of a digest that says what an entry is beside its content.

use std::io::Write as _;

use crate::Entry;
use crate::Node;

/// Returns the tarsum header (version 1) of an entry without a name: decimal mode, owner and size, the tar type, where
/// a link points, device numbers, extended attributes by name. A hard link counts as the file it names, so the caller
/// passes an entry with that file's node.
pub fn header(entry: &Entry) -> Vec<u8> {
    let (kind, size, link, device) = match &entry.node {
        Node::File { size, .. } => (b'0', *size, &b""[..], (0, 0)),
        Node::Hardlink { .. } | Node::Whiteout => (b'0', 0, &b""[..], (0, 0)),
        Node::Symlink { target } => (b'2', 0, &target[..], (0, 0)),
        Node::CharDevice { major, minor } => (b'3', 0, &b""[..], (*major, *minor)),
        Node::BlockDevice { major, minor } => (b'4', 0, &b""[..], (*major, *minor)),
        Node::Directory { .. } => (b'5', 0, &b""[..], (0, 0)),
        Node::Fifo => (b'6', 0, &b""[..], (0, 0)),
    };
    let meta = &entry.meta;
    // A symlink's own mode is 0777 wherever there is a file system.
    let mode = if kind == b'2' { 0o777 } else { meta.mode & 0o7777 };
    let mut out = Vec::with_capacity(96 + link.len());
    let write = |out: &mut Vec<u8>, name: &str, value: u64| {
        write!(out, "{name}{value}").expect("a vector takes all bytes");
    };
    out.extend_from_slice(b"name");
    write(&mut out, "mode", mode.into());
    write(&mut out, "uid", meta.uid.into());
    write(&mut out, "gid", meta.gid.into());
    write(&mut out, "size", size);
    out.extend_from_slice(b"typeflag");
    out.push(kind);
    out.extend_from_slice(b"linkname");
    out.extend_from_slice(link);
    out.extend_from_slice(b"unamegname");
    write(&mut out, "devmajor", device.0.into());
    write(&mut out, "devminor", device.1.into());
    for (name, value) in meta.xattrs.iter().filter(|(name, _)| counts(name)) {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    out
}

/// Tells whether an extended attribute belongs to the content rather than to the machine it is on.
fn counts(name: &[u8]) -> bool {
    let machine: [&[u8]; 3] = [b"security.", b"system.", b"com.apple."];
    name == b"security.capability" || !machine.iter().any(|prefix| name.starts_with(prefix))
}
