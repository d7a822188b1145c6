//! A list of patterns: the last one that matches a path or one of its parents decides.

use crate::clean::clean;
use crate::error::PatternError;
use crate::index::Index;
use crate::pattern::Pattern;

/// A list of patterns, as in `.dockerignore`.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    index: Index,
}

/// What is known of a directory when its entries are looked at. The default stands for the root of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MatchInfo {
    /// The last pattern that matches the path or a parent, counted from 1; 0 for none.
    last: usize,
    matched: bool,
}

impl MatchInfo {
    /// Tells whether the path matches: a pattern matches it or a parent, and no later `!` pattern does.
    pub fn matched(&self) -> bool {
        self.matched
    }
}

impl Patterns {
    /// Reads patterns. Spaces around them are dropped, empty ones do not count.
    ///
    /// # Errors
    /// The first pattern that is not well formed.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let mut read = Vec::new();
        for text in patterns {
            let text = text.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            let text = clean(text);
            read.push(match text.strip_prefix('!') {
                Some("") => return Err(PatternError::IllegalExclusion),
                Some(text) => Pattern::new(text, true)?,
                None => Pattern::new(&text, false)?,
            });
        }
        Ok(Self {
            index: Index::new(&read),
            patterns: read,
        })
    }

    /// Returns the patterns, in order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Tells whether some start with `!`.
    pub fn has_exclusions(&self) -> bool {
        self.patterns.iter().any(Pattern::is_exclusion)
    }

    /// Tells whether the list matches this very path; patterns that match a parent do not count.
    ///
    /// The path has `/` between its names, and is matched as it is: no `./` in front, no `/` behind.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.step(path, MatchInfo::default()).matched
    }

    /// Tells whether the list matches a path or one of its parents.
    pub fn matches_or_parent_matches(&self, path: &[u8]) -> bool {
        let slashes = (0..path.len()).filter(|i| path[*i] == b'/');
        let parents = slashes.fold(MatchInfo::default(), |info, i| self.step(&path[..i], info));
        self.step(path, parents).matched
    }

    /// Matches an entry of a directory in a walk. The result is handed on to the entry's own entries.
    pub fn matches_using_parent(&self, path: &[u8], parent: MatchInfo) -> MatchInfo {
        self.step(path, parent)
    }

    /// A pattern before the last one that matches the parent cannot change anything.
    fn step(&self, path: &[u8], parent: MatchInfo) -> MatchInfo {
        match self.index.last_match(&self.patterns, path, parent.last) {
            Some(i) => MatchInfo {
                last: i + 1,
                matched: !self.patterns[i].is_exclusion(),
            },
            None => parent,
        }
    }

    /// Tells whether a `!` pattern may match something below a directory. If not, nothing below a directory that
    /// matches needs to be looked at.
    pub fn may_match_below(&self, dir: &[u8]) -> bool {
        self.patterns
            .iter()
            .any(|p| p.is_exclusion() && p.may_match_below(dir))
    }

    /// Tells whether a pattern without `!` may match something below a directory. If not, and the directory does not
    /// match, nothing below it does.
    pub fn may_include_below(&self, dir: &[u8]) -> bool {
        self.patterns
            .iter()
            .any(|p| !p.is_exclusion() && p.may_match_below(dir))
    }
}
