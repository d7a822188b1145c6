//! Random patterns and paths: nothing panics, and the index finds what trying every pattern finds.

use kiln_pattern::MatchInfo;
use kiln_pattern::Patterns;
use kiln_pattern::glob_match;
use kiln_pattern::read_ignore_file;

/// A small generator with a seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn text(&mut self, parts: &[&str], most: usize) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| parts[self.below(parts.len())]).collect()
    }
}

/// The seed of a run: `KILN_SEED`, or one that is always the same.
fn seed() -> u64 {
    let given = std::env::var("KILN_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(20_261_123)
}

const PATTERN: [&str; 16] = [
    "a", "b", "ab", "é", "/", "/", "*", "**", "**/", "/**", "?", "[ab]", "[^a]", "\\", "[", "!",
];
const PATH: [&str; 8] = ["a", "b", "ab", "é", "/", "/a", "b/", "x"];

/// Tries every pattern on the path and on each of its parents; the last that matches decides.
fn naive(patterns: &Patterns, path: &[u8]) -> bool {
    let parents = (0..path.len()).filter(|i| path[*i] == b'/').map(|i| &path[..i]);
    let paths: Vec<&[u8]> = parents.chain([path]).collect();
    let last = patterns
        .patterns()
        .iter()
        .rev()
        .find(|p| paths.iter().any(|path| p.matches(path)));
    last.is_some_and(|p| !p.is_exclusion())
}

#[test]
fn the_index_finds_what_a_search_finds() {
    let seed = seed();
    let mut random = Random(seed);
    let mut compared = 0;
    for _ in 0..20_000 {
        let count = 1 + random.below(6);
        let texts: Vec<String> = (0..count).map(|_| random.text(&PATTERN, 5)).collect();
        let Ok(patterns) = Patterns::new(&texts) else {
            continue;
        };
        for _ in 0..4 {
            let path = random.text(&PATH, 5);
            let got = patterns.matches_or_parent_matches(path.as_bytes());
            assert_eq!(
                got,
                naive(&patterns, path.as_bytes()),
                "seed {seed}: {texts:?} on {path:?}"
            );
            compared += 1;
        }
    }
    assert!(
        compared > 10_000,
        "only {compared} comparisons: most patterns were refused"
    );
}

#[test]
fn pruning_loses_nothing() {
    let seed = seed();
    let mut random = Random(seed);
    for _ in 0..20_000 {
        let texts: Vec<String> = (0..3).map(|_| random.text(&PATTERN, 5)).collect();
        let Ok(patterns) = Patterns::new(&texts) else {
            continue;
        };
        let path = random.text(&PATH, 5);
        let Some((dir, _)) = path.split_once('/') else {
            continue;
        };
        for pattern in patterns.patterns().iter().filter(|p| p.matches(path.as_bytes())) {
            let may = if pattern.is_exclusion() {
                patterns.may_match_below(dir.as_bytes())
            } else {
                patterns.may_include_below(dir.as_bytes())
            };
            // A pattern such as `a` that matches `a/` itself is not below it.
            assert!(
                may || path.ends_with('/'),
                "seed {seed}: {texts:?} below {dir:?}: {path:?}"
            );
        }
    }
}

#[test]
fn any_bytes_are_survived() {
    let seed = seed();
    let mut random = Random(seed);
    for _ in 0..20_000 {
        let mut bytes = |most: usize| {
            (0..random.below(most))
                .map(|_| random.below(256) as u8)
                .collect::<Vec<u8>>()
        };
        let (file, path) = (bytes(40), bytes(20));
        let lines = read_ignore_file(&file);
        if let Ok(patterns) = Patterns::new(&lines) {
            let _ = patterns.matches_or_parent_matches(&path);
        }
        let _ = glob_match(&String::from_utf8_lossy(&file), &path);
    }
}

/// Each of these is exponential for a matcher that tries all ways one after the other.
#[test]
fn hostile_patterns_end() {
    let path = format!("{}b", "a/".repeat(2000));
    for part in ["**/a/", "*a*/", "**/*/", "?*/**/"] {
        let text = format!("{}x", part.repeat(200));
        let patterns = Patterns::new(&[text]).expect("well formed");
        assert!(!patterns.patterns()[0].matches(path.as_bytes()));
    }
    let name = "a".repeat(5000);
    assert_eq!(
        glob_match(&format!("{}b", "*a".repeat(500)), name.as_bytes()),
        Ok(false)
    );
}

/// What a walk of a large tree does. No time is checked here; `benches` measures.
#[test]
fn a_walk_of_many_paths_and_patterns() {
    let kinds = [
        "dir{}/sub/**",
        "**/name{}",
        "**/*.ext{}",
        "exact/path{}",
        "pre{}*/x",
        "!**/keep{}",
    ];
    let texts: Vec<String> = (0..1000)
        .map(|i| kinds[i % 6].replace("{}", &i.to_string()))
        .collect();
    let patterns = Patterns::new(&texts).expect("well formed");
    let mut matched = 0;
    for dir in 0..100 {
        let dir_path = format!("dir{dir}/sub");
        let top = patterns.matches_using_parent(format!("dir{dir}").as_bytes(), MatchInfo::default());
        let info = patterns.matches_using_parent(dir_path.as_bytes(), top);
        for file in 0..1000 {
            let path = format!("{dir_path}/file{file}.ext{}", file % 100);
            matched += usize::from(patterns.matches_using_parent(path.as_bytes(), info).matched());
        }
    }
    // 17 of the directories are named by a pattern; elsewhere 17 of 100 file names have a pattern's ending.
    assert_eq!(matched, 17 * 1000 + 83 * 170);
}
