//! Reads ELF files as far as catalogers need: sections by name, bytes by virtual address.
//!
//! Everything in a file is hostile: what points outside is not there.

/// Most sections and program headers that are looked at.
const MOST: usize = 4096;

/// An ELF file.
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
    wide: bool,
    big: bool,
}

/// A part of the file that is loaded to an address.
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
    writable: bool,
}

impl<'a> Elf<'a> {
    /// Takes the bytes; none when they are no ELF file.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let ident = bytes.get(..16)?;
        let (wide, big) = (ident[4] == 2, ident[5] == 2);
        let known = matches!(ident[4], 1 | 2) && matches!(ident[5], 1 | 2);
        (ident.starts_with(b"\x7fELF") && known).then_some(Self { bytes, wide, big })
    }

    /// Reads a number of 2, 4 or 8 bytes at an offset.
    fn number(&self, at: u64, size: usize) -> Option<u64> {
        let bytes = slice(self.bytes, at, size as u64)?;
        Some(number(bytes, self.big))
    }

    /// Reads an address or an offset.
    fn word(&self, at: u64) -> Option<u64> {
        self.number(at, self.word_size())
    }

    fn word_size(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// Returns a section's bytes.
    pub(crate) fn section(&self, name: &str) -> Option<&'a [u8]> {
        let (table, size, count, names) = match self.wide {
            true => (0x28, 0x3a, 0x3c, 0x3e),
            false => (0x20, 0x2e, 0x30, 0x32),
        };
        let (table, size) = (self.word(table)?, self.number(size, 2)?);
        let (count, names) = (self.number(count, 2)?, self.number(names, 2)?);
        let header = |at: u64| table.checked_add(at.checked_mul(size)?);
        let place = |header: u64| {
            let (offset, length) = match self.wide {
                true => (0x18, 0x20),
                false => (0x10, 0x14),
            };
            let offset = self.word(header.checked_add(offset)?)?;
            Some((offset, self.word(header.checked_add(length)?)?))
        };
        let (offset, length) = place(header(names)?)?;
        let names = slice(self.bytes, offset, length)?;
        for at in 0..count.min(MOST as u64) {
            let header = header(at)?;
            let start = usize::try_from(self.number(header, 4)?).ok()?;
            let found = names
                .get(start..)
                .and_then(|rest| rest.strip_prefix(name.as_bytes()));
            if found.is_some_and(|rest| rest.first() == Some(&0)) {
                let (offset, length) = place(header)?;
                return slice(self.bytes, offset, length);
            }
        }
        None
    }

    fn segments(&self) -> Vec<Segment> {
        (0..MOST as u64)
            .map_while(|at| self.segment(at))
            .flatten()
            .collect()
    }

    /// Returns the program header of that number: none behind the last, none inside when it loads nothing.
    fn segment(&self, at: u64) -> Option<Option<Segment>> {
        let (table, size, count) = match self.wide {
            true => (0x20, 0x36, 0x38),
            false => (0x1c, 0x2a, 0x2c),
        };
        let (table, size, count) = (self.word(table)?, self.number(size, 2)?, self.number(count, 2)?);
        if at >= count {
            return None;
        }
        let header = table.checked_add(at.checked_mul(size)?)?;
        let (flags, offset, address, length) = match self.wide {
            true => (4, 8, 16, 32),
            false => (24, 4, 8, 16),
        };
        let field = |by: u64| self.word(header.checked_add(by)?);
        let segment = Segment {
            address: field(address)?,
            offset: field(offset)?,
            size: field(length)?,
            writable: self.number(header.checked_add(flags)?, 4)? & 2 != 0,
        };
        Some((self.number(header, 4)? == 1).then_some(segment))
    }

    /// Returns the bytes of segments that can be written.
    pub(crate) fn data(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        let writable = self.segments().into_iter().filter(|segment| segment.writable);
        writable.filter_map(move |segment| slice(bytes, segment.offset, segment.size))
    }

    /// Returns what is at an address, up to the end of its segment.
    fn at(&self, address: u64) -> Option<&'a [u8]> {
        self.segments().into_iter().find_map(|segment| {
            let inside = address
                .checked_sub(segment.address)
                .filter(|by| *by < segment.size)?;
            slice(
                self.bytes,
                segment.offset.checked_add(inside)?,
                segment.size - inside,
            )
        })
    }

    /// Returns what a Go string header at an address points to.
    pub(crate) fn string(&self, header: u64) -> Option<&'a [u8]> {
        let size = self.word_size();
        let bytes = self.at(header)?.get(..2 * size)?;
        let (pointer, length) = (number(&bytes[..size], self.big), number(&bytes[size..], self.big));
        self.at(pointer)?.get(..usize::try_from(length).ok()?)
    }
}

/// Reads a number of the size of `bytes`.
pub(crate) fn number(bytes: &[u8], big: bool) -> u64 {
    let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
    match big {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    }
}

fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(length)?).ok()?;
    bytes.get(start..end)
}
