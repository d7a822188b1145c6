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
    /// Other patterns by what every match starts with.
    heads: Affixes,
    /// Other patterns by what every match ends with.
    tails: Affixes,
    /// Other patterns by a name that every match has somewhere.
    parts: HashMap<Vec<u8>, Vec<usize>>,
    /// Patterns whose matches have nothing in common, last ones first.
    others: Vec<usize>,
}

/// Patterns by a beginning or an end of their matches, last ones first.
#[derive(Debug, Clone, Default)]
struct Affixes {
    patterns: HashMap<Vec<u8>, Vec<usize>>,
    lengths: BTreeSet<usize>,
}

impl Affixes {
    fn add(&mut self, affix: &[u8], i: usize) {
        self.lengths.insert(affix.len());
        self.patterns.entry(affix.to_vec()).or_default().push(i);
    }

    /// Returns the lists of patterns whose affix `cut` finds in a path.
    fn of<'a>(
        &'a self,
        path: &'a [u8],
        cut: fn(&[u8], usize) -> &[u8],
    ) -> impl Iterator<Item = &'a Vec<usize>> {
        let lengths = self.lengths.range(..=path.len());
        lengths.filter_map(move |length| self.patterns.get(cut(path, *length)))
    }
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
            _ => self.add_by_longest(i, pattern),
        }
    }

    /// Sorts a pattern by the longest text that all of its matches have.
    fn add_by_longest(&mut self, i: usize, pattern: &Pattern) {
        let part = pattern.whole_name();
        let tail: &[u8] = match pattern.kind() {
            PatternKind::Prefix => &[],
            _ => &pattern.tail,
        };
        let longest = pattern.head.len().max(tail.len()).max(part.len());
        match longest {
            0 => self.others.push(i),
            _ if pattern.head.len() == longest => self.heads.add(&pattern.head, i),
            _ if tail.len() == longest => self.tails.add(tail, i),
            _ => self.parts.entry(part).or_default().push(i),
        }
    }

    /// Finds the last pattern that matches a path and comes at or behind a first one.
    pub(crate) fn last_match(&self, patterns: &[Pattern], path: &[u8], first: usize) -> Option<usize> {
        let mut best = self.exact.get(path).copied();
        best = best.max(self.last_by_names(path));
        let heads = self.heads.of(path, |path, length| &path[..length]);
        let tails = self.tails.of(path, |path, length| &path[path.len() - length..]);
        let names = path.split(|byte| *byte == b'/').take(match self.parts.len() {
            0 => 0,
            _ => usize::MAX,
        });
        let parts = names.filter_map(|name| self.parts.get(name));
        for list in heads.chain(tails).chain(parts).chain([&self.others]) {
            let least = first.max(best.map_or(0, |best| best + 1));
            let mut candidates = list.iter().copied().take_while(|i| *i >= least);
            best = best.max(candidates.find(|i| patterns[*i].matches(path)));
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
