//! Images as builds leave them: OCI layouts as directories or archives, read plainly and checked on the way.

use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::writer::digest_of;

/// An OCI layout.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    /// Holds what an archive was unpacked to.
    _unpacked: Option<TempDir>,
    /// `index.json`.
    pub index: Value,
}

/// An image of a layout.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: String,
    /// The manifest.
    pub manifest: Value,
    /// The config.
    pub config: Value,
    /// `OS/ARCH[/VARIANT]`.
    pub platform: String,
}

impl Layout {
    /// Opens a layout directory or archive.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn open(path: &Path) -> Self {
        let unpacked = path.is_file().then(|| {
            let to = tempfile::tempdir().expect("a temporary directory");
            let file = std::fs::File::open(path).expect("a file can be opened");
            let unpacked = tar::Archive::new(file).unpack(to.path());
            unpacked.unwrap_or_else(|e| panic!("cannot unpack `{}`: {e}", path.display()));
            to
        });
        let dir = unpacked.as_ref().map_or(path, |to| to.path()).to_owned();
        let layout: Value = json_file(&dir.join("oci-layout"));
        assert_eq!(layout["imageLayoutVersion"], "1.0.0");
        let index = json_file(&dir.join("index.json"));
        Self {
            dir,
            _unpacked: unpacked,
            index,
        }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads a blob; its digest must be right.
    ///
    /// # Panics
    /// It is missing or wrong.
    #[track_caller]
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        let path = self.dir.join("blobs").join(digest.replace(':', "/"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read `{}`: {e}", path.display()));
        assert_eq!(
            digest_of(&bytes),
            digest,
            "a blob has another digest than its name"
        );
        bytes
    }

    /// Returns the manifests that are images, in order, those of nested indexes in place; attestations are left out.
    #[track_caller]
    pub fn images(&self) -> Vec<Image> {
        let mut all = Vec::new();
        self.collect(&self.index, &mut all);
        all
    }

    /// Returns the only image.
    ///
    /// # Panics
    /// There is none, or there are several.
    #[track_caller]
    pub fn image(&self) -> Image {
        let mut images = self.images();
        assert_eq!(images.len(), 1, "expected one image in {}", self.index);
        images.remove(0)
    }

    #[track_caller]
    fn collect(&self, index: &Value, all: &mut Vec<Image>) {
        for descriptor in index["manifests"].as_array().expect("an index has manifests") {
            let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
            let bytes = self.blob(digest);
            assert_eq!(descriptor["size"], bytes.len(), "size of {digest}");
            let document: Value = serde_json::from_slice(&bytes).expect("a manifest is JSON");
            let is_attestation = descriptor["platform"]["os"] == "unknown";
            if document.get("manifests").is_some() {
                self.collect(&document, all);
            } else if !is_attestation {
                all.push(self.image_of(digest, document));
            }
        }
    }

    #[track_caller]
    fn image_of(&self, digest: &str, manifest: Value) -> Image {
        let config = self.blob(
            manifest["config"]["digest"]
                .as_str()
                .expect("a manifest has a config"),
        );
        let config: Value = serde_json::from_slice(&config).expect("a config is JSON");
        let parts = ["os", "architecture", "variant"].map(|key| config[key].as_str().unwrap_or_default());
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let platform = parts.join("/");
        Image {
            digest: digest.to_owned(),
            manifest,
            config,
            platform,
        }
    }

    /// Returns each layer of an image as an uncompressed tar; its `diff_id` must be right.
    ///
    /// # Panics
    /// A layer is not what manifest and config say.
    #[track_caller]
    pub fn layers(&self, image: &Image) -> Vec<Vec<u8>> {
        let layers = image.manifest["layers"].as_array().cloned().unwrap_or_default();
        let diff_ids = image.config["rootfs"]["diff_ids"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(layers.len(), diff_ids.len(), "layers and diff_ids");
        layers
            .iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| self.layer(layer, &diff_id))
            .collect()
    }

    #[track_caller]
    fn layer(&self, descriptor: &Value, diff_id: &Value) -> Vec<u8> {
        let blob = self.blob(descriptor["digest"].as_str().expect("a layer has a digest"));
        let media_type = descriptor["mediaType"]
            .as_str()
            .expect("a layer has a media type");
        let tar = if media_type.ends_with("gzip") {
            let mut tar = Vec::new();
            flate2::read::MultiGzDecoder::new(blob.as_slice())
                .read_to_end(&mut tar)
                .expect("a layer is gzip");
            tar
        } else if media_type.ends_with("zstd") {
            zstd::decode_all(blob.as_slice()).expect("a layer is zstd")
        } else {
            blob
        };
        assert_eq!(
            *diff_id,
            digest_of(&tar),
            "the diff_id of {}",
            descriptor["digest"]
        );
        tar
    }

    /// Returns the names in each layer of an image.
    ///
    /// # Panics
    /// A layer is no tar.
    #[track_caller]
    pub fn layer_names(&self, image: &Image) -> Vec<Vec<String>> {
        let names = |tar: &Vec<u8>| {
            let mut archive = tar::Archive::new(tar.as_slice());
            let entries = archive.entries().expect("a layer is a tar");
            let path = |entry: std::io::Result<tar::Entry<'_, _>>| {
                let entry: tar::Entry<'_, &[u8]> = entry.expect("a layer is a tar");
                String::from_utf8_lossy(&entry.path_bytes()).into_owned()
            };
            entries.map(path).collect()
        };
        self.layers(image).iter().map(names).collect()
    }

    /// Reads a file of an image from its topmost layer; whiteouts are not looked at.
    ///
    /// # Panics
    /// A layer is no tar.
    #[track_caller]
    pub fn file(&self, image: &Image, name: &str) -> Option<Vec<u8>> {
        self.layers(image).iter().rev().find_map(|tar| {
            let mut archive = tar::Archive::new(tar.as_slice());
            for entry in archive.entries().expect("a layer is a tar") {
                let mut entry = entry.expect("a layer is a tar");
                if entry.path_bytes().as_ref() == name.as_bytes() {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).expect("a file can be read");
                    return Some(bytes);
                }
            }
            None
        })
    }
}

#[track_caller]
fn json_file(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("cannot read `{}`: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("`{}` is no JSON: {e}", path.display()))
}
