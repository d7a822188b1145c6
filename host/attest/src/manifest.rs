//! Attestation manifests: how statements are attached to an image, and how they are found again.

use std::collections::BTreeMap;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::MediaType;
use kiln_image::Platform;
use serde::Serialize;
use serde_json::json;

/// Media type of a statement's blob.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// Artifact type of an attestation manifest.
pub const ARTIFACT_TYPE: &str = "application/vnd.docker.attestation.manifest.v1+json";
/// Annotation of a statement's layer: its predicate type.
pub const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";
/// Annotation of an index's entry: what the manifest is to another.
pub const TYPE_ANNOTATION: &str = "vnd.docker.reference.type";
/// Annotation of an index's entry: the other manifest.
pub const DIGEST_ANNOTATION: &str = "vnd.docker.reference.digest";

const OLD_DIGEST_ANNOTATION: &str = "com.docker.reference.digest";
const KIND: &str = "attestation-manifest";
const EMPTY: &[u8] = b"{}";

/// How an attestation manifest is shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestForm {
    /// An OCI artifact that names the image as its subject; BuildKit's default since 0.32.
    #[default]
    Artifact,
    /// An image of an unknown platform, as before (`oci-artifact=false`).
    Image,
}

/// One statement as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementBlob {
    /// Its predicate type.
    pub predicate_type: String,
    /// The statement.
    pub bytes: Vec<u8>,
}

/// An attestation manifest with everything it needs.
#[derive(Debug, Clone)]
pub struct AttestationManifest {
    /// Descriptor as it stands in an index, with annotations and platform.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The config.
    pub config: Vec<u8>,
    /// The statements.
    pub statements: Vec<Vec<u8>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u8,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'static str>,
    config: Config,
    layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
}

#[derive(Serialize)]
struct Config {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'static str>,
}

/// Makes the manifest that attaches `statements` to the image of `subject`.
pub fn attestation_manifest(
    subject: &Descriptor,
    statements: &[StatementBlob],
    form: ManifestForm,
) -> AttestationManifest {
    let layers: Vec<Descriptor> = statements
        .iter()
        .map(|statement| {
            let mut layer = Descriptor::of(STATEMENT_TYPE, &statement.bytes);
            let key = PREDICATE_ANNOTATION.to_owned();
            layer.annotations.insert(key, statement.predicate_type.clone());
            layer
        })
        .collect();
    let (config, config_type) = match form {
        ManifestForm::Artifact => (EMPTY.to_vec(), MediaType::OCI_EMPTY),
        ManifestForm::Image => (image_config(&layers), MediaType::OCI_CONFIG),
    };
    let artifact = form == ManifestForm::Artifact;
    let written = Written {
        schema_version: 2,
        media_type: MediaType::OCI_MANIFEST,
        artifact_type: artifact.then_some(ARTIFACT_TYPE),
        config: Config {
            descriptor: Descriptor::of(config_type, &config),
            data: artifact.then_some("e30="),
        },
        layers,
        subject: artifact.then(|| Descriptor::new(&subject.media_type, subject.digest, subject.size)),
    };
    let manifest = serde_json::to_vec_pretty(&written).expect("manifests serialise to JSON");
    let mut descriptor = Descriptor::of(MediaType::OCI_MANIFEST, &manifest);
    descriptor.platform = Some(Platform::new("unknown", "unknown", None));
    descriptor.annotations = BTreeMap::from([
        (TYPE_ANNOTATION.to_owned(), KIND.to_owned()),
        (DIGEST_ANNOTATION.to_owned(), subject.digest.to_string()),
    ]);
    AttestationManifest {
        descriptor,
        manifest,
        config,
        statements: statements
            .iter()
            .map(|statement| statement.bytes.clone())
            .collect(),
    }
}

fn image_config(layers: &[Descriptor]) -> Vec<u8> {
    #[derive(Serialize)]
    struct ImageConfig {
        architecture: &'static str,
        os: &'static str,
        config: serde_json::Value,
        rootfs: Rootfs,
    }
    #[derive(Serialize)]
    struct Rootfs {
        #[serde(rename = "type")]
        kind: &'static str,
        diff_ids: Vec<String>,
    }
    let config = ImageConfig {
        architecture: "unknown",
        os: "unknown",
        config: json!({}),
        rootfs: Rootfs {
            kind: "layers",
            diff_ids: layers.iter().map(|layer| layer.digest.to_string()).collect(),
        },
    };
    serde_json::to_vec(&config).expect("a config serialises to JSON")
}

/// Tells whether an index's entry is something about another entry, and so no image.
pub fn is_attestation(entry: &Descriptor) -> bool {
    let has = |key: &str| entry.annotations.contains_key(key);
    has(TYPE_ANNOTATION) || has(DIGEST_ANNOTATION) || has(OLD_DIGEST_ANNOTATION)
}

/// Returns the image that an index's entry holds attestations of. Entries of another kind are none.
pub fn refers_to(entry: &Descriptor) -> Option<Digest> {
    if entry
        .annotations
        .get(TYPE_ANNOTATION)
        .is_some_and(|kind| kind != KIND)
    {
        return None;
    }
    about(entry)
}

/// Returns the manifest that an index's entry is about, whatever it says of it.
pub fn about(entry: &Descriptor) -> Option<Digest> {
    let annotation = |key: &str| entry.annotations.get(key);
    let digest = annotation(DIGEST_ANNOTATION).or_else(|| annotation(OLD_DIGEST_ANNOTATION))?;
    digest.parse().ok()
}

/// Returns the layers of an attestation manifest that are statements, each with its predicate type.
pub fn statement_layers(layers: &[Descriptor]) -> Vec<(&Descriptor, &str)> {
    let is_statement = |layer: &&Descriptor| {
        let kind = layer.media_type.as_str();
        kind == STATEMENT_TYPE || (kind.starts_with("application/vnd.in-toto.") && kind.ends_with("+dsse"))
    };
    layers
        .iter()
        .filter(is_statement)
        .map(|layer| {
            let predicate = layer.annotations.get(PREDICATE_ANNOTATION);
            (layer, predicate.map(String::as_str).unwrap_or_default())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attestations_refer() {
        let check = |kind: Option<&str>, expect: bool| {
            let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, b"x");
            let key = DIGEST_ANNOTATION.to_owned();
            entry.annotations.insert(key, Digest::of("image").to_string());
            if let Some(kind) = kind {
                entry
                    .annotations
                    .insert(TYPE_ANNOTATION.to_owned(), kind.to_owned());
            }
            assert_eq!(refers_to(&entry).is_some(), expect, "{kind:?}");
        };
        check(None, true);
        check(Some(KIND), true);
        check(Some("other"), false);
    }
}
