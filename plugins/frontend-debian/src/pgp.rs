//! OpenPGP as repositories use it: a signed text in the clear (RFC 9580 §7), checked against given keys. RSA and
//! Ed25519 with SHA-2; everything else counts as no signature.
//!
//! There is no clock: keys do not expire here, and whoever gives a keyring trusts all of its keys and subkeys.

use ed25519_dalek::Signature;
use ed25519_dalek::VerifyingKey;
use num_bigint::BigUint;
use sha1::Sha1;
use sha2::Digest;
use sha2::Sha256;
use sha2::Sha384;
use sha2::Sha512;

/// Least size of an RSA key in bits.
const RSA_BITS: u64 = 2048;
/// Largest number of a key or signature, in bytes.
const MPI: usize = 2048;

/// A public key that may sign.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    fingerprint: Vec<u8>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa { n: BigUint, e: BigUint },
    Ed25519(Box<VerifyingKey>),
}

/// Reads a keyring, armoured or not. Keys that cannot be used are left out.
pub(crate) fn keys(data: &[u8]) -> Result<Vec<Key>, String> {
    let binary;
    let text = String::from_utf8_lossy(data);
    let mut found = Vec::new();
    let parts: Vec<&[u8]> = match text.contains(BEGIN_KEY) {
        false => vec![data],
        true => {
            binary = armoured(&text, BEGIN_KEY, END_KEY)?;
            binary.iter().map(Vec::as_slice).collect()
        }
    };
    for part in parts {
        for (tag, body) in packets(part)? {
            if matches!(tag, 6 | 14) {
                found.extend(key(body));
            }
        }
    }
    match found.is_empty() {
        true => Err("there is no RSA or Ed25519 key in it".to_owned()),
        false => Ok(found),
    }
}

/// Returns the text that one of `keys` signed.
pub(crate) fn verify(message: &[u8], keys: &[Key]) -> Result<String, String> {
    let message = std::str::from_utf8(message).map_err(|_| "it is not UTF-8".to_owned())?;
    let (text, rest) = clear_text(message)?;
    // What is signed ends its lines with CR LF and has none at its end.
    let canonical = text.strip_suffix('\n').unwrap_or(&text).replace('\n', "\r\n");
    let mut unknown = Vec::new();
    for block in armoured(rest, BEGIN_SIGNATURE, END_SIGNATURE)? {
        for (tag, body) in packets(&block)? {
            let Some(signature) = (tag == 2).then(|| Signed::read(body)).flatten() else {
                continue;
            };
            let Some(key) = keys.iter().find(|key| signature.is_by(key)) else {
                unknown.push(hex(&signature.issuer));
                continue;
            };
            return match signature.check(key, canonical.as_bytes()) {
                true => Ok(text),
                false => Err(format!("the signature by {} is wrong", hex(&key.fingerprint))),
            };
        }
    }
    Err(match unknown.is_empty() {
        true => "it has no signature that could be checked".to_owned(),
        false => format!(
            "it is signed by {}, and none of the keys is that",
            unknown.join(", ")
        ),
    })
}

const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END_KEY: &str = "-----END PGP PUBLIC KEY BLOCK-----";
const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// Splits a message into its text, one `\n` at the end of each line, and the signature.
fn clear_text(message: &str) -> Result<(String, &str), String> {
    let malformed = || "it is no signed text".to_owned();
    // Nothing may stand before: what is not signed would look as if it were.
    let rest = message.strip_prefix(BEGIN_MESSAGE).ok_or_else(malformed)?;
    let mut at = message.len() - rest.len();
    let (mut text, mut headers) = (String::new(), true);
    for line in rest.split_inclusive('\n') {
        let plain = line.trim_end_matches(['\r', '\n', ' ', '\t']);
        if headers {
            // The first of these is what is left of the opening line.
            headers = at == BEGIN_MESSAGE.len() || !plain.is_empty();
        } else if plain == BEGIN_SIGNATURE {
            return Ok((text, &message[at..]));
        } else {
            text.push_str(plain.strip_prefix("- ").unwrap_or(plain));
            text.push('\n');
        }
        at += line.len();
    }
    Err(malformed())
}

/// Returns the bytes of each armoured block.
fn armoured(text: &str, begin: &str, end: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(begin) {
        let block = &rest[at + begin.len()..];
        let length = block.find(end).ok_or("an armoured block has no end")?;
        rest = &block[length + end.len()..];
        // Headers end with an empty line.
        let body = block[..length].replace('\r', "");
        let body = body.split_once("\n\n").map_or("", |(_, body)| body);
        let lines = body.lines().map(str::trim).filter(|line| !line.starts_with('='));
        blocks.push(base64(lines)?);
    }
    Ok(blocks)
}

/// Reads base64, of any line length.
pub(crate) fn base64(lines: impl Iterator<Item = impl AsRef<str>>) -> Result<Vec<u8>, String> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    let bytes = lines.flat_map(|line| line.as_ref().as_bytes().to_vec());
    for byte in bytes.filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err("an armoured block has a letter that is not base64".to_owned()),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Ok(out)
}

/// Splits into packets: tag and body.
fn packets(mut data: &[u8]) -> Result<Vec<(u8, &[u8])>, String> {
    let mut found = Vec::new();
    while let [head, rest @ ..] = data {
        let short = || "an OpenPGP packet is cut off".to_owned();
        if head & 0x80 == 0 {
            return Err("it is not OpenPGP".to_owned());
        }
        let (tag, length, rest) = match head & 0x40 {
            0 => {
                let bytes = 1_usize << (head & 3);
                let (length, rest) = match bytes {
                    8 => (rest.len(), rest),
                    _ => number(rest, bytes).ok_or_else(short)?,
                };
                (head >> 2 & 15, length, rest)
            }
            _ => {
                let (length, rest) = new_length(rest).ok_or_else(short)?;
                (head & 63, length, rest)
            }
        };
        let (body, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        found.push((tag, body));
        data = rest;
    }
    Ok(found)
}

/// Reads a big-endian number of so many bytes.
fn number(data: &[u8], bytes: usize) -> Option<(usize, &[u8])> {
    let (number, rest) = data.split_at_checked(bytes)?;
    let value = number
        .iter()
        .fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    Some((value, rest))
}

/// Reads a length of the new form; partial ones are for data only.
fn new_length(data: &[u8]) -> Option<(usize, &[u8])> {
    match *data.first()? {
        first @ 0..192 => Some((usize::from(first), &data[1..])),
        first @ 192..224 => {
            let second = usize::from(*data.get(1)?);
            Some((((usize::from(first) - 192) << 8) + second + 192, &data[2..]))
        }
        255 => number(&data[1..], 4),
        _ => None,
    }
}

/// Reads a number of any size.
fn mpi(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = number(data, 2)?;
    rest.split_at_checked(bits.div_ceil(8))
        .filter(|(number, _)| number.len() <= MPI)
}

/// Reads a key of version 4.
fn key(body: &[u8]) -> Option<Key> {
    let [4, _, _, _, _, algorithm, rest @ ..] = body else {
        return None;
    };
    let material = match algorithm {
        1 | 3 => {
            let (n, rest) = mpi(rest)?;
            let (e, _) = mpi(rest)?;
            let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
            // A large exponent makes checking slow and is of no use.
            if n.bits() < RSA_BITS || e.bits() > 64 {
                return None;
            }
            Material::Rsa { n, e }
        }
        // EdDSA of before RFC 9580, with the curve's identifier.
        22 => {
            let (length, rest) = number(rest, 1)?;
            let (curve, rest) = rest.split_at_checked(length)?;
            let (point, _) = mpi(rest)?;
            let point = point.strip_prefix(&[0x40])?;
            if curve != [0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1] {
                return None;
            }
            Material::Ed25519(Box::new(VerifyingKey::from_bytes(point.try_into().ok()?).ok()?))
        }
        27 => {
            let point = rest.get(..32)?.try_into().ok()?;
            Material::Ed25519(Box::new(VerifyingKey::from_bytes(point).ok()?))
        }
        _ => return None,
    };
    let mut hash = Sha1::new();
    hash.update([0x99]);
    hash.update(u16::try_from(body.len()).ok()?.to_be_bytes());
    hash.update(body);
    Some(Key {
        fingerprint: hash.finalize().to_vec(),
        material,
    })
}

/// A signature of version 4.
struct Signed<'a> {
    algorithm: u8,
    hash: u8,
    /// What is hashed after the text.
    hashed: &'a [u8],
    left: [u8; 2],
    numbers: &'a [u8],
    /// Fingerprint or key id of who signed.
    issuer: Vec<u8>,
    kind: u8,
}

impl<'a> Signed<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let [4, kind, algorithm, hash, ..] = *body else {
            return None;
        };
        let (length, _) = number(body.get(4..)?, 2)?;
        let hashed = body.get(..6 + length)?;
        let (length, rest) = number(body.get(6 + length..)?, 2)?;
        let (unhashed, rest) = rest.split_at_checked(length)?;
        let (left, numbers) = rest.split_at_checked(2)?;
        let issuer = issuer(&hashed[6..]).or_else(|| issuer(unhashed))?;
        Some(Self {
            algorithm,
            hash,
            hashed,
            left: left.try_into().ok()?,
            numbers,
            issuer,
            kind,
        })
    }

    fn is_by(&self, key: &Key) -> bool {
        self.issuer.len() >= 8 && key.fingerprint.ends_with(&self.issuer)
    }

    fn check(&self, key: &Key, text: &[u8]) -> bool {
        let trailer = [&[4, 0xff][..], &(self.hashed.len() as u32).to_be_bytes()].concat();
        let parts = [text, self.hashed, &trailer];
        let (digest, prefix): (Vec<u8>, &[u8]) = match self.hash {
            8 => (digest::<Sha256>(&parts), &[0x31, 0x01, 0x20]),
            9 => (digest::<Sha384>(&parts), &[0x41, 0x02, 0x30]),
            10 => (digest::<Sha512>(&parts), &[0x51, 0x03, 0x40]),
            _ => return false,
        };
        // 0 and 1 are signatures of a document, as bytes and as text.
        if self.kind > 1 || digest[..2] != self.left {
            return false;
        }
        match (&key.material, self.algorithm) {
            (Material::Rsa { n, e }, 1 | 3) => rsa(n, e, self.numbers, prefix, &digest),
            (Material::Ed25519(key), 22) => ed25519(key, self.numbers, &digest),
            (Material::Ed25519(key), 27) => {
                let bytes = <[u8; 64]>::try_from(self.numbers);
                bytes.is_ok_and(|bytes| key.verify_strict(&digest, &Signature::from_bytes(&bytes)).is_ok())
            }
            _ => false,
        }
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = D::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().to_vec()
}

/// Finds who signed in subpackets: a fingerprint, or a key id.
fn issuer(mut subpackets: &[u8]) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    while !subpackets.is_empty() {
        let (length, rest) = new_length(subpackets)?;
        let (body, rest) = rest.split_at_checked(length)?;
        match body {
            [33, 4, fingerprint @ ..] if fingerprint.len() == 20 => return Some(fingerprint.to_vec()),
            [16, id @ ..] if id.len() == 8 => found = Some(id.to_vec()),
            _ => {}
        }
        subpackets = rest;
    }
    found
}

/// Checks a signature by RSASSA-PKCS1-v1_5: the padded digest has one form, and that is compared as a whole.
fn rsa(n: &BigUint, e: &BigUint, numbers: &[u8], hash: &[u8], digest: &[u8]) -> bool {
    let Some((signature, _)) = mpi(numbers) else {
        return false;
    };
    let signature = BigUint::from_bytes_be(signature);
    if signature >= *n {
        return false;
    }
    let [info_length, oid, length] = *hash else {
        return false;
    };
    let info = [
        0x30,
        info_length,
        0x30,
        0x0d,
        0x06,
        0x09,
        0x60,
        0x86,
        0x48,
        0x01,
        0x65,
        0x03,
        0x04,
        0x02,
        oid,
        0x05,
        0x00,
        0x04,
        length,
    ];
    let size = n.bits().div_ceil(8) as usize;
    let padding = size.saturating_sub(3 + info.len() + digest.len());
    if padding < 8 {
        return false;
    }
    let expected = [&[0, 1][..], &vec![0xff; padding], &[0], &info, digest].concat();
    signature.modpow(e, n) == BigUint::from_bytes_be(&expected)
}

/// Checks an EdDSA signature of before RFC 9580: two numbers without leading zeros.
fn ed25519(key: &VerifyingKey, numbers: &[u8], digest: &[u8]) -> bool {
    let halves = || -> Option<[u8; 64]> {
        let (r, rest) = mpi(numbers)?;
        let (s, _) = mpi(rest)?;
        let mut bytes = [0; 64];
        bytes[32_usize.checked_sub(r.len())?..32].copy_from_slice(r);
        bytes[64_usize.checked_sub(s.len()).filter(|at| *at >= 32)?..].copy_from_slice(s);
        Some(bytes)
    };
    halves().is_some_and(|bytes| key.verify_strict(digest, &Signature::from_bytes(&bytes)).is_ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED_KEY: &[u8] = include_bytes!("../tests/pgp/ed.asc");
    const ED_BINARY: &[u8] = include_bytes!("../tests/pgp/ed.gpg");
    const RSA_KEY: &[u8] = include_bytes!("../tests/pgp/rsa.asc");
    const ED: &[u8] = include_bytes!("../tests/pgp/ed.signed");
    const RSA: &[u8] = include_bytes!("../tests/pgp/rsa.signed");
    const BOTH: &[u8] = include_bytes!("../tests/pgp/both.signed");
    const TEXT: &str = "Origin: Example\nSuite: stable\n- dash\n-----x\n\nEnd: 1\n";

    #[test]
    fn signatures_of_gpg_are_checked() {
        let cases = [
            (ED, ED_KEY, true),
            (ED, ED_BINARY, true),
            (RSA, RSA_KEY, true),
            (BOTH, RSA_KEY, true),
            (BOTH, ED_KEY, true),
            (ED, RSA_KEY, false),
            (RSA, ED_KEY, false),
        ];
        for (at, (message, ring, good)) in cases.into_iter().enumerate() {
            let ring = keys(ring).expect("a keyring");
            let found = verify(message, &ring);
            match good {
                true => assert_eq!(found.as_deref(), Ok(TEXT), "{at}"),
                false => assert!(
                    found
                        .expect_err("another key")
                        .contains("none of the keys is that")
                ),
            }
        }
    }

    #[test]
    fn every_changed_byte_of_the_text_or_signature_counts() {
        for (message, ring) in [(ED, ED_KEY), (RSA, RSA_KEY)] {
            let ring = keys(ring).expect("a keyring");
            let text = message
                .windows(6)
                .position(|part| part == b"Origin")
                .expect("the text");
            let end = message
                .windows(5)
                .position(|part| part == b"End: ")
                .expect("the text");
            for at in text..end + 6 {
                let mut changed = message.to_vec();
                changed[at] ^= 1;
                if let Ok(found) = verify(&changed, &ring) {
                    assert_eq!(found, TEXT, "byte {at} is not signed");
                }
            }
        }
    }

    #[test]
    fn what_is_not_signed_is_never_returned() {
        let ring = keys(ED_KEY).expect("a keyring");
        let signed = String::from_utf8_lossy(ED).into_owned();
        let cases = [
            format!("Suite: evil\n{signed}"),
            signed.replace("Origin:", "Evil: 1\nOrigin:"),
            signed.replace("\nEnd: 1", "\nEnd: 1\nMore: 1"),
            signed.replace(BEGIN_SIGNATURE, "-----BEGIN PGP SIGNATUR-----"),
            signed
                .split(BEGIN_SIGNATURE)
                .next()
                .unwrap_or_default()
                .to_owned(),
            TEXT.to_owned(),
        ];
        for message in cases {
            assert!(verify(message.as_bytes(), &ring).is_err(), "{message}");
        }
        // Headers of the message are not signed, and not part of the text.
        let header = signed.replacen("Hash: SHA512", "Hash: SHA512\nSuite: evil", 1);
        assert_eq!(verify(header.as_bytes(), &ring).as_deref(), Ok(TEXT));
    }

    #[test]
    fn damaged_keys_are_errors_and_never_panic() {
        for end in 0..ED_BINARY.len() {
            _ = keys(&ED_BINARY[..end]);
            let mut changed = ED_BINARY.to_vec();
            changed[end] ^= 0xff;
            _ = keys(&changed);
        }
        assert!(keys(b"").is_err() && keys(b"hello").is_err());
    }
}
