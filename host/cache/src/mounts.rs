//! Contents of cache mounts, in a document of their own beside a cache's: who looks for layers never reads it, and
//! BuildKit finds a cache without records there.

use std::collections::BTreeMap;

use kiln_image::Descriptor;
use serde::Deserialize;
use serde::Serialize;

use crate::backend::CacheImage;
use crate::backend::LayerInfo;
use crate::chunks::Chunk;
use crate::config::CacheConfig;

/// Media type of a piece of a cache mount.
const CHUNK: &str = "application/vnd.kiln.cache-mount.chunk.v1";
/// Most cache mounts of a document.
const MOUNTS: usize = 256;
/// Most pieces of a cache mount.
const CHUNKS: usize = 1 << 18;

/// The content of a cache mount: a tar archive in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSnapshot {
    /// Name of the cache mount.
    pub id: String,
    /// Platform of the machine that filled it.
    pub platform: String,
    /// Permission bits of the directory.
    pub mode: u32,
    /// Owner of the directory.
    pub uid: u32,
    /// Group of the directory.
    pub gid: u32,
    /// The archive's pieces, in order.
    pub chunks: Vec<Chunk>,
}

impl MountSnapshot {
    /// Returns the size of the archive.
    pub fn size(&self) -> u64 {
        let lengths = self.chunks.iter().map(|chunk| chunk.length);
        lengths.fold(0, u64::saturating_add)
    }

    /// Returns what the pieces are called at the place that has them.
    pub fn blobs(&self) -> impl Iterator<Item = Descriptor> + '_ {
        self.chunks.iter().map(Chunk::blob)
    }

    /// Tells what is wrong with it.
    fn check(&self) -> Result<(), String> {
        if self.chunks.len() > CHUNKS {
            return Err(format!(
                "cache mount `{}` has {} chunks",
                self.id,
                self.chunks.len()
            ));
        }
        match self.chunks.iter().find(|chunk| !chunk.is_possible()) {
            Some(chunk) => Err(format!(
                "chunk {} of cache mount `{}` has {} bytes for {}",
                chunk.digest, self.id, chunk.size, chunk.length
            )),
            None => Ok(()),
        }
    }
}

impl Chunk {
    /// Returns what the piece is called at the place that has it.
    pub fn blob(&self) -> Descriptor {
        Descriptor::new(CHUNK, self.digest, self.size)
    }
}

impl CacheImage {
    /// Returns the document that has these cache mounts, ordered.
    pub fn of_mounts(mut mounts: Vec<MountSnapshot>) -> Self {
        mounts.sort_by(|a, b| (&a.id, &a.platform).cmp(&(&b.id, &b.platform)));
        let blobs = mounts.iter().flat_map(MountSnapshot::blobs);
        let info = |descriptor: Descriptor| {
            let diff_id = descriptor.digest;
            let info = LayerInfo {
                descriptor,
                diff_id,
                created: None,
            };
            (diff_id, info)
        };
        let layers: BTreeMap<_, _> = blobs.map(info).collect();
        let config = CacheConfig {
            mounts,
            ..CacheConfig::default()
        };
        Self { config, layers }
    }

    /// Returns the cache mounts that it has, or what is wrong with them.
    ///
    /// # Errors
    /// When they cannot be what somebody left there.
    pub fn into_mounts(self) -> Result<Vec<MountSnapshot>, String> {
        let mounts = self.config.mounts;
        if mounts.len() > MOUNTS {
            return Err(format!("it has {} cache mounts", mounts.len()));
        }
        mounts.iter().try_for_each(MountSnapshot::check)?;
        Ok(mounts)
    }
}

#[cfg(test)]
mod tests {
    use kiln_image::Digest;

    use super::*;

    fn chunk(length: u64, size: u64) -> Chunk {
        Chunk {
            digest: Digest::of(format!("{length} {size}")),
            size,
            length,
        }
    }

    fn mount(id: &str, chunks: Vec<Chunk>) -> MountSnapshot {
        MountSnapshot {
            id: id.to_owned(),
            platform: "linux/amd64".to_owned(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            chunks,
        }
    }

    #[test]
    fn documents_come_back_as_they_were() {
        let mounts = vec![mount("b", vec![chunk(10, 20)]), mount("a", Vec::new())];
        let image = CacheImage::of_mounts(mounts.clone());
        assert_eq!(image.layers.len(), 1);
        let text = serde_json::to_string(&image.config).expect("JSON");
        let config: CacheConfig = serde_json::from_str(&text).expect("the document");
        let read = CacheImage {
            config,
            ..CacheImage::default()
        };
        let expect: Vec<_> = mounts.into_iter().rev().collect();
        assert_eq!(read.into_mounts(), Ok(expect));
        assert!(
            !serde_json::to_string(&CacheConfig::default())
                .expect("JSON")
                .contains("mounts")
        );
    }

    #[test]
    fn what_nobody_can_have_left_there_is_refused() {
        let cases = [
            ("more than a chunk", vec![mount("a", vec![chunk(5 << 20, 10)])]),
            ("nothing", vec![mount("a", vec![chunk(0, 10)])]),
            ("from nothing", vec![mount("a", vec![chunk(10, 0)])]),
            ("a bomb's reverse", vec![mount("a", vec![chunk(10, 1 << 40)])]),
            ("too many", vec![mount("a", Vec::new()); MOUNTS + 1]),
        ];
        for (name, mounts) in cases {
            assert!(CacheImage::of_mounts(mounts).into_mounts().is_err(), "{name}");
        }
    }
}
