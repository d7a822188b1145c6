//! What can be wrong with an attestation.

/// An attestation cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// Not JSON, or not of the shape.
    #[error("the attestation is no in-toto statement")]
    Statement(#[source] serde_json::Error),
    /// The statement's `_type` is another.
    #[error("`{0}` is not a type of in-toto statement (expected https://in-toto.io/Statement/v1 or v0.1)")]
    Type(String),
    /// The statement is about another image.
    #[error("the attestation is about `{found}`, not about `{expected}`")]
    Subject {
        /// The image that was asked about.
        expected: String,
        /// What the statement names.
        found: String,
    },
    /// The manifest's annotation and the statement disagree.
    #[error("the manifest says `{annotated}`, the statement says `{found}`")]
    Predicate {
        /// What the annotation says.
        annotated: String,
        /// What the statement says.
        found: String,
    },
    /// Larger than what is read.
    #[error("the attestation has {size} bytes (the limit is {limit})")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The envelope's payload is no base64.
    #[error("the DSSE envelope is malformed")]
    Envelope(#[source] base64::DecodeError),
}
