//! A bucket as cache adapters get it: small objects by key below a prefix, and files in and out for the host.

use std::path::Path as FilePath;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::ObjectStore;
use object_store::ObjectStoreExt;
use object_store::PutMode;
use object_store::UpdateVersion;
use object_store::path::Path;

use crate::backend::BlobSink;
use crate::error::CacheError;
use crate::objects::failed;
use crate::objects::get_into;
use crate::objects::open_store;
use crate::objects::put_file;
use crate::objects_spec::Objects;

/// Largest object that is written again to make it look new.
const TOUCHED: u64 = 64 << 20;

/// What a bucket says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketObject {
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
pub enum When {
    /// Always.
    Always,
    /// Only when there is nothing yet.
    Absent,
    /// Only over this entity tag.
    Matches(String),
}

/// A bucket, narrowed to a prefix.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    spec: Objects,
}

impl Bucket {
    /// Opens a bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When what is given does not suffice to speak to it.
    pub fn open(spec: &Objects) -> Result<Self, CacheError> {
        Ok(Self {
            store: open_store(spec)?,
            spec: spec.clone(),
        })
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}{key}", self.spec.prefix))
    }

    fn failed(&self, error: &object_store::Error) -> CacheError {
        failed(&self.spec, error)
    }

    fn object(&self, meta: &ObjectMeta) -> BucketObject {
        let (key, prefix) = (meta.location.to_string(), self.spec.prefix.trim_end_matches('/'));
        let below = key
            .strip_prefix(prefix)
            .map(|key| key.trim_start_matches('/').to_owned());
        BucketObject {
            key: below.unwrap_or(key),
            size: meta.size,
            modified: meta.last_modified.timestamp(),
            etag: meta.e_tag.clone(),
        }
    }

    /// Returns what is known of a key.
    ///
    /// # Errors
    /// The bucket cannot be asked.
    pub async fn head(&self, key: &str) -> Result<Option<BucketObject>, CacheError> {
        match self.store.head(&self.path(key)).await {
            Ok(meta) => Ok(Some(self.object(&meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Returns a small object.
    ///
    /// # Errors
    /// It is larger than `limit`, or the bucket cannot be asked.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, CacheError> {
        let found = match self.store.get(&self.path(key)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| self.failed(&error))?,
        };
        if found.meta.size > limit {
            return Err(CacheError::Invalid {
                place: self.spec.place(),
                what: "object",
                problem: format!("it has {} bytes, more than {limit}", found.meta.size),
            });
        }
        let bytes = found.bytes().await.map_err(|error| self.failed(&error))?;
        Ok(Some(bytes.to_vec()))
    }

    /// Writes a small object; false when the condition did not hold.
    ///
    /// # Errors
    /// The bucket cannot be written.
    pub async fn put(&self, key: &str, data: Vec<u8>, when: &When) -> Result<bool, CacheError> {
        let mode = match when {
            When::Always => PutMode::Overwrite,
            When::Absent => PutMode::Create,
            When::Matches(etag) => PutMode::Update(UpdateVersion {
                e_tag: Some(etag.clone()),
                version: None,
            }),
        };
        match self
            .store
            .put_opts(&self.path(key), data.into(), mode.into())
            .await
        {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) if *when != When::Always => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Returns up to `limit` objects below `prefix` that come after the key `after`, by name.
    ///
    /// # Errors
    /// The bucket cannot be asked.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BucketObject>, CacheError> {
        let below = Path::from(format!("{}{prefix}", self.spec.prefix));
        let listing = match after {
            Some(after) => self.store.list_with_offset(Some(&below), &self.path(after)),
            None => self.store.list(Some(&below)),
        };
        let limited = futures::StreamExt::take(listing, limit);
        let found: Vec<ObjectMeta> = limited.try_collect().await.map_err(|error| self.failed(&error))?;
        Ok(found.iter().map(|meta| self.object(meta)).collect())
    }

    /// Removes an object; fine when it is not there.
    ///
    /// # Errors
    /// The bucket cannot be written.
    pub async fn delete(&self, key: &str) -> Result<(), CacheError> {
        match self.store.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Writes an object again, so that it looks new to the bucket's own expiry.
    ///
    /// # Errors
    /// It is not there, is too large, or the bucket cannot be written.
    pub async fn touch(&self, key: &str) -> Result<(), CacheError> {
        let data = self.get(key, TOUCHED).await?;
        let missing = || CacheError::Invalid {
            place: self.spec.place(),
            what: "object",
            problem: "it is not there".to_owned(),
        };
        let data = data.ok_or_else(missing)?;
        self.put(key, data, &When::Always).await.map(drop)
    }

    /// Hands over an object's bytes from `offset` on.
    ///
    /// # Errors
    /// It is not there, or the bucket cannot be asked.
    pub async fn read(&self, key: &str, offset: u64, sink: &mut BlobSink<'_>) -> Result<(), CacheError> {
        let failed = |error: object_store::Error| self.failed(&error);
        get_into(&self.store, &self.path(key), offset, sink, &failed).await
    }

    /// Writes a file of `size` bytes.
    ///
    /// # Errors
    /// The file cannot be read, or the bucket not written.
    pub async fn write(&self, key: &str, file: &FilePath, size: u64) -> Result<(), CacheError> {
        put_file((&self.store, &self.spec), &self.path(key), (file, size)).await
    }
}
