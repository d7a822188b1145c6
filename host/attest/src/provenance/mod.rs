//! SLSA provenance: one model, written in the shapes of both versions as BuildKit writes them.

mod model;
mod v02;
mod v1;

pub use model::BuildConfig;
pub use model::BuildkitMetadata;
pub use model::Completeness;
pub use model::ConfigSource;
pub use model::IdOptional;
pub use model::Local;
pub use model::Location;
pub use model::Locations;
pub use model::Material;
pub use model::Place;
pub use model::Provenance;
pub use model::ProvenanceMode;
pub use model::ProvenanceVersion;
pub use model::Range;
pub use model::Request;
pub use model::Root;
pub use model::RootRequest;
pub use model::SourceInfo;
pub use model::SourceMap;
pub use model::StepDef;
