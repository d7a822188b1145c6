//! Writes OCI image layouts and Docker archives.
//!
//! An archive has BuildKit's shape and order (directories, blobs by digest, `index.json`, `manifest.json`,
//! `oci-layout`), owners and times 0, so that the same image gives the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::Reference;
use serde_json::json;

const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub enum BlobBytes {
    /// In memory.
    Memory(Vec<u8>),
    /// A file.
    File(PathBuf),
}

/// A blob to write.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub bytes: BlobBytes,
}

impl Blob {
    /// Returns a blob of `bytes`.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            bytes: BlobBytes::Memory(bytes),
        }
    }
}

/// A name under which an image is listed.
#[derive(Debug, Clone)]
pub struct ImageName(pub Reference);

/// Which kind of archive is written.
#[derive(Debug, Clone)]
pub enum ArchiveKind {
    /// An OCI layout.
    Oci,
    /// An OCI layout with the `manifest.json` that `docker load` reads: config and layers of the one image.
    Docker {
        /// The image's config.
        config: Digest,
        /// The image's layers, base first.
        layers: Vec<Digest>,
    },
}

/// What `index.json` lists.
#[derive(Debug, Clone)]
pub struct Top {
    /// The image's manifest or index.
    pub descriptor: Descriptor,
    /// Its names.
    pub names: Vec<ImageName>,
    /// `org.opencontainers.image.created`.
    pub created: String,
    /// More annotations of the descriptor.
    pub annotations: BTreeMap<String, String>,
}

impl Top {
    /// Returns the `index.json`: one entry for each name, or one without a name.
    fn entries(&self) -> Vec<Descriptor> {
        let mut plain = self.descriptor.clone();
        plain.annotations.extend(self.annotations.clone());
        plain.annotations.insert(
            "org.opencontainers.image.created".to_owned(),
            self.created.clone(),
        );
        if self.names.is_empty() {
            return vec![plain];
        }
        let named = |name: &ImageName| {
            let mut entry = plain.clone();
            entry
                .annotations
                .insert("io.containerd.image.name".to_owned(), name.0.to_string());
            let tag = name.0.tag().unwrap_or("latest").to_owned();
            entry
                .annotations
                .insert("org.opencontainers.image.ref.name".to_owned(), tag);
            entry
        };
        self.names.iter().map(named).collect()
    }
}

/// A layout cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file could not be written or read.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A blob changed while it was written.
    #[error("blob {digest} has {found} bytes where {expected} were announced")]
    Size {
        /// The blob.
        digest: Digest,
        /// What was announced.
        expected: u64,
        /// What there was.
        found: u64,
    },
    /// The directory has a damaged `index.json`.
    #[error("`{}` is not an index of an OCI layout", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    move |source| LayoutError::Io { action, path, source }
}

/// Writes an archive. `place` is only named in errors.
///
/// # Errors
/// When a blob cannot be read or the archive not be written.
pub fn write_archive(
    out: &mut dyn Write,
    place: &Path,
    top: &Top,
    blobs: &[Blob],
    kind: &ArchiveKind,
) -> Result<(), LayoutError> {
    let mut archive = Archive { out, place };
    archive.entry("blobs/", 0o755, tar::EntryType::Directory, &[])?;
    archive.entry("blobs/sha256/", 0o755, tar::EntryType::Directory, &[])?;
    let sorted: BTreeMap<Digest, &Blob> = blobs.iter().map(|blob| (blob.digest, blob)).collect();
    sorted.values().try_for_each(|blob| archive.blob(blob))?;
    let index = compact(&Index::new(top.entries()));
    archive.entry("index.json", 0o644, tar::EntryType::Regular, &index)?;
    if let ArchiveKind::Docker { config, layers } = kind {
        let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let layers: Vec<String> = layers.iter().map(path).collect();
        let tags: Vec<String> = top.names.iter().map(|name| name.0.familiar()).collect();
        let tags = if tags.is_empty() {
            serde_json::Value::Null
        } else {
            json!(tags)
        };
        // Docker reads the fields in any order; this is the order in which it writes them.
        let manifest = format!(
            r#"[{{"Config":{},"RepoTags":{tags},"Layers":{}}}]"#,
            json!(path(config)),
            json!(layers)
        );
        archive.entry(
            "manifest.json",
            0o644,
            tar::EntryType::Regular,
            manifest.as_bytes(),
        )?;
    }
    archive.entry("oci-layout", 0o444, tar::EntryType::Regular, OCI_LAYOUT)?;
    archive.write(&[0; 1024])
}

fn compact(index: &Index) -> Vec<u8> {
    serde_json::to_vec(index).expect("an index serialises to JSON")
}

struct Archive<'a> {
    out: &'a mut dyn Write,
    place: &'a Path,
}

impl Archive<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        self.out.write_all(bytes).map_err(failed("write", self.place))
    }

    fn header(&mut self, path: &str, mode: u32, kind: tar::EntryType, size: u64) -> Result<(), LayoutError> {
        let mut header = tar::Header::new_ustar();
        header
            .set_path(path)
            .map_err(failed("name an entry of", self.place))?;
        header.set_mode(mode);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        kind: tar::EntryType,
        bytes: &[u8],
    ) -> Result<(), LayoutError> {
        self.header(path, mode, kind, bytes.len() as u64)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn pad(&mut self, size: u64) -> Result<(), LayoutError> {
        let over = (size % 512) as usize;
        if over == 0 {
            Ok(())
        } else {
            self.write(&[0; 512][over..])
        }
    }

    fn blob(&mut self, blob: &Blob) -> Result<(), LayoutError> {
        let path = format!("blobs/sha256/{}", blob.digest.hex());
        match &blob.bytes {
            BlobBytes::Memory(bytes) => self.entry(&path, 0o444, tar::EntryType::Regular, bytes),
            BlobBytes::File(file) => {
                self.header(&path, 0o444, tar::EntryType::Regular, blob.size)?;
                let mut source = File::open(file).map_err(failed("read", file))?;
                let mut left = blob.size;
                let mut buffer = vec![0; 1 << 20];
                loop {
                    let got = source.read(&mut buffer).map_err(failed("read", file))?;
                    let (digest, expected) = (blob.digest, blob.size);
                    let Some(rest) = left.checked_sub(got as u64) else {
                        let found = expected - left + got as u64;
                        return Err(LayoutError::Size {
                            digest,
                            expected,
                            found,
                        });
                    };
                    left = rest;
                    if got == 0 && left > 0 {
                        return Err(LayoutError::Size {
                            digest,
                            expected,
                            found: expected - left,
                        });
                    }
                    if got == 0 {
                        return self.pad(blob.size);
                    }
                    self.write(&buffer[..got])?;
                }
            }
        }
    }
}

/// Writes or extends a layout directory: blobs that are there are kept, entries of `index.json` with the same names
/// are replaced, others stay.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write_directory(directory: &Path, top: &Top, blobs: &[Blob]) -> Result<(), LayoutError> {
    let at = directory.join("blobs/sha256");
    std::fs::create_dir_all(&at).map_err(failed("create", &at))?;
    for blob in blobs {
        let path = at.join(blob.digest.hex());
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == blob.size) {
            continue;
        }
        match &blob.bytes {
            BlobBytes::Memory(bytes) => write_whole(&path, bytes)?,
            BlobBytes::File(source) => copy_whole(source, &path)?,
        }
    }
    let file = directory.join("index.json");
    let mut entries = existing(&file)?;
    let new = top.entries();
    let name = |d: &Descriptor| d.annotations.get("io.containerd.image.name").cloned();
    let names: Vec<_> = new.iter().map(name).collect();
    entries.retain(|old| !new.iter().any(|n| n.digest == old.digest) && !names.contains(&name(old)));
    entries.extend(new);
    write_whole(&directory.join("oci-layout"), OCI_LAYOUT)?;
    write_whole(&file, &compact(&Index::new(entries)))
}

fn existing(file: &Path) -> Result<Vec<Descriptor>, LayoutError> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", file)(error)),
    };
    let index: Index = serde_json::from_slice(&bytes).map_err(|source| LayoutError::Index {
        path: file.to_owned(),
        source,
    })?;
    Ok(index.manifests)
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new().prefix(".kiln-").tempfile_in(directory)?;
        file.write_all(bytes)?;
        readable(file.path())?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(failed("write", path))
}

fn copy_whole(source: &Path, path: &Path) -> Result<(), LayoutError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut from = File::open(source).map_err(failed("read", source))?;
    let mut copy = || {
        let mut file = tempfile::Builder::new().prefix(".kiln-").tempfile_in(directory)?;
        io::copy(&mut from, file.as_file_mut())?;
        readable(file.path())?;
        file.persist(path)?;
        Ok(())
    };
    copy().map_err(failed("write", path))
}

fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_image::MediaType;

    fn top() -> Top {
        Top {
            descriptor: Descriptor::of(MediaType::OCI_MANIFEST, b"{}"),
            names: vec![ImageName("example.com/a:1".parse().unwrap())],
            created: "1970-01-01T00:00:00Z".to_owned(),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn an_archive_has_buildkits_shape() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("layer");
        std::fs::write(&file, b"layer").unwrap();
        let layer = Blob {
            digest: Digest::of("layer"),
            size: 5,
            bytes: BlobBytes::File(file),
        };
        let blobs = [Blob::of(b"{}".to_vec()), layer];
        let kind = ArchiveKind::Docker {
            config: blobs[0].digest,
            layers: vec![blobs[1].digest],
        };
        let mut bytes = Vec::new();
        write_archive(&mut bytes, Path::new("a.tar"), &top(), &blobs, &kind).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|e| {
                e.unwrap()
                    .path()
                    .unwrap()
                    .to_string_lossy()
                    .chars()
                    .take(20)
                    .collect()
            })
            .collect();
        let expect = [
            "blobs/",
            "blobs/sha256/",
            "blobs/sha256/44136fa",
            "blobs/sha256/dac1d7c",
            "index.json",
        ];
        assert_eq!(names[..5], expect);
        assert_eq!(names[5..], ["manifest.json", "oci-layout"]);
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn a_blob_of_another_size_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("layer");
        for content in ["laye", "layers"] {
            std::fs::write(&file, content).unwrap();
            let layer = Blob {
                digest: Digest::of("layer"),
                size: 5,
                bytes: BlobBytes::File(file.clone()),
            };
            let result = write_archive(
                &mut Vec::new(),
                Path::new("a"),
                &top(),
                &[layer],
                &ArchiveKind::Oci,
            );
            assert!(
                matches!(result, Err(LayoutError::Size { expected: 5, .. })),
                "{result:?}"
            );
        }
    }

    #[test]
    fn a_directory_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("layout");
        write_directory(&path, &top(), &[Blob::of(b"{}".to_vec())]).unwrap();
        let mut other = top();
        other.names = vec![ImageName("example.com/b:2".parse().unwrap())];
        other.descriptor = Descriptor::of(MediaType::OCI_MANIFEST, b"[]");
        write_directory(&path, &other, &[]).unwrap();
        write_directory(&path, &other, &[]).unwrap();
        let entries = existing(&path.join("index.json")).unwrap();
        assert_eq!(entries.len(), 2);
    }
}
