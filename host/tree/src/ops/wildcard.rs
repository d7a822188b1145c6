//! Wildcards in source paths, as fsutil's copier resolves them.

use kiln_pattern::glob_match;

use super::OpError;
use super::Problem;
use crate::Follow;
use crate::Tree;
use crate::TreePath;

/// Returns true when `path` has a wildcard that is not escaped.
pub fn has_wildcards(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Splits a path before its first component with a wildcard. Both parts come without `/` at their ends.
pub(crate) fn split_wildcards(path: &str) -> (String, String) {
    let path = kiln_pattern::clean(&format!("/{path}"));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let first = parts
        .iter()
        .position(|part| has_wildcards(part))
        .unwrap_or(parts.len());
    (parts[..first].join("/"), parts[first..].join("/"))
}

/// Returns the paths that `path` stands for: those that its wildcards match, or itself, which need not be there. What
/// is below a match does not count. `follow` is for the part before the wildcards.
pub(super) fn matches(tree: &Tree, path: &str, follow: Follow) -> Result<Vec<TreePath>, OpError> {
    let (fixed, pattern) = split_wildcards(path);
    if pattern.is_empty() {
        return Ok(vec![TreePath::clean(&fixed)?]);
    }
    let base = tree.resolve(&fixed, follow)?;
    if tree.lookup(&base).is_none() {
        return Err(OpError::Path {
            action: "lstat",
            path: base,
            problem: Problem::NotFound,
        });
    }
    // A malformed pattern matches nothing in BuildKit; here it is an error, for the user did not mean that.
    glob_match(&pattern, b"").map_err(|source| OpError::Wildcard {
        pattern: path.to_owned(),
        source,
    })?;
    // A class may match a separator, so each can make the path one component deeper.
    let depth = pattern.bytes().filter(|b| matches!(b, b'/' | b'[')).count();
    let skipped = if base.is_root() {
        0
    } else {
        base.as_bytes().len() + 1
    };
    let mut found = Vec::new();
    let mut walk = tree.walk(&base);
    while let Some(entry) = walk.next() {
        let relative = &entry.path.as_bytes()[skipped..];
        if glob_match(&pattern, relative).unwrap_or(false) {
            found.push(entry.path.clone());
            walk.skip_below();
        } else if relative.iter().filter(|&&b| b == b'/').count() >= depth {
            walk.skip_below();
        }
    }
    Ok(found)
}
