//! Reads RPM's own database format, `Packages.db`: slots that point to blobs.

use std::collections::BTreeSet;

use crate::Damage;
use crate::bytes::little;

const PAGE: usize = 4096;
const SLOT: usize = 16;
/// Blobs start at such places.
const BLOCK: usize = 16;

/// Tells whether the bytes are such a file.
pub(crate) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RpmP")
}

/// Returns all headers, and what was wrong.
pub(crate) fn blobs(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Damage>) {
    let (mut found, mut damage) = (Vec::new(), None);
    let Some(pages) = little(bytes, 12, 4) else {
        return (found, Some("its head is cut off"));
    };
    let end = pages.saturating_mul(PAGE);
    if end > bytes.len() {
        damage = Some("slots are cut off");
    }
    let slots = bytes[..end.min(bytes.len())].chunks_exact(SLOT).skip(2);
    let mut seen = BTreeSet::new();
    for slot in slots {
        let number = |at| little(slot, at, 4).unwrap_or_default();
        let (package, block) = (number(4), number(8));
        if !slot.starts_with(b"Slot") {
            damage = Some("a slot is damaged");
        } else if package != 0 {
            match blob(bytes, package, block).filter(|_| seen.insert(block)) {
                Some(blob) => found.push(blob.to_vec()),
                None => damage = Some("a package is cut off or used twice"),
            }
        }
    }
    (found, damage)
}

fn blob(bytes: &[u8], package: usize, block: usize) -> Option<&[u8]> {
    let start = block.checked_mul(BLOCK)?;
    let known = bytes.get(start..)?.starts_with(b"BlbS") && little(bytes, start + 4, 4)? == package;
    let (length, data) = (little(bytes, start + 12, 4)?, start + 16);
    bytes.get(data..data.checked_add(length)?).filter(|_| known)
}
