//! SBOM documents: packages that were found, written as SPDX and CycloneDX. The same input gives the same bytes.

mod cyclonedx;
mod license;
mod spdx;

use std::collections::BTreeMap;

use kiln_image::Digest;
use sha1::Digest as _;
use sha1::Sha1;

pub use cyclonedx::cyclonedx;
pub use spdx::spdx;

/// A package that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SbomPackage {
    /// Name.
    pub name: String,
    /// Version; empty when unknown.
    pub version: String,
    /// Package URL.
    pub purl: String,
    /// Licences as expressions, or as found.
    pub licenses: Vec<String>,
    /// Files that show it.
    pub locations: Vec<String>,
    /// Packages that it needs, by package URL.
    pub needs: Vec<String>,
    /// More, by the names of the plugins' contract.
    pub attrs: BTreeMap<String, String>,
}

/// A file that shows a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomFile {
    /// Path below the root.
    pub path: String,
    /// SHA-1 in hexadecimal, which SPDX 2.3 demands.
    pub sha1: String,
    /// Digest.
    pub sha256: Digest,
    /// The layer's blob.
    pub layer: Option<Digest>,
}

impl SbomFile {
    /// Describes a file by its content.
    pub fn of(path: impl Into<String>, content: &[u8]) -> Self {
        let sha1 = Sha1::digest(content);
        Self {
            path: path.into(),
            sha1: sha1.iter().map(|byte| format!("{byte:02x}")).collect(),
            sha256: Digest::of(content),
            layer: None,
        }
    }
}

/// What a document is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SbomSubject {
    /// An image, by its manifest.
    Image(Digest),
    /// Files that are no image, by a digest of what was found in them.
    Files(Digest),
}

impl SbomSubject {
    /// Returns what makes the document's name unique.
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Image(digest) | Self::Files(digest) => digest,
        }
    }
}

/// Everything that a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// What it is of, such as an image's name.
    pub name: String,
    /// The image or the files.
    pub subject: SbomSubject,
    /// RFC 3339.
    pub created: String,
    /// Who made it, with versions: `kiln-0.1.0`.
    pub tools: Vec<String>,
    /// The packages.
    pub packages: Vec<SbomPackage>,
    /// The files that show them.
    pub files: Vec<SbomFile>,
}

impl Sbom {
    /// Brings packages and files into the order of documents; packages that were found twice become one.
    pub fn tidy(&mut self) {
        let mut merged: BTreeMap<(String, String, String), SbomPackage> = BTreeMap::new();
        for package in std::mem::take(&mut self.packages) {
            let key = (
                package.purl.clone(),
                package.name.clone(),
                package.version.clone(),
            );
            match merged.get_mut(&key) {
                None => drop(merged.insert(key, package)),
                Some(known) => {
                    known.licenses.extend(package.licenses);
                    known.locations.extend(package.locations);
                    known.needs.extend(package.needs);
                    for (key, value) in package.attrs {
                        known.attrs.entry(key).or_insert(value);
                    }
                }
            }
        }
        self.packages = merged.into_values().collect();
        for package in &mut self.packages {
            for list in [&mut package.licenses, &mut package.locations, &mut package.needs] {
                list.sort();
                list.dedup();
            }
        }
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.files.dedup_by(|a, b| a.path == b.path);
        self.tools.sort();
        self.tools.dedup();
    }
}

/// Tells whether a package URL has the form of one; `pkg:type/name` at least, with characters that URLs have.
pub fn is_purl(text: &str) -> bool {
    let Some((kind, rest)) = text.strip_prefix("pkg:").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let name = rest.split(['@', '?', '#']).next().unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_~%/@?=&:#+,".contains(&b);
    let typed = !kind.is_empty()
        && kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".+-".contains(&b));
    typed
        && !name.trim_matches('/').is_empty()
        && rest.bytes().all(allowed)
        && is_escaped(rest)
        && text.len() <= 4096
}

/// Tells whether two hexadecimal digits follow every `%`.
fn is_escaped(text: &str) -> bool {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let mut signs = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    signs.all(|(at, _)| hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)))
}

/// Returns the type of a package URL.
fn purl_kind(purl: &str) -> &str {
    let rest = purl.strip_prefix("pkg:").unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
