//! Symlinks inside a tree. Resolution never leaves the root.

use crate::Node;
use crate::PathError;
use crate::Tree;
use crate::TreePath;

/// Most symlinks that are followed in one resolution, as in containerd's `fs.RootPath`.
const MAX_SYMLINKS: usize = 255;

/// Whether a symlink at the end of a path is followed. Those before the end always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// The result is never a symlink.
    Last,
    /// The result may be a symlink.
    NotLast,
}

/// A path cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// More symlinks than are followed; most often a loop.
    #[error("too many links: `{path}` goes through more than {MAX_SYMLINKS} symbolic links")]
    TooManyLinks {
        /// The path that was asked for.
        path: String,
    },
    /// What a symlink points to cannot be a path.
    #[error("cannot resolve `{path}`")]
    Path {
        /// The path that was asked for.
        path: String,
        /// Why.
        #[source]
        source: PathError,
    },
    /// There is nothing.
    #[error("\"{path}\": not found")]
    NotFound {
        /// The path that was asked for.
        path: TreePath,
    },
}

/// Tells where the symlink at a path points; none when there is no symlink.
type Readlink<'a> = &'a dyn Fn(&TreePath) -> Option<Box<[u8]>>;

/// Components that are still to be gone through, the next one last, and where we are.
struct Resolver<'a> {
    readlink: Readlink<'a>,
    rest: Vec<Box<[u8]>>,
    at: TreePath,
    links: usize,
}

impl Resolver<'_> {
    /// Puts the components of `path` before the rest.
    fn push(&mut self, path: &[u8]) {
        let parts = path
            .split(|&b| b == b'/')
            .filter(|part| !part.is_empty() && *part != b".");
        self.rest.extend(parts.rev().map(Box::from));
    }

    /// Takes one component. `None` when a symlink needs one link too many.
    fn step(&mut self, part: &[u8], follow: Follow) -> Option<Result<(), PathError>> {
        if part == b".." {
            self.at = self.at.parent().unwrap_or_default();
            return Some(Ok(()));
        }
        let next = match self.at.join_name(part) {
            Ok(next) => next,
            Err(error) => return Some(Err(error)),
        };
        let last = self.rest.is_empty() && follow == Follow::NotLast;
        let target = if last { None } else { (self.readlink)(&next) };
        let Some(target) = target else {
            self.at = next;
            return Some(Ok(()));
        };
        self.links += 1;
        if self.links > MAX_SYMLINKS {
            return None;
        }
        if target.first() == Some(&b'/') {
            self.at = TreePath::root();
        }
        self.push(&target);
        Some(Ok(()))
    }
}

/// Resolves the symlinks of `path` by what `readlink` says, see [`Tree::resolve`].
pub(crate) fn resolve(path: &[u8], follow: Follow, readlink: Readlink<'_>) -> Result<TreePath, ResolveError> {
    let text = || String::from_utf8_lossy(path).into_owned();
    let mut resolver = Resolver {
        readlink,
        rest: Vec::new(),
        at: TreePath::root(),
        links: 0,
    };
    resolver.push(path);
    while let Some(part) = resolver.rest.pop() {
        match resolver.step(&part, follow) {
            None => return Err(ResolveError::TooManyLinks { path: text() }),
            Some(Err(source)) => return Err(ResolveError::Path { path: text(), source }),
            Some(Ok(())) => {}
        }
    }
    Ok(resolver.at)
}

impl Tree {
    /// Resolves the symlinks of `path`, which need not be there: absolute targets start at the root, `..` goes up from
    /// where the path has led so far and stops at the root.
    ///
    /// # Errors
    /// Too many links, or a result that is no path.
    pub fn resolve(&self, path: impl AsRef<[u8]>, follow: Follow) -> Result<TreePath, ResolveError> {
        resolve(path.as_ref(), follow, &|path| match &self.lookup(path)?.node {
            Node::Symlink { target } => Some(target.clone()),
            _ => None,
        })
    }

    /// Resolves all symlinks of `path` to something that is there.
    ///
    /// # Errors
    /// As [`Tree::resolve`], and when there is nothing.
    pub fn resolve_existing(&self, path: &TreePath) -> Result<TreePath, ResolveError> {
        let resolved = self.resolve(path.as_bytes(), Follow::Last)?;
        match self.lookup(&resolved) {
            Some(_) => Ok(resolved),
            None => Err(ResolveError::NotFound { path: path.clone() }),
        }
    }
}
