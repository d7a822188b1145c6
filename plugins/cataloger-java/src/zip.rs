//! Reads ZIP archives, bounded: what points outside is not there, and a bomb is cut off.

/// Most entries of an archive.
const ENTRIES: usize = 200_000;
const END: &[u8] = b"PK\x05\x06";

/// One file of an archive.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    method: u64,
    packed: &'a [u8],
}

/// Lists an archive's files; none when the bytes are no archive.
pub(crate) fn entries(bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    // A comment of up to 64 KiB may follow the end's record.
    let tail = bytes.len().saturating_sub(22 + 0xffff);
    let end = (tail..bytes.len().saturating_sub(21))
        .rev()
        .find(|&at| bytes[at..].starts_with(END))?;
    let (size, offset) = (number(bytes, end + 12, 4)?, number(bytes, end + 16, 4)?);
    // A script may stand before the archive; offsets count from behind it.
    let start = end.checked_sub(size)?;
    let shift = start.checked_sub(offset)?;
    let (mut at, mut found) = (start, Vec::new());
    while found.len() < ENTRIES && bytes.get(at..)?.starts_with(b"PK\x01\x02") {
        let (name, extra, comment) = (
            number(bytes, at + 28, 2)?,
            number(bytes, at + 30, 2)?,
            number(bytes, at + 32, 2)?,
        );
        let next = at + 46 + name + extra + comment;
        let name = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name)?).into_owned();
        let header = shift.checked_add(number(bytes, at + 42, 4)?)?;
        if let Some(packed) = packed(bytes, header, number(bytes, at + 20, 4)?) {
            found.push(Entry {
                name,
                method: number(bytes, at + 10, 2)? as u64,
                packed,
            });
        }
        at = next;
    }
    Some(found)
}

/// Returns a file's bytes as they are in the archive, behind its own header.
fn packed(bytes: &[u8], header: usize, size: usize) -> Option<&[u8]> {
    if !bytes.get(header..)?.starts_with(b"PK\x03\x04") {
        return None;
    }
    let (name, extra) = (number(bytes, header + 26, 2)?, number(bytes, header + 28, 2)?);
    let start = header + 30 + name + extra;
    bytes.get(start..start.checked_add(size)?)
}

impl Entry<'_> {
    /// Unpacks the file; none when it is longer than `limit`, or packed in a way that archives of Java are not.
    pub(crate) fn read(&self, limit: usize) -> Option<Vec<u8>> {
        match self.method {
            0 => (self.packed.len() <= limit).then(|| self.packed.to_vec()),
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(self.packed, limit).ok(),
            _ => None,
        }
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)),
    )
}
