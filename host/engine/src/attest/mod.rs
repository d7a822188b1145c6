//! What is said of images: how they were built.

mod attach;
mod document;
mod options;
mod record;
mod scan;
mod sources;

pub use options::AttestLayout;
pub use options::Attestations;
pub use options::ProvenanceOptions;
pub use options::SbomFormat;
pub use options::SbomOptions;

/// What was written down while building; one for each output.
#[derive(Debug, Default)]
pub(crate) struct Attested {
    pub(crate) recorded: Vec<Recorded>,
    /// What is in them; none where a scan failed.
    pub(crate) scans: Vec<Option<Scan>>,
}

pub(crate) use attach::About;
pub(crate) use attach::attach;
pub(crate) use document::Scanned;
pub(crate) use record::Reader;
pub(crate) use record::Recorded;
pub(crate) use record::record;
pub(crate) use scan::Scan;
pub(crate) use scan::scan;
