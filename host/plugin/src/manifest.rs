//! What a plugin says of itself, in a custom section of the component, and what can be seen from outside.

use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

use crate::grant::Grant;

/// What a plugin says of itself. It grants nothing: it is what the author asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Manifest {
    /// Name.
    pub name: String,
    /// Version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// One sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Licence as SPDX expression.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// What it wants to be granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Grant>,
}

impl Manifest {
    /// Name of the custom section.
    pub const SECTION: &'static str = "kiln:manifest";
    /// Largest section that is read, in bytes.
    pub const LARGEST: usize = 64 << 10;
}

/// What a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Reads build files.
    Frontend,
    /// Finds packages in files.
    Cataloger,
    /// Looks through a whole tree.
    Scanner,
    /// Keeps caches.
    Cache,
}

impl PluginKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Frontend, Self::Cataloger, Self::Scanner, Self::Cache];

    /// Returns the name: the interface that a plugin of the kind exports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Cataloger => "cataloger",
            Self::Scanner => "scanner",
            Self::Cache => "cache",
        }
    }

    /// Tells what an import of an interface of `kiln:plugin` lets a plugin do; none for what every plugin has.
    pub fn power(interface: &str) -> Option<&'static str> {
        match interface {
            "content" => Some("reads the files that are lent to it"),
            "build" => Some("resolves images and sources, reads contexts, builds parts of its graph"),
            "objects" => Some("reads and writes the bucket that the user opened for it"),
            "http" => Some("sends requests to granted hosts"),
            _ => None,
        }
    }
}

impl std::fmt::Display for PluginKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What can be seen of a component without running or compiling it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inspection {
    /// Digest of the component.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// What it does; none when it exports no interface of `kiln:plugin`.
    pub kind: Option<PluginKind>,
    /// Interfaces that it imports, with versions.
    pub imports: Vec<String>,
    /// What it exports, with versions.
    pub exports: Vec<String>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
}

impl Inspection {
    /// Returns the export that makes it a plugin, such as `kiln:plugin/frontend@0.1.0`.
    pub fn world(&self) -> Option<&str> {
        let name = format!("kiln:plugin/{}@", self.kind?.name());
        self.exports
            .iter()
            .find(|export| export.starts_with(&name))
            .map(String::as_str)
    }

    /// Returns what it asks for.
    pub fn asks(&self) -> &[Grant] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.asks)
    }
}
