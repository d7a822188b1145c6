//! Image references: `registry/repository:tag@digest`.

use std::fmt;
use std::str::FromStr;

use crate::Digest;
use crate::ParseDigestError;

/// Where an image is and which one it is, normalised as docker does: `busybox` is
/// `docker.io/library/busybox:latest`. Follows the grammar of the distribution project's `reference` package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Longest repository name that the distribution project accepts, registry included.
const MAX_NAME: usize = 255;

impl Reference {
    /// Returns the registry's host and port, such as `docker.io` or `127.0.0.1:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository below the registry, such as `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag. A reference with neither tag nor digest was given `latest` when it was parsed.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns registry and repository without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the same reference with `digest`.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns the same repository with `tag` and no digest.
    ///
    /// # Errors
    /// When `tag` is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ParseReferenceError> {
        if !is_tag(tag) {
            return Err(ParseReferenceError::Format(tag.to_owned()));
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// Returns the name as people write it: without `docker.io/` and `library/`, as far as what is left still means
    /// the same (`docker.io/library/a/b` and `docker.io/localhost/a` need what they have in front).
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        let shortest = short.strip_prefix("library/").unwrap_or(short);
        let same = |text: &&str| text.parse().as_ref() == Ok(self);
        [shortest, short]
            .into_iter()
            .find(same)
            .unwrap_or(&full)
            .to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let format = || ParseReferenceError::Format(s.to_owned());
        let (rest, digest) = match s.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(ParseReferenceError::Digest)?)),
            None => (s, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, repository) = split_registry(name);
        let long = registry.len() + 1 + repository.len() > MAX_NAME;
        if long || !is_registry(&registry) || !is_repository(&repository) || tag.is_some_and(|t| !is_tag(t)) {
            if repository.bytes().any(|b| b.is_ascii_uppercase()) {
                return Err(ParseReferenceError::Uppercase(s.to_owned()));
            }
            return Err(format());
        }
        if parse_bare_hex(name) {
            return Err(format());
        }
        let tag = tag
            .map(str::to_owned)
            .or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

/// A bare 64-digit hexadecimal name is an image id, never a repository.
fn parse_bare_hex(name: &str) -> bool {
    Digest::from_hex(name).is_ok()
}

fn split_registry(name: &str) -> (String, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || has_upper(first) => {
            (first, rest)
        }
        _ => ("docker.io", name),
    };
    let registry = if registry == "index.docker.io" {
        "docker.io"
    } else {
        registry
    };
    let official = registry == "docker.io" && !repository.contains('/');
    let repository = if official {
        format!("library/{repository}")
    } else {
        repository.to_owned()
    };
    (registry.to_owned(), repository)
}

fn has_upper(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_ok = match bracketed {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        }),
    };
    host_ok && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn is_repository(repository: &str) -> bool {
    repository.split('/').all(is_path_component)
}

/// Lower-case words joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !word(first) || !word(last) {
        return false;
    }
    let separators = bytes.split(|&b| word(b)).filter(|s| !s.is_empty());
    separators
        .into_iter()
        .all(|s| matches!(s, b"." | b"_" | b"__") || s.iter().all(|&b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// The text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// Outside the grammar.
    #[error("invalid reference format: `{0}` (expected `[registry/]repository[:tag][@sha256:…]`)")]
    Format(String),
    /// Repository names have no upper case.
    #[error("invalid reference format: repository name must be lowercase: `{0}`")]
    Uppercase(String),
    /// What follows the `@` is not a digest.
    #[error("invalid reference format")]
    Digest(#[source] ParseDigestError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let got = text
            .parse::<Reference>()
            .map_or_else(|_| "error".to_owned(), |r| r.to_string());
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn references_are_normalised_as_docker_does() {
        check("busybox", "docker.io/library/busybox:latest");
        check("index.docker.io/busybox", "docker.io/library/busybox:latest");
        check("a/b:c", "docker.io/a/b:c");
        check("localhost/x", "localhost/x:latest");
        check("127.0.0.1:5000/x/y:1.2", "127.0.0.1:5000/x/y:1.2");
        check("[::1]:5000/x", "[::1]:5000/x:latest");
        let digest = Digest::of("");
        check(&format!("a@{digest}"), &format!("docker.io/library/a@{digest}"));
        check(
            &format!("a:t@{digest}"),
            &format!("docker.io/library/a:t@{digest}"),
        );
        for bad in [
            "",
            ":",
            "a:",
            "A",
            "a//b",
            "a/-b",
            "a___b",
            "a:-x",
            "a@sha256:0",
            "a b",
            &digest.hex(),
        ] {
            check(bad, "error");
        }
    }

    #[test]
    fn familiar_names_drop_the_defaults() {
        let reference: Reference = "docker.io/library/busybox:1".parse().unwrap();
        assert_eq!(reference.familiar(), "busybox:1");
        let keep = [
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("docker.io/localhost/a:1", "docker.io/localhost/a:1"),
        ];
        for (text, short) in keep {
            assert_eq!(text.parse::<Reference>().unwrap().familiar(), short);
        }
    }
}
