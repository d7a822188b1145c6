//! Finds the last of many patterns that matches a path, without trying them all.

use crate::pattern::Pattern;
use crate::pattern::PatternKind;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// Patterns sorted by what every match must look like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// Patterns that are a path: the last of each.
    exact: HashMap<Vec<u8>, usize>,
    /// Patterns `**/name/…/name`, without `**/`: the last of each.
    names: HashMap<Vec<u8>, usize>,
    /// How many names the keys of `names` have.
    depths: BTreeSet<usize>,
    /// Other patterns by the last byte of every match, last ones first.
    by_last: HashMap<u8, Vec<usize>>,
    /// Patterns whose matches may end in anything, last ones first.
    others: Vec<usize>,
}

impl Index {
    pub(crate) fn new(patterns: &[Pattern]) -> Self {
        let mut index = Self::default();
        for (i, pattern) in patterns.iter().enumerate().rev() {
            index.add(i, pattern);
        }
        index
    }

    /// Adds a pattern; those behind it are there already.
    fn add(&mut self, i: usize, pattern: &Pattern) {
        match pattern.kind() {
            PatternKind::Exact => {
                self.exact.entry(pattern.head.clone()).or_insert(i);
            }
            PatternKind::Suffix if pattern.text().starts_with("**/") => {
                let name = pattern.tail.clone();
                self.depths
                    .insert(1 + name.iter().filter(|b| **b == b'/').count());
                self.names.entry(name).or_insert(i);
            }
            _ => match pattern
                .tail
                .last()
                .filter(|_| pattern.kind() != PatternKind::Prefix)
            {
                Some(last) => self.by_last.entry(*last).or_default().push(i),
                None => self.others.push(i),
            },
        }
    }

    /// Finds the last pattern that matches a path and comes at or behind a first one.
    pub(crate) fn last_match(&self, patterns: &[Pattern], path: &[u8], first: usize) -> Option<usize> {
        let mut best = self.exact.get(path).copied();
        best = best.max(self.last_by_names(path));
        for list in [
            path.last().and_then(|last| self.by_last.get(last)),
            Some(&self.others),
        ] {
            let least = first.max(best.map_or(0, |best| best + 1));
            let candidates = list.into_iter().flatten().take_while(|i| **i >= least);
            best = best.max(candidates.copied().find(|i| patterns[*i].matches(path)));
        }
        best.filter(|i| *i >= first)
    }

    fn last_by_names(&self, path: &[u8]) -> Option<usize> {
        let mut best = None;
        let mut slashes = (0..path.len()).rev().filter(|i| path[*i] == b'/');
        let mut depth = 0;
        for wanted in &self.depths {
            let mut start = None;
            while depth < *wanted {
                start = slashes.next();
                depth += 1;
                if start.is_none() {
                    break;
                }
            }
            let names = start.map_or(path, |slash| &path[slash + 1..]);
            if depth == *wanted {
                best = best.max(self.names.get(names).copied());
            }
            if start.is_none() {
                break;
            }
        }
        best
    }
}
