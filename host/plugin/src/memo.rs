//! Where remembered answers of plugins are kept.

use async_trait::async_trait;

/// Keeps remembered answers of plugins. It may forget any of them at any time.
///
/// Keys are `sha256:…`. Failures of the store count as nothing remembered: a memo is never needed.
#[async_trait]
pub trait MemoStore: Send + Sync {
    /// Returns what was kept under `key`.
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Keeps `value` under `key`, replacing what was there.
    async fn put(&self, key: &str, value: &[u8]);
}
