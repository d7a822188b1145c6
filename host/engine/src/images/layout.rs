//! Reads OCI image layouts: a directory, or a tar archive of one. Docker archives (`docker save`) have an
//! `index.json` as well since Docker 25; older ones are refused with what to do.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::ManifestError;
use kiln_image::ManifestOrIndex;

/// Annotation that names a tag in an `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation by which containerd and BuildKit name the whole reference.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Most entries that an archive may have.
const MAX_ENTRIES: usize = 100_000;
/// Largest `index.json`, in bytes.
const MAX_INDEX: u64 = 4 << 20;

/// An OCI layout that was opened.
#[derive(Debug, Clone)]
pub struct Layout {
    path: PathBuf,
    blobs: Blobs,
    index: Arc<Index>,
}

#[derive(Debug, Clone)]
enum Blobs {
    Directory,
    Archive {
        file: Arc<File>,
        places: Arc<HashMap<Digest, (u64, u64)>>,
    },
}

impl Layout {
    /// Opens the directory or archive at `path`.
    ///
    /// # Errors
    /// When it is not an OCI layout.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let meta = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
        if !meta.is_dir() {
            return Self::open_archive(path);
        }
        let file = path.join("index.json");
        let bytes = match File::open(&file) {
            Ok(file) => read_limited(file, MAX_INDEX).map_err(|source| io_error(path, source))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LayoutError::NotALayout {
                    path: path.to_owned(),
                    missing: "index.json",
                });
            }
            Err(source) => return Err(io_error(&file, source)),
        };
        Ok(Self {
            path: path.to_owned(),
            blobs: Blobs::Directory,
            index: Arc::new(parse_index(path, &bytes)?),
        })
    }

    fn open_archive(path: &Path) -> Result<Self, LayoutError> {
        let failed = |source| io_error(path, source);
        let mut file = File::open(path).map_err(failed)?;
        let mut places = HashMap::new();
        let mut index = None;
        let mut archive = tar::Archive::new(io::BufReader::with_capacity(1 << 16, &file));
        let entries = archive.entries_with_seek().map_err(failed)?;
        for (count, entry) in entries.enumerate() {
            let mut entry = entry.map_err(failed)?;
            if count >= MAX_ENTRIES {
                return Err(failed(io::Error::other(format!(
                    "more than {MAX_ENTRIES} entries in the archive"
                ))));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./");
            if name == "index.json" {
                let mut bytes = Vec::new();
                entry
                    .by_ref()
                    .take(MAX_INDEX)
                    .read_to_end(&mut bytes)
                    .map_err(failed)?;
                index = Some(parse_index(path, &bytes)?);
            } else if let Some(digest) = name
                .strip_prefix("blobs/sha256/")
                .and_then(|h| Digest::from_hex(h).ok())
            {
                places.insert(digest, (entry.raw_file_position(), entry.size()));
            }
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let missing = "index.json";
        let index = index.ok_or_else(|| LayoutError::NotALayout {
            path: path.to_owned(),
            missing,
        })?;
        let blobs = Blobs::Archive {
            file: Arc::new(file),
            places: Arc::new(places),
        };
        Ok(Self {
            path: path.to_owned(),
            blobs,
            index: Arc::new(index),
        })
    }

    /// Returns the path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what `index.json` lists.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Returns the entry that `selector` names: a tag, a full reference, or `@sha256:…` (with or without the `@`).
    /// Without one the layout must hold a single image.
    ///
    /// # Errors
    /// When nothing or more than one thing matches.
    pub fn select(&self, selector: Option<&str>) -> Result<Descriptor, LayoutError> {
        let entries = &self.index.manifests;
        let named = |key: &str, name: &str| {
            entries
                .iter()
                .rev()
                .find(|d| d.annotations.get(key).is_some_and(|v| v == name))
                .cloned()
        };
        let found = match selector.filter(|s| !s.is_empty()) {
            None => match entries.as_slice() {
                [one] => Some(one.clone()),
                // An index of platforms laid out flat: the whole `index.json` is the image.
                [] => None,
                [first, ..] if entries.iter().all(|e| e.digest == first.digest) => Some(first.clone()),
                _ => {
                    return Err(LayoutError::Ambiguous {
                        path: self.path.clone(),
                        names: self.names(),
                    });
                }
            },
            Some(selector) => {
                let digest: Option<Digest> = selector.rsplit('@').next().and_then(|d| d.parse().ok());
                match digest {
                    Some(digest) => match entries.iter().find(|d| d.digest == digest) {
                        Some(entry) => Some(entry.clone()),
                        None => self.describe(&digest)?, // below an index
                    },
                    None => named(IMAGE_NAME, selector).or_else(|| named(REF_NAME, selector)),
                }
            }
        };
        found.ok_or_else(|| LayoutError::NoSuchImage {
            path: self.path.clone(),
            wanted: selector.unwrap_or_default().to_owned(),
            names: self.names(),
        })
    }

    fn describe(&self, digest: &Digest) -> Result<Option<Descriptor>, LayoutError> {
        let Ok(bytes) = self.read(digest, MAX_INDEX) else {
            return Ok(None);
        };
        let media_type = match ManifestOrIndex::parse("", &bytes).map_err(|source| self.malformed(source))? {
            ManifestOrIndex::Manifest(manifest) => manifest.media_type,
            ManifestOrIndex::Index(index) => index.media_type,
        };
        Ok(Some(Descriptor::new(&media_type, *digest, bytes.len() as u64)))
    }

    fn malformed(&self, source: ManifestError) -> LayoutError {
        LayoutError::Malformed {
            path: self.path.clone(),
            source,
        }
    }

    fn names(&self) -> String {
        let name = |d: &Descriptor| {
            d.annotations
                .get(REF_NAME)
                .cloned()
                .unwrap_or_else(|| format!("@{}", d.digest))
        };
        let names: Vec<String> = self.index.manifests.iter().map(name).collect();
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// Opens a blob. Its content is not checked yet.
    ///
    /// # Errors
    /// When it is missing or cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, LayoutError> {
        let missing = || LayoutError::NoBlob {
            path: self.path.clone(),
            digest: *digest,
        };
        match &self.blobs {
            Blobs::Directory => {
                let file = self.path.join("blobs/sha256").join(digest.hex());
                match File::open(&file) {
                    Ok(file) => Ok(Box::new(file)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
                    Err(source) => Err(io_error(&file, source)),
                }
            }
            Blobs::Archive { file, places } => {
                let (at, size) = *places.get(digest).ok_or_else(missing)?;
                Ok(Box::new(Slice {
                    file: file.clone(),
                    at,
                    left: size,
                }))
            }
        }
    }

    /// Reads a small blob and checks it.
    ///
    /// # Errors
    /// When it is missing, larger than `limit`, or not what its digest says.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, LayoutError> {
        let reader = self.open_blob(digest)?;
        let bytes = read_limited(reader, limit).map_err(|source| io_error(&self.path, source))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(LayoutError::Mismatch {
                path: self.path.clone(),
                expected: *digest,
                actual,
            });
        }
        Ok(bytes)
    }
}

struct Slice {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Slice {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let got = self.file.read_at(&mut buf[..want], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

fn read_limited(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn parse_index(path: &Path, bytes: &[u8]) -> Result<Index, LayoutError> {
    let malformed = |source| LayoutError::Malformed {
        path: path.to_owned(),
        source,
    };
    match ManifestOrIndex::parse(kiln_image::MediaType::OCI_INDEX, bytes).map_err(malformed)? {
        ManifestOrIndex::Index(index) => Ok(*index),
        ManifestOrIndex::Manifest(_) => Err(LayoutError::NotALayout {
            path: path.to_owned(),
            missing: "index.json with `manifests`",
        }),
    }
}

fn io_error(path: &Path, source: io::Error) -> LayoutError {
    LayoutError::Io {
        path: path.to_owned(),
        source,
    }
}

/// An OCI layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "`{}` is not an OCI layout: it has no {missing} (expected a directory or tar archive as `type=oci` writes; \
         `skopeo copy` converts others)",
        path.display()
    )]
    NotALayout {
        /// The path.
        path: PathBuf,
        /// What is not there.
        missing: &'static str,
    },
    /// Its `index.json` or a manifest is malformed.
    #[error("the OCI layout `{}` is malformed", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// How.
        #[source]
        source: ManifestError,
    },
    /// It holds several images and none was named.
    #[error("the OCI layout `{}` holds several images (name one of: {names})", path.display())]
    Ambiguous {
        /// The path.
        path: PathBuf,
        /// What there is.
        names: String,
    },
    /// It does not hold that image.
    #[error("the OCI layout `{}` does not hold `{wanted}` (it has: {names})", path.display())]
    NoSuchImage {
        /// The path.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        names: String,
    },
    /// A blob is missing.
    #[error("the OCI layout `{}` has no blob {digest}", path.display())]
    NoBlob {
        /// The path.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob is not what its digest says.
    #[error("blob {expected} of the OCI layout `{}` has the content {actual}", path.display())]
    Mismatch {
        /// The path.
        path: PathBuf,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
}
