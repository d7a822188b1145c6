//! Image references, as docker/distribution reads them.

/// A reference with its registry and repository filled in: `docker.io/library/busybox:latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The registry that is meant where none is named.
const DEFAULT_DOMAIN: &str = "docker.io";
/// Where the default registry keeps images without an owner.
const OFFICIAL: &str = "library/";
/// Longest name of a repository, registry included, in bytes.
const MAX_NAME: usize = 255;

impl Reference {
    /// Reads a reference and fills in what people leave out.
    ///
    /// # Errors
    /// Docker's text on what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            ));
        }
        let (domain, rest) = split_domain(text);
        let repository = rest.split([':', '@']).next().unwrap_or_default();
        let colon = rest.find(':').map_or(rest.as_str(), |at| &rest[..at]);
        if colon.chars().any(char::is_uppercase) && repository.chars().any(char::is_uppercase) {
            return Err(format!(
                "invalid reference format: repository name ({colon}) must be lowercase"
            ));
        }
        Self::from_parts(domain, &rest)
            .ok_or_else(|| "invalid reference format".to_owned())?
            .bounded()
    }

    fn from_parts(domain: String, rest: &str) -> Option<Self> {
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let good = is_domain(&domain)
            && path.split('/').all(is_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        good.then(|| Self {
            domain,
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    fn bounded(self) -> Result<Self, String> {
        if self.domain.len() + 1 + self.path.len() > MAX_NAME {
            return Err(format!(
                "repository name must not be more than {MAX_NAME} characters"
            ));
        }
        Ok(self)
    }

    /// Adds the tag `latest` where there is neither tag nor digest.
    pub(crate) fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// Sets the digest.
    pub(crate) fn with_digest(mut self, digest: &str) -> Self {
        self.digest = Some(digest.to_owned());
        self
    }

    /// Returns the digest.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns the form that people type, without tag and digest, and the tag.
    pub(crate) fn name_and_tag(&self) -> (String, Option<&str>) {
        let name = Self {
            tag: None,
            digest: None,
            ..self.clone()
        };
        (name.familiar(), self.tag.as_deref())
    }

    /// Returns the form that people type: `busybox` for `docker.io/library/busybox`.
    pub(crate) fn familiar(&self) -> String {
        let full = self.to_string();
        match full.strip_prefix("docker.io/") {
            Some(rest) => rest
                .strip_prefix(OFFICIAL)
                .filter(|r| !r.contains('/'))
                .unwrap_or(rest)
                .to_owned(),
            None => full,
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Splits off the registry; the first part is one when it looks like a host.
fn split_domain(text: &str) -> (String, String) {
    let named = text.split_once('/').filter(|(first, _)| {
        first.contains(['.', ':']) || *first == "localhost" || first.chars().any(char::is_uppercase)
    });
    let (domain, rest) = named.unwrap_or((DEFAULT_DOMAIN, text));
    let domain = if domain == "index.docker.io" {
        DEFAULT_DOMAIN
    } else {
        domain
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL}{rest}"));
    }
    (domain.to_owned(), rest.to_owned())
}

fn is_domain(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let hex = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return hex
            && !address.is_empty()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_number));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(part) && port.is_none_or(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Tells whether a text is lower-case words with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let mut rest = text;
    loop {
        let word = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if word.len() == rest.len() {
            return false;
        }
        if word.is_empty() {
            return true;
        }
        let separator = word.len() - word.trim_start_matches(['.', '_', '-']).len();
        let good =
            matches!(&word[..separator], "." | "_" | "__") || word[..separator].bytes().all(|b| b == b'-');
        if separator == 0 || !good {
            return false;
        }
        rest = &word[separator..];
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Tells whether a text is a digest of a known algorithm and the right length.
pub(crate) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let check = |text: &str, expect: &str| {
            let got = Reference::parse(text).map_or_else(|e| e, |r| r.with_default_tag().to_string());
            assert_eq!(got, expect, "{text}");
        };
        check("busybox", "docker.io/library/busybox:latest");
        check("a/b:1", "docker.io/a/b:1");
        check("localhost/b", "localhost/b:latest");
        check("localhost:5000/b/c:x", "localhost:5000/b/c:x");
        check(&format!("b@{digest}"), &format!("docker.io/library/b@{digest}"));
        check(
            &format!("b:1@{digest}"),
            &format!("docker.io/library/b:1@{digest}"),
        );
        check("index.docker.io/b", "docker.io/library/b:latest");
        check(
            "Foo",
            "invalid reference format: repository name (library/Foo) must be lowercase",
        );
        check("", "invalid reference format");
        check("a:b:c", "invalid reference format");
        check("a//b", "invalid reference format");
        check("b@sha256:12", "invalid reference format");
        check("[::1]:5000/b", "[::1]:5000/b:latest");
        assert_eq!(
            Reference::parse("docker.io/library/b:1").unwrap().familiar(),
            "b:1"
        );
        assert_eq!(Reference::parse("x/b").unwrap().familiar(), "x/b");
    }
}
