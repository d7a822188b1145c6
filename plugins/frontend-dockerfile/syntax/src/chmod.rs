//! `--chmod`: octal modes, and symbolic ones as chmod(1) takes them.

use crate::error::SyntaxError;

/// What `--chmod` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// These permission bits.
    Octal(u32),
    /// These changes, in the form of chmod(1). The text is well formed.
    Symbolic(String),
}

/// Reads a `--chmod` value after its variables have been expanded.
///
/// # Errors
/// A number that is not octal or above 07777, a symbolic mode that is not well formed.
pub fn parse(text: &str) -> Result<Chmod, SyntaxError> {
    let not_octal = || {
        SyntaxError::new(format!(
            "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        ))
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let octal = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| octal && *mode <= 0o7777);
        return mode.map(Chmod::Octal).ok_or_else(not_octal);
    }
    if symbolic(text).is_some() {
        return Ok(Chmod::Symbolic(text.to_owned()));
    }
    Err(SyntaxError::new(format!(
        "invalid chmod parameter: '{text}': invalid syntax"
    )))
}

/// Checks `[ugoa]*([+-=]([rwxXst]*|[ugo]))+` clauses with commas between.
fn symbolic(text: &str) -> Option<()> {
    for clause in text.split(',') {
        let mut rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            rest = rest.strip_prefix(['+', '-', '='])?;
            rest = rest.trim_start_matches(['r', 'w', 'x', 'X', 's', 't', 'u', 'g', 'o']);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::Chmod;
    use super::parse;

    #[test]
    fn modes() {
        let check = |text: &str, expect: Option<u32>| {
            let got = parse(text).ok().map(|mode| match mode {
                Chmod::Octal(bits) => bits,
                Chmod::Symbolic(_) => u32::MAX,
            });
            assert_eq!(got, expect, "{text:?}");
        };
        let symbolic = Some(u32::MAX);
        check("644", Some(0o644));
        check("07777", Some(0o7777));
        check("0", Some(0));
        check("10000", None);
        check("64a", None);
        check("8", None);
        check("u=rwX,go=rX", symbolic);
        check("go-w", symbolic);
        check("=rw,+X", symbolic);
        check("g=u", symbolic);
        check("go=", symbolic);
        check("u+x-w", symbolic);
        check("", None);
        check("u", None);
        check("u+x,", None);
        check("z+x", None);
        check("u+q", None);
    }
}
