//! Directories, files and symbolic links from nothing.

use super::MkdirAction;
use super::MkfileAction;
use super::OpError;
use super::Problem;
use super::SymlinkAction;
use super::edit::Edit;
use super::edit::Made;
use crate::ChangeSet;
use crate::Content;
use crate::Entry;
use crate::Follow;
use crate::Node;
use crate::Timestamp;
use crate::Tree;

/// Permission bits that a new file or directory can have.
const PERMISSIONS: u32 = 0o777;

/// Makes a directory; `created` is its time when the action has none. Whatever is at the path stays, except that with
/// parents asked for it must be a directory.
///
/// # Errors
/// A parent is missing or no directory.
pub fn mkdir(dest: &Tree, action: &MkdirAction, created: Timestamp) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    let path = edit.resolve(action.path.as_bytes(), Follow::Last)?;
    let time = action.timestamp.unwrap_or(created);
    let made = Made {
        mode: action.mode & PERMISSIONS,
        owner: action.owner,
        time,
    };
    if action.make_parents {
        edit.mkdir_all(&path, made)?;
    } else if edit.look(&path).is_none() {
        edit.check_parent("mkdir", &path)?;
        edit.put(Entry {
            path,
            meta: made.metadata(),
            node: Node::Directory { opaque: false },
        });
    }
    Ok(edit.finish())
}

/// Writes a file; `created` is its time when the action has none. Anything but a directory is replaced.
///
/// # Errors
/// The parent is missing or no directory; a directory is at the path.
pub fn mkfile(dest: &Tree, action: &MkfileAction, created: Timestamp) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    let path = edit.resolve(action.path.as_bytes(), Follow::Last)?;
    if path.is_root() {
        return Err(OpError::Path {
            action: "mkfile",
            path,
            problem: Problem::IsDirectory,
        });
    }
    edit.check_parent("open", &path)?;
    if edit.is_directory(&path) {
        return Err(OpError::Path {
            action: "rename",
            path,
            problem: Problem::Exists,
        });
    }
    let time = action.timestamp.unwrap_or(created);
    let meta = Made {
        mode: action.mode & PERMISSIONS,
        owner: action.owner,
        time,
    }
    .metadata();
    let size = u64::try_from(action.data.len()).unwrap_or(u64::MAX);
    edit.put(Entry {
        path,
        meta,
        node: Node::File {
            size,
            content: Content::Inline(action.data.clone()),
        },
    });
    Ok(edit.finish())
}

/// Makes a symbolic link; `created` is its time when the action has none.
///
/// # Errors
/// Something is at the path; the parent is missing or no directory.
pub fn symlink(dest: &Tree, action: &SymlinkAction, created: Timestamp) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    let path = edit.resolve(action.new_path.as_bytes(), Follow::Last)?;
    let exists = edit.look(&path).map(|_| Problem::Exists);
    if let Some(problem) = exists.or_else(|| edit.parent_problem(&path)) {
        return Err(OpError::Symlink {
            old: action.old_path.clone(),
            new: path,
            problem,
        });
    }
    let time = action.timestamp.unwrap_or(created);
    let meta = Made {
        mode: PERMISSIONS,
        owner: action.owner,
        time,
    }
    .metadata();
    edit.put(Entry {
        path,
        meta,
        node: Node::Symlink {
            target: action.old_path.as_bytes().into(),
        },
    });
    Ok(edit.finish())
}
