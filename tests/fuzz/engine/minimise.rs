//! Makes a failing input small.

/// Most runs that making an input small may take.
const MAX_RUNS: usize = 3000;

/// Removes pieces of `input`, smaller and smaller ones, as long as `fails` stays true.
pub(crate) fn minimise(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (mut small, mut runs) = (input.to_vec(), 0);
    let mut size = small.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < small.len() && runs < MAX_RUNS {
            let end = (at + size).min(small.len());
            let shorter = [&small[..at], &small[end..]].concat();
            runs += 1;
            if fails(&shorter) {
                small = shorter;
            } else {
                at = end;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    small
}

#[test]
fn failing_inputs_become_small() {
    let input = b"some text with an X and another Y in it".repeat(20);
    let small = minimise(&input, |bytes| bytes.contains(&b'X') && bytes.contains(&b'Y'));
    assert_eq!(small.len(), 2);
}
