//! What is wanted of an http server.

use std::collections::BTreeMap;

use url::Url;

use crate::FetchError;

/// Headers that a source may set; others are dropped, as BuildKit does.
const HEADERS: [&str; 2] = ["accept", "user-agent"];

/// A file of an http server, as a build graph names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSource {
    /// Where it is.
    pub url: Url,
    /// The name that it gets.
    pub filename: Option<String>,
    /// `sha256:…`, `sha384:…` or `sha512:…`.
    pub checksum: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Id of the secret with the `Authorization` header.
    pub auth_secret: Option<String>,
    /// More headers, names in lower case, sorted.
    pub headers: Vec<(String, String)>,
}

impl HttpSource {
    /// Reads identifier and attributes of a source.
    ///
    /// # Errors
    /// When one of them has no meaning.
    pub fn parse(identifier: &str, attrs: &BTreeMap<String, String>) -> Result<Self, FetchError> {
        let url = Url::parse(identifier).map_err(|error| FetchError::Url {
            url: kiln_giturl::redact(identifier),
            reason: error.to_string(),
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(FetchError::Url {
                url: super::shown(&url),
                reason: "expected `http://HOST/…` or `https://HOST/…`".to_owned(),
            });
        }
        let mut source = Self {
            url,
            filename: None,
            checksum: None,
            mode: None,
            uid: 0,
            gid: 0,
            auth_secret: None,
            headers: Vec::new(),
        };
        for (key, value) in attrs {
            source.set(key, value)?;
        }
        // A fragment is for the client and never sent.
        source.url.set_fragment(None);
        source.headers.sort();
        Ok(source)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), FetchError> {
        let invalid = |expected| FetchError::Attribute {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let number = || parse_number(value).ok_or_else(|| invalid("a number"));
        match key {
            "http.checksum" => {
                self.checksum =
                    Some(check_digest(value).ok_or_else(|| invalid("a digest such as `sha256:…`"))?);
            }
            "http.filename" => self.filename = Some(value.to_owned()).filter(|name| !name.is_empty()),
            "http.perm" => self.mode = Some(number()? & 0o7777).filter(|mode| *mode != 0),
            "http.uid" => self.uid = number()?,
            "http.gid" => self.gid = number()?,
            "http.authheadersecret" => self.auth_secret = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "http.sig.pubkey" | "http.sig.signature" => {
                return Err(invalid("no signature: they are not verified yet"));
            }
            _ => {
                if let Some(name) = key.strip_prefix("http.header.").map(str::to_ascii_lowercase)
                    && HEADERS.contains(&name.as_str())
                {
                    self.headers.push((name, value.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Returns how the file is hashed.
    pub(crate) fn algorithm(&self) -> &str {
        let checksum = self
            .checksum
            .as_deref()
            .and_then(|checksum| checksum.split_once(':'));
        checksum.map_or("sha256", |(algorithm, _)| algorithm)
    }
}

/// Reads a number as Go's `ParseInt` with base 0: decimal, `0x…`, `0o…` or `0…`.
fn parse_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix('0') {
        Some(rest) if rest.starts_with(['x', 'X']) => (&rest[1..], 16),
        Some(rest) if rest.starts_with(['o', 'O']) => (&rest[1..], 8),
        Some(rest) if !rest.is_empty() => (rest, 8),
        _ => (text, 10),
    };
    u32::from_str_radix(digits, radix).ok()
}

/// Returns the digest when it is one.
fn check_digest(text: &str) -> Option<String> {
    let (algorithm, hex) = text.split_once(':')?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return None,
    };
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (hex.len() == length && hex.bytes().all(lower)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gos() {
        for (text, expect) in [
            ("0", Some(0)),
            ("384", Some(0o600)),
            ("0600", Some(0o600)),
            ("0x10", Some(16)),
            ("0o17", Some(15)),
            ("08", None),
            ("-1", None),
            ("", None),
            ("0x", None),
        ] {
            assert_eq!(parse_number(text), expect, "{text}");
        }
    }
}
