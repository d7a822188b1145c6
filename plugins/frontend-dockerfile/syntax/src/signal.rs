//! STOPSIGNAL: names and numbers of Linux signals.

use crate::error::SyntaxError;

/// The signals from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// Other names of the same.
const ALIASES: [(&str, i64); 4] = [("CLD", 17), ("IOT", 6), ("POLL", 29), ("UNUSED", 31)];
/// The first and the last signal of the real-time range, as glibc numbers them.
const REAL_TIME: (i64, i64) = (34, 64);

/// Reads a signal: a number, or a name with or without `SIG`, in any case.
///
/// # Errors
/// A name that is no signal, or 0.
pub fn parse(text: &str) -> Result<i64, SyntaxError> {
    let invalid = || SyntaxError::new(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i64>() {
        return if number == 0 { Err(invalid()) } else { Ok(number) };
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return Ok(at as i64 + 1);
    }
    if let Some((_, number)) = ALIASES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    real_time(name).ok_or_else(invalid)
}

/// `RTMIN`, `RTMIN+1` … `RTMIN+15`, `RTMAX-14` … `RTMAX`.
fn real_time(name: &str) -> Option<i64> {
    let number = |text: &str, most: i64| {
        text.parse()
            .ok()
            .filter(|n| text == format!("{n}") && (1..=most).contains(n))
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let more = if rest.is_empty() {
            0
        } else {
            number(rest.strip_prefix('+')?, 15)?
        };
        return Some(REAL_TIME.0 + more);
    }
    let rest = name.strip_prefix("RTMAX")?;
    let less = if rest.is_empty() {
        0
    } else {
        number(rest.strip_prefix('-')?, 14)?
    };
    Some(REAL_TIME.1 - less)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(parse(text).ok(), expect, "{text:?}");
        check("9", Some(9));
        check("SIGKILL", Some(9));
        check("sigterm", Some(15));
        check("quit", Some(3));
        check("SIGRTMIN+3", Some(37));
        check("RTMAX-14", Some(50));
        check("RTMAX", Some(64));
        check("SYS", Some(31));
        check("0", None);
        check("RTMIN+16", None);
        check("RTMIN+", None);
        check("SIG", None);
        check("bogus", None);
        assert_eq!(parse("bogus").unwrap_err().message(), "invalid signal: bogus");
    }
}
