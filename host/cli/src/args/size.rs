//! Sizes as docker reads them: `64m`, `1.5GiB`, `1024`. Powers of 1024 whatever the unit is called.

use super::ArgError;

/// Reads a number of bytes.
///
/// # Errors
/// When it is none.
pub(crate) fn parse_bytes(flag: &str, text: &str) -> Result<u64, ArgError> {
    let error = || ArgError::value(flag, text, "bytes, such as `64m` or `2GiB`");
    let text = text.trim().to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let unit = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(error()),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    let bytes = number * 1024f64.powi(power);
    // Above this, a float no longer holds every integer; nobody has that much.
    if bytes > 2f64.powi(53) {
        Err(error())
    } else {
        Ok(bytes as u64)
    }
}
