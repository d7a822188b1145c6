//! Debian's version numbers: `[epoch:]upstream[-revision]`, and how they compare (Debian policy §5.6.12).

use std::cmp::Ordering;

/// Compares two versions.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    (a.0.cmp(&b.0))
        .then_with(|| part(a.1, b.1))
        .then_with(|| part(a.2, b.2))
}

/// Splits into epoch, upstream version and revision.
fn parts(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Compares upstream versions or revisions: texts and numbers by turns.
fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take(&mut a, false), take(&mut b, false));
        for at in 0..text_a.len().max(text_b.len()) {
            let order = weight(text_a.get(at)).cmp(&weight(text_b.get(at)));
            if order.is_ne() {
                return order;
            }
        }
        let number = |digits: &'_ [u8]| {
            let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
            let digits = digits[zeros..].to_vec();
            (digits.len(), digits)
        };
        let order = number(take(&mut a, true)).cmp(&number(take(&mut b, true)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the leading digits, or what is before the first digit.
fn take<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|byte| byte.is_ascii_digit() != digits);
    let (taken, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    taken
}

/// A tilde sorts before the end, letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// How a relation bounds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Earlier,
    EarlierEqual,
    Equal,
    LaterEqual,
    Later,
}

impl Bound {
    /// Reads `<<`, `<=`, `=`, `>=`, `>>`, and the old `<` and `>`, which mean `<=` and `>=`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "<<" => Self::Earlier,
            "<=" | "<" => Self::EarlierEqual,
            "=" => Self::Equal,
            ">=" | ">" => Self::LaterEqual,
            ">>" => Self::Later,
            _ => return None,
        })
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierEqual => "<=",
            Self::Equal => "=",
            Self::LaterEqual => ">=",
            Self::Later => ">>",
        }
    }

    /// Returns true when `version` is within.
    pub(crate) fn allows(self, version: &str, bound: &str) -> bool {
        let order = compare(version, bound);
        match self {
            Self::Earlier => order.is_lt(),
            Self::EarlierEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::LaterEqual => order.is_ge(),
            Self::Later => order.is_gt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_dpkg_compares_them() {
        let ascending = [
            ("1.0~rc1", "1.0"),
            ("1.0~~", "1.0~"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1+b1"),
            ("1.0-1", "1.0-1.1"),
            ("1.9", "1.10"),
            ("9:1", "10:0"),
            ("2.0", "1:1.0"),
            ("1.0a", "1.0+a"),
            ("1.0a", "1.0b"),
            ("1.0", "1.0a"),
            ("1.2.3", "1.2.3.0"),
            ("0.99999999999999999998", "0.99999999999999999999"),
            ("1.0-1~deb12u1", "1.0-1"),
            ("2.36-9+deb12u9", "2.36-9+deb12u10"),
            ("1-2-3", "1-2-4"),
        ];
        for (a, b) in ascending {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} {a}");
        }
        for (a, b) in [("0:1.0", "1.0"), ("1.0-0", "1.0"), ("1.00", "1.0"), ("", "")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn bounds() {
        let cases = [
            ("<<", "1", "2", true),
            ("<<", "2", "2", false),
            ("<", "2", "2", true),
            ("=", "2", "2", true),
            (">", "2", "2", true),
            (">>", "2", "2", false),
            (">=", "2~", "2", false),
        ];
        for (bound, version, limit, expected) in cases {
            let bound = Bound::parse(bound).expect("a bound");
            assert_eq!(
                bound.allows(version, limit),
                expected,
                "{version} {bound:?} {limit}"
            );
        }
        assert_eq!(Bound::parse("=="), None);
    }
}
