//! Build caches that others can read: BuildKit's cache format (`application/vnd.buildkit.cacheconfig.v0`) both ways,
//! the places where it is kept, and an index of what was imported.
//!
//! Knows digests, manifests and the solver's keys; never what a step does, nor how a layer becomes a directory.

mod adapter_spec;
mod backend;
mod bucket;
mod chunks;
mod config;
mod error;
mod export;
mod import;
mod inline;
mod local;
mod manifest;
mod mounts;
mod mounts_spec;
mod objects;
mod objects_spec;
mod registry;
mod spec;

pub use crate::adapter_spec::AdapterPlace;
pub use crate::backend::Backend;
pub use crate::backend::BlobSink;
pub use crate::backend::CacheImage;
pub use crate::backend::LayerInfo;
pub use crate::bucket::Bucket;
pub use crate::bucket::BucketObject;
pub use crate::bucket::When;
pub use crate::chunks::Chunk;
pub use crate::chunks::pack;
pub use crate::config::CacheConfig;
pub use crate::config::CacheInput;
pub use crate::config::CacheLayer;
pub use crate::config::CacheRecord;
pub use crate::config::CacheResult;
pub use crate::config::CacheResultChain;
pub use crate::config::LayerAnnotations;
pub use crate::error::CacheError;
pub use crate::export::Export;
pub use crate::export::ExportInput;
pub use crate::export::ExportStep;
pub use crate::import::ImportedIndex;
pub use crate::import::Materialise;
pub use crate::inline::INLINE_KEY;
pub use crate::inline::inline;
pub use crate::inline::inline_caches;
pub use crate::local::LocalBackend;
pub use crate::manifest::DOCUMENT;
pub use crate::manifest::ManifestForm;
pub use crate::manifest::read_config;
pub use crate::manifest::write_config;
pub use crate::mounts::MountSnapshot;
pub use crate::mounts_spec::MountsTo;
pub use crate::objects::ObjectBackend;
pub use crate::objects_spec::ObjectKind;
pub use crate::objects_spec::Objects;
pub use crate::registry::RegistryBackend;
pub use crate::spec::CacheFrom;
pub use crate::spec::CacheTo;
pub use crate::spec::Location;
pub use crate::spec::Mode;
pub use crate::spec::SpecError;
