//! Who asks for a source: what they lend, and what they are told meanwhile.

use std::path::PathBuf;

/// Who asks for a source.
pub trait Caller: Send + Sync {
    /// Returns the secret of that id.
    fn secret(&self, id: &str) -> Option<Vec<u8>>;

    /// Returns the socket of the SSH agent of that id.
    fn agent(&self, id: &str) -> Option<PathBuf>;

    /// Is told what git says, line by line.
    fn said(&self, line: &str);

    /// Is told how many bytes are there and, where it is known, how many there will be.
    fn progress(&self, current: u64, total: Option<u64>);
}

/// Lends nothing and listens to nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Caller for Nobody {
    fn secret(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn agent(&self, _: &str) -> Option<PathBuf> {
        None
    }

    fn said(&self, _: &str) {}

    fn progress(&self, _: u64, _: Option<u64>) {}
}

/// Returns the secret as the value of a header: one line of visible text.
pub(crate) fn header(caller: &dyn Caller, id: &str) -> Option<Result<String, crate::FetchError>> {
    let value = caller.secret(id)?;
    let text = String::from_utf8(value).ok();
    let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let usable = text.filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
    Some(usable.ok_or_else(|| crate::FetchError::Secret(id.to_owned())))
}
