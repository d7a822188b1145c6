//! What cache adapters may reach: hosts that were granted, secrets that were granted, one bucket. Nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_cache::Bucket;
use kiln_cache::BucketObject;
use kiln_cache::CacheError;
use kiln_cache::When;
use kiln_fetch::Answer;
use kiln_fetch::FetchError;
use kiln_fetch::Outgoing;
use kiln_fetch::Reach;
use kiln_fetch::Requests;
use kiln_fetch::Rules;
use kiln_fetch::Sent;
use kiln_plugin::Authority;
use kiln_plugin::CacheBridge;
use kiln_plugin::Condition;
use kiln_plugin::Grant;
use kiln_plugin::HostError;
use kiln_plugin::HttpRequest;
use kiln_plugin::HttpResponse;
use kiln_plugin::LogLevel;
use kiln_plugin::ObjectInfo;

use crate::request::Secret;

/// Most bytes of a response that an adapter gets itself.
const BODY: u64 = 64 << 20;
/// Longest wait for a response that an adapter gets itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an adapter may reach.
pub(super) struct Outside {
    authority: Arc<Authority>,
    requests: Requests,
    bucket: Option<Bucket>,
    secrets: BTreeMap<String, Secret>,
}

/// Hosts as an authority grants them.
struct Granted(Arc<Authority>);

impl Rules for Granted {
    fn reach(&self, host: &str) -> Result<Reach, String> {
        let authority = &self.0;
        let allowed = authority.policies.check_egress(&authority.plugin, host);
        let allowed = allowed.and_then(|()| authority.check(&Grant::Http(host.to_owned()), ""));
        allowed.map_err(|error| error.to_string())?;
        Ok(match authority.grants.names_host(host) {
            true => Reach::Named,
            false => Reach::Public,
        })
    }
}

fn denied(error: &FetchError) -> HostError {
    match error {
        FetchError::Refused { .. } | FetchError::Offline(_) | FetchError::Redirect { .. } => {
            HostError::Denied(error.to_string())
        }
        FetchError::Url { .. } => HostError::Invalid(error.to_string()),
        FetchError::TooLarge { .. } => HostError::Limit(error.to_string()),
        error => HostError::Unavailable(error.to_string()),
    }
}

fn unavailable(error: &CacheError) -> HostError {
    HostError::Unavailable(error.to_string())
}

impl Outside {
    /// Sets up what an adapter may reach.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(
        authority: Authority,
        bucket: Option<Bucket>,
        secrets: BTreeMap<String, Secret>,
        config: &kiln_fetch::Config,
    ) -> Result<Self, FetchError> {
        let authority = Arc::new(authority);
        Ok(Self {
            requests: Requests::new(config, Arc::new(Granted(authority.clone())))?,
            authority,
            bucket,
            secrets,
        })
    }

    /// Returns the bucket that the user configured.
    pub(super) fn bucket(&self) -> Result<&Bucket, HostError> {
        self.bucket.as_ref().ok_or_else(|| {
            let what = "no bucket is configured (give one with `objects.type=s3,objects.bucket=…`)";
            HostError::NotFound(what.to_owned())
        })
    }

    /// Sends a request of the adapter with the credential that it names.
    pub(super) async fn send(
        &self,
        request: &HttpRequest,
        headers: &[(String, String)],
        body: Sent,
    ) -> Result<Answer, HostError> {
        let outgoing = Outgoing {
            method: &request.method,
            url: &request.url,
            headers,
            authorization: request
                .auth
                .as_deref()
                .map(|id| self.credential(id))
                .transpose()?,
            body,
        };
        self.requests
            .send(&outgoing)
            .await
            .map_err(|error| denied(&error))
    }

    /// Returns a secret as value of the header `Authorization`: as it is when it names its scheme, else as a token.
    fn credential(&self, id: &str) -> Result<String, HostError> {
        let checked = self.authority.check(&Grant::Secret(id.to_owned()), "");
        checked.map_err(|error| HostError::Denied(error.to_string()))?;
        let secret = self.secrets.get(id).ok_or_else(|| {
            HostError::NotFound(format!(
                "there is no secret `{id}` (give it with `--secret id={id},src=FILE`)"
            ))
        })?;
        let visible =
            |text: &&str| !text.is_empty() && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        let text = std::str::from_utf8(&secret.0)
            .ok()
            .map(str::trim_end)
            .filter(visible);
        let text = text.ok_or_else(|| {
            HostError::Invalid(format!(
                "the secret `{id}` cannot be sent (expected one line of visible characters)"
            ))
        })?;
        Ok(match text.contains(' ') {
            true => text.to_owned(),
            false => format!("Bearer {text}"),
        })
    }
}

fn info(object: BucketObject) -> ObjectInfo {
    ObjectInfo {
        key: object.key,
        size: object.size,
        modified: object.modified,
        etag: object.etag,
    }
}

#[async_trait]
impl CacheBridge for Outside {
    async fn fetch(&self, request: &HttpRequest) -> Result<HttpResponse, HostError> {
        let body = Sent::Bytes(request.body.clone());
        let whole = async {
            let mut answer = self.send(request, &request.headers, body).await?;
            let (status, headers) = (answer.status(), answer.headers());
            let body = answer.body(BODY).await.map_err(|error| denied(&error))?;
            Ok(HttpResponse {
                status,
                headers,
                body,
            })
        };
        let answer = tokio::time::timeout(PATIENCE, whole).await;
        answer.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(HostError::Unavailable(format!(
                "there was no whole answer within {seconds} s"
            )))
        })
    }

    fn open_bucket(&self) -> Result<(), HostError> {
        self.bucket().map(drop)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, HostError> {
        let found = self.bucket()?.head(key).await;
        found
            .map(|object| object.map(info))
            .map_err(|error| unavailable(&error))
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
        let found = self.bucket()?.get(key, limit).await;
        found.map_err(|error| unavailable(&error))
    }

    async fn put(&self, key: &str, data: Vec<u8>, condition: &Condition) -> Result<bool, HostError> {
        let when = match condition {
            Condition::Always => When::Always,
            Condition::Absent => When::Absent,
            Condition::Matches(etag) => When::Matches(etag.clone()),
        };
        let put = self.bucket()?.put(key, data, &when).await;
        put.map_err(|error| unavailable(&error))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectInfo>, HostError> {
        let found = self.bucket()?.list(prefix, after, limit).await;
        let found = found.map_err(|error| unavailable(&error))?;
        Ok(found.into_iter().map(info).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), HostError> {
        self.bucket()?
            .delete(key)
            .await
            .map_err(|error| unavailable(&error))
    }

    async fn touch(&self, key: &str) -> Result<(), HostError> {
        self.bucket()?
            .touch(key)
            .await
            .map_err(|error| unavailable(&error))
    }

    fn log(&self, level: LogLevel, message: &str) {
        tracing::debug!(plugin = self.authority.plugin, ?level, message, "a cache adapter");
    }
}
