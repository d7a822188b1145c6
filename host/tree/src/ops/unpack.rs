//! Archives that are unpacked into a tree (ADD).

use super::CopyAction;
use super::OpError;
use super::Problem;
use super::copy::split_dest;
use super::edit::Edit;
use super::edit::Made;
use crate::ChangeSet;
use crate::Entry;
use crate::Follow;
use crate::Metadata;
use crate::Node;
use crate::Timestamp;
use crate::Tree;
use crate::TreePath;
use crate::tree::resolve;

/// Unpacks the entries of an archive into the directory `action.dest`, which is made when it is missing. The
/// destination is the root for symlinks on the way to an entry, as it is for BuildKit, which changes its root to it.
/// Whatever is in the way of an entry is replaced, only directories are merged. Owners are those of the archive, or the
/// action's; modes and times the archive's. Directories that the archive does not name are root's.
///
/// # Errors
/// The destination is no directory; a hard link names nothing.
pub fn unpack(
    dest: &Tree,
    archive: &ChangeSet,
    action: &CopyAction,
    created: Timestamp,
) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    let (_, path) = split_dest(&action.dest)?;
    let root = edit.resolve(path.as_bytes(), Follow::Last)?;
    let time = action.timestamp.unwrap_or(created);
    edit.mkdir_all(
        &root,
        Made {
            mode: 0o755,
            owner: action.owner,
            time,
        },
    )?;
    let implied = Made {
        mode: 0o755,
        owner: None,
        time,
    };
    let mut unpacker = Unpacker {
        edit,
        root,
        action,
        implied,
        parent: None,
    };
    let (links, others) = archive
        .entries()
        .iter()
        .partition::<Vec<_>, _>(|e| matches!(e.node, Node::Hardlink { .. }));
    for entry in others.into_iter().chain(links) {
        unpacker.place(entry)?;
    }
    Ok(unpacker.edit.finish())
}

struct Unpacker<'d, 'a> {
    edit: Edit<'d>,
    root: TreePath,
    action: &'a CopyAction,
    /// Metadata of directories that the archive does not name.
    implied: Made,
    /// The last directory in the archive and where it is in the tree: entries come directory by directory.
    parent: Option<(TreePath, TreePath)>,
}

impl Unpacker<'_, '_> {
    /// Returns where a path of the archive is in the tree; a symlink at its end is not followed.
    fn target(&mut self, path: &TreePath) -> Result<TreePath, OpError> {
        let above = path.parent().unwrap_or_default();
        if let Some((known, target)) = &self.parent
            && *known == above
        {
            return Ok(target.join_name(path.file_name())?);
        }
        let readlink = |path: &TreePath| match &self.edit.look(&self.root.join(path).ok()?)?.node {
            Node::Symlink { target } => Some(target.clone()),
            _ => None,
        };
        let inside = resolve(above.as_bytes(), Follow::Last, &readlink)?;
        let target = self.root.join(&inside)?;
        let result = target.join_name(path.file_name())?;
        self.parent = Some((above, target));
        Ok(result)
    }

    fn metadata(&self, entry: &Entry) -> Metadata {
        let mut meta = entry.meta.clone();
        if let Some(owner) = self.action.owner {
            (meta.uid, meta.gid) = (owner.uid, owner.gid);
        }
        meta
    }

    fn place(&mut self, entry: &Entry) -> Result<(), OpError> {
        let meta = self.metadata(entry);
        if entry.path.is_root() {
            if !self.root.is_root() {
                let node = Node::Directory { opaque: false };
                self.edit.put(Entry {
                    path: self.root.clone(),
                    meta,
                    node,
                });
            }
            return Ok(());
        }
        let path = self.target(&entry.path)?;
        if let Some(above) = path.parent() {
            self.edit.mkdir_all(&above, self.implied)?;
        }
        let node = match &entry.node {
            Node::Whiteout => return Ok(()),
            Node::Directory { .. } => Node::Directory { opaque: false },
            Node::Hardlink { target } => self.link(entry, target)?,
            node => node.clone(),
        };
        let there = self.edit.look(&path).map(|there| there.node.is_directory());
        if there == Some(true) && !node.is_directory() {
            self.edit.remove(&path);
        }
        if there == Some(false) || !node.is_directory() {
            self.parent = None; // a symlink on the way may be new or gone
        }
        self.edit.put(Entry { path, meta, node });
        Ok(())
    }

    fn link(&mut self, entry: &Entry, target: &TreePath) -> Result<Node, OpError> {
        self.parent = None;
        let target = self.target(target)?;
        match self.edit.link_to(&target) {
            Some(Node::Directory { .. }) => Err(OpError::Path {
                action: "link",
                path: target,
                problem: Problem::IsDirectory,
            }),
            Some(node) => Ok(node),
            None => Err(OpError::DanglingLink {
                path: entry.path.clone(),
            }),
        }
    }
}
