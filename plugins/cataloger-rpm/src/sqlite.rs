//! Reads one table of an SQLite file: enough for RPM's `Packages`.
//!
//! Every page is used once at most, so that no damage makes a circle or a long way.

use crate::Damage;
use crate::bytes::big;

const MAGIC: &[u8] = b"SQLite format 3\0";
const LEAF: u8 = 13;
const INTERIOR: u8 = 5;

/// Tells whether the bytes are such a file.
pub(crate) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Returns the column `blob`, the second, of all rows of `Packages`, and what was wrong.
pub(crate) fn blobs(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Damage>) {
    let Some(mut file) = File::new(bytes) else {
        return (Vec::new(), Some("the first page is damaged"));
    };
    let mut root = None;
    file.table(1, &mut |row| {
        let columns = columns(row)?;
        if columns.get(1)?.as_slice() == b"Packages" && columns.first()?.as_slice() == b"table" {
            root = root.or(big(columns.get(3)?, 0, columns[3].len()));
        }
        Some(())
    });
    let Some(root) = root else {
        return (Vec::new(), file.damage.or(Some("there is no table `Packages`")));
    };
    let mut found = Vec::new();
    file.table(root, &mut |row| {
        found.push(columns(row)?.into_iter().nth(1)?);
        Some(())
    });
    (found, file.damage)
}

struct File<'a> {
    bytes: &'a [u8],
    page: usize,
    /// What of a page can be used.
    usable: usize,
    seen: Vec<bool>,
    damage: Option<Damage>,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let page = match big(bytes, 16, 2)? {
            1 => 65536,
            page => page,
        };
        let usable = page.checked_sub(usize::from(*bytes.get(20)?))?;
        (page.is_power_of_two() && page >= 512 && usable >= 480).then(|| Self {
            bytes,
            page,
            usable,
            seen: vec![false; bytes.len() / page + 1],
            damage: None,
        })
    }

    /// Returns a page that was not used before.
    fn take(&mut self, number: usize) -> Option<&'a [u8]> {
        let at = number.checked_sub(1)?;
        let seen = self.seen.get_mut(at)?;
        if std::mem::replace(seen, true) {
            return None;
        }
        let start = at.checked_mul(self.page)?;
        self.bytes.get(start..start.checked_add(self.page)?)
    }

    /// Walks a table and hands each row's record to `row`.
    fn table(&mut self, root: usize, row: &mut dyn FnMut(&[u8]) -> Option<()>) {
        let mut ahead = vec![root];
        while let Some(number) = ahead.pop() {
            let Some(page) = self.take(number) else {
                self.damage = Some("a page is missing or used twice");
                continue;
            };
            if self.one(number, page, &mut ahead, row).is_none() {
                self.damage = Some("a page is damaged");
            }
        }
    }

    fn one(
        &mut self,
        number: usize,
        page: &'a [u8],
        ahead: &mut Vec<usize>,
        row: &mut dyn FnMut(&[u8]) -> Option<()>,
    ) -> Option<()> {
        let head = if number == 1 { 100 } else { 0 };
        let (kind, cells) = (*page.get(head)?, big(page, head + 3, 2)?);
        let table = match kind {
            LEAF => head + 8,
            INTERIOR => head + 12,
            _ => return None,
        };
        let mut pages = Vec::new();
        for cell in 0..cells {
            let at = big(page, table + 2 * cell, 2)?;
            if kind == INTERIOR {
                pages.push(big(page, at, 4)?);
                continue;
            }
            let record = self.record(page.get(at..)?);
            if record.is_none_or(|record| row(&record).is_none()) {
                self.damage = Some("a row is damaged");
            }
        }
        if kind == INTERIOR {
            pages.push(big(page, head + 8, 4)?);
            ahead.extend(pages.into_iter().rev());
        }
        Some(())
    }

    /// Puts a row's record together: what is in its page, and what is in pages behind.
    fn record(&mut self, cell: &[u8]) -> Option<Vec<u8>> {
        let (length, rest) = varint(cell)?;
        let (_, rest) = varint(rest)?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.bytes.len())?;
        let (most, least) = (self.usable - 35, (self.usable - 12) * 32 / 255 - 23);
        if length <= most {
            return Some(rest.get(..length)?.to_vec());
        }
        let fitting = least + (length - least) % (self.usable - 4);
        let local = if fitting <= most { fitting } else { least };
        let mut record = rest.get(..local)?.to_vec();
        let mut next = big(rest, local, 4)?;
        while record.len() < length {
            let page = self.take(next)?;
            let part = (length - record.len()).min(self.usable - 4);
            record.extend_from_slice(page.get(4..4 + part)?);
            next = big(page, 0, 4)?;
        }
        Some(record)
    }
}

/// Returns the bytes of a record's columns.
fn columns(record: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (head, mut types) = varint(record)?;
    let head = usize::try_from(head).ok()?;
    let skipped = record.len() - types.len();
    types = types.get(..head.checked_sub(skipped)?)?;
    let mut data = record.get(head..)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => kind.checked_sub(12)? / 2,
        };
        let (column, rest) = data.split_at_checked(usize::try_from(size).ok()?)?;
        columns.push(column.to_vec());
        data = rest;
    }
    Some(columns)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some(((value << 8) | u64::from(*byte), &bytes[9..]));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}
