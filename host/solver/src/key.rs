//! Identities of cache keys and how keys hang together, as in BuildKit's cache storage.
//!
//! A key is either a root (an operation without inputs, or a content digest), whose identity follows from its
//! digest alone, or it is reached by links from the keys of its inputs. See `docs/solver.md`.

use std::fmt::Write as _;

use kiln_image::Digest;

use crate::op::OpKey;

/// Identity of a cache key in an index; equal keys may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Digest);

impl KeyId {
    /// Returns the key of output `output` of an operation without inputs: BuildKit's root key, the digest of
    /// `<op>@<output>`.
    pub fn root(op: &Digest, output: u32) -> Self {
        Self(Digest::of(format!("{op}@{output}")))
    }

    /// Returns the key of an input whose content has the digest `content`: the digest of `<content>@-1`.
    pub fn content(content: &Digest) -> Self {
        Self(Digest::of(format!("{content}@-1")))
    }

    /// Returns a new identity for a key that is not yet known: it follows from what defines the key.
    pub(crate) fn derive(op: &Digest, output: u32, inputs: &[Vec<Alternative>]) -> Self {
        let mut text = format!("kiln.key.v0:{op}@{output}\n");
        for (index, alternatives) in inputs.iter().enumerate() {
            for alternative in defining(alternatives) {
                let selector = alternative.selector.map(|s| s.to_string()).unwrap_or_default();
                let _ = writeln!(text, "{index} {} {selector}", alternative.key.0);
            }
        }
        Self(Digest::of(text))
    }
}

/// How a key is reached from the key of one of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Which input, from 0.
    pub input: u32,
    /// The operation's key ([`OpKey::digest`]).
    pub op: Digest,
    /// Which output of the operation the reached key is for.
    pub output: u32,
    /// Which part of the input the operation reads.
    pub selector: Option<Digest>,
}

/// One of the keys under which an input counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alternative {
    /// Whether the key follows from the definition or from content.
    pub kind: Kind,
    /// The input's key.
    pub key: KeyId,
    /// Which part of the input is read; none for content keys, which cover just that part.
    pub selector: Option<Digest>,
}

/// Where an input's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// From the definition of the input.
    Definition,
    /// From the content of the input; the digest is what [`KeyId::content`] was made of.
    Content(Digest),
}

/// The alternatives that define a key: content where it is known, else definitions. Two results that differ in
/// content are then never stored under one key, though their definitions are equal.
pub(crate) fn defining(alternatives: &[Alternative]) -> Vec<Alternative> {
    let mut sorted = alternatives.to_vec();
    sorted.sort();
    if sorted.iter().any(|a| matches!(a.kind, Kind::Content(_))) {
        sorted.retain(|a| matches!(a.kind, Kind::Content(_)));
    }
    sorted
}

/// A key with everything that leads to it: what is written into an index in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's identity.
    pub key: KeyId,
    /// The operation and its preimage.
    pub op: OpKey,
    /// Which output of the operation.
    pub output: u32,
    /// For each input the keys under which it counts, at least one each. None for a root.
    pub inputs: Vec<Vec<Alternative>>,
}

impl Entry {
    /// Returns every link that leads to the key, with the key it starts from.
    pub fn links(&self) -> Vec<(KeyId, Link)> {
        let inputs = (0..).zip(&self.inputs);
        inputs
            .flat_map(|(input, alternatives)| alternatives.iter().map(move |a| (input, a)))
            .map(|(input, a)| {
                let Self { op, output, .. } = self;
                (
                    a.key,
                    Link {
                        input,
                        op: op.digest,
                        output: *output,
                        selector: a.selector,
                    },
                )
            })
            .collect()
    }
}
