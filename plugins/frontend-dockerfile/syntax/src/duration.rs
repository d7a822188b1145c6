//! Go durations: `1h30m`, `500ms`.

use crate::error::SyntaxError;
use crate::go::quote;

/// Nanoseconds of each unit.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];
const SECOND: i64 = 1_000_000_000;

/// Reads a duration and returns its nanoseconds.
///
/// # Errors
/// A missing or unknown unit, no number, more than 292 years.
pub fn parse(text: &str) -> Result<i64, SyntaxError> {
    let invalid = || SyntaxError::new(format!("time: invalid duration {}", quote(text)));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut rest = unsigned;
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = &rest[..rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len())];
        rest = &rest[number.len()..];
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let unit = &rest[..rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len())];
        rest = &rest[unit.len()..];
        if unit.is_empty() {
            return Err(SyntaxError::new(format!(
                "time: missing unit in duration {}",
                quote(text)
            )));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let text = format!("time: unknown unit {} in duration {}", quote(unit), quote(text));
            return Err(SyntaxError::new(text));
        };
        total += part(whole, fraction, *scale).ok_or_else(invalid)?;
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// Scales one number; digits below a nanosecond are cut off.
fn part(whole: &str, fraction: &str, scale: i64) -> Option<i128> {
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // No unit has more than 13 digits, so digits after the 18th cannot count.
    let digits = &fraction[..fraction.len().min(18)];
    let parts: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let fraction = parts * i128::from(scale) / 10i128.pow(digits.len() as u32);
    Some(i128::from(whole) * i128::from(scale) + fraction)
}

/// Writes a duration as Go does: `1m30s`, `100ms`, `0s`.
pub fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let n = nanoseconds.unsigned_abs();
    if n == 0 {
        return "0s".to_owned();
    }
    let second = SECOND.unsigned_abs();
    if n < second {
        let (unit, scale) = match n {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(n, scale));
    }
    let (minutes, rest) = (n / (60 * second), n % (60 * second));
    let seconds = decimal(rest, second);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(n: u64, scale: u64) -> String {
    let (whole, rest) = (n / scale, n % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::format;
    use super::parse;

    #[test]
    fn durations_are_gos() {
        let check = |text: &str, expect: &str| {
            let got = parse(text).map_or_else(|e| e.to_string(), format);
            assert_eq!(got, expect, "{text:?}");
        };
        check("0", "0s");
        check("30s", "30s");
        check("1h30m", "1h30m0s");
        check("90s", "1m30s");
        check("1.5s", "1.5s");
        check("100ms", "100ms");
        check("50ns", "50ns");
        check("-1.5h", "-1h30m0s");
        check(".5s", "500ms");
        check("1us", "1µs");
        check("3", "time: missing unit in duration \"3\"");
        check("3x", "time: unknown unit \"x\" in duration \"3x\"");
        check("", "time: invalid duration \"\"");
        check("s", "time: invalid duration \"s\"");
        check("1.2.3s", "time: invalid duration \"1.2.3s\"");
        check(
            "9223372036854775808ns",
            "time: invalid duration \"9223372036854775808ns\"",
        );
        check(
            "99999999999999999999h",
            "time: invalid duration \"99999999999999999999h\"",
        );
    }
}
