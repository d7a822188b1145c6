//! Which files of a context are wanted.

use kiln_pattern::MatchInfo;
use kiln_pattern::PatternError;
use kiln_pattern::Patterns;
use kiln_tree::TreePath;

/// Include and exclude patterns of one context.
#[derive(Debug)]
pub(crate) struct Filter {
    include: Option<Patterns>,
    exclude: Patterns,
    follow: bool,
}

/// What is known of a directory when its entries are judged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    include: MatchInfo,
    exclude: MatchInfo,
}

/// What becomes of an entry.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The entry is wanted.
    pub(crate) included: bool,
    /// Something below the entry may be wanted.
    pub(crate) descend: bool,
    /// A pattern asks for the entry or for something below it: it is not merely in a directory that is wanted.
    pub(crate) named: bool,
    /// For its own entries.
    pub(crate) scope: Scope,
}

impl Filter {
    /// Reads patterns. `follow` are paths that are wanted with what symbolic links on the way point at; with neither
    /// `include` nor `follow` everything is wanted.
    pub(crate) fn new(
        include: &[String],
        exclude: &[String],
        follow: &[String],
    ) -> Result<Self, PatternError> {
        let whole = |path: &String| matches!(path.trim_matches('/'), "" | ".");
        let wanted: Vec<&str> = include
            .iter()
            .chain(follow)
            .map(|p| p.trim_start_matches('/'))
            .collect();
        let everything = wanted.is_empty() || follow.iter().any(whole);
        Ok(Self {
            include: if everything {
                None
            } else {
                Some(Patterns::new(&wanted)?)
            },
            exclude: Patterns::new(exclude)?,
            follow: !follow.is_empty() && !everything,
        })
    }

    /// What is known of the context's root.
    pub(crate) fn root(&self) -> Scope {
        Scope::default()
    }

    /// Whether symbolic links on the way to a wanted path are wanted too.
    pub(crate) fn follows(&self) -> bool {
        self.follow
    }

    /// Judges an entry of a directory.
    pub(crate) fn judge(&self, above: &Scope, path: &TreePath) -> Verdict {
        let bytes = path.as_bytes();
        let exclude = self.exclude.matches_using_parent(bytes, above.exclude);
        let excluded = exclude.matched();
        let (include, wanted, below) = match &self.include {
            None => (above.include, true, true),
            Some(patterns) => {
                let info = patterns.matches_using_parent(bytes, above.include);
                (
                    info,
                    info.matched(),
                    info.matched() || patterns.may_include_below(bytes),
                )
            }
        };
        Verdict {
            included: wanted && !excluded,
            named: !above.include.matched(),
            descend: below && (!excluded || self.exclude.may_match_below(bytes)),
            scope: Scope { include, exclude },
        }
    }
}
