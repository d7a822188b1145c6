//! Paths inside a file tree.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// A path below the root of a tree: bytes, relative, without empty, `.` or `..` components and without NUL. The empty
/// path is the root itself. The order is that of a walk: a directory, then all that is in it, then its next sibling.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Arc<[u8]>);

/// Longest path that is accepted, in bytes (Linux's `PATH_MAX`).
const MAX_PATH: usize = 4096;
/// Longest component that is accepted, in bytes (Linux's `NAME_MAX`).
const MAX_NAME: usize = 255;

impl TreePath {
    /// Returns the path of the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes a path as it is.
    ///
    /// # Errors
    /// When it is absolute, too long, or has an empty, `.` or `..` component or a NUL.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let bytes = bytes.as_ref();
        let whole = bytes.is_empty() || bytes.split(|&b| b == b'/').all(Self::is_name);
        if !whole || bytes.len() > MAX_PATH {
            return Err(PathError(String::from_utf8_lossy(bytes).into_owned()));
        }
        Ok(Self(bytes.into()))
    }

    /// Takes a path in any spelling and brings it below the root, as Go's `filepath.Join("/", path)` does: empty and
    /// `.` components vanish, `..` goes up and stops at the root.
    ///
    /// # Errors
    /// When it is too long or has a NUL.
    pub fn clean(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in bytes.as_ref().split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Self::parse(parts.join(&b'/'))
    }

    /// Returns the bytes, components separated by `/`, no leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path as a relative file system path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Orders this path and one that is given as bytes, as two paths are ordered.
    pub fn cmp_bytes(&self, other: &[u8]) -> Ordering {
        compare(&self.0, other)
    }

    /// Returns true for the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    /// Returns the last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// Returns the components from the top; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }

    /// Returns this path extended by `below`.
    ///
    /// # Errors
    /// When the result is too long.
    pub fn join(&self, below: &Self) -> Result<Self, PathError> {
        match (self.is_root(), below.is_root()) {
            (true, _) => Ok(below.clone()),
            (_, true) => Ok(self.clone()),
            _ => Self::parse([&self.0, &b"/"[..], &below.0].concat()),
        }
    }

    /// Returns this path extended by one component.
    ///
    /// # Errors
    /// When `name` is not one clean component or the result is too long.
    pub fn join_name(&self, name: &[u8]) -> Result<Self, PathError> {
        let length = self.0.len() + 1 + name.len();
        if !Self::is_name(name) || name.contains(&b'/') || length > MAX_PATH {
            return Err(PathError(String::from_utf8_lossy(name).into_owned()));
        }
        let mut path = Vec::with_capacity(length);
        path.extend_from_slice(&self.0);
        if !self.is_root() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(Self(path.into()))
    }

    /// Returns true when `self` is `above` or lies below it.
    pub fn starts_with(&self, above: &Self) -> bool {
        starts_with(&self.0, &above.0)
    }

    /// Returns the paths above this one, innermost first, the root last.
    pub(crate) fn above(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self
            .0
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, b)| **b == b'/')
            .map(|(end, _)| end);
        let root = (!self.is_root()).then_some(0);
        ends.chain(root).map(|end| &self.0[..end])
    }

    /// Returns the first `length` bytes, which end before a separator.
    pub(crate) fn prefix(&self, length: usize) -> Self {
        Self(self.0[..length].into())
    }

    /// Returns the path with a leading `/`.
    pub(crate) fn to_absolute(&self) -> Vec<u8> {
        [b"/", &*self.0].concat()
    }

    /// Returns true for a component that can be in a path.
    fn is_name(name: &[u8]) -> bool {
        !name.is_empty() && name != b"." && name != b".." && name.len() <= MAX_NAME && !name.contains(&0)
    }

    /// Returns what is left of this path below `above`; `None` when it lies elsewhere.
    pub fn strip_prefix(&self, above: &Self) -> Option<Self> {
        if above.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&*above.0)?;
        match rest.first() {
            None => Some(Self::root()),
            Some(b'/') => Some(Self(rest[1..].into())),
            Some(_) => None,
        }
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// Returns true when `path` is `above` or lies below it.
pub(crate) fn starts_with(path: &[u8], above: &[u8]) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.first().is_none_or(|&b| b == b'/'))
}

/// Compares paths in walk order.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // Paths in one tree have much in common: skip it by the word.
    let words = a
        .chunks_exact(8)
        .zip(b.chunks_exact(8))
        .take_while(|(a, b)| a == b)
        .count()
        * 8;
    let (a, b) = (&a[words..], &b[words..]);
    let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    // A separator sorts before every byte, so that `a/b` comes before `a-b`. NUL does not occur.
    let key = |b: u8| if b == b'/' { 0 } else { b };
    key(a[at]).cmp(&key(b[at]))
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for TreePath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    /// Prints the path with a leading `/`, as people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bytes are not a path inside a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path inside a file tree (relative, no `.` or `..`, at most {MAX_PATH} bytes)")]
pub struct PathError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_tree_are_refused_or_clamped() {
        for bad in ["/a", "a/", "a//b", "a/../b", ".", "a\0b", &"a".repeat(256)] {
            assert!(TreePath::parse(bad).is_err(), "{bad}");
        }
        for (path, clean) in [
            ("/a/./b/", "/a/b"),
            ("../../etc", "/etc"),
            ("a/../..", "/"),
            ("", "/"),
        ] {
            assert_eq!(TreePath::clean(path).unwrap().to_string(), clean);
        }
    }

    #[test]
    fn the_order_is_that_of_a_walk() {
        let mut paths: Vec<_> = ["a-b", "b", "a/c", "a", ""]
            .map(|p| TreePath::parse(p).unwrap())
            .into();
        paths.sort();
        assert_eq!(format!("{paths:?}"), "[/, /a, /a/c, /a-b, /b]");
    }

    #[test]
    fn prefixes_end_at_separators() {
        let path = |p: &str| TreePath::parse(p).unwrap();
        assert!(path("a/b").starts_with(&path("a")));
        assert!(!path("ab").starts_with(&path("a")));
        assert_eq!(path("a/b/c").strip_prefix(&path("a")), Some(path("b/c")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
    }
}
