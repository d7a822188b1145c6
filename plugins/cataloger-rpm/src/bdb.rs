//! Reads hash tables of Berkeley DB, RPM's old `Packages`.
//!
//! Every page is used once at most, so that no damage makes a circle.

use crate::Damage;
use crate::bytes::big;
use crate::bytes::little;

const MAGIC: usize = 0x0006_1561;
const HEAD: usize = 26;
/// Kinds of pages: with items, unsorted and sorted; with what was too long for them.
const ITEMS: [u8; 2] = [2, 13];
const LONG: u8 = 7;
/// Kinds of items: in the page, and in pages of their own.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// Tells whether the bytes are such a file.
pub(crate) fn is(bytes: &[u8]) -> bool {
    little(bytes, 12, 4) == Some(MAGIC) || big(bytes, 12, 4) == Some(MAGIC)
}

/// Returns all values, and what was wrong.
pub(crate) fn blobs(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Damage>) {
    let Some(mut file) = File::new(bytes) else {
        return (Vec::new(), Some("its head is damaged"));
    };
    let (mut found, mut damage) = (Vec::new(), None);
    for number in 1..bytes.len() / file.page {
        let page = &bytes[number * file.page..(number + 1) * file.page];
        if ITEMS.contains(&page[25]) && file.values(page, &mut found).is_none() {
            damage = Some("a page is damaged");
        }
    }
    if !bytes.len().is_multiple_of(file.page) {
        damage = Some("the last page is cut off");
    }
    (found, damage)
}

struct File<'a> {
    bytes: &'a [u8],
    number: fn(&[u8], usize, usize) -> Option<usize>,
    page: usize,
    seen: Vec<bool>,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let number = if little(bytes, 12, 4)? == MAGIC {
            little
        } else {
            big
        };
        let page = number(bytes, 20, 4)?;
        let sane = page.is_power_of_two() && (512..=65536).contains(&page) && *bytes.get(24)? == 0;
        sane.then(|| Self {
            bytes,
            number,
            page,
            seen: vec![false; bytes.len() / page + 1],
        })
    }

    /// Takes the values of a page: every second item. Goes on behind what is damaged.
    fn values(&mut self, page: &[u8], found: &mut Vec<Vec<u8>>) -> Option<()> {
        let number = self.number;
        let count = number(page, 20, 2)?;
        let place = |at: usize| number(page, HEAD + 2 * at, 2);
        let mut whole = Some(());
        for at in (1..count).step_by(2) {
            let (start, before) = (place(at)?, place(at - 1)?);
            let value = match *page.get(start)? {
                HERE => page.get(start + 1..before).map(<[u8]>::to_vec),
                ELSEWHERE => {
                    let next = number(page, start + 4, 4)?;
                    let length = number(page, start + 8, 4)?;
                    self.long(next, length)
                }
                _ => None,
            };
            match value {
                Some(value) => found.push(value),
                None => whole = None,
            }
        }
        whole
    }

    fn long(&mut self, mut next: usize, length: usize) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        while value.len() < length {
            if std::mem::replace(self.seen.get_mut(next)?, true) {
                return None;
            }
            let start = next.checked_mul(self.page)?;
            let page = self.bytes.get(start..start.checked_add(self.page)?)?;
            if page[25] != LONG {
                return None;
            }
            let part = (length - value.len()).min(self.page - HEAD);
            value.extend_from_slice(&page[HEAD..HEAD + part]);
            next = (self.number)(page, 16, 4)?;
        }
        Some(value)
    }
}
