//! The file operations of a build (LLB `FileOp`) as pure functions: trees in, the change set of a new layer out. They
//! behave as BuildKit's file backend and fsutil's copier do on a mounted root file system, its error texts included.
//!
//! A change set names every directory above a path that it changes. A directory that was there keeps its metadata, its
//! time too, so that the same inputs give the same layer. The clock is never read: what is made gets the time that is
//! handed in.

mod chmod;
mod copy;
mod edit;
mod error;
mod make;
mod remove;
mod unpack;
mod wildcard;

pub use chmod::Chmod;
pub use copy::copy;
pub use copy::copy_from;
pub use copy::sources;
pub use error::OpError;
pub use error::Problem;
pub use make::mkdir;
pub use make::mkfile;
pub use make::symlink;
pub use remove::rm;
pub use unpack::unpack;
pub use wildcard::has_wildcards;
pub(crate) use wildcard::split_wildcards;

use std::sync::Arc;

use crate::Timestamp;
use crate::users::Ids;

/// Copies from another tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are LLB's")]
pub struct CopyAction {
    /// Path in the source, `filepath.Match` wildcards included where they are allowed.
    pub src: String,
    /// Path in the destination. It is a directory when it ends in `/` or `/.`.
    pub dest: String,
    /// New owner; none keeps the source's.
    pub owner: Option<Ids>,
    /// New permissions; none keeps the source's.
    pub mode: Option<Chmod>,
    /// Follow a symlink at the end of `src`.
    pub follow_symlink: bool,
    /// Copy what is in a directory, not the directory.
    pub dir_copy_contents: bool,
    /// Make missing parents of `dest`.
    pub create_dest_path: bool,
    /// `src` may have wildcards.
    pub allow_wildcard: bool,
    /// Wildcards may match nothing.
    pub allow_empty_wildcard: bool,
    /// Time of all that is written; none keeps the source's.
    pub timestamp: Option<Timestamp>,
    /// Copy only what matches, relative to the source directory.
    pub include_patterns: Vec<String>,
    /// Leave out what matches, relative to the source directory.
    pub exclude_patterns: Vec<String>,
    /// Replace what is at a destination even if it is of another kind.
    pub always_replace_existing_dest_paths: bool,
    /// Paths in the source that must be there.
    pub required_paths: Vec<String>,
}

/// Makes a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MkdirAction {
    /// Where.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Make missing parents alike, and accept a directory that is there.
    pub make_parents: bool,
    /// Owner; none is root.
    pub owner: Option<Ids>,
    /// Time; none is when it is made.
    pub timestamp: Option<Timestamp>,
}

/// Writes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MkfileAction {
    /// Where.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Arc<[u8]>,
    /// Owner; none is root.
    pub owner: Option<Ids>,
    /// Time; none is when it is made.
    pub timestamp: Option<Timestamp>,
}

/// Removes a path and all below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RmAction {
    /// What.
    pub path: String,
    /// No error when it is missing.
    pub allow_not_found: bool,
    /// `path` has wildcards.
    pub allow_wildcard: bool,
}

/// Makes a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SymlinkAction {
    /// Where it points, as written.
    pub old_path: String,
    /// Where it is.
    pub new_path: String,
    /// Owner; none is root.
    pub owner: Option<Ids>,
    /// Time; none is when it is made.
    pub timestamp: Option<Timestamp>,
}
