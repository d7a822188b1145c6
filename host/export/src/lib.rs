//! What becomes of a build's result: an image is assembled from layers and a config, and written as an OCI layout, a
//! Docker archive, a plain tar or a directory.
//!
//! Knows nothing of graphs, solving, caches and plugins: it sees descriptors, configs and trees.

mod assemble;
mod csv;
mod layout;
mod output;
mod rootfs;

pub use assemble::AssembleError;
pub use assemble::Assembled;
pub use assemble::ImageParts;
pub use assemble::LayerPart;
pub use assemble::assemble;
pub use assemble::assemble_index;
pub use assemble::check_single;
pub use assemble::created_time;
pub use csv::split as split_csv;
pub use layout::ArchiveKind;
pub use layout::Blob;
pub use layout::BlobBytes;
pub use layout::ImageName;
pub use layout::LayoutError;
pub use layout::Top;
pub use layout::write_archive;
pub use layout::write_directory;
pub use output::Annotation;
pub use output::AnnotationLevel;
pub use output::Destination;
pub use output::Format;
pub use output::ImageOutput;
pub use output::LocalMode;
pub use output::Output;
pub use output::OutputError;
pub use output::Rewrite;
pub use rootfs::RootfsError;
pub use rootfs::write_local;
pub use rootfs::write_tar;
