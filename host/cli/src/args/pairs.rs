//! Flags of the form `KEY=VALUE`.

use super::ArgError;

/// Splits `KEY=VALUE`; without `=` the value is what `missing` says, and the pair is left out when it says nothing.
///
/// # Errors
/// When a key is empty.
pub(crate) fn pairs(
    flag: &str,
    given: &[String],
    missing: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, ArgError> {
    let mut out: Vec<(String, String)> = Vec::new();
    for text in given {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text.as_str(), missing(text)),
        };
        if key.is_empty() {
            return Err(ArgError::value(flag, text, "`KEY=VALUE`"));
        }
        let Some(value) = value else { continue };
        // The last one counts, as in docker.
        out.retain(|(known, _)| known != key);
        out.push((key.to_owned(), value));
    }
    Ok(out)
}
