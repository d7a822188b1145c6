//! in-toto statements.

use std::collections::BTreeMap;

use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::AttestError;

/// Predicate type of SLSA provenance, version 1.
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// Predicate type of SLSA provenance, version 0.2.
pub const PROVENANCE_V02: &str = "https://slsa.dev/provenance/v0.2";
/// What all versions' predicate types start with.
pub const PROVENANCE_PREFIX: &str = "https://slsa.dev/provenance/";
/// Predicate type of an SPDX document.
pub const SPDX: &str = "https://spdx.dev/Document";
/// Predicate type of a CycloneDX document.
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";

const TYPE: &str = "https://in-toto.io/Statement/v1";
const OLD_TYPE: &str = "https://in-toto.io/Statement/v0.1";

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name: a package URL, or a file's path.
    #[serde(default)]
    pub name: String,
    /// Its digests by algorithm, hexadecimal.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// Returns the subject of that name and digest.
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), digest.hex())]);
        Self {
            name: name.into(),
            digest,
        }
    }
}

/// A statement: something that is said of subjects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement<P = Value> {
    /// Type of the statement.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Type of what is said.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What it is said of.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub subject: Vec<Subject>,
    /// What is said.
    pub predicate: P,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Subject>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<P: Serialize> Statement<P> {
    /// Returns a statement of today's version.
    pub fn new(predicate_type: &str, subject: Vec<Subject>, predicate: P) -> Self {
        Self {
            kind: TYPE.to_owned(),
            predicate_type: predicate_type.to_owned(),
            subject,
            predicate,
        }
    }

    /// Writes it as BuildKit does.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::to_json(self)
    }
}

impl Statement {
    /// Reads a statement, plain or in a DSSE envelope, whose signatures are not looked at.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, AttestError> {
        #[derive(Deserialize)]
        struct Envelope {
            payload: String,
        }
        let statement: Self = if media_type.ends_with("+dsse") {
            use base64::Engine as _;
            let envelope: Envelope = serde_json::from_slice(bytes).map_err(AttestError::Statement)?;
            let engine = base64::engine::general_purpose::STANDARD;
            let payload = engine.decode(envelope.payload).map_err(AttestError::Envelope)?;
            serde_json::from_slice(&payload).map_err(AttestError::Statement)?
        } else {
            serde_json::from_slice(bytes).map_err(AttestError::Statement)?
        };
        match statement.kind.as_str() {
            TYPE | OLD_TYPE => Ok(statement),
            _ => Err(AttestError::Type(statement.kind)),
        }
    }

    /// Checks that the statement says what its manifest says it does, of `image`. A statement without subjects
    /// names nobody, as BuildKit writes it for images without a name.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, annotated: &str, image: &Digest) -> Result<(), AttestError> {
        if !annotated.is_empty() && annotated != self.predicate_type {
            return Err(AttestError::Predicate {
                annotated: annotated.to_owned(),
                found: self.predicate_type.clone(),
            });
        }
        let hex = image.hex();
        let about = |subject: &Subject| subject.digest.get("sha256") == Some(&hex);
        match self.subject.first() {
            Some(first) if !self.subject.iter().any(about) => Err(AttestError::Subject {
                expected: image.to_string(),
                found: first.digest.get("sha256").unwrap_or(&first.name).clone(),
            }),
            _ => Ok(()),
        }
    }
}
