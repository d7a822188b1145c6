//! Attaches what is said of an image to it.

use kiln_attest::AttestationManifest;
use kiln_attest::ManifestForm;
use kiln_attest::Provenance;
use kiln_attest::ProvenanceMode;
use kiln_attest::Statement;
use kiln_attest::StatementBlob;
use kiln_attest::Subject;
use kiln_export::Assembled;
use kiln_image::Platform;
use kiln_image::Reference;
use serde_json::Value;

use super::ProvenanceOptions;
use super::Recorded;

/// An image that is written, and what is said of it.
pub(crate) struct About<'a> {
    pub(crate) image: &'a Assembled,
    pub(crate) names: &'a [Reference],
    pub(crate) provenance: Option<(&'a ProvenanceOptions, &'a Recorded)>,
    /// SBOMs: predicate types and documents.
    pub(crate) sboms: Vec<(&'static str, Value)>,
}

/// Makes the attestation manifest; none when nothing is said.
pub(crate) fn attach(about: &About<'_>, form: ManifestForm) -> Option<AttestationManifest> {
    let subjects = subjects(about);
    let mut blobs: Vec<StatementBlob> = Vec::new();
    let mut add = |predicate_type: &str, predicate: Value| {
        let statement = Statement::new(predicate_type, subjects.clone(), predicate);
        blobs.push(StatementBlob {
            predicate_type: predicate_type.to_owned(),
            bytes: statement.to_bytes(),
        });
    };
    for (kind, document) in &about.sboms {
        add(kind, document.clone());
    }
    if let Some((options, recorded)) = about.provenance {
        let provenance = with_layers(options, recorded, about.image);
        add(
            options.version.predicate_type(),
            provenance.predicate(options.version),
        );
    }
    if blobs.is_empty() {
        return None;
    }
    Some(kiln_attest::attestation_manifest(
        &about.image.descriptor,
        &blobs,
        form,
    ))
}

/// The layers of the result are known now.
fn with_layers(options: &ProvenanceOptions, recorded: &Recorded, image: &Assembled) -> Provenance {
    let mut provenance = recorded.provenance.clone();
    if let (ProvenanceMode::Max, Some(step)) = (options.mode, &recorded.result) {
        let layers = vec![image.manifest.layers.clone()];
        provenance.metadata.layers.insert(step.clone(), layers);
    }
    provenance
}

/// One subject for each name. An image without a name is called `_`: in-toto wants at least one subject.
fn subjects(about: &About<'_>) -> Vec<Subject> {
    let digest = &about.image.descriptor.digest;
    let unknown = || Platform::new("unknown", "unknown", None);
    let platform = about.image.descriptor.platform.clone().unwrap_or_else(unknown);
    let names = about.names.iter();
    let named: Vec<Subject> = names
        .map(|name| Subject::new(kiln_attest::subject_name(name, &platform), digest))
        .collect();
    if named.is_empty() {
        return vec![Subject::new("_", digest)];
    }
    named
}
