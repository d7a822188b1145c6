//! The kind `cache`: says where the blobs and documents of a cache are. The host moves the bytes and checks them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Component;
use crate::HostError;
use crate::LogLevel;
use crate::PluginError;

/// Most blobs of one plan.
pub const PLAN: usize = 1000;

/// A blob by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// `sha256:…`.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// A request of a plugin, or of the host in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Method, upper case.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Name of a secret that the host sends as credential.
    pub auth: Option<String>,
}

/// The response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// How the host gets a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetPlan {
    /// Not there.
    Miss,
    /// An object of the opened bucket.
    Object(String),
    /// A response's body.
    Http(HttpRequest),
}

/// How the host puts a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutPlan {
    /// Already there.
    Present,
    /// An object of the opened bucket.
    Object(String),
    /// A request whose body is the blob.
    Http(HttpRequest),
    /// Requests, each with the next part of so many bytes as body.
    Multipart(u64, Vec<HttpRequest>),
}

/// What a bucket says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Key below the prefix.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change in seconds since the epoch.
    pub modified: i64,
    /// Entity tag.
    pub etag: Option<String>,
}

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// Only when there is nothing yet.
    Absent,
    /// Only over this entity tag.
    Matches(String),
}

/// What a cache adapter may ask of the host. Nothing of it is a file of this machine or a credential.
#[async_trait]
pub trait CacheBridge: Send + Sync {
    /// Sends a request to a granted host.
    ///
    /// # Errors
    /// The host is not granted, cannot be reached, or answers with too much.
    async fn fetch(&self, request: &HttpRequest) -> Result<HttpResponse, HostError>;

    /// Tells whether the user configured a bucket.
    ///
    /// # Errors
    /// None was.
    fn open_bucket(&self) -> Result<(), HostError>;

    /// Returns what the bucket knows of a key.
    ///
    /// # Errors
    /// The bucket cannot be asked.
    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, HostError>;

    /// Returns an object of at most `limit` bytes.
    ///
    /// # Errors
    /// The bucket cannot be asked, or the object is larger.
    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, HostError>;

    /// Writes an object; false when the condition did not hold.
    ///
    /// # Errors
    /// The bucket cannot be written.
    async fn put(&self, key: &str, data: Vec<u8>, condition: &Condition) -> Result<bool, HostError>;

    /// Returns up to `limit` keys below `prefix` that come after `after`.
    ///
    /// # Errors
    /// The bucket cannot be asked.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, HostError>;

    /// Removes an object; fine when it is not there.
    ///
    /// # Errors
    /// The bucket cannot be written.
    async fn delete(&self, key: &str) -> Result<(), HostError>;

    /// Makes an object look new to the bucket's own expiry.
    ///
    /// # Errors
    /// The bucket cannot be written.
    async fn touch(&self, key: &str) -> Result<(), HostError>;

    /// Takes a line of the plugin's log.
    fn log(&self, level: LogLevel, message: &str);
}

/// Why an adapter gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// The adapter's own answer.
    #[error("cache adapter `{plugin}` failed: {error}")]
    Failed {
        /// Which adapter.
        plugin: String,
        /// What it says.
        error: HostError,
    },
    /// The plugin misbehaved or could not be run.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// One call's surroundings: what the user configured, and what the adapter may ask.
#[derive(Clone)]
pub struct AdapterCall {
    /// The user's parameters, for the adapter alone.
    pub config: Vec<(String, String)>,
    /// What it may ask.
    pub bridge: Arc<dyn CacheBridge>,
}

impl std::fmt::Debug for AdapterCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&String> = self.config.iter().map(|(key, _)| key).collect();
        f.debug_struct("AdapterCall")
            .field("config", &keys)
            .finish_non_exhaustive()
    }
}

/// A cache adapter, however it runs. Each call stands alone: nothing stays in the adapter between two of them.
#[async_trait]
pub trait CacheAdapter: Send + Sync {
    /// Checks the user's parameters.
    ///
    /// # Errors
    /// One of them is unknown or wrong.
    async fn open(&self, call: &AdapterCall) -> Result<(), AdapterError>;

    /// Says how to get each blob: as many plans as blobs, of which there are at most [`PLAN`].
    ///
    /// # Errors
    /// The adapter failed or misbehaved.
    async fn plan_get(&self, call: &AdapterCall, blobs: &[BlobRef]) -> Result<Vec<GetPlan>, AdapterError>;

    /// Says how to put each blob: as many plans as blobs, of which there are at most [`PLAN`].
    ///
    /// # Errors
    /// The adapter failed or misbehaved.
    async fn plan_put(&self, call: &AdapterCall, blobs: &[BlobRef]) -> Result<Vec<PutPlan>, AdapterError>;

    /// Returns a document.
    ///
    /// # Errors
    /// The adapter failed or misbehaved.
    async fn get_manifest(&self, call: &AdapterCall, name: &str) -> Result<Option<Vec<u8>>, AdapterError>;

    /// Stores a document.
    ///
    /// # Errors
    /// The adapter failed or misbehaved.
    async fn put_manifest(&self, call: &AdapterCall, name: &str, data: &[u8]) -> Result<(), AdapterError>;

    /// Says that the blobs arrived and the documents stand.
    ///
    /// # Errors
    /// The adapter failed or misbehaved.
    async fn commit(&self, call: &AdapterCall, blobs: &[BlobRef]) -> Result<(), AdapterError>;

    /// Returns the component that it is.
    fn component(&self) -> Component;
}
