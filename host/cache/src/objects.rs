//! Caches in object stores, laid out as BuildKit's `type=s3` and `type=azblob` have them: blobs under their digests,
//! and the document itself, with facts about the layers inside, under the cache's name.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;
use jiff::Timestamp;
use kiln_image::Descriptor;
use kiln_image::Digest;
use object_store::GetOptions;
use object_store::GetRange;
use object_store::ObjectMeta;
use object_store::ObjectStore;
use object_store::ObjectStoreExt;
use object_store::RetryConfig;
use object_store::WriteMultipart;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use tokio::io::AsyncReadExt;

use crate::backend::Backend;
use crate::backend::BlobSink;
use crate::backend::CacheImage;
use crate::error::CacheError;
use crate::manifest;
use crate::objects_spec::ObjectKind;
use crate::objects_spec::Objects;

/// Largest blob that is sent in one piece, and the size of pieces.
const PIECE: usize = 8 << 20;
/// Questions that are asked at a time.
const QUESTIONS: usize = 8;
/// Blobs from which on the bucket is listed rather than asked for each.
const LISTED: usize = 8;
/// Most objects of a listing that is read to its end.
const LISTING: usize = 5000;

/// A bucket or container with caches.
#[derive(Debug, Clone)]
pub struct ObjectBackend {
    spec: Objects,
    store: Arc<dyn ObjectStore>,
}

impl ObjectBackend {
    /// Opens the bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When what is given does not suffice to speak to it.
    pub fn open(spec: &Objects) -> Result<Self, CacheError> {
        Ok(Self {
            spec: spec.clone(),
            store: open_store(spec)?,
        })
    }

    fn failed(&self, error: &object_store::Error) -> CacheError {
        failed(&self.spec, error)
    }

    fn blob_failed(&self, blob: &Descriptor, error: &object_store::Error) -> CacheError {
        match error {
            object_store::Error::NotFound { .. } => CacheError::NoBlob {
                place: self.place(),
                digest: blob.digest,
            },
            error => self.failed(error),
        }
    }

    fn blob(&self, digest: &Digest) -> Path {
        Path::from(self.spec.blob(digest))
    }

    async fn manifest(&self, name: &str) -> Result<Option<CacheImage>, CacheError> {
        let found = match self.store.get(&Path::from(self.spec.manifest(name))).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| self.failed(&error))?,
        };
        let invalid = |problem| CacheError::Invalid {
            place: self.place(),
            what: "cache config",
            problem,
        };
        if found.meta.size > manifest::DOCUMENT {
            return Err(invalid(format!("it has {} bytes", found.meta.size)));
        }
        let bytes = found.bytes().await.map_err(|error| self.failed(&error))?;
        manifest::read_config(&bytes, BTreeMap::new())
            .map(Some)
            .map_err(invalid)
    }

    /// Returns what the bucket has of the blobs.
    async fn there(&self, blobs: &[Descriptor]) -> Result<BTreeMap<String, ObjectMeta>, CacheError> {
        if blobs.len() > LISTED
            && let Some(listing) = self.listing().await?
        {
            return Ok(listing);
        }
        let heads = blobs.iter().map(|blob| {
            let path = self.blob(&blob.digest);
            async move {
                match self.store.head(&path).await {
                    Ok(meta) => Ok(Some((path.to_string(), meta))),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(self.failed(&error)),
                }
            }
        });
        let found: Vec<_> = stream::iter(heads.collect::<Vec<_>>())
            .buffer_unordered(QUESTIONS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns all blobs of the bucket; none when there are too many to list.
    async fn listing(&self) -> Result<Option<BTreeMap<String, ObjectMeta>>, CacheError> {
        let folder = self
            .spec
            .blobs
            .rsplit_once('/')
            .map(|(folder, _)| Path::from(folder));
        let mut listing = self.store.list(folder.as_ref());
        let mut found = BTreeMap::new();
        while let Some(meta) = listing.next().await {
            let meta = meta.map_err(|error| self.failed(&error))?;
            found.insert(meta.location.to_string(), meta);
            if found.len() > LISTING {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    fn is_fresh(&self, meta: &ObjectMeta) -> bool {
        let Some(refresh) = self.spec.refresh else {
            return true;
        };
        let age = Timestamp::now().as_second() - meta.last_modified.timestamp();
        Duration::from_secs(u64::try_from(age).unwrap_or_default()) < refresh
    }
}

/// Opens the store that a bucket is in.
///
/// # Errors
/// When what is given does not suffice to speak to it.
pub(crate) fn open_store(spec: &Objects) -> Result<Arc<dyn ObjectStore>, CacheError> {
    let store = match spec.kind {
        ObjectKind::S3 => open_s3(spec),
        ObjectKind::Azblob => open_azblob(spec),
    };
    store.map_err(|error| failed(spec, &error))
}

/// Sends a file: in one piece when it is small, else in several.
///
/// # Errors
/// The file cannot be read, or the bucket not written.
pub(crate) async fn put_file(
    (store, spec): (&Arc<dyn ObjectStore>, &Objects),
    path: &Path,
    (file, size): (&FilePath, u64),
) -> Result<(), CacheError> {
    if size > PIECE as u64 {
        return put_in_pieces((store, spec), path, file).await;
    }
    let bytes = tokio::fs::read(file).await;
    let bytes = bytes.map_err(|error| CacheError::io("read", file, error))?;
    let put = store.put(path, Bytes::from(bytes).into()).await;
    put.map(drop).map_err(|error| failed(spec, &error))
}

/// Hands over an object's bytes from `offset` on.
///
/// # Errors
/// As `map` says, or what the sink says.
pub(crate) async fn get_into(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    offset: u64,
    sink: &mut BlobSink<'_>,
    map: &(dyn Fn(object_store::Error) -> CacheError + Sync),
) -> Result<(), CacheError> {
    let options = GetOptions {
        range: (offset > 0).then_some(GetRange::Offset(offset)),
        ..GetOptions::default()
    };
    let found = store.get_opts(path, options).await.map_err(map)?;
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.try_next().await.map_err(map)? {
        let stopped = |error| CacheError::io("write", path.to_string(), error);
        sink(&piece).map_err(stopped)?;
    }
    Ok(())
}

async fn put_in_pieces(
    (store, spec): (&Arc<dyn ObjectStore>, &Objects),
    path: &Path,
    file: &FilePath,
) -> Result<(), CacheError> {
    let unreadable = |error| CacheError::io("read", file, error);
    let upload = store
        .put_multipart(path)
        .await
        .map_err(|error| failed(spec, &error))?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
    let mut source = tokio::fs::File::open(file).await.map_err(unreadable)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let mut bounded = (&mut source).take(PIECE as u64);
        let length = bounded.read_to_end(&mut piece).await;
        let sent = match length {
            Ok(0) => break,
            Ok(_) => {
                upload.put(Bytes::from(piece));
                upload
                    .wait_for_capacity(spec.uploads)
                    .await
                    .map_err(|error| failed(spec, &error))
            }
            Err(error) => Err(unreadable(error)),
        };
        if let Err(error) = sent {
            // The bucket forgets the pieces in time if it does not hear of it.
            drop(upload.abort().await);
            return Err(error);
        }
    }
    upload
        .finish()
        .await
        .map(drop)
        .map_err(|error| failed(spec, &error))
}

fn retry(spec: &Objects) -> RetryConfig {
    RetryConfig {
        max_retries: spec.attempts.saturating_sub(1),
        retry_timeout: Duration::from_secs(60),
        ..RetryConfig::default()
    }
}

fn open_s3(spec: &Objects) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new().with_retry(retry(spec));
    for (key, value) in &spec.options {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.build()?))
}

fn open_azblob(spec: &Objects) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new().with_retry(retry(spec));
    for (key, value) in &spec.options {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.build()?))
}

pub(crate) fn failed(spec: &Objects, error: &object_store::Error) -> CacheError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    CacheError::Unavailable {
        place: spec.place(),
        problem: without_queries(&text),
    }
}

/// Signatures are in the queries of URLs.
fn without_queries(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut in_query = false;
    for letter in text.chars() {
        match letter {
            '?' => in_query = true,
            ' ' | ')' | '"' | '\n' => in_query = false,
            _ => {}
        }
        if !in_query {
            clean.push(letter);
        }
    }
    clean
}

#[async_trait]
impl Backend for ObjectBackend {
    fn place(&self) -> String {
        self.spec.place()
    }

    async fn read(&self) -> Result<Vec<CacheImage>, CacheError> {
        let mut found = Vec::new();
        for name in self.spec.names_to_read() {
            found.extend(self.manifest(name).await?);
        }
        if found.is_empty() {
            return Err(CacheError::NoCache(self.place()));
        }
        Ok(found)
    }

    async fn absent(&self, blobs: &[Descriptor]) -> Result<Vec<Digest>, CacheError> {
        let there = self.there(blobs).await?;
        // One of another size is a broken upload; one that is old would soon be removed by the bucket's own rules.
        let is_there = |blob: &&Descriptor| {
            let meta = there.get(&self.blob(&blob.digest).to_string());
            meta.is_some_and(|meta| meta.size == blob.size && self.is_fresh(meta))
        };
        let absent = blobs.iter().filter(|blob| !is_there(blob));
        Ok(absent.map(|blob| blob.digest).collect())
    }

    async fn put(&self, blob: &Descriptor, file: &FilePath) -> Result<(), CacheError> {
        let path = self.blob(&blob.digest);
        put_file((&self.store, &self.spec), &path, (file, blob.size)).await
    }

    async fn get(&self, blob: &Descriptor, offset: u64, sink: &mut BlobSink<'_>) -> Result<(), CacheError> {
        let failed = |error: object_store::Error| self.blob_failed(blob, &error);
        get_into(&self.store, &self.blob(&blob.digest), offset, sink, &failed).await
    }

    async fn commit(&self, image: &CacheImage) -> Result<(), CacheError> {
        let bytes = Bytes::from(manifest::write_config(image));
        for name in &self.spec.names {
            let path = Path::from(self.spec.manifest(name));
            let put = self.store.put(&path, bytes.clone().into()).await;
            put.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signs_is_not_shown() {
        let text = "error at (http://h/a?sig=secret) and \"http://h/b?x=1&sig=y\" end";
        assert_eq!(
            without_queries(text),
            "error at (http://h/a) and \"http://h/b\" end"
        );
    }
}
