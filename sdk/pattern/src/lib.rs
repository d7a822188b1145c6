//! The pattern language of `.dockerignore`, `--exclude` and wildcards in COPY sources: Go's `filepath.Match`, `**`
//! and `!`, as moby/patternmatcher understands them.
//!
//! Patterns are text; paths are bytes with `/` between names, for a file name need not be UTF-8. Nothing here touches
//! a file system. No input panics, and a match takes at most pattern length × path length steps.

mod clean;
mod error;
mod glob;
mod ignorefile;
mod index;
mod matcher;
mod pattern;
mod runes;

pub use clean::clean;
pub use error::PatternError;
pub use glob::glob_match;
pub use ignorefile::read_ignore_file;
pub use matcher::MatchInfo;
pub use matcher::Patterns;
pub use pattern::Pattern;
pub use pattern::PatternKind;
