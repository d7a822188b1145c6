//! Removing paths.

use super::OpError;
use super::Problem;
use super::RmAction;
use super::edit::Edit;
use super::wildcard::matches;
use crate::ChangeSet;
use crate::Follow;
use crate::Tree;
use crate::TreePath;

/// Removes a path, or all that its wildcards match. A symlink at the end is removed, not followed.
///
/// # Errors
/// A path is missing and may not be; the path is the root.
pub fn rm(dest: &Tree, action: &RmAction) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    let paths = if action.allow_wildcard {
        matches(dest, &action.path, Follow::NotLast)?
    } else {
        vec![TreePath::clean(&action.path)?]
    };
    for path in paths {
        if path.is_root() {
            return Err(OpError::EmptyPath);
        }
        let path = edit.resolve(path.as_bytes(), Follow::NotLast)?;
        if !action.allow_not_found && edit.look(&path).is_none() {
            return Err(OpError::Path {
                action: "stat",
                path,
                problem: Problem::NotFound,
            });
        }
        edit.remove(&path);
    }
    Ok(edit.finish())
}
