//! Content hashes of paths, digest for digest those of BuildKit's `cache/contenthash`: tarsum headers without times
//! and names, contents, directories as the names and digests of what is in them.
//!
//! This says which bytes are hashed in which order; it never reads a file: [`FileDigests`] does, and remembers.

mod checksum;
mod filter;
mod header;
mod missing;
mod selector;

pub use checksum::Options;
pub use checksum::RootHeader;
pub use checksum::checksum;
pub use header::header;
pub use missing::Missing;
pub use selector::Selector;
pub use selector::content_key;
pub use selector::dedupe_paths;

use std::io;

use kiln_image::Digest;

use crate::Entry;

/// Knows the digests of files.
pub trait FileDigests {
    /// Returns the digest of `header` followed by the content of `file`, a [`crate::Node::File`].
    ///
    /// # Errors
    /// When the content cannot be read.
    fn digest(&self, file: &Entry, header: &[u8]) -> io::Result<Digest>;
}
