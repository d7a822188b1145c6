//! Attestations: in-toto statements, SLSA provenance as BuildKit writes it, SBOM documents, and the manifests that
//! carry them; writing and reading.
//!
//! Pure data. Knows no file, network, clock or plugin: times and digests come from the caller.

mod error;
mod json;
mod llb;
mod manifest;
mod provenance;
mod purl;
mod scrub;
mod statement;

pub use error::AttestError;
pub use json::to_json;
pub use llb::Steps;
pub use llb::steps;
pub use manifest::ARTIFACT_TYPE;
pub use manifest::AttestationManifest;
pub use manifest::DIGEST_ANNOTATION;
pub use manifest::ManifestForm;
pub use manifest::PREDICATE_ANNOTATION;
pub use manifest::STATEMENT_TYPE;
pub use manifest::StatementBlob;
pub use manifest::TYPE_ANNOTATION;
pub use manifest::about;
pub use manifest::attestation_manifest;
pub use manifest::is_attestation;
pub use manifest::refers_to;
pub use manifest::statement_layers;
pub use provenance::BuildConfig;
pub use provenance::BuildkitMetadata;
pub use provenance::Completeness;
pub use provenance::ConfigSource;
pub use provenance::IdOptional;
pub use provenance::Local;
pub use provenance::Location;
pub use provenance::Locations;
pub use provenance::Material;
pub use provenance::Place;
pub use provenance::Provenance;
pub use provenance::ProvenanceMode;
pub use provenance::ProvenanceVersion;
pub use provenance::Range;
pub use provenance::Request;
pub use provenance::Root;
pub use provenance::RootRequest;
pub use provenance::SourceInfo;
pub use provenance::SourceMap;
pub use provenance::StepDef;
pub use purl::image_purl;
pub use purl::subject_name;
pub use scrub::REDACTED;
pub use scrub::Scrubber;
pub use scrub::is_secret_name;
pub use statement::CYCLONEDX;
pub use statement::PROVENANCE_PREFIX;
pub use statement::PROVENANCE_V1;
pub use statement::PROVENANCE_V02;
pub use statement::SPDX;
pub use statement::Statement;
pub use statement::Subject;
