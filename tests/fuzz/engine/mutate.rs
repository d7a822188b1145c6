//! Makes new inputs of known ones.

use super::random::Random;

/// Longest input that is made, in bytes.
const MAX_INPUT: usize = 64 << 10;
/// Numbers that programs count wrong with.
const NUMBERS: [u64; 14] = [
    0,
    1,
    7,
    255,
    256,
    511,
    512,
    513,
    65_535,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 33,
    i64::MAX as u64,
    u64::MAX,
];

/// What a target is fed with, and how.
pub(crate) struct Mutator<'a> {
    pub(crate) random: Random,
    pub(crate) tokens: &'a [&'a [u8]],
}

impl Mutator<'_> {
    /// Makes an input of one from `pool`, with up to eight changes.
    pub(crate) fn input(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.random.pick(pool).clone();
        // Small numbers of changes are the likeliest: an input that is all noise is refused at its first byte.
        let rounds = 1 + self.random.below(8).min(self.random.below(8));
        for _ in 0..rounds {
            self.change(&mut input, pool);
        }
        input.truncate(MAX_INPUT);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.random.below(input.len() + 1);
        let there = at < input.len();
        match self.random.below(12) {
            0 if there => input[at] ^= 1 << self.random.below(8),
            1 if there => input[at] = self.random.byte(),
            2 => input.insert(at, self.random.byte()),
            3 | 4 if !self.tokens.is_empty() => {
                let token = *self.random.pick(self.tokens);
                let over = if self.random.below(2) == 0 { 0 } else { token.len() };
                input.splice(at..(at + over).min(input.len()), token.iter().copied());
            }
            5 => drop(input.drain(self.range(at, input.len()))),
            6 => input.truncate(at),
            7 => self.repeat(input, at),
            8 => self.splice(input, at, pool),
            9 => self.binary_number(input, at),
            10 => self.decimal_number(input),
            _ => self.swap(input, at),
        }
    }

    /// A range that starts at `at`, mostly short.
    fn range(&mut self, at: usize, length: usize) -> std::ops::Range<usize> {
        let most = if self.random.below(3) == 0 { length } else { 16 };
        let count = 1 + self.random.below(most);
        at..(at + count).min(length)
    }

    fn repeat(&mut self, input: &mut Vec<u8>, at: usize) {
        let range = self.range(at, input.len());
        let piece = input[range.clone()].to_vec();
        let most = if self.random.below(20) == 0 { 4000 } else { 6 };
        let count = (1 + self.random.below(most)).min(MAX_INPUT / piece.len().max(1));
        input.splice(range.end..range.end, piece.repeat(count));
    }

    fn splice(&mut self, input: &mut Vec<u8>, at: usize, pool: &[Vec<u8>]) {
        let other = self.random.pick(pool);
        let from = self.random.below(other.len() + 1);
        let range = self.range(from, other.len());
        let piece = other[range].to_vec();
        let end = if self.random.below(2) == 0 {
            at
        } else {
            input.len()
        };
        input.splice(at..end, piece);
    }

    /// Writes a number over what is there: a field that says how long something is, with some luck.
    fn binary_number(&mut self, input: &mut [u8], at: usize) {
        let number = self.random.pick(&NUMBERS).to_le_bytes();
        let width = 1 << self.random.below(4);
        let reversed = self.random.below(2) == 0;
        for (offset, slot) in input[at..].iter_mut().take(width).enumerate() {
            *slot = number[if reversed { width - 1 - offset } else { offset }];
        }
    }

    /// Replaces digits by other digits of the same or another length.
    fn decimal_number(&mut self, input: &mut Vec<u8>) {
        let start = self.random.below(input.len());
        let Some(start) = (start..input.len()).find(|&at| input[at].is_ascii_digit()) else {
            return;
        };
        let end = (start..input.len())
            .find(|&at| !input[at].is_ascii_digit())
            .unwrap_or(input.len());
        let number = *self.random.pick(&NUMBERS);
        let text = match self.random.below(3) {
            0 => number.to_string(),
            1 => format!("-{number}"),
            _ => format!("{number:0width$o}", width = end - start),
        };
        input.splice(start..end, text.into_bytes());
    }

    fn swap(&mut self, input: &mut [u8], at: usize) {
        let other = self.random.below(input.len());
        if at < input.len() && other < input.len() {
            input.swap(at, other);
        }
    }
}
