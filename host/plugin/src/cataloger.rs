//! The kind `cataloger`: finds packages in files that are pushed to it.

use async_trait::async_trait;
use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

use crate::Component;
use crate::PluginError;

/// Files that a cataloger wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interest {
    /// Name that comes back with each file.
    pub id: String,
    /// Which paths, in the pattern language of `.dockerignore`.
    pub globs: Vec<String>,
    /// Larger files are left out, in bytes.
    pub max_size: u64,
    /// Only the first so many bytes of each.
    pub head: Option<u32>,
}

/// One file that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The interest's id.
    pub interest: String,
    /// Path below the root.
    pub path: String,
    /// Digest of the whole file.
    pub digest: Digest,
    /// Its content, or its head.
    pub content: Vec<u8>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackageInfo {
    /// Name.
    pub name: String,
    /// Version; empty when unknown.
    pub version: String,
    /// Package URL.
    pub purl: String,
    /// Licences as SPDX expressions, or as found.
    pub licenses: Vec<String>,
    /// Files that show it.
    pub locations: Vec<String>,
    /// Other packages by package URL, each with an SPDX relationship type.
    pub relations: Vec<(String, String)>,
    /// More, by name.
    pub attrs: Vec<(String, String)>,
}

/// What a cataloger answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cataloged {
    /// The packages.
    pub packages: Vec<PackageInfo>,
    /// What could not be understood, in words for people.
    pub warnings: Vec<String>,
}

/// Why a cataloger gave no packages.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The cataloger's own answer.
    #[error("cataloger `{plugin}` failed: {message}")]
    Failed {
        /// Which cataloger.
        plugin: String,
        /// What it says.
        message: String,
    },
    /// The plugin misbehaved or could not be run.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A cataloger, however it runs.
#[async_trait]
pub trait Cataloger: Send + Sync {
    /// Says which files are wanted.
    ///
    /// # Errors
    /// The plugin misbehaved.
    async fn interests(&self) -> Result<Vec<Interest>, PluginError>;

    /// Returns the packages of these files: a pure function of them.
    ///
    /// # Errors
    /// The plugin failed or misbehaved.
    async fn catalog(&self, files: &[Matched]) -> Result<Cataloged, CatalogError>;

    /// Returns the component that it is.
    fn component(&self) -> Component;
}
