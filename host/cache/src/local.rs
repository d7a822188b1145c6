//! Caches in a directory: an OCI layout, one cache a tag, as BuildKit's `type=local`.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use async_trait::async_trait;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::ManifestOrIndex;
use rustix::fs::FlockOperation;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncSeekExt;

use crate::backend::Backend;
use crate::backend::BlobSink;
use crate::backend::CacheImage;
use crate::error::CacheError;
use crate::manifest;
use crate::manifest::ManifestForm;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// A directory with caches.
#[derive(Debug, Clone)]
pub struct LocalBackend {
    dir: PathBuf,
    tag: String,
    digest: Option<Digest>,
    form: ManifestForm,
    reset: Reset,
}

/// What becomes of blobs that no cache of the directory names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    Keep,
    Remove,
}

impl LocalBackend {
    /// Returns the cache `tag` of the directory.
    pub fn new(dir: impl Into<PathBuf>, tag: &str) -> Self {
        Self {
            dir: dir.into(),
            tag: tag.to_owned(),
            digest: None,
            form: ManifestForm::Image,
            reset: Reset::Keep,
        }
    }

    /// Reads the cache with this manifest in place of the tag's.
    #[must_use]
    pub fn at(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Writes manifests of this form.
    #[must_use]
    pub fn form(mut self, form: ManifestForm) -> Self {
        self.form = form;
        self
    }

    /// Removes blobs that no cache names once a cache was written.
    #[must_use]
    pub fn resetting(mut self) -> Self {
        self.reset = Reset::Remove;
        self
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    fn index(&self) -> Result<Option<Index>, CacheError> {
        let path = self.dir.join("index.json");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| CacheError::io("open", &path, error))?,
        };
        let mut bytes = Vec::new();
        file.take(manifest::DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(|error| CacheError::io("read", &path, error))?;
        let index: Index = serde_json::from_slice(&bytes).map_err(|error| CacheError::Invalid {
            place: self.place(),
            what: "index.json",
            problem: error.to_string(),
        })?;
        Ok(Some(index))
    }

    fn top(&self) -> Result<Descriptor, CacheError> {
        let missing = || match &self.digest {
            Some(digest) => CacheError::NoCache(format!("{}@{digest}", self.dir.display())),
            None => CacheError::NoCache(format!("{}:{}", self.dir.display(), self.tag)),
        };
        let index = self.index()?.ok_or_else(missing)?;
        let entries = index.manifests;
        if let Some(digest) = &self.digest {
            let listed = entries.into_iter().find(|entry| entry.digest == *digest);
            return match listed {
                Some(entry) => Ok(entry),
                None => self.unlisted(digest)?.ok_or_else(missing),
            };
        }
        let named = |key: &str| {
            let tagged = |entry: &&Descriptor| entry.annotations.get(key) == Some(&self.tag);
            entries.iter().find(tagged).cloned()
        };
        named(IMAGE_NAME).or_else(|| named(REF_NAME)).ok_or_else(missing)
    }

    /// Returns a manifest that the index does not name, which an earlier cache of the tag is.
    fn unlisted(&self, digest: &Digest) -> Result<Option<Descriptor>, CacheError> {
        let path = self.blob(digest);
        let size = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(|error| CacheError::io("read", &path, error))?.len(),
        };
        let bytes = self.read_blob(&Descriptor::new("", *digest, size))?;
        let parsed = ManifestOrIndex::parse("", &bytes).map_err(|error| CacheError::Invalid {
            place: self.place(),
            what: "manifest",
            problem: error.to_string(),
        })?;
        let media_type = match parsed {
            ManifestOrIndex::Manifest(manifest) => manifest.media_type,
            ManifestOrIndex::Index(index) => index.media_type,
        };
        Ok(Some(Descriptor::new(&media_type, *digest, size)))
    }

    fn read_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, CacheError> {
        let path = self.blob(&blob.digest);
        let file = self.open(blob)?;
        let mut bytes = Vec::new();
        file.take(manifest::DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(|error| CacheError::io("read", &path, error))?;
        let found = Digest::of(&bytes);
        if found == blob.digest {
            return Ok(bytes);
        }
        Err(CacheError::Corrupt {
            place: self.place(),
            digest: blob.digest,
            found: found.to_string(),
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<File, CacheError> {
        let path = self.blob(&blob.digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CacheError::NoBlob {
                place: self.place(),
                digest: blob.digest,
            },
            _ => CacheError::io("open", &path, error),
        })
    }

    /// Puts a file in place in one go.
    fn install(&self, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), CacheError> {
        let ingest = self.dir.join("ingest");
        for dir in [&ingest, &self.dir.join("blobs/sha256")] {
            fs::create_dir_all(dir).map_err(|error| CacheError::io("create", dir, error))?;
        }
        let failed = |error| CacheError::io("write", path, error);
        let mut file = tempfile::NamedTempFile::new_in(&ingest).map_err(failed)?;
        fill(file.as_file_mut()).map_err(failed)?;
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
        file.as_file().set_permissions(mode).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn install_bytes(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        self.install(path, |file| file.write_all(bytes))
    }

    /// Writes documents and index; nobody else writes the index meanwhile.
    fn write(&self, image: &CacheImage) -> Result<(), CacheError> {
        let written = manifest::write(image, self.form);
        for (descriptor, bytes) in [&written.config, &written.manifest] {
            self.install_bytes(&self.blob(&descriptor.digest), bytes)?;
        }
        let _lock = Lock::take(&self.dir.join("index.json.lock"))?;
        // Another writer may have removed what it found without a name.
        for layer in image.layers.values() {
            self.open(&layer.descriptor)?;
        }
        let mut index = self
            .index()
            .ok()
            .flatten()
            .unwrap_or_else(|| Index::new(Vec::new()));
        let tagged = |entry: &Descriptor| entry.annotations.get(REF_NAME) == Some(&self.tag);
        index.manifests.retain(|entry| !tagged(entry));
        let mut top = written.manifest.0;
        top.annotations.insert(REF_NAME.to_owned(), self.tag.clone());
        index.manifests.push(top);
        let bytes = serde_json::to_vec(&index).expect("an index serialises to JSON");
        self.install_bytes(&self.dir.join("oci-layout"), LAYOUT)?;
        self.install_bytes(&self.dir.join("index.json"), &bytes)?;
        match self.reset {
            Reset::Keep => Ok(()),
            Reset::Remove => self.remove_unnamed(&index),
        }
    }

    fn remove_unnamed(&self, index: &Index) -> Result<(), CacheError> {
        let mut named = BTreeSet::new();
        let mut open: Vec<Descriptor> = index.manifests.clone();
        while let Some(entry) = open.pop() {
            if !named.insert(entry.digest) {
                continue;
            }
            let bytes = self.read_blob(&entry).unwrap_or_default();
            match ManifestOrIndex::parse(&entry.media_type, &bytes) {
                Ok(ManifestOrIndex::Manifest(manifest)) => {
                    named.extend(manifest.layers.iter().map(|layer| layer.digest));
                    named.insert(manifest.config.digest);
                }
                Ok(ManifestOrIndex::Index(index)) => open.extend(index.manifests),
                Err(_) => {}
            }
        }
        let blobs = self.dir.join("blobs/sha256");
        let entries = fs::read_dir(&blobs).map_err(|error| CacheError::io("read", &blobs, error))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest: Option<Digest> = format!("sha256:{name}").parse().ok();
            if digest.is_some_and(|digest| !named.contains(&digest)) {
                let path = entry.path();
                fs::remove_file(&path).map_err(|error| CacheError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }
}

/// The lock of `index.json`, a file that is there only while it is held.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, CacheError> {
        let failed = |error| CacheError::io("lock", path, error);
        loop {
            let mut options = File::options();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(failed)?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
            let mine = file.metadata().map_err(failed)?.ino();
            // Who held it before may have removed the file.
            if fs::metadata(path).is_ok_and(|there| there.ino() == mine) {
                return Ok(Self {
                    path: path.to_owned(),
                    _file: file,
                });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A leftover is taken up by the next.
        drop(fs::remove_file(&self.path));
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(CacheError::io("use", ".", io::Error::other(error))))
}

#[async_trait]
impl manifest::Documents for LocalBackend {
    fn place(&self) -> String {
        Backend::place(self)
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, CacheError> {
        let (this, descriptor) = (self.clone(), descriptor.clone());
        blocking(move || this.read_blob(&descriptor)).await
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn place(&self) -> String {
        format!("local:{}", self.dir.display())
    }

    async fn read(&self) -> Result<Vec<CacheImage>, CacheError> {
        let this = self.clone();
        let (top, bytes) = blocking(move || {
            let top = this.top()?;
            let bytes = this.read_blob(&top)?;
            Ok((top, bytes))
        })
        .await?;
        manifest::caches(self, &top.media_type, &bytes).await
    }

    async fn absent(&self, blobs: &[Descriptor]) -> Result<Vec<Digest>, CacheError> {
        let is_there = |blob: &&Descriptor| {
            fs::metadata(self.blob(&blob.digest)).is_ok_and(|file| file.len() == blob.size)
        };
        let absent = blobs.iter().filter(|blob| !is_there(blob));
        Ok(absent.map(|blob| blob.digest).collect())
    }

    async fn put(&self, blob: &Descriptor, file: &Path) -> Result<(), CacheError> {
        let (this, place, source) = (self.clone(), self.blob(&blob.digest), file.to_owned());
        let copy = move || {
            this.install(&place, |file| {
                let mut source = File::open(&source)?;
                io::copy(&mut source, file).map(drop)
            })
        };
        blocking(copy).await
    }

    async fn get(&self, blob: &Descriptor, offset: u64, sink: &mut BlobSink<'_>) -> Result<(), CacheError> {
        let path = self.blob(&blob.digest);
        let failed = |error| CacheError::io("read", &path, error);
        let mut file = self.open(blob)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece).await.map_err(failed)?;
            if length == 0 {
                return Ok(());
            }
            sink(&piece[..length]).map_err(failed)?;
        }
    }

    async fn commit(&self, image: &CacheImage) -> Result<(), CacheError> {
        let (this, image) = (self.clone(), image.clone());
        blocking(move || this.write(&image)).await
    }
}
