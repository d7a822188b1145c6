//! What a frontend may ask of the build.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Platform;
use serde::Deserialize;
use serde::Serialize;

use crate::Diagnostic;
use crate::Failure;
use crate::FileTree;
use crate::HostError;
use crate::Lowered;
use crate::Request;

/// How loud a line of a plugin's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LogLevel {
    /// For who debugs the plugin.
    Debug,
    /// For who watches the build.
    Info,
    /// Something is off.
    Warn,
    /// Something failed, such as a panic.
    Error,
}

/// An image, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// The reference with its digest.
    pub reference: String,
    /// Digest of the manifest, or of the index it was chosen from.
    pub digest: String,
    /// The image's config as JSON.
    pub config: Vec<u8>,
}

/// A source, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedSource {
    /// The source with digest, commit or checksum filled in.
    pub pinned: Source,
    /// What was found out: `git.commit`, `http.checksum`, `http.filename`, `http.last-modified`, …
    pub attrs: BTreeMap<String, String>,
}

/// Which files of a context are wanted; the pattern language of `.dockerignore`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// Only these; none is all.
    pub include: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
    /// These paths and what symbolic links on the way point at.
    pub follow: Vec<String>,
}

/// What a frontend may ask of the build. The engine implements it.
///
/// Definitions that arrive here have passed [`Definition::check`].
#[async_trait]
pub trait FrontendBridge: Send + Sync {
    /// Pins an image (`docker-image://…` or `oci-layout://…`) and returns its config. No `platform` is the build
    /// platform; `mode` is empty (default), `pull` or `local`; `name` is what the user sees meanwhile.
    ///
    /// # Errors
    /// There is no such image, or it cannot be reached.
    async fn resolve_image(
        &self,
        identifier: &str,
        platform: Option<&Platform>,
        mode: &str,
        name: &str,
    ) -> Result<ResolvedImage, HostError>;

    /// Pins a git or http source.
    ///
    /// # Errors
    /// There is no such source, or it cannot be reached.
    async fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, HostError>;

    /// Returns a named context's files, or none when there is no such context.
    ///
    /// # Errors
    /// The context cannot be read.
    async fn context(&self, name: &str, filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError>;

    /// Builds a part of the graph now and returns it to look into.
    ///
    /// # Errors
    /// A step failed.
    async fn solve(&self, definition: &Definition, result: Input) -> Result<Arc<dyn FileTree>, HostError>;

    /// Lowers another build file by another frontend.
    ///
    /// # Errors
    /// The other frontend's, or that it is not granted.
    async fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure>;

    /// Tells the user something before the answer is ready.
    fn report(&self, diagnostic: Diagnostic);

    /// Takes a line of the plugin's log.
    fn log(&self, level: LogLevel, message: &str);
}
