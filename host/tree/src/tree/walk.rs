//! The merged walk over all layers: one cursor a layer, always at the layer's first entry that was not dealt with.

use super::Found;
use super::Tree;
use crate::Entry;
use crate::Node;
use crate::TreePath;

/// Walks a [`Tree`] in walk order.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    /// What is left of each layer, bottom first.
    cursors: Vec<&'a [Entry]>,
    /// The directories that are open, outermost first.
    open: Vec<Open>,
}

/// A directory, or something that hides whole subtrees, and the lowest layer that counts below it.
#[derive(Debug, Clone)]
struct Open {
    path: TreePath,
    floor: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a Tree, path: &TreePath) -> Self {
        let is_directory = tree.lookup(path).is_some_and(|found| found.node.is_directory());
        let floor = if is_directory {
            tree.floor(path)
        } else {
            tree.layers.len()
        };
        let cursors = tree.layers.iter().map(|layer| layer.below(path)).collect();
        Self {
            cursors,
            open: vec![Open {
                path: path.clone(),
                floor,
            }],
        }
    }

    /// Leaves out what is below the entry that was returned last.
    pub fn skip_below(&mut self) {
        let all = self.cursors.len();
        if let Some(last) = self.open.last_mut() {
            last.floor = all;
        }
    }

    /// Returns the first path that any layer has, with a layer that has it.
    fn first(&self) -> Option<(usize, &'a TreePath)> {
        let heads = self.cursors.iter().enumerate();
        let heads = heads.filter_map(|(layer, rest)| Some((layer, &rest.first()?.path)));
        heads.min_by(|a, b| a.1.cmp(b.1))
    }

    /// Closes the directories that `path` is not in and returns the innermost that it is in.
    fn enclosing(&mut self, path: &TreePath) -> &Open {
        while self.open.len() > 1 && !self.open.last().is_some_and(|open| path.starts_with(&open.path)) {
            self.open.pop();
        }
        self.open.last().expect("the start of the walk is never closed")
    }

    /// Decides what is at `path`, which is the first of all cursors or a directory that it implies.
    fn decide(&mut self, path: &TreePath, floor: usize) -> (Option<Found<'a>>, usize) {
        let mut result = None;
        let mut implied = None;
        let mut below = floor;
        for layer in (floor..self.cursors.len()).rev() {
            let rest = self.cursors[layer];
            let here = rest.first().filter(|entry| entry.path == *path);
            let after = if here.is_some() { &rest[1..] } else { rest };
            let has_more = after.first().is_some_and(|entry| entry.path.starts_with(path));
            match here.map(|entry| (entry, &entry.node)) {
                None if has_more => implied = implied.or(Some(layer)),
                None => {}
                Some((entry, Node::Directory { opaque })) => {
                    result = result.or_else(|| Some(Found::named(entry, layer)));
                    if *opaque {
                        below = layer;
                        break;
                    }
                }
                Some((_, Node::Whiteout)) => {
                    if has_more {
                        implied = implied.or(Some(layer));
                    }
                    below = layer;
                    break;
                }
                Some((entry, _)) => {
                    if result.is_none() && implied.is_none() {
                        return (Some(Found::named(entry, layer)), self.cursors.len());
                    }
                    below = layer + 1;
                    break;
                }
            }
        }
        let found = result.or_else(|| implied.map(|layer| Found::implied(path.clone(), layer)));
        (found, below)
    }

    fn pass(&mut self, path: &TreePath) {
        for rest in &mut self.cursors {
            if rest.first().is_some_and(|entry| entry.path == *path) {
                *rest = &rest[1..];
            }
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        loop {
            let (layer, first) = self.first()?;
            let open = self.enclosing(first);
            let floor = open.floor;
            if layer < floor
                && self
                    .cursors
                    .iter()
                    .skip(floor)
                    .all(|rest| rest.first().is_none_or(|e| e.path > *first))
            {
                let hidden = open_end(self.cursors[layer], &self.open);
                self.cursors[layer] = &self.cursors[layer][hidden..];
                continue;
            }
            let path = self.open.last().map(|open| child_towards(&open.path, first))?;
            let (found, floor) = self.decide(&path, floor);
            self.pass(&path);
            self.open.push(Open { path, floor });
            if found.is_some() {
                return found;
            }
        }
    }
}

/// Returns how many entries of `rest` lie in the innermost open directory.
fn open_end(rest: &[Entry], open: &[Open]) -> usize {
    let inner = open.last().expect("the start of the walk is never closed");
    rest.partition_point(|entry| entry.path.starts_with(&inner.path))
}

/// Returns the path one component below `above` on the way to `path`.
fn child_towards(above: &TreePath, path: &TreePath) -> TreePath {
    let start = if above.is_root() {
        0
    } else {
        above.as_bytes().len() + 1
    };
    let rest = &path.as_bytes()[start..];
    match rest.iter().position(|&b| b == b'/') {
        None => path.clone(),
        Some(end) => path.prefix(start + end),
    }
}
