//! Archives as raw as a test wants them.

const BLOCK: usize = 512;

/// A member of an archive.
#[derive(Clone)]
pub(crate) struct Member {
    name: Vec<u8>,
    kind: u8,
    link: Vec<u8>,
    data: Vec<u8>,
    size: Option<u64>,
    mode: u32,
    device: (u32, u32),
}

pub(crate) fn member(name: &str, kind: u8) -> Member {
    Member {
        name: name.into(),
        kind,
        link: Vec::new(),
        data: Vec::new(),
        size: None,
        mode: 0o755,
        device: (0, 0),
    }
}

pub(crate) fn file(name: &str, data: &[u8]) -> Member {
    member(name, b'0').data(data)
}

pub(crate) fn dir(name: &str) -> Member {
    member(name, b'5')
}

pub(crate) fn symlink(name: &str, to: &str) -> Member {
    member(name, b'2').link(to)
}

pub(crate) fn hardlink(name: &str, to: &str) -> Member {
    member(name, b'1').link(to)
}

/// An extended header with one PAX record for the next member.
pub(crate) fn pax(key: &str, value: &[u8]) -> Member {
    let rest = key.len() + value.len() + 3; // space, equals sign, newline
    let mut total = rest;
    while total != rest + total.to_string().len() {
        total = rest + total.to_string().len();
    }
    let record = [format!("{total} {key}=").as_bytes(), value, b"\n"].concat();
    member("pax", b'x').data(&record)
}

impl Member {
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.data = data.into();
        self
    }

    pub(crate) fn link(mut self, link: &str) -> Self {
        self.link = link.into();
        self
    }

    /// Says another size than the data has.
    pub(crate) fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn device(mut self, major: u32, minor: u32) -> Self {
        self.device = (major, minor);
        self
    }

    fn header(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..self.name.len()].copy_from_slice(&self.name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], 0);
        octal(&mut block[116..124], 0);
        octal(&mut block[124..136], self.size.unwrap_or(self.data.len() as u64));
        octal(&mut block[136..148], 1_600_000_000);
        block[156] = self.kind;
        block[157..157 + self.link.len()].copy_from_slice(&self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], u64::from(self.device.0));
        octal(&mut block[337..345], u64::from(self.device.1));
        checksum(&mut block);
        block
    }
}

/// Writes a number in octal digits, or in base 256 when there are too few.
fn octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let text = format!("{value:0width$o}");
    if text.len() == width {
        field[..width].copy_from_slice(text.as_bytes());
        return;
    }
    let digits = value.to_be_bytes();
    let count = field.len().min(digits.len());
    let start = field.len() - count;
    field[start..].copy_from_slice(&digits[digits.len() - count..]);
    field[0] |= 0x80;
}

fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Returns the members as an archive with its end marker.
pub(crate) fn tarball(members: &[Member]) -> Vec<u8> {
    let mut tar = Vec::new();
    for member in members {
        tar.extend_from_slice(&member.header());
        tar.extend_from_slice(&member.data);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

/// Gives the headers of a changed archive right checksums, so that what is behind them is looked at.
pub(crate) fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        let mut skip = 0;
        if block.iter().any(|&byte| byte != 0) {
            checksum(block);
            let digits = String::from_utf8_lossy(&block[124..136]).into_owned();
            let size = u64::from_str_radix(digits.trim_matches(['\0', ' ']), 8).unwrap_or(0);
            skip = usize::try_from(size)
                .unwrap_or(0)
                .min(tar.len())
                .next_multiple_of(BLOCK);
        }
        at += BLOCK + skip;
    }
    tar
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut encoder, bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("a vector takes all")
}

/// A zstd frame of `blocks` × 128 KiB of zeros, four bytes each.
pub(crate) fn zstd_bomb(blocks: usize) -> Vec<u8> {
    const RUN: u32 = 1; // a block that is one byte, repeated
    let header = |last: u32| (last | RUN << 1 | (128 << 10) << 3).to_le_bytes();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]; // magic, no sizes, window of 2 MiB
    for block in 1..=blocks {
        frame.extend_from_slice(&header(u32::from(block == blocks))[..3]);
        frame.push(0);
    }
    frame
}
