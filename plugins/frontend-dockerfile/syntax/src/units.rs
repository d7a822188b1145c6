//! Sizes, as docker/go-units reads them.

/// Reads a size such as `64m` or `1.5 GiB`, in powers of 1024. `None` when it is not one.
pub fn ram_in_bytes(text: &str) -> Option<i64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let unit = &text[last + 1..];
    let number = if text.as_bytes()[last] == b' ' {
        &text[..last]
    } else {
        &text[..=last]
    };
    if !number
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
    {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    let factor = factor(&unit.to_ascii_lowercase())?;
    let bytes = value * factor;
    // The cast saturates; a size no machine has is as good as the largest.
    (bytes >= 0.0).then_some(bytes as i64)
}

fn factor(unit: &str) -> Option<f64> {
    let mut letters = unit.chars();
    let power = match letters.next() {
        None | Some('b') => {
            return letters.as_str().is_empty().then_some(1.0);
        }
        Some(letter) => 1 + "kmgtp".find(letter)? as i32,
    };
    matches!(letters.as_str(), "" | "b" | "ib").then(|| 1024f64.powi(power))
}

#[cfg(test)]
mod tests {
    use super::ram_in_bytes;

    #[test]
    fn sizes() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(ram_in_bytes(text), expect, "{text:?}");
        check("32", Some(32));
        check("32b", Some(32));
        check("32B", Some(32));
        check("32k", Some(32 << 10));
        check("32KB", Some(32 << 10));
        check("32kib", Some(32 << 10));
        check("1.5 GiB", Some(3 << 29));
        check("32pb", Some(32 << 50));
        check("", None);
        check("hello", None);
        check("-32", None);
        check("32bm", None);
        check(" 32", None);
        check("32  mb", None);
        check(".3kB", Some(307));
    }
}
