//! Where the members of an archive end up: names checked and resolved, later members replace earlier ones, whiteouts
//! and opaque marks become what they mean. Touches no file.

use std::collections::HashMap;
use std::collections::HashSet;

use kiln_image::Digest;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::TreePath;

use crate::archive::Kind;
use crate::archive::Member;
use crate::tar::OPAQUE;
use crate::tar::WHITEOUT;

/// Symbolic links that one name may lead through (Linux's limit).
const MAX_HOPS: usize = 40;
/// Entries that may be looked at because a directory was replaced by something else: far more than archives need, few
/// enough to be done in seconds.
const MAX_SEARCHED: usize = 50_000_000;

/// What following one part of a symbolic link's target counts like, in entries looked at.
const STEP: usize = 64;
/// Directories in one name.
const MAX_DEPTH: usize = 512;
/// Names of directories that the archive does not name, in bytes: long names imply many.
const MAX_IMPLIED: usize = 256 << 20;

/// What a member means for who writes files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placed {
    /// Nothing to write now: a mark, or nothing at all.
    Nothing,
    /// The member goes to this path. What is there already has to make room, unless both are directories.
    At(TreePath),
    /// The path becomes another name of what this layer has at `target`.
    Link { path: TreePath, target: TreePath },
    /// The path becomes another name of what lower layers have at `target`.
    LowerLink { path: TreePath, target: TreePath },
}

/// An entry so far. `inode` is the item that the content came with.
#[derive(Debug)]
struct Item {
    path: TreePath,
    meta: Metadata,
    node: Node,
    inode: usize,
    /// Where the content starts in the archive.
    offset: u64,
}

/// The layer so far.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    items: Vec<Item>,
    live: HashMap<TreePath, usize>,
    /// Directories that are there only because something is in them.
    implied: HashSet<TreePath>,
    /// The parent that was resolved last, as it was written and as it is.
    parent: Option<(Vec<u8>, TreePath)>,
    searched: usize,
    implied_bytes: usize,
}

/// What a directory gets that the layer does not name but makes opaque.
fn unnamed() -> Metadata {
    Metadata {
        mode: 0o755,
        ..Metadata::default()
    }
}

impl Placing {
    /// Takes the next member.
    pub(crate) fn place(&mut self, member: &Member) -> Result<Placed, String> {
        let name = components(&member.name)?;
        let Some((&base, parents)) = name.split_last() else {
            return match member.kind {
                Kind::Directory => Ok(Placed::Nothing), // the root directory belongs to nobody
                _ => Err("it is in the place of the root directory".to_owned()),
            };
        };
        let parent = self.resolve_parent(parents)?;
        if base == OPAQUE {
            self.opaque(&parent);
            return Ok(Placed::Nothing);
        }
        if let Some(hidden) = base.strip_prefix(WHITEOUT) {
            // Marks of aufs, which nobody reads any more.
            if !hidden.starts_with(WHITEOUT) {
                self.whiteout(join(&parent, hidden)?);
            }
            return Ok(Placed::Nothing);
        }
        let path = join(&parent, base)?;
        match member.kind {
            Kind::Hardlink => self.hardlink(path, member),
            // What overlayfs takes for a whiteout is one.
            Kind::Char if member.device == (0, 0) => {
                self.whiteout(path);
                Ok(Placed::Nothing)
            }
            _ => self.add(path, member),
        }
    }

    fn get(&self, path: &TreePath) -> Option<&Item> {
        Some(&self.items[*self.live.get(path)?])
    }

    /// Resolves a directory inside the layer: symbolic links of the layer are followed and never leave it.
    fn resolve_parent(&mut self, parents: &[&[u8]]) -> Result<TreePath, String> {
        let written = parents.join(&b'/');
        if let Some((known, resolved)) = &self.parent
            && *known == written
        {
            return Ok(resolved.clone());
        }
        let resolved = self.resolve(parents)?;
        for path in ancestors(&resolved).take_while(|path| !path.is_root()) {
            match self.get(&path).map(|item| &item.node) {
                Some(Node::Whiteout) => self.put(path, unnamed(), Node::Directory { opaque: true }),
                Some(_) => break, // what is above was seen when it came
                None => {
                    self.implied_bytes += path.as_bytes().len();
                    if !self.implied.insert(path) {
                        break;
                    }
                }
            }
        }
        if self.implied_bytes > MAX_IMPLIED {
            return Err("the archive leaves out too many directories".to_owned());
        }
        self.parent = Some((written, resolved.clone()));
        Ok(resolved)
    }

    fn resolve(&mut self, parts: &[&[u8]]) -> Result<TreePath, String> {
        let mut todo: Vec<Vec<u8>> = parts.iter().rev().map(|part| part.to_vec()).collect();
        let (mut at, mut hops) = (TreePath::root(), 0);
        while let Some(part) = todo.pop() {
            match &*part {
                b"" | b"." => continue,
                b".." => {
                    at = at.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let next = join(&at, &part)?;
            match self.get(&next).map(|item| &item.node) {
                None | Some(Node::Directory { .. } | Node::Whiteout) => at = next,
                Some(Node::Symlink { target }) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(format!(
                            "its name leads through too many symbolic links at `{next}`"
                        ));
                    }
                    if target.starts_with(b"/") {
                        at = TreePath::root();
                    }
                    todo.extend(target.rsplit(|&b| b == b'/').map(<[u8]>::to_vec));
                    self.searched += STEP * todo.len();
                    if self.searched > MAX_SEARCHED {
                        return Err(
                            "the archive has too many names that lead through symbolic links".to_owned()
                        );
                    }
                }
                Some(_) => return Err(format!("it lies below `{next}`, which is no directory")),
            }
        }
        Ok(at)
    }

    fn put(&mut self, path: TreePath, meta: Metadata, node: Node) {
        let inode = self.items.len();
        self.live.insert(path.clone(), inode);
        self.items.push(Item {
            path,
            meta,
            node,
            inode,
            offset: 0,
        });
    }

    fn opaque(&mut self, path: &TreePath) {
        match self.live.get(path) {
            Some(&at) => self.items[at].node = Node::Directory { opaque: true },
            None => self.put(path.clone(), unnamed(), Node::Directory { opaque: true }),
        }
    }

    /// A whiteout hides what lower layers have; what this layer has stays, wherever it stands in the archive.
    fn whiteout(&mut self, path: TreePath) {
        match self.get(&path).map(|item| &item.node) {
            Some(Node::Directory { .. }) => self.opaque(&path),
            Some(_) => {}
            None if self.implied.contains(&path) => self.opaque(&path),
            None => self.put(path, Metadata::default(), Node::Whiteout),
        }
    }

    fn add(&mut self, path: TreePath, member: &Member) -> Result<Placed, String> {
        let content = Content::Inline([].into()); // becomes a range of the archive as soon as its diff ID is known
        let (major, minor) = member.device;
        let node = match member.kind {
            Kind::Directory => return Ok(self.directory(path, member)),
            Kind::Symlink
                if member.link.is_empty() || member.link.contains(&0) || member.link.len() > 4095 =>
            {
                return Err("it is a symbolic link without a usable target (1 to 4095 bytes)".to_owned());
            }
            Kind::Symlink => Node::Symlink {
                target: member.link.as_slice().into(),
            },
            Kind::Char => Node::CharDevice { major, minor },
            Kind::Block => Node::BlockDevice { major, minor },
            Kind::Fifo => Node::Fifo,
            Kind::File | Kind::Hardlink => Node::File {
                size: member.size,
                content,
            },
        };
        self.make_room(&path)?;
        let inode = self.items.len();
        self.live.insert(path.clone(), inode);
        let (meta, offset) = (member.meta.clone(), member.offset);
        self.items.push(Item {
            path: path.clone(),
            meta,
            node,
            inode,
            offset,
        });
        Ok(Placed::At(path))
    }

    fn directory(&mut self, path: TreePath, member: &Member) -> Placed {
        let opaque = match self.get(&path).map(|item| &item.node) {
            Some(Node::Directory { opaque }) => *opaque,
            Some(Node::Whiteout) => true,
            _ => false,
        };
        self.implied.remove(&path);
        self.parent = None;
        self.put(path.clone(), member.meta.clone(), Node::Directory { opaque });
        Placed::At(path)
    }

    fn hardlink(&mut self, path: TreePath, member: &Member) -> Result<Placed, String> {
        let target = components(&member.link).map_err(|problem| format!("of its link target {problem}"))?;
        let Some((&base, parents)) = target.split_last() else {
            return Err("it is a hard link to the root directory".to_owned());
        };
        let target = join(&self.resolve(parents)?, base)?;
        if target == path {
            return Err("it is a hard link to itself".to_owned());
        }
        let Some(found) = self.get(&target) else {
            if self.implied.contains(&target) {
                return Err(format!("it is a hard link to the directory `{target}`"));
            }
            self.make_room(&path)?;
            self.put(
                path.clone(),
                member.meta.clone(),
                Node::Hardlink {
                    target: target.clone(),
                },
            );
            return Ok(Placed::LowerLink { path, target });
        };
        match found.node {
            Node::Directory { .. } => return Err(format!("it is a hard link to the directory `{target}`")),
            Node::Whiteout => {
                return Err(format!(
                    "it is a hard link to `{target}`, which this layer deletes"
                ));
            }
            _ => {}
        }
        let (meta, node, inode, offset) = (found.meta.clone(), found.node.clone(), found.inode, found.offset);
        self.make_room(&path)?;
        self.live.insert(path.clone(), self.items.len());
        self.items.push(Item {
            path: path.clone(),
            meta,
            node,
            inode,
            offset,
        });
        Ok(Placed::Link { path, target })
    }

    /// Says what a link to a lower layer's file turned out to be.
    pub(crate) fn settle(&mut self, path: &TreePath, meta: Metadata, node: Node) {
        if let Some(&at) = self.live.get(path) {
            (self.items[at].meta, self.items[at].node) = (meta, node);
        }
    }

    /// Returns the layer, and the directories that it has something in but does not name, sorted.
    pub(crate) fn finish(self, diff_id: Digest) -> (ChangeSet, Vec<TreePath>) {
        let Self {
            items, live, implied, ..
        } = self;
        let mut implied: Vec<_> = implied
            .into_iter()
            .filter(|path| !live.contains_key(path))
            .collect();
        implied.sort();
        // A file's content belongs to the name that it came with or, where that is gone, to its first other name.
        let mut owners: HashMap<usize, &TreePath> = HashMap::new();
        for &at in live.values() {
            let Item { path, inode, .. } = &items[at];
            let owner = owners.entry(*inode).or_insert(path);
            if *inode == at || (live.get(*owner).is_none_or(|of| of != inode) && path < *owner) {
                *owner = path;
            }
        }
        let entry = |item: &Item| {
            let Item {
                path,
                meta,
                node,
                inode,
                offset,
            } = item;
            let node = match node {
                Node::File { .. } if owners[inode] != path => Node::Hardlink {
                    target: owners[inode].clone(),
                },
                Node::File {
                    size,
                    content: Content::Inline(_),
                } => Node::File {
                    size: *size,
                    content: Content::Layer {
                        diff_id,
                        offset: *offset,
                    },
                },
                node => node.clone(),
            };
            Entry {
                path: path.clone(),
                meta: meta.clone(),
                node,
            }
        };
        // In the archive's order, which is mostly sorted already.
        let last = |(at, item): &(usize, &Item)| live.get(&item.path) == Some(at);
        (
            ChangeSet::new(
                items
                    .iter()
                    .enumerate()
                    .filter(last)
                    .map(|(_, item)| entry(item))
                    .collect(),
            ),
            implied,
        )
    }

    /// Forgets what is at and below `path`, because something that is no directory takes its place.
    fn make_room(&mut self, path: &TreePath) -> Result<(), String> {
        let directory = self.implied.remove(path)
            || self
                .get(path)
                .is_some_and(|item| matches!(item.node, Node::Directory { .. }));
        if directory {
            self.searched += self.live.len() + self.implied.len();
            if self.searched > MAX_SEARCHED {
                return Err("the archive replaces too many directories".to_owned());
            }
            self.live.retain(|other, _| !other.starts_with(path));
            self.implied.retain(|other| !other.starts_with(path));
        }
        if self.live.contains_key(path) || directory {
            self.parent = None;
        }
        Ok(())
    }
}

/// Splits a name and checks its parts. Leading slashes and `.` mean nothing, as everywhere.
fn components(name: &[u8]) -> Result<Vec<&[u8]>, String> {
    let parts: Vec<&[u8]> = name
        .split(|&b| b == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    match parts.contains(&&b".."[..]) {
        true => Err("the name has a `..`, which could lead out of the layer".to_owned()),
        false if parts.len() > MAX_DEPTH => {
            Err(format!("its name is more than {MAX_DEPTH} directories deep"))
        }
        false => Ok(parts),
    }
}

fn join(parent: &TreePath, name: &[u8]) -> Result<TreePath, String> {
    parent.join_name(name).map_err(|error| error.to_string())
}

/// Returns `path` and the directories above it.
fn ancestors(path: &TreePath) -> impl Iterator<Item = TreePath> {
    std::iter::successors(Some(path.clone()), TreePath::parent)
}
