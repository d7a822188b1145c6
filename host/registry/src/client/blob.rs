//! Fetches blobs.

use std::fmt;
use std::io;

use bytes::Bytes;
use kiln_image::Descriptor;
use kiln_image::Hasher;
use kiln_image::Reference;
use reqwest::Method;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;
use reqwest::header::CONTENT_RANGE;
use reqwest::header::RANGE;

use crate::Client;
use crate::RegistryError;
use crate::http::Backoff;
use crate::http::Call;
use crate::http::Failure;
use crate::http::bounded;
use crate::http::redacted;

/// So many bytes after a failure, the connection counts as good again.
const RECOVERED: u64 = 64 << 10;

/// The bytes of a blob as they arrive. Goes on by itself where a connection broke or stalled, and never gives more
/// bytes than the descriptor has. The digest is for the caller to check.
pub struct BlobStream {
    client: Client,
    call: Call,
    size: u64,
    /// Bytes before this one were given.
    at: u64,
    /// Bytes of the answer that were given before: not every registry has ranges.
    skip: u64,
    response: Option<Response>,
    backoff: Backoff,
    /// Bytes since the last failure.
    moved: u64,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("what", &self.call.subject.what)
            .field("at", &self.at)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    /// Waits for the next bytes; `None` when all have been given.
    ///
    /// # Errors
    /// When the registry does not give the rest.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        while self.at < self.size {
            match self.receive().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(failure) => {
                    self.response = None;
                    if self.moved >= RECOVERED {
                        self.backoff.reset();
                    }
                    self.moved = 0;
                    self.backoff.wait(failure).await?;
                }
            }
        }
        self.response = None;
        Ok(None)
    }

    /// Receives what there is, which may be nothing.
    async fn receive(&mut self) -> Result<Bytes, Failure> {
        let mut response = match self.response.take() {
            Some(response) => response,
            None => self.open().await?,
        };
        let stall = self.client.inner.stall;
        let url = response.url().clone();
        let subject = &self.call.subject;
        let chunk = tokio::time::timeout(stall, response.chunk())
            .await
            .map_err(|_| Failure::stalled(subject, &url, stall))?
            .map_err(|error| Failure::connection(subject, &url, error))?;
        let Some(mut chunk) = chunk else {
            return Err(Failure::transient(self.wrong_size(self.at)));
        };
        self.response = Some(response);
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        let chunk = chunk.split_off(usize::try_from(skipped).unwrap_or(chunk.len()));
        let at = self.at + chunk.len() as u64;
        if at > self.size {
            return Err(self.wrong_size(at).into());
        }
        self.at = at;
        self.moved += chunk.len() as u64;
        Ok(chunk)
    }

    /// Asks for the bytes from `at` on.
    async fn open(&mut self) -> Result<Response, Failure> {
        let mut call = self.call.clone();
        if self.at > 0 {
            call = call.header(RANGE, format!("bytes={}-", self.at));
        }
        let response = self.client.attempt(&call).await?;
        match response.status() {
            StatusCode::OK => self.skip = self.at,
            StatusCode::PARTIAL_CONTENT => {
                self.skip = 0;
                if range_start(&response) != Some(self.at) {
                    return Err(RegistryError::Protocol {
                        subject: call.subject,
                        url: redacted(response.url()),
                        reason: format!("expected `Content-Range: bytes {}-…`", self.at),
                    }
                    .into());
                }
            }
            status if status.is_success() => {
                let answer = bounded(&call, response, self.client.inner.stall).await?;
                return Err(answer.refused(&call).into());
            }
            _ => {
                let answer = bounded(&call, response, self.client.inner.stall).await?;
                return Err(answer.failure(&call));
            }
        }
        let before = if response.status() == StatusCode::OK {
            0
        } else {
            self.at
        };
        match length(&response) {
            Some(length) if before.saturating_add(length) != self.size => {
                Err(self.wrong_size(before.saturating_add(length)).into())
            }
            _ => Ok(response),
        }
    }

    fn wrong_size(&self, actual: u64) -> RegistryError {
        RegistryError::Size {
            subject: self.call.subject.clone(),
            expected: self.size,
            actual,
        }
    }
}

fn length(response: &Response) -> Option<u64> {
    response
        .headers()
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

impl Client {
    /// Fetches a blob from byte `from` on. Returns when the registry has begun to answer.
    ///
    /// # Errors
    /// When the registry does not have it.
    pub async fn blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        from: u64,
    ) -> Result<BlobStream, RegistryError> {
        let call = Call::pull(reference, &format!("blobs/{}", blob.digest)).about(blob.digest);
        let mut stream = BlobStream {
            client: self.clone(),
            call,
            size: blob.size,
            at: from,
            skip: 0,
            response: None,
            backoff: Backoff::new(self.inner.retry),
            moved: 0,
        };
        if from > blob.size {
            return Err(stream.wrong_size(from));
        }
        while stream.response.is_none() && from < blob.size {
            match stream.open().await {
                Ok(response) => stream.response = Some(response),
                Err(failure) => stream.backoff.wait(failure).await?,
            }
        }
        Ok(stream)
    }

    /// Fetches a whole blob into `sink` and checks its digest.
    ///
    /// # Errors
    /// When the registry does not have it or is not to be believed; the sink has then seen wrong bytes.
    pub async fn fetch_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), RegistryError> {
        let mut stream = self.blob(reference, blob, 0).await?;
        let mut hasher = Hasher::new();
        while let Some(bytes) = stream.next().await? {
            hasher.update(&bytes);
            sink(&bytes).map_err(|source| RegistryError::Sink {
                subject: stream.call.subject.clone(),
                source,
            })?;
        }
        let actual = hasher.finish();
        if actual == blob.digest {
            return Ok(());
        }
        Err(RegistryError::Digest {
            subject: stream.call.subject,
            expected: blob.digest,
            actual,
        })
    }

    /// Returns true when the repository has the blob.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn has_blob(&self, reference: &Reference, blob: &Descriptor) -> Result<bool, RegistryError> {
        let call = Call::pull(reference, &format!("blobs/{}", blob.digest));
        self.exists(call.method(Method::HEAD).about(blob.digest)).await
    }

    pub(super) async fn exists(&self, call: Call) -> Result<bool, RegistryError> {
        match self.document(&call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
