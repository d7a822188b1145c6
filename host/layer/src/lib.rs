//! Layers: written from a [`ChangeSet`] in one pass (read, tar, diff ID, compress, digest), read from archives that
//! nobody trusts, unpacked into directories that overlayfs mounts.
//!
//! Knows no store, mount, image config or registry. Layer directories have the form of an overlay upper directory:
//! a whiteout is a character device 0:0, an opaque directory has the attribute `user.overlay.opaque=y`.
//!
//! [`ChangeSet`]: kiln_tree::ChangeSet

mod archive;
mod codec;
mod content;
mod decompress;
mod dest;
mod error;
mod header;
mod layer_files;
mod lowers;
mod options;
mod pax;
mod placing;
mod pool;
mod read;
mod stream;
mod tar;
mod unpack;
mod write;

pub use content::ContentSource;
pub use content::DiskSource;
pub use decompress::decompress;
pub use error::LayerError;
pub use layer_files::LayerFiles;
pub use options::Devices;
pub use options::Limits;
pub use options::Owner;
pub use options::ReadOptions;
pub use options::UnpackOptions;
pub use options::WriteOptions;
pub use pool::Pool;
pub use read::LayerIndex;
pub use read::read_layer;
pub use unpack::Unpacked;
pub use unpack::materialise;
pub use unpack::unpack;
pub use write::LayerSums;
pub use write::recompress;
pub use write::write_layer;
pub use write::write_layer_watched;
pub use write::write_tar;
