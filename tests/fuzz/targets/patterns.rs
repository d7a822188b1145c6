//! Patterns and ignore files.

use kiln_pattern::MatchInfo;
use kiln_pattern::Patterns;
use kiln_pattern::clean;
use kiln_pattern::glob_match;
use kiln_pattern::read_ignore_file;

use crate::engine::Target;
use crate::engine::shape;
use crate::targets::shared_texts;

const PATHS: [&str; 10] = [
    "a",
    "a/b",
    "a/b/c",
    ".git",
    ".git/config",
    "dir/file.txt",
    "x.go",
    "\u{e9}/\u{2028}",
    "a*b",
    "[a]/\\b",
];

pub(crate) fn target() -> Target {
    let cases = "conformance/patternmatcher/patternmatcher.json";
    Target {
        name: "patterns",
        run,
        tokens: &[
            b"*",
            b"**",
            b"**/",
            b"/**",
            b"?",
            b"!",
            b"[",
            b"]",
            b"[^a-z]",
            b"[a-",
            b"\\",
            b"/",
            b"..",
            b"./",
            b"#",
            b"\n",
            b"\r\n",
            b" ",
            b"\xef\xbb\xbf",
            b"\xc3\xa9",
            b"\xff",
            b"a",
            b"a/b",
        ],
        seeds: shared_texts(cases, "single", "pattern"),
    }
}

fn run(bytes: &[u8]) -> String {
    let lines = read_ignore_file(bytes);
    for line in &lines {
        let cleaned = clean(line);
        assert_eq!(clean(&cleaned), cleaned, "`{line}`");
        for path in PATHS {
            let _ = glob_match(line, path.as_bytes());
        }
    }
    let patterns = match Patterns::new(&lines) {
        Ok(patterns) => patterns,
        Err(error) => return shape(&error.to_string()),
    };
    // What stands in the file is what its patterns are likely to match.
    let own = lines
        .iter()
        .take(20)
        .map(|line| clean(line.trim_start_matches(['!', '/'])));
    let paths: Vec<String> = PATHS.into_iter().map(str::to_owned).chain(own).collect();
    let mut matching = 0;
    for path in paths.iter().filter(|path| path.len() < 1000 && !path.is_empty()) {
        matching += usize::from(check(&patterns, path));
    }
    let mut kinds: Vec<_> = patterns
        .patterns()
        .iter()
        .map(|p| format!("{:?}", p.kind()))
        .collect();
    kinds.sort();
    kinds.dedup();
    format!("{matching} {} {}", patterns.has_exclusions(), kinds.join(" "))
}

/// Asks in all ways whether a path matches; the answers are the same.
fn check(patterns: &Patterns, path: &str) -> bool {
    let whole = patterns.matches_or_parent_matches(path.as_bytes());
    let mut info = MatchInfo::default();
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0);
    for end in ends {
        let dir = &path.as_bytes()[..end];
        let matched = patterns.matches_using_parent(dir, info);
        if matched.matched() && !patterns.may_match_below(dir) {
            assert!(
                whole,
                "`{path}` is taken back below a directory that has nothing to take back"
            );
        }
        if !matched.matched() && !patterns.may_include_below(dir) {
            assert!(
                !whole,
                "`{path}` matches below a directory that has nothing that matches"
            );
        }
        info = matched;
    }
    let walked = patterns.matches_using_parent(path.as_bytes(), info).matched();
    assert_eq!(walked, whole, "`{path}` matches in a walk, or else on its own");
    whole
}
