//! Copies, as fsutil's copier makes them.

use std::borrow::Cow;

use kiln_pattern::MatchInfo;
use kiln_pattern::PatternError;
use kiln_pattern::Patterns;

use super::Chmod;
use super::CopyAction;
use super::OpError;
use super::Problem;
use super::edit::Edit;
use super::edit::Made;
use super::wildcard::matches;
use crate::ChangeSet;
use crate::Entry;
use crate::Follow;
use crate::Found;
use crate::Metadata;
use crate::Node;
use crate::Timestamp;
use crate::Tree;
use crate::TreePath;
use crate::tree::Links;

/// Copies all that `action` names from `source`. `created` is the time of directories that are made on the way when
/// the action has none.
///
/// # Errors
/// A source is missing, a destination is of another kind than what should replace it, a pattern is malformed.
pub fn copy(
    dest: &Tree,
    source: &Tree,
    action: &CopyAction,
    created: Timestamp,
) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    for path in sources(dest, source, action)? {
        Copier::new(&mut edit, source, action, created)?.copy(&path)?;
    }
    Ok(edit.finish())
}

/// Returns the paths in `source` that [`copy`] would copy one by one: what the wildcards match, or the one path. A
/// caller that unpacks archives looks at each, unpacks it ([`super::unpack()`]) or copies it ([`copy_from`]).
///
/// # Errors
/// As [`copy`].
pub fn sources(dest: &Tree, source: &Tree, action: &CopyAction) -> Result<Vec<TreePath>, OpError> {
    if !action.create_dest_path {
        check_dest_parent(dest, action)?;
    }
    for path in &action.required_paths {
        if source.resolve_existing(&TreePath::clean(path)?).is_err() {
            return Err(OpError::NotFound { path: path.clone() });
        }
    }
    if !action.allow_wildcard {
        return Ok(vec![TreePath::clean(&action.src)?]);
    }
    let follow = if action.follow_symlink {
        Follow::Last
    } else {
        Follow::NotLast
    };
    let found = matches(source, &action.src, follow)?;
    if found.is_empty() && !action.allow_empty_wildcard {
        return Err(OpError::NoMatch {
            pattern: action.src.clone(),
        });
    }
    Ok(found)
}

fn check_dest_parent(dest: &Tree, action: &CopyAction) -> Result<(), OpError> {
    let path = dest
        .resolve(&action.dest, Follow::Last)?
        .parent()
        .unwrap_or_default();
    if dest.lookup(&path).is_some() {
        return Ok(());
    }
    let source = OpError::Path {
        action: "lstat",
        path,
        problem: Problem::NotFound,
    };
    Err(OpError::Parent {
        path: action.dest.clone(),
        source: Box::new(source),
    })
}

/// Copies the one path `src`, which [`sources`] returned.
///
/// # Errors
/// As [`copy`].
pub fn copy_from(
    dest: &Tree,
    source: &Tree,
    src: &TreePath,
    action: &CopyAction,
    created: Timestamp,
) -> Result<ChangeSet, OpError> {
    let mut edit = Edit::new(dest);
    Copier::new(&mut edit, source, action, created)?.copy(src)?;
    Ok(edit.finish())
}

/// Returns where `dest` leads, as a directory that must be there first, and as the destination.
pub(super) fn split_dest(dest: &str) -> Result<(TreePath, TreePath), OpError> {
    let path = TreePath::clean(dest)?;
    let is_directory = dest.is_empty() || dest.ends_with('/') || dest.ends_with("/.") || dest == ".";
    let parent = if is_directory {
        path.clone()
    } else {
        path.parent().unwrap_or_default()
    };
    Ok((parent, path))
}

/// Copies one source.
struct Copier<'e, 'd, 's> {
    edit: &'e mut Edit<'d>,
    source: &'s Tree,
    action: &'s CopyAction,
    links: Links<'s>,
    include: Option<Patterns>,
    exclude: Option<Patterns>,
    created: Timestamp,
}

/// A directory of the source whose entries are being copied.
struct Dir<'s> {
    found: Found<'s>,
    target: TreePath,
    /// The directory is there in the destination.
    copied: bool,
    /// It was not there before: nothing is in it that this copy did not put there.
    is_new: Above,
    /// What include and exclude patterns say of it.
    include: MatchInfo,
    exclude: MatchInfo,
}

fn patterns(kind: &'static str, patterns: &[String]) -> Result<Option<Patterns>, OpError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let failed = |source: PatternError| OpError::Patterns {
        kind,
        patterns: patterns.join(" "),
        source,
    };
    Patterns::new(patterns).map(Some).map_err(failed)
}

/// What a pattern list says of a path: whether it matches, and what to hand on to what is below.
fn matched(patterns: Option<&Patterns>, path: &[u8], parent: MatchInfo) -> Option<MatchInfo> {
    Some(patterns?.matches_using_parent(path, parent))
}

impl<'e, 'd, 's> Copier<'e, 'd, 's> {
    fn new(
        edit: &'e mut Edit<'d>,
        source: &'s Tree,
        action: &'s CopyAction,
        created: Timestamp,
    ) -> Result<Self, OpError> {
        let include = patterns("include", &action.include_patterns)?;
        let exclude = patterns("exclude", &action.exclude_patterns)?;
        Ok(Self {
            edit,
            source,
            action,
            links: Links::new(source),
            include,
            exclude,
            created,
        })
    }

    fn made(&self) -> Made {
        let mode = self.action.mode.as_ref().map_or(0o755, Chmod::for_parents);
        Made {
            mode,
            owner: self.action.owner,
            time: self.action.timestamp.unwrap_or(self.created),
        }
    }

    fn copy(&mut self, src: &TreePath) -> Result<(), OpError> {
        let (ensured, dest) = split_dest(&self.action.dest)?;
        let ensured = self.edit.resolve(ensured.as_bytes(), Follow::Last)?;
        self.edit.mkdir_all(&ensured, self.made())?;
        let dest = self.edit.resolve(dest.as_bytes(), Follow::Last)?;
        let follow = if self.action.follow_symlink {
            Follow::Last
        } else {
            Follow::NotLast
        };
        let from = self.source.resolve(src.as_bytes(), follow)?;
        let not_found = || OpError::NotFound {
            path: src.to_string(),
        };
        let found = self.source.lookup(&from).ok_or_else(not_found)?;
        let target = self.target(src, &found, dest)?;
        if !found.node.is_directory() {
            return self.copy_file(&found, target, Above::Old);
        }
        self.copy_tree(found, target)
    }

    /// Returns where `found` goes and makes the directory above it.
    fn target(&mut self, src: &TreePath, found: &Found<'_>, dest: TreePath) -> Result<TreePath, OpError> {
        let contents = self.action.dir_copy_contents;
        let there = self.edit.look(&dest).map(|entry| entry.node.is_directory());
        let is_directory = found.node.is_directory();
        let into = match there {
            None => false,
            Some(dest_is_directory) => (is_directory && !contents) || (!is_directory && dest_is_directory),
        };
        let target = if into && !src.is_root() {
            dest.join_name(src.file_name())?
        } else {
            dest
        };
        let new_root = contents && is_directory && there.is_none();
        let needed = if new_root {
            target.clone()
        } else {
            target.parent().unwrap_or_default()
        };
        self.edit.mkdir_all(&needed, self.made())?;
        Ok(target)
    }

    /// Returns the time of a copy of `source`. A tree says nothing of the time of its root.
    fn time(&self, source: &Entry) -> Timestamp {
        let own = if source.path.is_root() {
            self.created
        } else {
            source.meta.mtime
        };
        self.action.timestamp.unwrap_or(own)
    }

    /// Returns the metadata of a copy of `entry`.
    fn metadata(&self, entry: &Entry) -> Metadata {
        let mut meta = entry.meta.clone();
        if let Some(owner) = self.action.owner {
            (meta.uid, meta.gid) = (owner.uid, owner.gid);
        }
        if let (Some(chmod), false) = (&self.action.mode, matches!(entry.node, Node::Symlink { .. })) {
            meta.mode = chmod.apply(meta.mode, entry.node.is_directory());
        }
        meta.mtime = self.time(entry);
        meta
    }

    /// Copies what is no directory.
    fn copy_file(&mut self, found: &Found<'_>, target: TreePath, above: Above) -> Result<(), OpError> {
        if let Some(there) = self.look(&target, above) {
            let is_directory = there.node.is_directory();
            if is_directory && !self.action.always_replace_existing_dest_paths {
                return Err(OpError::ReplaceDirectory { path: target });
            }
            if is_directory {
                self.edit.remove(&target);
            }
        }
        let dangling = || OpError::DanglingLink {
            path: found.path.clone(),
        };
        let node = self.links.node_at(found, &target).ok_or_else(dangling)?;
        let meta = self.metadata(found);
        self.edit.put(Entry {
            path: target,
            meta,
            node,
        });
        Ok(())
    }

    /// Makes the directory `target` for `found`. One that is there takes over what `found` has, unless it is the
    /// destination itself: that one only takes the time.
    /// Returns whether it is new.
    fn copy_directory(
        &mut self,
        found: &Found<'_>,
        target: &TreePath,
        place: Place,
        above: Above,
    ) -> Result<Above, OpError> {
        let there = self.look(target, above).map(Cow::into_owned);
        let there = match there {
            Some(entry) if !entry.node.is_directory() => {
                if !self.action.always_replace_existing_dest_paths {
                    return Err(OpError::NonDirectory { path: target.clone() });
                }
                None
            }
            there => there,
        };
        let is_new = if there.is_some() { Above::Old } else { Above::New };
        let meta = match (there, place) {
            (None, _) => self.metadata(found),
            (Some(there), Place::Destination) => Metadata {
                mtime: self.time(found),
                ..there.meta
            },
            (Some(there), Place::OnTheWay) => Metadata {
                mode: found.meta.mode,
                ..there.meta
            },
            (Some(there), Place::Within) => {
                let mut meta = self.metadata(found);
                meta.xattrs.extend(there.meta.xattrs);
                // Stable, so that the source's value of an attribute comes first and stays.
                meta.xattrs.sort_by(|a, b| a.0.cmp(&b.0));
                meta.xattrs.dedup_by(|later, earlier| later.0 == earlier.0);
                meta
            }
        };
        if !target.is_root() {
            self.edit.put(Entry {
                path: target.clone(),
                meta,
                node: Node::Directory { opaque: false },
            });
        }
        Ok(is_new)
    }

    /// Returns what is at `path`, in a directory that may be new.
    fn look(&self, path: &TreePath, above: Above) -> Option<Cow<'_, Entry>> {
        match above {
            Above::New => None,
            Above::Old => self.edit.look(path),
        }
    }

    fn copy_tree(&mut self, found: Found<'s>, target: TreePath) -> Result<(), OpError> {
        let is_new = self.copy_directory(&found, &target, Place::Destination, Above::Old)?;
        let top = found.path.clone();
        let (include, exclude) = (MatchInfo::default(), MatchInfo::default());
        let mut dirs = vec![Dir {
            found,
            target,
            copied: true,
            is_new,
            include,
            exclude,
        }];
        let mut walk = self.source.walk(&top);
        let skipped = if top.is_root() {
            0
        } else {
            top.as_bytes().len() + 1
        };
        while let Some(found) = walk.next() {
            while dirs.len() > 1
                && !dirs
                    .last()
                    .is_some_and(|dir| found.path.starts_with(&dir.found.path))
            {
                dirs.pop();
            }
            let parent = dirs.last().expect("the top is never closed");
            let target = parent.target.join_name(found.path.file_name())?;
            let relative = &found.path.as_bytes()[skipped..];
            let included = matched(self.include.as_ref(), relative, parent.include);
            let excluded = matched(self.exclude.as_ref(), relative, parent.exclude);
            let wanted =
                included.is_none_or(|info| info.matched()) && !excluded.is_some_and(|info| info.matched());
            if wanted {
                self.copy_pending(&mut dirs)?;
            }
            let above = dirs.last().map_or(Above::Old, |dir| dir.is_new);
            if !found.node.is_directory() {
                if wanted {
                    self.copy_file(&found, target, above)?;
                }
                continue;
            }
            let mut is_new = Above::Old;
            if wanted {
                is_new = self.copy_directory(&found, &target, Place::Within, above)?;
            } else if self.nothing_below(relative, included, excluded) {
                walk.skip_below();
                continue;
            }
            let (include, exclude) = (included.unwrap_or_default(), excluded.unwrap_or_default());
            dirs.push(Dir {
                found,
                target,
                copied: wanted,
                is_new,
                include,
                exclude,
            });
        }
        Ok(())
    }

    /// Returns true when nothing below a directory that is not wanted itself can be wanted.
    fn nothing_below(&self, path: &[u8], included: Option<MatchInfo>, excluded: Option<MatchInfo>) -> bool {
        let below = |patterns: &Option<Patterns>, may: fn(&Patterns, &[u8]) -> bool| {
            patterns.as_ref().is_some_and(|patterns| may(patterns, path))
        };
        let not_included = included.is_some_and(|info| !info.matched())
            && !below(&self.include, Patterns::may_include_below);
        let stays_excluded =
            excluded.is_some_and(|info| info.matched()) && !below(&self.exclude, Patterns::may_match_below);
        not_included || stays_excluded
    }

    /// Makes the directories that were not wanted themselves but hold something that is.
    fn copy_pending(&mut self, dirs: &mut [Dir<'_>]) -> Result<(), OpError> {
        for dir in dirs.iter_mut().filter(|dir| !dir.copied) {
            dir.is_new = self.copy_directory(&dir.found, &dir.target, Place::OnTheWay, Above::Old)?;
            dir.copied = true;
        }
        Ok(())
    }
}

/// Whether a directory of the destination was there before.
#[derive(Clone, Copy)]
enum Above {
    New,
    Old,
}

/// Where in the copy a directory is that may be there already.
#[derive(Clone, Copy)]
enum Place {
    /// The destination of the copy.
    Destination,
    /// Wanted by its own name.
    Within,
    /// Above something that is wanted.
    OnTheWay,
}
