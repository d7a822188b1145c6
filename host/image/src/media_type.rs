//! Media types of what kiln reads and writes.

use std::fmt;

/// How the bytes of a layer are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip (RFC 1952); what every client reads.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The media types by name.
#[derive(Debug, Clone, Copy)]
pub struct MediaType;

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// OCI image config.
    pub const OCI_CONFIG: &'static str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, plain tar.
    pub const OCI_LAYER: &'static str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &'static str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &'static str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The empty JSON object `{}` (OCI 1.1).
    pub const OCI_EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    /// Docker manifest, schema 2.
    pub const DOCKER_MANIFEST: &'static str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_INDEX: &'static str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image config.
    pub const DOCKER_CONFIG: &'static str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, plain tar.
    pub const DOCKER_LAYER: &'static str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &'static str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// Returns true for an OCI index or a Docker manifest list.
    pub fn is_index(media_type: &str) -> bool {
        media_type == Self::OCI_INDEX || media_type == Self::DOCKER_INDEX
    }

    /// Returns true for an OCI or Docker image manifest.
    pub fn is_manifest(media_type: &str) -> bool {
        media_type == Self::OCI_MANIFEST || media_type == Self::DOCKER_MANIFEST
    }

    /// Returns the media type of a layer with this compression; Docker's names have no zstd, OCI's is used then.
    pub fn layer(compression: Compression, oci: bool) -> &'static str {
        match (compression, oci) {
            (Compression::None, true) => Self::OCI_LAYER,
            (Compression::None, false) => Self::DOCKER_LAYER,
            (Compression::Gzip, true) => Self::OCI_LAYER_GZIP,
            (Compression::Gzip, false) => Self::DOCKER_LAYER_GZIP,
            (Compression::Zstd, _) => Self::OCI_LAYER_ZSTD,
        }
    }

    /// Returns the compression that a layer's media type declares; `None` when it is no layer type that kiln reads.
    pub fn layer_compression(media_type: &str) -> Option<Compression> {
        const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        match media_type.replace(".nondistributable", "").as_str() {
            Self::OCI_LAYER | Self::DOCKER_LAYER => Some(Compression::None),
            Self::OCI_LAYER_GZIP | Self::DOCKER_LAYER_GZIP | FOREIGN => Some(Compression::Gzip),
            Self::OCI_LAYER_ZSTD => Some(Compression::Zstd),
            _ => None,
        }
    }
}
