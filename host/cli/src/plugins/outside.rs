//! An outside in memory for cache adapters that are tried without a build: a bucket, and a server that keeps what is
//! put.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_image::Digest;
use kiln_plugin::CacheBridge;
use kiln_plugin::Condition;
use kiln_plugin::HostError;
use kiln_plugin::HttpRequest;
use kiln_plugin::HttpResponse;
use kiln_plugin::LogLevel;
use kiln_plugin::ObjectInfo;

/// A bucket and a server. Nothing leaves this process.
#[derive(Debug, Default)]
pub(crate) struct MemoryOutside {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    pages: Mutex<BTreeMap<String, Vec<u8>>>,
}

type Kept<'k> = MutexGuard<'k, BTreeMap<String, Vec<u8>>>;

impl MemoryOutside {
    fn objects(&self) -> Kept<'_> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pages(&self) -> Kept<'_> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an object.
    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.objects().get(key).cloned()
    }

    /// Keeps an object.
    pub(crate) fn put_object(&self, key: &str, data: &[u8]) {
        self.objects().insert(key.to_owned(), data.to_vec());
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let mut pages = self.pages();
        let (status, body) = match request.method.as_str() {
            "PUT" | "POST" | "PATCH" => {
                pages.insert(request.url.clone(), request.body.clone());
                (201, None)
            }
            "DELETE" => match pages.remove(&request.url) {
                Some(_) => (204, None),
                None => (404, None),
            },
            _ => match pages.get(&request.url) {
                Some(page) => (200, Some(page.clone())),
                None => (404, None),
            },
        };
        let body = body.unwrap_or_default();
        HttpResponse {
            status,
            headers: vec![("content-length".to_owned(), body.len().to_string())],
            body: if request.method == "HEAD" {
                Vec::new()
            } else {
                body
            },
        }
    }
}

fn info(key: &str, data: &[u8]) -> ObjectInfo {
    ObjectInfo {
        key: key.to_owned(),
        size: data.len() as u64,
        modified: 0,
        etag: Some(Digest::of(data).to_string()),
    }
}

#[async_trait]
impl CacheBridge for MemoryOutside {
    async fn fetch(&self, request: &HttpRequest) -> Result<HttpResponse, HostError> {
        Ok(self.answer(request))
    }

    fn open_bucket(&self) -> Result<(), HostError> {
        Ok(())
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, HostError> {
        Ok(self.object(key).map(|data| info(key, &data)))
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
        match self.object(key) {
            Some(data) if data.len() as u64 > limit => {
                Err(HostError::Limit(format!("`{key}` has {} bytes", data.len())))
            }
            found => Ok(found),
        }
    }

    async fn put(&self, key: &str, data: Vec<u8>, condition: &Condition) -> Result<bool, HostError> {
        let found = self.object(key).map(|data| Digest::of(data).to_string());
        let may = match condition {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Matches(etag) => found.as_ref() == Some(etag),
        };
        if may {
            self.put_object(key, &data);
        }
        Ok(may)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, HostError> {
        let objects = self.objects();
        let below = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let later = below.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        Ok(later.take(limit).map(|(key, data)| info(key, data)).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), HostError> {
        self.objects().remove(key);
        Ok(())
    }

    async fn touch(&self, _: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn log(&self, _: LogLevel, _: &str) {}
}
