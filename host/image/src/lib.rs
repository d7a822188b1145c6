//! The OCI data model: what an image *is*. Digests, references, platforms, media types, descriptors, manifests,
//! configs.
//!
//! Lowest layer. Values are parsed once and are well formed from then on; nothing here opens a file or a socket.
//! Follows the OCI image specification 1.1 and the reference grammar of the distribution project.

mod config;
mod digest;
mod manifest;
mod media_type;
mod platform;
mod reference;

pub use config::{ConfigError, ImageConfig};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use manifest::{Descriptor, Index, Manifest, ManifestError, ManifestOrIndex};
pub use media_type::{Compression, MediaType};
pub use platform::{ParsePlatformError, Platform};
pub use reference::{ParseReferenceError, Reference};
