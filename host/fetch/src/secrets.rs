//! What the user lends for a source.

use std::path::PathBuf;

/// What the user lends for a source.
pub trait Secrets: Send + Sync {
    /// Returns the secret of that id.
    fn secret(&self, id: &str) -> Option<Vec<u8>>;

    /// Returns the socket of the SSH agent of that id.
    fn agent(&self, id: &str) -> Option<PathBuf>;
}

/// Nothing is lent.
#[derive(Debug, Clone, Copy)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn secret(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn agent(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

/// Returns the secret as the value of a header: one line of visible text.
pub(crate) fn header(secrets: &dyn Secrets, id: &str) -> Option<Result<String, crate::FetchError>> {
    let value = secrets.secret(id)?;
    let text = String::from_utf8(value).ok();
    let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let usable = text.filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
    Some(usable.ok_or_else(|| crate::FetchError::Secret(id.to_owned())))
}
