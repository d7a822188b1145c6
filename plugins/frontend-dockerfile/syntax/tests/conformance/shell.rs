use crate::support::Report;
use crate::support::rows;
use crate::support::strings;
use crate::support::table;
use crate::support::text;
use kiln_dockerfile_syntax::shell::Lex;
use kiln_dockerfile_syntax::shell::pattern_to_regex;
use kiln_dockerfile_syntax::shell::reverse_pattern;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

type Env = Vec<(String, String)>;

/// `NAME=value` entries.
fn env_of(list: &Value) -> Env {
    let pair = |entry: String| {
        entry
            .split_once('=')
            .map_or((entry.clone(), String::new()), |(k, v)| {
                (k.to_owned(), v.to_owned())
            })
    };
    strings(list).into_iter().map(pair).collect()
}

/// A map of names and values.
fn env_map(map: &Value) -> Env {
    let map = map.as_object().cloned().unwrap_or_default();
    map.iter()
        .map(|(k, v)| (k.clone(), v.as_str().expect("a string").to_owned()))
        .collect()
}

fn names(map: &Value) -> BTreeSet<String> {
    map.as_object()
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn words_of_env_var_test() {
    let table = table("shell/envVarTest.json");
    let env = env_of(&table["env"]);
    let mut report = Report::default();
    for row in rows(&table, "cases").iter().filter(|row| row["platform"] != "W") {
        let word = text(row, "word");
        let got = Lex::new('\\').process_word(word, &env).ok();
        let expect = row["expected"].as_str().map(str::to_owned);
        assert_eq!(expect.is_none(), row["error"] == true);
        report.equal(word, &got, &expect);
    }
    report.done(228);
}

#[test]
fn splitting_of_words_test() {
    let table = table("shell/wordsTest.json");
    let mut report = Report::default();
    for row in rows(&table, "cases") {
        let input = text(row, "input");
        let got = Lex::new('\\').process_words(input, &env_of(&row["env"])).ok();
        let expect = (row["error"] != true).then(|| strings(&row["expected"]));
        report.equal(input, &got, &expect);
    }
    report.done(24);
}

#[test]
fn matches() {
    let table = table("shell/lex_test.json");
    let mut report = Report::default();
    for row in rows(&table, "process_word_with_matches") {
        let input = text(row, "input");
        let (result, matched, unmatched) = match Lex::new('\\').process(input, &env_map(&row["envs"])) {
            Ok(word) => (Some(word.text), word.matched, word.unmatched),
            Err(error) => (None, BTreeSet::new(), error.unmatched),
        };
        let error = row["expectedErr"] == true;
        let expect = (!error).then(|| text(row, "expected").to_owned());
        let ok = result == expect
            && (error || matched == names(&row["matches"]))
            && (error && row.get("unmatched").is_none() || unmatched == names(&row["unmatched"]));
        report.holds(
            input,
            ok,
            &format!("got {result:?} {matched:?} {unmatched:?}, expected {row}"),
        );
    }
    report.done(47);
}

#[test]
fn variables_that_must_be_set() {
    let table = table("shell/lex_test.json");
    let mut report = Report::default();
    for row in rows(&table["mandatory"], "cases") {
        let word = text(row, "word");
        let got = Lex::new('\\').process_word(word, &env_of(&row["env"]));
        let ok = match (&got, row["expected"].as_str()) {
            (Ok(got), Some(expect)) => got == expect,
            (Err(error), None) => error.message().contains(text(row, "error_contains")),
            _ => false,
        };
        report.holds(word, ok, &format!("got {got:?}"));
    }
    report.done(6);
}

#[test]
fn patterns() {
    let table = table("shell/lex_test.json");
    let mut report = Report::default();
    let regexes = &table["pattern_to_regex"];
    for (pattern, expect) in regexes["anchored_greedy"].as_object().expect("a map") {
        report.equal(
            pattern,
            &pattern_to_regex(pattern).ok().as_deref(),
            &expect.as_str(),
        );
    }
    for pattern in strings(&regexes["invalid"]) {
        report.holds(&pattern, pattern_to_regex(&pattern).is_err(), "no error");
    }
    for (pattern, expect) in table["reverse_pattern"].as_object().expect("a map") {
        report.equal(
            pattern,
            &Some(reverse_pattern(pattern).as_str()),
            &expect.as_str(),
        );
    }
    let release = &table["platform_release_name"];
    for row in rows(release, "cases") {
        let env: BTreeMap<String, String> = env_map(&row["env"]).into_iter().collect();
        let got = Lex::new('\\').process_word(text(release, "word"), &env).ok();
        report.equal(text(row, "expected"), &got.as_deref(), &row["expected"].as_str());
    }
    report.done(4 + 3 + 5 + 3);
}
