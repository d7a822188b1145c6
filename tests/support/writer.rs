//! Images written by hand, right ones and wrong ones: nothing is checked, so that tests can lie.

use std::io::Write;
use std::path::Path;

use serde_json::Value;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;
use tar::EntryType;

/// An entry of a tar archive; its name is written as it is, `..` and all.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path as written.
    pub name: String,
    /// Kind.
    pub kind: EntryType,
    /// Mode bits.
    pub mode: u32,
    /// Content of a file.
    pub data: Vec<u8>,
    /// Target of a link.
    pub link: String,
}

impl Entry {
    /// A file of mode 644.
    pub fn file(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            kind: EntryType::Regular,
            mode: 0o644,
            data: data.to_vec(),
            link: String::new(),
        }
    }

    /// A directory of mode 755.
    pub fn dir(name: &str) -> Self {
        Self {
            kind: EntryType::Directory,
            mode: 0o755,
            ..Self::file(name, b"")
        }
    }

    /// A symbolic link.
    pub fn symlink(name: &str, target: &str) -> Self {
        Self {
            kind: EntryType::Symlink,
            mode: 0o777,
            link: target.to_owned(),
            ..Self::file(name, b"")
        }
    }

    /// A hard link.
    pub fn hardlink(name: &str, target: &str) -> Self {
        Self {
            kind: EntryType::Link,
            link: target.to_owned(),
            ..Self::file(name, b"")
        }
    }
}

/// Writes a tar archive of entries that root owns.
///
/// # Panics
/// A name is longer than 99 bytes.
pub fn tar_of(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        put(&mut header.as_old_mut().name, &entry.name);
        put(&mut header.as_old_mut().linkname, &entry.link);
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(entry.data.len() as u64);
        header.set_cksum();
        builder
            .append(&header, entry.data.as_slice())
            .expect("memory can be written");
    }
    builder.into_inner().expect("memory can be written")
}

fn put(field: &mut [u8; 100], text: &str) {
    assert!(
        text.len() < field.len(),
        "`{text}` is too long for a plain header"
    );
    field[..text.len()].copy_from_slice(text.as_bytes());
}

/// Compresses.
///
/// # Panics
/// Never: memory can be written.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

/// Returns `sha256:` and the digest.
pub fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a string can be written");
    }
    text
}

/// Writes an OCI layout with one image, and lets the documents be changed on the way.
#[derive(Debug)]
pub struct LayoutWriter {
    /// Layers as they go into the layout, with their media types.
    pub layers: Vec<(String, Vec<u8>)>,
    /// `diff_ids` of the config.
    pub diff_ids: Vec<String>,
    /// What is written instead of a blob, by position of the layer.
    pub replaced: Vec<(usize, Vec<u8>)>,
    /// Change of the manifest.
    pub manifest: fn(&mut Value),
    /// Change of the config.
    pub config: fn(&mut Value),
}

impl LayoutWriter {
    /// An image with one layer of an uncompressed tar.
    pub fn of_tar(tar: Vec<u8>) -> Self {
        let diff_id = digest_of(&tar);
        Self::of_blob("application/vnd.oci.image.layer.v1.tar", tar, diff_id)
    }

    /// An image with one layer of any bytes.
    pub fn of_blob(media_type: &str, blob: Vec<u8>, diff_id: String) -> Self {
        Self {
            layers: vec![(media_type.to_owned(), blob)],
            diff_ids: vec![diff_id],
            replaced: Vec::new(),
            manifest: |_| (),
            config: |_| (),
        }
    }

    /// Writes the layout.
    ///
    /// # Panics
    /// Files cannot be written.
    pub fn write(&self, dir: &Path) {
        std::fs::create_dir_all(dir.join("blobs/sha256")).expect("directories can be made");
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("a file can be written");
        let mut config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
            "config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        });
        (self.config)(&mut config);
        let config = blob(
            dir,
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(media_type, bytes)| blob(dir, media_type, bytes))
            .collect();
        for (at, bytes) in &self.replaced {
            let digest = digest_of(&self.layers[*at].1);
            std::fs::write(dir.join("blobs").join(digest.replace(':', "/")), bytes)
                .expect("a file can be written");
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        (self.manifest)(&mut manifest);
        let manifest = blob(dir, kind, manifest.to_string().as_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        std::fs::write(dir.join("index.json"), index.to_string()).expect("a file can be written");
    }
}

/// Writes a blob and returns its descriptor.
fn blob(dir: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = digest_of(bytes);
    std::fs::write(dir.join("blobs").join(digest.replace(':', "/")), bytes).expect("a file can be written");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}
