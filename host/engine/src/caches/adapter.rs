//! Caches that plugins keep: the plugin says where things are, this moves the bytes. Whoever reads checks them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_cache::AdapterPlace;
use kiln_cache::Backend;
use kiln_cache::BlobSink;
use kiln_cache::CacheError;
use kiln_cache::CacheImage;
use kiln_cache::DOCUMENT;
use kiln_fetch::Sent;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_plugin::AdapterCall;
use kiln_plugin::AdapterError;
use kiln_plugin::BlobRef;
use kiln_plugin::CacheAdapter;
use kiln_plugin::GetPlan;
use kiln_plugin::HostError;
use kiln_plugin::HttpRequest;
use kiln_plugin::PLAN;
use kiln_plugin::PutPlan;

use super::outside::Outside;

/// A cache that a plugin keeps.
pub(super) struct AdapterBackend {
    adapter: Arc<dyn CacheAdapter>,
    call: AdapterCall,
    outside: Arc<Outside>,
    place: String,
    names: Vec<String>,
    /// How blobs that are not there are put, as planned when it was asked what is there.
    plans: Mutex<HashMap<Digest, PutPlan>>,
}

impl std::fmt::Debug for AdapterBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AdapterBackend").field(&self.place).finish()
    }
}

fn blob_ref(blob: &Descriptor) -> BlobRef {
    BlobRef {
        digest: blob.digest.to_string(),
        size: blob.size,
    }
}

impl AdapterBackend {
    /// Opens the plugin with its parameters.
    ///
    /// # Errors
    /// It refuses them.
    pub(super) async fn open(
        adapter: Arc<dyn CacheAdapter>,
        place: &AdapterPlace,
        outside: Outside,
        options: Vec<(String, String)>,
    ) -> Result<Self, CacheError> {
        let outside = Arc::new(outside);
        let mut config = options;
        config.retain(|(key, _)| !place.config.iter().any(|(own, _)| own == key));
        config.extend(place.config.iter().cloned());
        let backend = Self {
            adapter,
            call: AdapterCall {
                config,
                bridge: outside.clone(),
            },
            outside,
            place: place.place(),
            names: place.names.clone(),
            plans: Mutex::default(),
        };
        let opened = backend.adapter.open(&backend.call).await;
        opened.map_err(|error| backend.failed(&error))?;
        Ok(backend)
    }

    fn failed(&self, error: &AdapterError) -> CacheError {
        self.unavailable(error.to_string())
    }

    fn unavailable(&self, problem: String) -> CacheError {
        CacheError::Unavailable {
            place: self.place.clone(),
            problem,
        }
    }

    fn denied(&self, error: &HostError) -> CacheError {
        self.unavailable(error.to_string())
    }

    fn missing(&self, blob: &Descriptor) -> CacheError {
        CacheError::NoBlob {
            place: self.place.clone(),
            digest: blob.digest,
        }
    }

    fn take_plan(&self, digest: &Digest) -> Option<PutPlan> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.remove(digest)
    }

    async fn send_file(
        &self,
        request: &HttpRequest,
        file: &Path,
        (offset, length): (u64, u64),
    ) -> Result<(), CacheError> {
        let body = Sent::File(file.to_owned(), offset, length);
        let sent = self.outside.send(request, &request.headers, body).await;
        let mut answer = sent.map_err(|error| self.denied(&error))?;
        let status = answer.status();
        // What it says does not matter, but it has to be heard for the connection to be used again.
        drop(answer.body(64 << 10).await);
        match (200..300).contains(&status) {
            true => Ok(()),
            false => Err(self.unavailable(format!(
                "`{} {}` was answered with status {status}",
                request.method,
                shown(&request.url)
            ))),
        }
    }

    async fn receive(
        &self,
        blob: &Descriptor,
        request: &HttpRequest,
        offset: u64,
        sink: &mut BlobSink<'_>,
    ) -> Result<(), CacheError> {
        let mut headers = request.headers.clone();
        if offset > 0 {
            headers.push(("range".to_owned(), format!("bytes={offset}-")));
        }
        let body = Sent::Bytes(request.body.clone());
        let sent = self.outside.send(request, &headers, body).await;
        let mut answer = sent.map_err(|error| self.denied(&error))?;
        let mut skip = match answer.status() {
            206 => 0,
            // A server that knows no ranges sends all of it.
            200 => offset,
            404 | 410 => return Err(self.missing(blob)),
            status => {
                let url = shown(&request.url);
                return Err(self.unavailable(format!("`{url}` was answered with status {status}")));
            }
        };
        loop {
            let next = answer.chunk().await;
            let Some(bytes) = next.map_err(|error| self.unavailable(error.to_string()))? else {
                return Ok(());
            };
            let from = skip.min(bytes.len() as u64);
            skip -= from;
            let rest = &bytes[usize::try_from(from).unwrap_or(bytes.len())..];
            sink(rest).map_err(|error| CacheError::Io {
                action: "write",
                path: blob.digest.to_string().into(),
                source: Arc::new(error),
            })?;
        }
    }
}

/// Returns a URL without what may be secret in it.
fn shown(url: &str) -> String {
    kiln_giturl::redact(url.split(['?', '#']).next().unwrap_or_default())
}

#[async_trait]
impl Backend for AdapterBackend {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn read(&self) -> Result<Vec<CacheImage>, CacheError> {
        for name in &self.names {
            let found = self.adapter.get_manifest(&self.call, name).await;
            let Some(data) = found.map_err(|error| self.failed(&error))? else {
                continue;
            };
            let invalid = |problem| CacheError::Invalid {
                place: self.place.clone(),
                what: "cache config",
                problem,
            };
            if data.len() as u64 > DOCUMENT {
                return Err(invalid(format!("it has {} bytes", data.len())));
            }
            let image = kiln_cache::read_config(&data, std::collections::BTreeMap::new());
            return Ok(vec![image.map_err(invalid)?]);
        }
        Err(CacheError::NoCache(self.place.clone()))
    }

    async fn absent(&self, blobs: &[Descriptor]) -> Result<Vec<Digest>, CacheError> {
        let mut absent = Vec::new();
        for some in blobs.chunks(PLAN) {
            let refs: Vec<BlobRef> = some.iter().map(blob_ref).collect();
            let plans = self.adapter.plan_put(&self.call, &refs).await;
            let plans = plans.map_err(|error| self.failed(&error))?;
            let mut kept = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            for (blob, plan) in some.iter().zip(plans) {
                if plan != PutPlan::Present {
                    absent.push(blob.digest);
                    kept.insert(blob.digest, plan);
                }
            }
        }
        Ok(absent)
    }

    async fn put(&self, blob: &Descriptor, file: &Path) -> Result<(), CacheError> {
        let plan = match self.take_plan(&blob.digest) {
            Some(plan) => Some(plan),
            None => {
                let plans = self.adapter.plan_put(&self.call, &[blob_ref(blob)]).await;
                plans.map_err(|error| self.failed(&error))?.pop()
            }
        };
        match plan.unwrap_or(PutPlan::Present) {
            PutPlan::Present => Ok(()),
            PutPlan::Object(key) => {
                let bucket = self.outside.bucket().map_err(|error| self.denied(&error))?;
                bucket.write(&key, file, blob.size).await
            }
            PutPlan::Http(request) => self.send_file(&request, file, (0, blob.size)).await,
            PutPlan::Multipart(part, requests) => {
                let mut offset = 0;
                for request in &requests {
                    let length = part.min(blob.size - offset);
                    self.send_file(request, file, (offset, length)).await?;
                    offset += length;
                }
                Ok(())
            }
        }
    }

    async fn get(&self, blob: &Descriptor, offset: u64, sink: &mut BlobSink<'_>) -> Result<(), CacheError> {
        let plans = self.adapter.plan_get(&self.call, &[blob_ref(blob)]).await;
        let mut plans = plans.map_err(|error| self.failed(&error))?;
        match plans.pop().unwrap_or(GetPlan::Miss) {
            GetPlan::Miss => Err(self.missing(blob)),
            GetPlan::Object(key) => {
                let bucket = self.outside.bucket().map_err(|error| self.denied(&error))?;
                bucket.read(&key, offset, sink).await
            }
            GetPlan::Http(request) => self.receive(blob, &request, offset, sink).await,
        }
    }

    async fn commit(&self, image: &CacheImage) -> Result<(), CacheError> {
        let data = kiln_cache::write_config(image);
        for name in &self.names {
            let put = self.adapter.put_manifest(&self.call, name, &data).await;
            put.map_err(|error| self.failed(&error))?;
        }
        let blobs = image.layers.values().map(|layer| blob_ref(&layer.descriptor));
        let blobs: Vec<BlobRef> = blobs.collect();
        let done = self.adapter.commit(&self.call, &blobs).await;
        done.map_err(|error| self.failed(&error))
    }
}
