//! The table of moby/patternmatcher: every row is run, and the number of rows is checked.

use kiln_pattern::MatchInfo;
use kiln_pattern::PatternKind;
use kiln_pattern::Patterns;
use kiln_pattern::clean;
use kiln_pattern::glob_match;
use kiln_pattern::read_ignore_file;
use serde_json::Value;
use std::path::PathBuf;

fn table() -> Value {
    let root = std::env::var_os("KILN_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("conformance/patternmatcher/patternmatcher.json");
    let text = std::fs::read(&path).unwrap_or_else(|e| {
        panic!(
            "no conformance data: cannot read `{}`: {e} (set KILN_SHARED)",
            path.display()
        )
    });
    serde_json::from_slice(&text).expect("the table is JSON")
}

fn rows<'a>(table: &'a Value, key: &str) -> &'a [Value] {
    table[key]
        .as_array()
        .unwrap_or_else(|| panic!("the table has no array `{key}`"))
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{key}` in {row}"))
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item.as_str().expect("a string").to_owned())
        .collect()
}

#[track_caller]
fn check(rows: &[Value], expected_rows: usize, run: impl Fn(&Value) -> bool) {
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| !run(row))
        .map(Value::to_string)
        .collect();
    assert!(
        failed.is_empty(),
        "{} rows failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert_eq!(rows.len(), expected_rows, "number of rows that were run");
}

/// Matches as a walk does, from the first parent down.
fn walk(patterns: &Patterns, path: &str) -> bool {
    let mut info = MatchInfo::default();
    for (i, _) in path.match_indices('/') {
        info = patterns.matches_using_parent(&path.as_bytes()[..i], info);
    }
    patterns.matches_using_parent(path.as_bytes(), info).matched()
}

fn both_ways(patterns: &[String], path: &str, expect: bool) -> bool {
    let patterns = Patterns::new(patterns).expect("well formed");
    patterns.matches_or_parent_matches(path.as_bytes()) == expect && walk(&patterns, path) == expect
}

#[test]
fn one_pattern() {
    check(rows(&table(), "single"), 68, |row| {
        both_ways(
            &[text(row, "pattern").to_owned()],
            text(row, "text"),
            row["pass"] == true,
        )
    });
}

#[test]
fn several_patterns() {
    check(rows(&table(), "multi"), 4, |row| {
        both_ways(&strings(&row["patterns"]), text(row, "text"), row["pass"] == true)
    });
}

#[test]
fn filepath_match() {
    check(rows(&table(), "filepath_match"), 54, |row| {
        let (pattern, name) = (text(row, "pattern"), text(row, "s"));
        let patterns = Patterns::new(&[pattern]);
        let glob = glob_match(pattern, name.as_bytes());
        if let Some(error) = row["err"].as_str() {
            let told = |e: &kiln_pattern::PatternError| e.to_string().contains(error);
            return patterns.as_ref().err().is_some_and(told) && glob.as_ref().err().is_some_and(told);
        }
        let expect = row["match"] == true;
        // `Matches` also looks at parents; the one row where this counts is a parent that matches.
        let parent = name
            .rsplit_once('/')
            .is_some_and(|(dir, _)| glob_match(pattern, dir.as_bytes()) == Ok(true));
        patterns.is_ok_and(|p| p.matches_or_parent_matches(name.as_bytes()) == expect)
            && glob == Ok(expect && !parent)
    });
}

#[test]
fn kinds_and_regular_expressions() {
    check(rows(&table(), "compile"), 21, |row| {
        let patterns = Patterns::new(&[text(row, "pattern")]).expect("well formed");
        let pattern = &patterns.patterns()[0];
        let kind = match pattern.kind() {
            PatternKind::Exact => "exactMatch",
            PatternKind::Prefix => "prefixMatch",
            PatternKind::Suffix => "suffixMatch",
            PatternKind::Wildcards => "regexpMatch",
        };
        kind == text(row, "matchType") && pattern.regex().unwrap_or_default() == text(row, "compiledRegexp")
    });
}

#[test]
fn functions() {
    check(rows(&table(), "single_functions"), 17, |row| {
        let Ok(patterns) = Patterns::new(&strings(&row["patterns"])) else {
            return row["error"] == true;
        };
        if row["error"] == true {
            return false;
        }
        match text(row, "fn") {
            "Matches" => {
                let path = clean(text(row, "file"));
                let matched = path != "." && patterns.matches_or_parent_matches(path.as_bytes());
                matched == (row["match"] == true)
            }
            _ => {
                let count = row["n"]
                    .as_u64()
                    .is_none_or(|n| n == patterns.patterns().len() as u64);
                count && (row["exclusions"] != true || patterns.has_exclusions())
            }
        }
    });
}

#[test]
fn ignore_files() {
    check(rows(&table(), "ignorefile_read_all"), 2, |row| {
        let content = row["content"].as_str().unwrap_or_default();
        read_ignore_file(content.as_bytes()) == strings(&row["out"])
    });
}
