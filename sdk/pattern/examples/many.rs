//! Times an ignore file of 1,000 patterns over 100,000 paths: `cargo run --release -p kiln-pattern --example many`.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::time::Instant;

use kiln_pattern::MatchInfo;
use kiln_pattern::Patterns;

/// Patterns as people write them; `N` is a number.
const FORMS: [&str; 10] = [
    "dirN/sub",
    "**/nameN",
    "*.extN",
    "aN/**/b",
    "!dirN/sub/keepN",
    "fileN*",
    "**/*.xN",
    "deep/?N",
    "dirN/*.o",
    "**/tN/**",
];

fn main() -> Result<(), kiln_pattern::PatternError> {
    let patterns: Vec<String> = (0..1000)
        .map(|at: usize| FORMS[at % FORMS.len()].replace('N', &at.to_string()))
        .collect();
    let directories: Vec<String> = (0..1000)
        .map(|at| {
            if at % 2 == 0 {
                format!("dir{at}/sub")
            } else {
                format!("src/t{at}")
            }
        })
        .collect();
    let start = Instant::now();
    let matcher = Patterns::new(&patterns)?;
    let (mut ignored, mut paths) = (0_u32, 0_u32);
    for directory in &directories {
        // As a walk does it: each directory hands on what is known of it.
        let mut known = MatchInfo::default();
        for (at, _) in directory.match_indices('/') {
            known = matcher.matches_using_parent(&directory.as_bytes()[..at], known);
        }
        known = matcher.matches_using_parent(directory.as_bytes(), known);
        let below = matcher.may_match_below(directory.as_bytes());
        for number in 0..100 {
            let path = format!("{directory}/file{number}.o");
            let matched = matcher.matches_using_parent(path.as_bytes(), known).matched();
            ignored += u32::from(matched || (known.matched() && !below));
            paths += 1;
        }
    }
    println!(
        "{} patterns, {paths} paths, {ignored} ignored: {:.1} ms",
        patterns.len(),
        start.elapsed().as_secs_f64() * 1000.0
    );
    Ok(())
}
