//! Entries as a tar archive, as containerd and BuildKit write it: ustar headers, PAX records where they do not
//! suffice, whole seconds, no names of owners.

use std::collections::HashMap;
use std::io;
use std::io::Read;
use std::io::Write;

use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::TreePath;

use crate::ContentSource;
use crate::LayerError;
use crate::header::BLOCK;
use crate::header::Fields;
use crate::header::MAX_LONG;
use crate::header::MAX_SHORT;
use crate::header::kind;
use crate::pax;

/// Prefix of the name that stands for a deleted file.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Name of the entry that makes its directory opaque.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// Takes bytes where they are to lie, so that file contents are read in place.
pub(crate) trait Sink {
    /// Returns room for at least one byte.
    fn space(&mut self) -> io::Result<&mut [u8]>;

    /// Takes the first `count` bytes of what [`Self::space`] returned.
    fn filled(&mut self, count: usize);

    /// Takes a copy of `bytes`.
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.filled(count);
        }
        Ok(())
    }
}

/// A sink that writes what it got in large pieces.
pub(crate) struct Buffered<W> {
    out: W,
    buffer: Vec<u8>,
    length: usize,
}

impl<W: Write> Buffered<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            buffer: vec![0; 256 << 10],
            length: 0,
        }
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer[..self.length])?;
        self.out.flush()
    }
}

impl<W: Write> Sink for Buffered<W> {
    fn space(&mut self) -> io::Result<&mut [u8]> {
        if self.length == self.buffer.len() {
            self.out.write_all(&self.buffer)?;
            self.length = 0;
        }
        Ok(&mut self.buffer[self.length..])
    }

    fn filled(&mut self, count: usize) {
        self.length += count;
    }
}

/// What an archive is made of: a layer says what is gone, a tree has nothing to say of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Layer,
    Tree,
}

/// Writes `entries`, in walk order, and the end marker.
pub(crate) fn archive(
    entries: &[Entry],
    source: &dyn ContentSource,
    sink: &mut impl Sink,
    form: Form,
    clamp: Option<i64>,
) -> Result<(), LayerError> {
    let links = Links::new(entries);
    let mut writer = Writer { source, sink, clamp };
    for entry in entries {
        if form == Form::Layer && entry.path.file_name().starts_with(WHITEOUT) {
            let problem = "a name that begins with `.wh.` means a deleted file in a layer";
            return Err(LayerError::Entry {
                path: entry.path.clone(),
                problem,
            });
        }
        match &entry.node {
            _ if entry.path.is_root() => {} // who unpacks has a root directory already
            Node::Whiteout if form == Form::Tree => {}
            Node::File { .. } | Node::Hardlink { .. } => writer.linked(entry, &links)?,
            node => writer.entry(entry, entry.path.as_bytes(), node)?,
        }
        if matches!(entry.node, Node::Directory { opaque: true }) && form == Form::Layer {
            writer.opaque(&entry.path)?;
        }
    }
    writer.bytes(&[0; 2 * BLOCK])
}

/// Which name of a file carries its content: the first in walk order, so that every link follows what it links to.
struct Links<'a> {
    entries: &'a [Entry],
    /// By the name that has the content in the change set: the name that gets it in the archive.
    first: HashMap<&'a TreePath, &'a TreePath>,
}

/// Longest chain of links to links; longer ones are circles.
const MAX_CHAIN: usize = 8;

impl<'a> Links<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let mut links = Self {
            entries,
            first: HashMap::new(),
        };
        for entry in entries {
            if let Some(target) = links.target(entry) {
                let first = (&entry.path).min(&target.path);
                links.first.entry(&target.path).or_insert(first);
            }
        }
        links
    }

    fn get(&self, path: &TreePath) -> Option<&'a Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        Some(&self.entries[at])
    }

    /// Returns what a hard link leads to, unless that is no part of these entries.
    fn target(&self, entry: &Entry) -> Option<&'a Entry> {
        let Node::Hardlink { target } = &entry.node else {
            return None;
        };
        let mut found = self.get(target)?;
        for _ in 0..MAX_CHAIN {
            match &found.node {
                Node::Hardlink { target } => found = self.get(target)?,
                Node::Directory { .. } | Node::Whiteout => return None,
                _ => return Some(found),
            }
        }
        None
    }
}

struct Writer<'a, S> {
    source: &'a dyn ContentSource,
    sink: &'a mut S,
    clamp: Option<i64>,
}

impl<S: Sink> Writer<'_, S> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.sink.put(bytes).map_err(LayerError::Write)
    }

    /// Writes a file that may have several names.
    fn linked(&mut self, entry: &Entry, links: &Links<'_>) -> Result<(), LayerError> {
        let target = links.target(entry);
        let content = target.unwrap_or(entry);
        match links.first.get(&content.path) {
            Some(&first) if *first != entry.path => {
                let node = Node::Hardlink {
                    target: first.clone(),
                };
                self.entry(content, entry.path.as_bytes(), &node)
            }
            _ => self.entry(content, entry.path.as_bytes(), &content.node),
        }
    }

    fn entry(&mut self, entry: &Entry, name: &[u8], node: &Node) -> Result<(), LayerError> {
        let meta = &entry.meta;
        let (mut fields, mut link, mut full) = (Fields::default(), Vec::new(), name.to_vec());
        match node {
            Node::Directory { .. } => {
                full.push(b'/');
                fields.kind = kind::DIRECTORY;
            }
            Node::File { size, .. } => (fields.kind, fields.size) = (kind::FILE, *size),
            Node::Symlink { target } => {
                fields.kind = kind::SYMLINK;
                link = target.to_vec();
            }
            Node::Hardlink { target } => {
                fields.kind = kind::HARDLINK;
                link = target.as_bytes().to_vec();
            }
            Node::CharDevice { major, minor } => {
                (fields.kind, fields.major, fields.minor) = (kind::CHAR, *major, *minor);
            }
            Node::BlockDevice { major, minor } => {
                (fields.kind, fields.major, fields.minor) = (kind::BLOCK, *major, *minor);
            }
            Node::Fifo => fields.kind = kind::FIFO,
            Node::Whiteout => return self.marker(&whiteout(name)),
        }
        (fields.name, fields.link) = (&full, &link);
        (fields.mode, fields.uid, fields.gid) = (meta.mode & 0o7777, meta.uid.into(), meta.gid.into());
        fields.mtime = self
            .clamp
            .map_or(meta.mtime.seconds, |latest| latest.min(meta.mtime.seconds));
        self.header(&fields, meta, &entry.path)?;
        if let Node::File { size, .. } = node {
            self.content(entry, *size)?;
        }
        Ok(())
    }

    fn opaque(&mut self, directory: &TreePath) -> Result<(), LayerError> {
        match directory.is_root() {
            true => self.marker(OPAQUE),
            false => self.marker(&[directory.as_bytes(), b"/", OPAQUE].concat()),
        }
    }

    /// Writes an empty file that means something; its owner, mode and time are 0, as containerd's are.
    fn marker(&mut self, name: &[u8]) -> Result<(), LayerError> {
        let fields = Fields {
            name,
            kind: kind::FILE,
            ..Fields::default()
        };
        self.header(&fields, &Metadata::default(), &TreePath::root())
    }

    fn header(&mut self, fields: &Fields<'_>, meta: &Metadata, path: &TreePath) -> Result<(), LayerError> {
        let records = records(fields, meta, path)?;
        if !records.is_empty() {
            let name = pax_name(fields.name);
            let size = records.len() as u64;
            self.bytes(
                &Fields {
                    name: &name,
                    kind: kind::PAX,
                    size,
                    ..Fields::default()
                }
                .encode(),
            )?;
            self.bytes(&records)?;
            self.pad(size)?;
        }
        self.bytes(&fields.encode())
    }

    fn pad(&mut self, size: u64) -> Result<(), LayerError> {
        let over = (size % BLOCK as u64) as usize;
        let missing = if over == 0 { 0 } else { BLOCK - over };
        self.bytes(&[0; BLOCK][..missing])
    }

    /// Copies a content of exactly `size` bytes. A header with that size is out already, so any other is an error.
    fn content(&mut self, entry: &Entry, size: u64) -> Result<(), LayerError> {
        let failed = |source| LayerError::Read {
            path: entry.path.clone(),
            source,
        };
        let changed = || LayerError::Changed {
            path: entry.path.clone(),
            expected: size,
        };
        let mut content = self.source.open(entry).map_err(failed)?;
        let mut left = size;
        while left > 0 {
            let space = self.sink.space().map_err(LayerError::Write)?;
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
            match read(&mut content, &mut space[..room]).map_err(failed)? {
                0 => return Err(changed()),
                count => {
                    self.sink.filled(count);
                    left -= count as u64;
                }
            }
        }
        if read(&mut content, &mut [0]).map_err(failed)? > 0 {
            return Err(changed());
        }
        self.source.unchanged(entry).map_err(failed)?;
        self.pad(size)
    }
}

/// Reads once, past interruptions.
pub(crate) fn read(from: &mut (impl Read + ?Sized), into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn whiteout(name: &[u8]) -> Vec<u8> {
    let base = name.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    [&name[..base], WHITEOUT, &name[base..]].concat()
}

/// Returns the name that Go's writer gives the extended header of `name`.
fn pax_name(name: &[u8]) -> Vec<u8> {
    let base = name.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    let joined = [&name[..base], b"PaxHeaders.0/", &name[base..]].concat();
    let mut kept: Vec<u8> = joined.into_iter().filter(u8::is_ascii).take(100).collect();
    while kept.last() == Some(&b'/') {
        kept.pop();
    }
    kept
}

/// Returns the PAX records, sorted by key.
fn records(fields: &Fields<'_>, meta: &Metadata, path: &TreePath) -> Result<Vec<u8>, LayerError> {
    let mut out = Vec::new();
    for (key, value) in &meta.xattrs {
        if key.is_empty() || key.contains(&b'=') || key.contains(&0) {
            let problem = "an extended attribute has a name that a tar archive cannot have";
            return Err(LayerError::Entry {
                path: path.clone(),
                problem,
            });
        }
        pax::push(&mut out, &[pax::XATTR, key].concat(), value);
    }
    if u64::from(fields.major.max(fields.minor)) > MAX_SHORT {
        let problem = "its device number does not fit into a tar archive";
        return Err(LayerError::Entry {
            path: path.clone(),
            problem,
        });
    }
    let number = |value: i64, max: u64| {
        let fits = u64::try_from(value).is_ok_and(|value| value <= max);
        (!fits).then(|| value.to_string().into_bytes())
    };
    let text = |text: &[u8]| (text.len() > 100 || !text.is_ascii()).then(|| text.to_vec());
    let optional = [
        ("gid", number(fields.gid.cast_signed(), MAX_SHORT)),
        ("linkpath", text(fields.link)),
        ("mtime", number(fields.mtime, MAX_LONG)),
        ("path", text(fields.name)),
        ("size", number(fields.size.cast_signed(), MAX_LONG)),
        ("uid", number(fields.uid.cast_signed(), MAX_SHORT)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            pax::push(&mut out, key.as_bytes(), &value);
        }
    }
    Ok(out)
}
