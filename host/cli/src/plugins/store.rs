//! Plugins of registries, kept on disk as an OCI image layout: the store's own, and one that a project carries along.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;

/// Annotation with the name of an image in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";

/// An OCI image layout.
#[derive(Debug, Clone)]
pub(crate) struct PluginStore {
    dir: PathBuf,
}

impl PluginStore {
    /// Names a directory; it is made when something is put into it.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Returns the directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns a blob whose bytes are what the digest says; none when it is not there or damaged.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path(digest)).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Keeps a blob.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        if self.blob(&digest).is_none() {
            write(&self.path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Names a manifest in the index.
    pub(crate) fn name(&self, mut manifest: Descriptor, name: &str) -> io::Result<()> {
        let mut index = self.index();
        manifest.annotations.insert(NAME.to_owned(), name.to_owned());
        index
            .manifests
            .retain(|known| known.annotations.get(NAME).map(String::as_str) != Some(name));
        index.manifests.push(manifest);
        index
            .manifests
            .sort_by(|a, b| a.annotations.get(NAME).cmp(&b.annotations.get(NAME)));
        let text = serde_json::to_vec_pretty(&index).map_err(io::Error::other)?;
        write(&self.dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        write(&self.dir.join("index.json"), &text)
    }

    /// Returns the names with their manifests.
    pub(crate) fn names(&self) -> Vec<(String, Descriptor)> {
        let named = |manifest: Descriptor| Some((manifest.annotations.get(NAME)?.clone(), manifest));
        self.index().manifests.into_iter().filter_map(named).collect()
    }

    fn index(&self) -> Index {
        let bytes = fs::read(self.dir.join("index.json")).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_else(|| Index::new(Vec::new()))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }
}

/// Writes a file that is seen only when it is whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_come_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = PluginStore::at(dir.path().join("plugins"));
        let digest = store.put(b"component").expect("it is kept");
        assert_eq!(store.blob(&digest).as_deref(), Some(&b"component"[..]));
        fs::write(store.path(&digest), b"swapped").expect("a file");
        assert_eq!(store.blob(&digest), None);
        store.put(b"component").expect("it is kept again");
        assert!(store.blob(&digest).is_some());
        store.name(Descriptor::new("m", digest, 9), "b").expect("named");
        store.name(Descriptor::new("m", digest, 9), "a").expect("named");
        store
            .name(Descriptor::new("m", digest, 9), "b")
            .expect("named again");
        let names: Vec<String> = store.names().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
