//! What a plugin asks and what it is told, as plain data: so that both can be recorded and asked again.

use std::fmt;

use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_plugin::Failure;
use kiln_plugin::FileEntry;
use kiln_plugin::Filter;
use kiln_plugin::HostError;
use kiln_plugin::Lowered;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;
use serde::Deserialize;
use serde::Serialize;

/// One question. Trees and blobs are named by the number that an earlier answer gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question {
    ResolveImage {
        identifier: String,
        platform: Option<Platform>,
        mode: String,
        name: String,
    },
    ResolveSource {
        source: Source,
        name: String,
    },
    Context {
        name: String,
        filter: Filter,
    },
    Solve {
        definition: Box<Definition>,
        result: Input,
    },
    CallFrontend {
        name: String,
        request: Box<Request>,
    },
    Stat {
        tree: u32,
        path: String,
    },
    Glob {
        tree: u32,
        patterns: Vec<String>,
        after: Option<String>,
        limit: usize,
    },
    Open {
        tree: u32,
        path: String,
    },
    Read {
        tree: u32,
        path: String,
        limit: u64,
    },
    ReadMany {
        tree: u32,
        paths: Vec<String>,
        limit: u64,
    },
    BlobDigest {
        blob: u32,
    },
    BlobRead {
        blob: u32,
        offset: u64,
        len: u32,
    },
}

/// Returns an address without user and password.
fn without_user(identifier: &str) -> String {
    let start = identifier.rfind("://").map_or(0, |at| at + 3);
    let end = identifier[start..]
        .find(['/', '?', '#'])
        .map_or(identifier.len(), |at| start + at);
    match identifier[start..end].rfind('@') {
        Some(at) => format!("{}{}", &identifier[..start], &identifier[start + at + 1..]),
        None => identifier.to_owned(),
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResolveImage { identifier, .. } => write!(f, "config of image `{identifier}`"),
            Self::ResolveSource { source, .. } => write!(f, "source `{}`", without_user(&source.identifier)),
            Self::Context { name, .. } => write!(f, "context `{name}`"),
            Self::Solve { .. } => f.write_str("result of a graph"),
            Self::CallFrontend { name, .. } => write!(f, "frontend `{name}`"),
            Self::Stat { path, .. } => write!(f, "entry `{path}`"),
            Self::Glob { patterns, .. } => write!(f, "files that match `{}`", patterns.join("`, `")),
            Self::Open { path, .. } | Self::Read { path, .. } => write!(f, "file `{path}`"),
            Self::ReadMany { paths, .. } => write!(f, "files `{}`", paths.join("`, `")),
            Self::BlobDigest { blob } => write!(f, "digest of blob {blob}"),
            Self::BlobRead { blob, offset, .. } => write!(f, "blob {blob} from byte {offset}"),
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Answer {
    Image(Result<ResolvedImage, HostError>),
    Source(Result<ResolvedSource, HostError>),
    /// A tree by its number; none when there is no such context.
    Tree(Result<Option<u32>, HostError>),
    Lowered(Result<Box<Lowered>, Failure>),
    Entry(Result<Option<FileEntry>, HostError>),
    Entries(Result<Vec<FileEntry>, HostError>),
    /// A blob by its number, with its size.
    Blob(Result<(u32, u64), HostError>),
    Bytes(Result<Vec<u8>, HostError>),
    Files(Result<Vec<(String, Vec<u8>)>, HostError>),
    Text(Result<String, HostError>),
}

impl Answer {
    /// Returns a digest of the answer.
    pub(crate) fn digest(&self) -> Digest {
        // Content is hashed as it is: written as JSON it would be several times as long.
        match self {
            Self::Bytes(Ok(data)) => Digest::of(data),
            Self::Files(Ok(files)) => {
                let sums: Vec<_> = files
                    .iter()
                    .map(|(path, data)| (path, Digest::of(data)))
                    .collect();
                json_digest(&sums)
            }
            answer => json_digest(answer),
        }
    }

    /// Returns about how many bytes the answer has.
    pub(crate) fn size(&self) -> u64 {
        let entry = |entry: &FileEntry| entry.path.len() + entry.target.as_ref().map_or(0, String::len) + 48;
        let bytes = match self {
            Self::Image(Ok(image)) => image.config.len() + image.reference.len() + image.digest.len(),
            Self::Bytes(Ok(data)) => data.len(),
            Self::Files(Ok(files)) => files
                .iter()
                .map(|(path, data)| path.len() + data.len() + 16)
                .sum(),
            Self::Entries(Ok(entries)) => entries.iter().map(entry).sum(),
            Self::Lowered(Ok(lowered)) => {
                let configs: usize = lowered.outputs.iter().map(|output| output.config.len()).sum();
                let sources = &lowered.definition.sources;
                let sources: usize = sources.iter().map(|source| source.data.len()).sum();
                configs + sources + lowered.definition.vertices.len() * 256
            }
            _ => 64,
        };
        bytes as u64
    }
}

/// Returns a digest of anything that can be written as JSON.
pub(crate) fn json_digest(value: &impl Serialize) -> Digest {
    Digest::of(serde_json::to_vec(value).expect("plain data is written as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_without_credentials() {
        let check = |identifier: &str, expect: &str| assert_eq!(without_user(identifier), expect);
        check("https://me:secret@example.com/a@b", "https://example.com/a@b");
        check(
            "git://https://token@example.com/r.git#main",
            "git://https://example.com/r.git#main",
        );
        check("https://example.com?a=b@c", "https://example.com?a=b@c");
        check("git://git@example.com:r.git", "git://example.com:r.git");
        check("local://context", "local://context");
    }
}
