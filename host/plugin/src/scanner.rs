//! The kind `scanner`: finds packages by looking through a whole tree.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Component;
use crate::FileTree;
use crate::PackageInfo;
use crate::PluginError;

/// A finished document of a scanner that writes its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanDocument {
    /// Media type.
    pub media_type: String,
    /// Bytes.
    pub data: Vec<u8>,
}

/// What a scanner answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scanned {
    /// The packages.
    pub packages: Vec<PackageInfo>,
    /// Finished documents.
    pub documents: Vec<ScanDocument>,
    /// What could not be understood, in words for people.
    pub warnings: Vec<String>,
}

/// Why a scanner gave no report.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The scanner's own answer.
    #[error("scanner `{plugin}` failed: {message}")]
    Failed {
        /// Which scanner.
        plugin: String,
        /// What it says.
        message: String,
    },
    /// The plugin misbehaved or could not be run.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A scanner, however it runs.
#[async_trait]
pub trait Scanner: Send + Sync {
    /// Looks through a root file system: a pure function of it and of the options.
    ///
    /// # Errors
    /// The plugin failed or misbehaved.
    async fn scan(&self, root: Arc<dyn FileTree>, options: &[(String, String)])
    -> Result<Scanned, ScanError>;

    /// Returns the component that it is.
    fn component(&self) -> Component;
}
