//! Reads RPM's header: an index of tags, then the data that it points into.

use std::collections::BTreeMap;

use crate::bytes::big;

/// Tags that are used.
pub(crate) const NAME: usize = 1000;
pub(crate) const VERSION: usize = 1001;
pub(crate) const RELEASE: usize = 1002;
pub(crate) const EPOCH: usize = 1003;
pub(crate) const SUMMARY: usize = 1004;
pub(crate) const VENDOR: usize = 1011;
pub(crate) const LICENSE: usize = 1014;
pub(crate) const URL: usize = 1020;
pub(crate) const ARCH: usize = 1022;
pub(crate) const SOURCE: usize = 1044;
pub(crate) const PROVIDES: usize = 1047;
pub(crate) const REQUIRES: usize = 1049;
pub(crate) const MODULARITY: usize = 5096;

/// Most tags and most texts of a tag.
const TAGS: usize = 4096;
const TEXTS: usize = 100_000;

/// A header.
pub(crate) struct Header<'a> {
    tags: BTreeMap<usize, (usize, usize, usize)>,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// Takes a header; none when it is damaged or has no name.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let count = big(bytes, 0, 4).filter(|count| *count <= TAGS)?;
        let (start, size) = (8 + 16 * count, big(bytes, 4, 4)?);
        let data = bytes.get(start..start.checked_add(size)?)?;
        let mut tags = BTreeMap::new();
        for at in 0..count {
            let number = |by: usize| big(bytes, 8 + 16 * at + by, 4);
            tags.insert(number(0)?, (number(4)?, number(8)?, number(12)?));
        }
        let header = Self { tags, data };
        (!header.text(NAME).is_empty() && !header.text(VERSION).is_empty()).then_some(header)
    }

    /// Returns the texts of a tag; those of a list, of a translated text, or one alone.
    pub(crate) fn texts(&self, tag: usize) -> Vec<&'a str> {
        let Some(&(kind, offset, count)) = self.tags.get(&tag) else {
            return Vec::new();
        };
        if !matches!(kind, 6 | 8 | 9) {
            return Vec::new();
        }
        let rest = self.data.get(offset..).unwrap_or_default();
        rest.split(|byte| *byte == 0)
            .take(count.min(TEXTS))
            .map(|text| std::str::from_utf8(text).unwrap_or_default())
            .collect()
    }

    /// Returns the first text of a tag; empty when there is none.
    pub(crate) fn text(&self, tag: usize) -> &'a str {
        let one = self.texts(tag);
        one.first().copied().unwrap_or_default()
    }

    /// Returns the first number of a tag as text; empty when there is none.
    pub(crate) fn number(&self, tag: usize) -> String {
        let found = self.tags.get(&tag).filter(|(kind, ..)| *kind == 4);
        let number = found.and_then(|(_, offset, _)| big(self.data, *offset, 4));
        number.map(|number| number.to_string()).unwrap_or_default()
    }
}
