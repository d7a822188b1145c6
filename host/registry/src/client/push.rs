//! Pushes blobs.

use std::path::PathBuf;

use bytes::Bytes;
use kiln_image::Descriptor;
use kiln_image::Reference;
use reqwest::Method;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::watch;
use url::Url;

use crate::Client;
use crate::RegistryError;
use crate::http::Answer;
use crate::http::Backoff;
use crate::http::Call;
use crate::http::Failure;
use crate::http::Payload;
use crate::http::Upload;

/// Where the bytes of a pushed blob are.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(PathBuf),
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Its bytes were sent.
    Uploaded,
    /// The registry took it from another repository.
    Mounted,
    /// It was there.
    Existed,
}

/// What an upload session begins with.
enum Begun {
    Mounted,
    At(Url),
}

impl Client {
    /// Brings a blob into the reference's repository: nothing is sent when it is there already, or when the registry
    /// mounts it from its repository `mount_from`. `progress` hears how many of the blob's bytes were sent so far; the
    /// number falls when an upload starts again after a broken connection.
    ///
    /// # Errors
    /// When the registry refuses it, or the source has other bytes than the descriptor says.
    #[expect(
        clippy::too_many_arguments,
        reason = "where to, what, where from: no two of them belong together"
    )]
    pub async fn push_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        source: BlobSource,
        mount_from: Option<&str>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Pushed, RegistryError> {
        let path = format!("blobs/{}", blob.digest);
        let head = Call::push(reference, Method::HEAD, &path).about(blob.digest);
        if self.exists(head).await? {
            return Ok(Pushed::Existed);
        }
        check_size(reference, blob, &source).await?;
        let mut backoff = Backoff::new(self.inner.retry);
        loop {
            let url = match self.begin(reference, blob, mount_from).await? {
                Begun::Mounted => return Ok(Pushed::Mounted),
                Begun::At(url) => url,
            };
            match self.upload(reference, blob, &source, (url, progress)).await {
                Ok(()) => return Ok(Pushed::Uploaded),
                Err(failure) => backoff.wait(failure).await?,
            }
        }
    }

    /// Asks for an upload session, or for the blob of another repository.
    async fn begin(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        mount_from: Option<&str>,
    ) -> Result<Begun, RegistryError> {
        let mut path = "blobs/uploads/".to_owned();
        let other = mount_from.filter(|other| *other != reference.repository());
        if let Some(other) = other {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("mount", &blob.digest.to_string());
            query.append_pair("from", other);
            path = format!("{path}?{}", query.finish());
        }
        let mut call = Call::push(reference, Method::POST, &path).about(blob.digest);
        call.scopes
            .extend(other.map(|other| format!("repository:{other}:pull")));
        let answer = match self.document(&call).await {
            // No right to read the other repository is no reason not to push.
            Err(error) if error.is_denied() && other.is_some() => {
                return Box::pin(self.begin(reference, blob, None)).await;
            }
            other => other?,
        };
        match answer.status {
            StatusCode::CREATED if other.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => location(&call, &answer, blob).map(Begun::At),
            status => Err(answer.protocol(&call, format!("expected status 202 for an upload, got {status}"))),
        }
    }

    /// Sends the bytes, once.
    async fn upload(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        source: &BlobSource,
        (url, progress): (Url, &mut (dyn FnMut(u64) + Send)),
    ) -> Result<(), Failure> {
        let (sent, mut heard) = watch::channel(0);
        let upload = Upload {
            source: source.clone(),
            size: blob.size,
            sent,
        };
        let call = Call::push(reference, Method::PUT, "")
            .about(blob.digest)
            .to(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .payload(Payload::Upload(upload));
        let mut sending = Box::pin(self.document_once(&call));
        let answer = loop {
            tokio::select! {
                answer = &mut sending => break answer,
                Ok(()) = heard.changed() => progress(*heard.borrow_and_update()),
            }
        };
        if let Err(failure) = answer {
            // A session that is gone, or that lost bytes, is begun anew.
            return Err(match failure.error {
                error @ RegistryError::NotFound { .. } => Failure::transient(error),
                error @ RegistryError::Status { status: 416, .. } => Failure::transient(error),
                _ => failure,
            });
        }
        progress(blob.size);
        Ok(())
    }
}

/// Returns where the bytes go: the session's place, with the digest that ends it.
fn location(call: &Call, answer: &Answer, blob: &Descriptor) -> Result<Url, RegistryError> {
    let mut url = answer
        .header("location")
        .and_then(|location| answer.url.join(location).ok())
        .ok_or_else(|| answer.protocol(call, "expected a `Location` for the upload"))?;
    url.query_pairs_mut()
        .append_pair("digest", &blob.digest.to_string());
    Ok(url)
}

async fn check_size(
    reference: &Reference,
    blob: &Descriptor,
    source: &BlobSource,
) -> Result<(), RegistryError> {
    let actual = match source {
        BlobSource::Bytes(bytes) => bytes.len() as u64,
        BlobSource::File(path) => {
            let metadata = tokio::fs::metadata(path).await;
            let metadata = metadata.map_err(|source| RegistryError::File {
                path: path.clone(),
                source,
            })?;
            metadata.len()
        }
    };
    if actual == blob.size {
        return Ok(());
    }
    Err(RegistryError::Size {
        subject: Call::pull(reference, "").about(blob.digest).subject,
        expected: blob.size,
        actual,
    })
}
