//! The kind `frontend`: reads a build file and returns a build graph.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_image::Digest;
use kiln_image::Platform;
use serde::Deserialize;
use serde::Serialize;

use crate::Diagnostic;
use crate::FileTree;
use crate::FrontendBridge;
use crate::FrontendError;
use crate::PluginError;

/// A request to lower one build file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Name of the build file below the tree that is lent beside it, such as `Dockerfile`.
    pub source_name: String,
    /// Stage to build; none is the frontend's default.
    pub target: Option<String>,
    /// Build arguments, in the order given.
    pub args: Vec<(String, String)>,
    /// Labels to put on the image.
    pub labels: Vec<(String, String)>,
    /// Platforms to build for; none is the machine's own.
    pub platforms: Vec<Platform>,
    /// Platform of the machine that runs the steps.
    pub build_platform: Platform,
    /// Named contexts: `name` or `name::platform` and where it is. The main context is `context` and the tree of the
    /// build file is `dockerfile`.
    pub contexts: Vec<(String, String)>,
    /// Everything else by BuildKit's frontend attribute names.
    pub options: Vec<(String, String)>,
}

impl Request {
    /// Returns a request with nothing but the build file's name and the build platform.
    pub fn new(source_name: impl Into<String>, build_platform: Platform) -> Self {
        Self {
            source_name: source_name.into(),
            target: None,
            args: Vec::new(),
            labels: Vec::new(),
            platforms: Vec::new(),
            build_platform,
            contexts: Vec::new(),
            options: Vec::new(),
        }
    }
}

/// One image, or plain tree, of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoweredOutput {
    /// Platform; none where it has no meaning.
    pub platform: Option<Platform>,
    /// The root file system; none is empty.
    pub result: Option<Input>,
    /// Image config as JSON, history included. The host adds `rootfs` and times.
    pub config: Vec<u8>,
    /// More about the output, such as `base-config`.
    pub attrs: Vec<(String, String)>,
}

/// A lowered build file. It has been checked: [`Definition::check`] passes and outputs name vertices that are there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lowered {
    /// The graph.
    pub definition: Definition,
    /// What to export; one for each platform.
    pub outputs: Vec<LoweredOutput>,
    /// Warnings, with spans into the definition's sources.
    pub diagnostics: Vec<Diagnostic>,
    /// More about the build, such as the value of `source-date-epoch`.
    pub attrs: Vec<(String, String)>,
}

/// A question that a frontend answers without building.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subrequest {
    /// BuildKit's request id, such as `frontend.outline`.
    pub id: String,
    /// Version of the answer's shape.
    pub version: String,
    /// One sentence on what it tells.
    pub description: String,
}

/// What a frontend says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Name, such as `dockerfile`.
    pub name: String,
    /// Version of the language it reads.
    pub version: String,
    /// Questions that it answers.
    pub subrequests: Vec<Subrequest>,
}

/// What a call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Instructions; of the remembered call when that was used.
    pub fuel: u64,
    /// Time in all, host answers included.
    pub wall: Duration,
    /// Most linear memory at any time, in bytes.
    pub peak_memory: u64,
    /// Calls to the host.
    pub host_calls: u64,
    /// Bytes over the border in both directions.
    pub bytes: u64,
    /// The remembered answer was used and no instance was made.
    pub memo_hit: bool,
}

/// The component that a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What the user calls it.
    pub name: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// The world that it was loaded as, such as `kiln:plugin/frontend-plugin@0.1.0`.
    pub world: String,
    /// What it was granted beyond its world.
    pub grants: Vec<String>,
}

/// A frontend, however it runs.
#[async_trait]
pub trait Frontend: Send + Sync {
    /// Says what the frontend is.
    ///
    /// # Errors
    /// The plugin misbehaved.
    async fn describe(&self) -> Result<Description, PluginError>;

    /// Turns a build file into a graph. `files` holds the build file and what may lie beside it.
    ///
    /// # Errors
    /// The build file is wrong, or the plugin misbehaved.
    async fn lower(
        &self,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Lowered, FrontendError>;

    /// Answers a question about a build file without building: BuildKit's metadata keys, such as `result.json`.
    ///
    /// # Errors
    /// As [`Frontend::lower`].
    async fn subrequest(
        &self,
        id: &str,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Vec<(String, Vec<u8>)>, FrontendError>;

    /// Returns what the last finished call used.
    fn usage(&self) -> Usage;

    /// Returns the component that it is; none when it is none.
    fn component(&self) -> Option<Component> {
        None
    }
}
