//! What can go wrong, in the words of BuildKit and the system calls that it makes.

use std::fmt;

use kiln_pattern::PatternError;

use crate::PathError;
use crate::ResolveError;
use crate::TreePath;

/// Why a path cannot be used, in the words of the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// `ENOENT`.
    NotFound,
    /// `ENOTDIR`.
    NotDirectory,
    /// `EISDIR`.
    IsDirectory,
    /// `EEXIST`.
    Exists,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "is a directory",
            Self::Exists => "file exists",
        })
    }
}

/// A file operation or a content hash failed.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// A source is missing.
    #[error("\"{path}\": not found")]
    NotFound {
        /// The path.
        path: String,
    },
    /// Wildcards match nothing.
    #[error("{pattern} not found")]
    NoMatch {
        /// The path with the wildcards.
        pattern: String,
    },
    /// A path cannot be used.
    #[error("{action} {path}: {problem}")]
    Path {
        /// The system call that BuildKit would have made.
        action: &'static str,
        /// The path.
        path: TreePath,
        /// Why.
        problem: Problem,
    },
    /// A symbolic link cannot be made.
    #[error("symlink {old} {new}: {problem}")]
    Symlink {
        /// Where it was to point.
        old: String,
        /// Where it was to be.
        new: TreePath,
        /// Why.
        problem: Problem,
    },
    /// The directory that holds the destination is missing and may not be made.
    #[error("failed to stat {path}")]
    Parent {
        /// The destination.
        path: String,
        /// Why.
        #[source]
        source: Box<OpError>,
    },
    /// A directory would replace something else.
    #[error("cannot copy to non-directory: {path}")]
    NonDirectory {
        /// The destination.
        path: TreePath,
    },
    /// Something else would replace a directory.
    #[error("cannot replace to directory {path} with file")]
    ReplaceDirectory {
        /// The destination.
        path: TreePath,
    },
    /// The root cannot be removed.
    #[error("rmPath: invalid empty path")]
    EmptyPath,
    /// A hard link names nothing.
    #[error("{path} is a hard link to a file that is not there")]
    DanglingLink {
        /// The link.
        path: TreePath,
    },
    /// A mode cannot be read.
    #[error("invalid mode `{mode}`: invalid syntax")]
    Mode {
        /// The mode.
        mode: String,
    },
    /// A pattern cannot be read.
    #[error("invalid {kind}patterns: [{patterns}]")]
    Patterns {
        /// `include` or `exclude`.
        kind: &'static str,
        /// The patterns.
        patterns: String,
        /// Why.
        #[source]
        source: PatternError,
    },
    /// A wildcard cannot be read.
    #[error("cannot match `{pattern}`")]
    Wildcard {
        /// The path with the wildcards.
        pattern: String,
        /// Why.
        #[source]
        source: PatternError,
    },
    /// Symlinks lead nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Not a path, or too long.
    #[error(transparent)]
    Name(#[from] PathError),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
