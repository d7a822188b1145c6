//! Finds versions between words in the bytes of a program.

/// A version with what stands around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// What stands before the version, byte by byte.
    pub(crate) before: &'static str,
    /// What may follow; empty is anything.
    pub(crate) after: &'static str,
    /// Fewest dots of the version.
    pub(crate) dots: usize,
}

impl Words {
    /// Returns the first version that stands between the words.
    pub(crate) fn version<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let before = self.before.as_bytes();
        let mut from = 0;
        while let Some(at) = find(bytes.get(from..)?, before) {
            let start = from + at + before.len();
            let version = leading_version(&bytes[start..]);
            let next = bytes.get(start + version.len());
            let follows = self.after.is_empty() || next.is_some_and(|b| self.after.as_bytes().contains(b));
            if follows && version.matches('.').count() >= self.dots && !version.is_empty() {
                return Some(version);
            }
            from = start;
        }
        None
    }
}

/// Returns the version at the start: numbers with dots between, and `rc1`, `beta2` behind.
pub(crate) fn leading_version(bytes: &[u8]) -> &str {
    let bytes = &bytes[..bytes.len().min(40)];
    let is = |at: usize, test: fn(&u8) -> bool| bytes.get(at).is_some_and(test);
    let digits = |mut at: usize| {
        while is(at, u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    while end > 0 && bytes.get(end) == Some(&b'.') && is(end + 1, u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if end > 0 {
        for word in ["alpha", "beta", "rc", "a", "b"] {
            let behind = end + word.len();
            if bytes[end..].starts_with(word.as_bytes()) && is(behind, u8::is_ascii_digit) {
                end = digits(behind);
                break;
            }
        }
    }
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// Returns where `needle` is first.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|&byte| byte == first)?;
        if bytes[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}
