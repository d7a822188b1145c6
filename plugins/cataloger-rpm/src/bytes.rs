//! Numbers out of bytes that may end anywhere.

/// Reads `size` bytes as a number; the first counts most.
pub(crate) fn big(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    bytes.iter().try_fold(0usize, |sum, byte| {
        sum.checked_mul(256)?.checked_add(usize::from(*byte))
    })
}

/// Reads `size` bytes as a number; the last counts most.
pub(crate) fn little(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    bytes.iter().rev().try_fold(0usize, |sum, byte| {
        sum.checked_mul(256)?.checked_add(usize::from(*byte))
    })
}
