//! Members of a tar archive that nobody trusts: ustar, PAX, GNU, star and the oldest dialect. Whatever a header says,
//! memory stays within the limits.

use kiln_tree::Metadata;
use kiln_tree::Timestamp;

use crate::LayerError;
use crate::ReadOptions;
use crate::header::BLOCK;
use crate::header::Header;
use crate::lowers::Xattrs;
use crate::pax;
use crate::stream::Stream;

/// Most attributes of one entry; Linux lists at most 64 KiB of names.
const MAX_XATTRS: usize = 1024;

/// What kind of member it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Hardlink,
    Symlink,
    Char,
    Block,
    Directory,
    Fifo,
}

/// One member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) meta: Metadata,
    pub(crate) device: (u32, u32),
    /// Bytes of content.
    pub(crate) size: u64,
    /// Where its content starts.
    pub(crate) offset: u64,
}

/// Reads members one after another.
pub(crate) struct Archive<'a> {
    stream: &'a mut Stream,
    options: &'a ReadOptions,
    /// Content of the current member that nobody has taken yet.
    left: u64,
    /// Zeros after it.
    padding: u64,
    entries: u64,
    /// Bytes of names, targets and attributes so far.
    index: u64,
    name: String,
    start: u64,
}

/// What extended headers say of the next member.
#[derive(Debug, Default)]
struct Extended {
    bytes: u64,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<i64>,
    gid: Option<i64>,
    mtime: Option<(i64, u32)>,
    xattrs: Xattrs,
}

impl<'a> Archive<'a> {
    pub(crate) fn new(stream: &'a mut Stream, options: &'a ReadOptions) -> Self {
        Self {
            stream,
            options,
            left: 0,
            padding: 0,
            entries: 0,
            index: 0,
            name: String::new(),
            start: 0,
        }
    }

    /// Returns the error of a member, with its name and place.
    pub(crate) fn bad(&self, problem: impl Into<String>) -> LayerError {
        LayerError::Archive {
            layer: self.options.name.clone(),
            entry: self.name.clone(),
            offset: self.start,
            problem: problem.into(),
        }
    }

    fn limit(&self, what: &'static str, limit: u64) -> LayerError {
        LayerError::Limit {
            layer: self.options.name.clone(),
            what,
            limit,
        }
    }

    /// Returns the next member; the content of the last one is skipped as far as it was not taken. `None` at the end
    /// marker, and where an archive without one ends between two members.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, LayerError> {
        while !self.content()?.is_empty() {}
        self.skip_padding()?;
        (self.start, self.name) = (self.stream.position(), String::new());
        let mut extended = Extended::default();
        loop {
            let Some(block) = self.block(extended.bytes > 0)? else {
                return Ok(None);
            };
            let header = Header(&block);
            if !header.is_valid() {
                return Err(self.bad("a header has a wrong checksum, or what is there is no tar header"));
            }
            self.name = String::from_utf8_lossy(&header.name()).into_owned();
            let size = header.size().and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| self.bad("its size is no number"))?;
            match header.kind() {
                b'x' => {
                    let records = self.extension(&mut extended, size)?;
                    extended.merge(&records).map_err(|problem| self.bad(problem))?;
                }
                b'g' => drop(self.extension(&mut extended, size)?), // says nothing of one member
                b'L' => extended.gnu_path = Some(until_nul(self.extension(&mut extended, size)?)),
                b'K' => extended.gnu_link = Some(until_nul(self.extension(&mut extended, size)?)),
                _ => return self.member(&header, size, extended).map(Some),
            }
        }
    }

    /// Returns content of the current member that comes next; none at its end.
    pub(crate) fn content(&mut self) -> Result<&[u8], LayerError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let count = self.stream.next(self.left)?.len();
        if count == 0 {
            return Err(self.truncated());
        }
        self.left -= count as u64;
        Ok(self.stream.last(count))
    }

    fn truncated(&self) -> LayerError {
        self.bad("the archive ends in the middle of it")
    }

    fn skip_padding(&mut self) -> Result<(), LayerError> {
        while self.padding > 0 {
            match self.stream.next(self.padding)?.len() {
                0 => return Err(self.truncated()),
                count => self.padding -= count as u64,
            }
        }
        Ok(())
    }

    /// Reads a header; `None` at the end.
    fn block(&mut self, inside: bool) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let mut block = [0; BLOCK];
        match self.stream.fill(&mut block)? {
            0 if !inside => return Ok(None),
            BLOCK if !Header(&block).is_zero() => return Ok(Some(block)),
            BLOCK if !inside => {}
            _ => return Err(self.truncated()),
        }
        let after = self.stream.fill(&mut block)?;
        match block[..after].iter().all(|&b| b == 0) {
            true => Ok(None),
            false => Err(self.bad("a single block of zeros is followed by something else than zeros")),
        }
    }

    /// Reads the content of an extended header.
    fn extension(&mut self, extended: &mut Extended, size: u64) -> Result<Vec<u8>, LayerError> {
        let limit = self.options.limits.header;
        extended.bytes = extended.bytes.saturating_add(size).saturating_add(BLOCK as u64);
        if extended.bytes > limit {
            return Err(self.limit("bytes of extended headers for one entry", limit));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        if self.stream.fill(&mut bytes)? < bytes.len() {
            return Err(self.truncated());
        }
        self.padding = padding(size);
        self.skip_padding()?;
        Ok(bytes)
    }

    fn member(&mut self, header: &Header<'_>, size: u64, extended: Extended) -> Result<Member, LayerError> {
        let name = extended
            .gnu_path
            .or(extended.path)
            .unwrap_or_else(|| header.name());
        let link = extended
            .gnu_link
            .or(extended.link)
            .unwrap_or_else(|| header.link().to_vec());
        self.name = String::from_utf8_lossy(&name).into_owned();
        let kind = match header.kind() {
            b'0' | b'\0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            b'0' | b'\0' | b'7' => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Char,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => return Err(self.bad("it is a sparse file, which image layers do not have")),
            other => return Err(self.bad(format!("its type `{}` is unknown", other.escape_ascii()))),
        };
        let number = |value: Option<i64>, what: &str| {
            let value = value.and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| self.bad(format!("its {what} is no number of 32 bits")))
        };
        let mode = header.mode().ok_or_else(|| self.bad("its mode is no number"))? & 0o7777;
        let (seconds, nanos) = match extended.mtime {
            Some(mtime) => mtime,
            None => (
                header.mtime().ok_or_else(|| self.bad("its time is no number"))?,
                0,
            ),
        };
        let (major, minor) = header.device().unzip();
        let device = match kind {
            Kind::Char | Kind::Block => (number(major, "device number")?, number(minor, "device number")?),
            _ => (0, 0),
        };
        let meta = Metadata {
            mode: mode as u32, // masked: fits
            uid: number(extended.uid.or_else(|| header.uid()), "owner")?,
            gid: number(extended.gid.or_else(|| header.gid()), "group")?,
            mtime: Timestamp { seconds, nanos },
            xattrs: extended.xattrs,
        };
        // Kinds that are nothing but a header have no content, whatever their size says.
        let size = if kind == Kind::File {
            extended.size.unwrap_or(size)
        } else {
            0
        };
        self.count(&name, &link, &meta)?;
        self.begin(size)?;
        let offset = self.stream.position();
        Ok(Member {
            name,
            link,
            kind,
            meta,
            device,
            size,
            offset,
        })
    }

    fn begin(&mut self, size: u64) -> Result<(), LayerError> {
        let limit = self.options.limits.uncompressed;
        match self.stream.position().checked_add(size) {
            Some(end) if end <= limit => {}
            _ => return Err(self.limit("uncompressed bytes", limit)),
        }
        (self.left, self.padding) = (size, padding(size));
        Ok(())
    }

    fn count(&mut self, name: &[u8], link: &[u8], meta: &Metadata) -> Result<(), LayerError> {
        let limits = &self.options.limits;
        self.entries += 1;
        if self.entries > limits.entries {
            return Err(self.limit("entries", limits.entries));
        }
        let xattrs: usize = meta
            .xattrs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        self.index += (name.len() + link.len() + xattrs) as u64;
        if self.index > limits.index {
            return Err(self.limit("bytes of names and attributes", limits.index));
        }
        Ok(())
    }
}

impl Extended {
    fn merge(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        while !records.is_empty() {
            let ((key, value), rest) = pax::split(records).ok_or("a PAX record is malformed")?;
            self.record(key, value)?;
            records = rest;
        }
        Ok(())
    }

    /// Takes one record. An empty value takes an earlier one back.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => {
                let size = number(value)?.map(u64::try_from).transpose();
                self.size = size.map_err(|_| "the size of a PAX record is negative")?;
            }
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(pax::time(value).ok_or("the time of a PAX record is no number")?),
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err("it is a sparse file, which image layers do not have");
            }
            _ => {
                if let Some(name) = key.strip_prefix(pax::XATTR) {
                    self.xattr(name, value)?;
                }
            }
        }
        Ok(())
    }

    /// Takes an attribute. Overlayfs' own are left out: they would make a layer reach into others.
    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name.is_empty() || name.len() > 255 || name.contains(&0) || value.len() > 64 << 10 {
            return Err("an extended attribute is malformed or too long");
        }
        if name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.") {
            return Ok(());
        }
        match self.xattrs.binary_search_by(|(other, _)| (**other).cmp(name)) {
            Ok(at) => self.xattrs[at].1 = value.into(),
            Err(_) if self.xattrs.len() >= MAX_XATTRS => return Err("it has too many extended attributes"),
            Err(at) => self.xattrs.insert(at, (name.into(), value.into())),
        }
        Ok(())
    }
}

fn number(value: &[u8]) -> Result<Option<i64>, &'static str> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(value).map_err(|_| "a number of a PAX record is no number")?;
    text.parse()
        .map(Some)
        .map_err(|_| "a number of a PAX record is no number")
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&b| b == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64).wrapping_sub(size) // sizes are below 2^63
}
