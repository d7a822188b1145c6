//! One 512-byte block of a tar archive: written as POSIX (ustar) headers, read in all dialects.

/// Size of a header and what contents are padded to.
pub(crate) const BLOCK: usize = 512;

/// Largest number of the 8-byte fields (mode, owner, device numbers).
pub(crate) const MAX_SHORT: u64 = 0o7_777_777;
/// Largest number of the 12-byte fields (size, time).
pub(crate) const MAX_LONG: u64 = 0o77_777_777_777;

/// Kinds of entries as they are written.
pub(crate) mod kind {
    pub(crate) const FILE: u8 = b'0';
    pub(crate) const HARDLINK: u8 = b'1';
    pub(crate) const SYMLINK: u8 = b'2';
    pub(crate) const CHAR: u8 = b'3';
    pub(crate) const BLOCK: u8 = b'4';
    pub(crate) const DIRECTORY: u8 = b'5';
    pub(crate) const FIFO: u8 = b'6';
    pub(crate) const PAX: u8 = b'x';
}

/// What a header is written from. Numbers that do not fit become 0: a PAX record has them.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Fields<'_> {
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        text(&mut block[..100], self.name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], self.uid);
        octal(&mut block[116..124], self.gid);
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], u64::try_from(self.mtime).unwrap_or(0));
        block[148..156].fill(b' ');
        block[156] = self.kind;
        text(&mut block[157..257], self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], u64::from(self.major));
        octal(&mut block[337..345], u64::from(self.minor));
        let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
        octal(&mut block[148..155], sum);
        block
    }
}

/// Writes the ASCII part of `value`, as far as it fits. A name that is cut does not end in `/`: some readers would
/// take it for a directory.
fn text(field: &mut [u8], value: &[u8]) {
    let mut kept: Vec<u8> = value
        .iter()
        .copied()
        .filter(u8::is_ascii)
        .take(field.len())
        .collect();
    if value.len() > field.len() {
        while kept.last() == Some(&b'/') {
            kept.pop();
        }
    }
    field[..kept.len()].copy_from_slice(&kept);
}

/// Writes `value` as digits that fill the field but for a final NUL; 0 when it does not fit.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let value = if value >> (3 * digits) == 0 { value } else { 0 };
    for (at, byte) in field[..digits].iter_mut().rev().enumerate() {
        *byte = b'0' + (value >> (3 * at) & 7) as u8;
    }
    field[digits] = 0;
}

/// A header as it was read.
#[derive(Debug)]
pub(crate) struct Header<'a>(pub(crate) &'a [u8; BLOCK]);

impl<'a> Header<'a> {
    pub(crate) fn is_zero(&self) -> bool {
        self.0.iter().all(|&b| b == 0)
    }

    /// Checks the checksum; old tools added signed bytes.
    pub(crate) fn is_valid(&self) -> bool {
        let Some(expected) = number(&self.0[148..156]) else {
            return false;
        };
        let outside = |at: usize| !(148..156).contains(&at);
        let bytes = || {
            self.0
                .iter()
                .enumerate()
                .map(|(at, &b)| if outside(at) { b } else { b' ' })
        };
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|b| i64::from(b as i8)).sum();
        expected == unsigned || expected == signed
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    fn is_posix(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    /// Returns the name with its prefix.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = match &self.0[508..512] {
            _ if !self.is_posix() => b"",
            b"tar\0" => until_nul(&self.0[345..476]), // star's dialect
            _ => until_nul(&self.0[345..500]),
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(crate) fn link(&self) -> &'a [u8] {
        until_nul(&self.0[157..257])
    }

    pub(crate) fn mode(&self) -> Option<i64> {
        number(&self.0[100..108])
    }

    pub(crate) fn uid(&self) -> Option<i64> {
        number(&self.0[108..116])
    }

    pub(crate) fn gid(&self) -> Option<i64> {
        number(&self.0[116..124])
    }

    pub(crate) fn size(&self) -> Option<i64> {
        number(&self.0[124..136])
    }

    pub(crate) fn mtime(&self) -> Option<i64> {
        number(&self.0[136..148])
    }

    /// Returns the device numbers; 0 in a dialect without them.
    pub(crate) fn device(&self) -> Option<(i64, i64)> {
        if &self.0[257..262] != b"ustar" {
            return Some((0, 0));
        }
        Some((number(&self.0[329..337])?, number(&self.0[337..345])?))
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// Reads an octal number, or a binary one where the first bit is set. An empty field is 0.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return binary(field);
    }
    let digits = until_nul(field).trim_ascii();
    digits.iter().try_fold(0i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement without the bit that marks it.
fn binary(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative {
        field[0] | 0x80
    } else {
        field[0] & 0x7f
    };
    let start = i128::from(first as i8);
    let value = field[1..]
        .iter()
        .fold(start, |value, &byte| value << 8 | i128::from(byte));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        let fields = Fields {
            name: b"usr/bin/x",
            link: b"y",
            kind: kind::CHAR,
            mode: 0o4755,
            uid: 1000,
            gid: MAX_SHORT,
            size: MAX_LONG,
            mtime: 1_700_000_000,
            major: 1,
            minor: 3,
        };
        let block = fields.encode();
        let header = Header(&block);
        assert!(header.is_valid());
        assert_eq!(
            (header.name(), header.link(), header.kind()),
            (b"usr/bin/x".to_vec(), &b"y"[..], b'3')
        );
        assert_eq!(
            (header.mode(), header.uid(), header.gid()),
            (Some(0o4755), Some(1000), Some(MAX_SHORT as i64))
        );
        assert_eq!(
            (header.size(), header.mtime()),
            (Some(MAX_LONG as i64), Some(1_700_000_000))
        );
        assert_eq!(header.device(), Some((1, 3)));
    }

    #[test]
    fn numbers_in_all_spellings() {
        let cases: [(&[u8], Option<i64>); 9] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"64x\0\0\0\0\0", None),
            (b"999\0\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }

    #[test]
    fn names_that_are_cut_do_not_look_like_directories() {
        let name = [&[b'a'; 99][..], b"/b"].concat();
        let block = Fields {
            name: &name,
            ..Fields::default()
        }
        .encode();
        assert_eq!(Header(&block).name(), [b'a'; 99]);
    }
}
