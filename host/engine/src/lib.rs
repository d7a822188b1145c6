//! The build engine: binds the solver to real work. Opens a store, lets a frontend lower a build file, solves the
//! graph, hands the result to the exporters.
//!
//! Knows no terminal, environment or home directory, and no WebAssembly: frontends come through
//! [`Frontends`], events go to a [`kiln_progress::Sink`].

mod admin;
mod archive;
mod attest;
mod bridge;
mod build;
mod caches;
mod config;
mod context;
mod doctor;
mod engine;
mod error;
mod export;
mod files;
mod images;
mod index;
mod inspect;
mod keys;
mod layers;
mod main_context;
mod memo;
mod observer;
mod ops;
mod outcome;
mod remote;
mod request;

pub use attest::AttestLayout;
pub use attest::Attestations;
pub use attest::ProvenanceOptions;
pub use attest::SbomFormat;
pub use attest::SbomOptions;
pub use config::Adapters;
pub use config::Catalogers;
pub use config::Config;
pub use config::Finders;
pub use config::Frontends;
pub use config::OpenedAdapter;
pub use config::Options;
pub use config::Snapshotter;
pub use context::WalkError;
pub use engine::Engine;
pub use error::BuildError;
pub use error::EngineError;
pub use error::Fault;
pub use error::Place;
pub use images::ImageError;
pub use images::ImageStore;
pub use images::Layout;
pub use images::LayoutError;
pub use images::StoredImage;
pub use inspect::InspectDetail;
pub use inspect::Inspected;
pub use inspect::InspectedImage;
pub use inspect::InspectedStatement;
pub use kiln_graph::SourcePolicy;
pub use kiln_store::Filter as PruneFilter;
pub use kiln_store::GcPolicy;
pub use kiln_store::GcReport;
pub use kiln_store::Scope as PruneScope;
pub use kiln_store::StoreError;
pub use kiln_store::Usage;
pub use kiln_store::UsageKind;
pub use kiln_store::UsageRecord;
pub use layers::LayersError;
pub use outcome::BuildOutcome;
pub use outcome::BuiltImage;
pub use request::BuildFile;
pub use request::BuildRequest;
pub use request::Context;
pub use request::Entitlement;
pub use request::NamedContext;
pub use request::NoCache;
pub use request::Secret;
