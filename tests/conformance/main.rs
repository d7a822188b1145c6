//! Build cases of the shared conformance data, run through the command line. `passing.txt` lists the cases that pass:
//! one that does not any more is a failure, one that is new is to be added (`KILN_CONFORMANCE_UPDATE=1` does it).
//! `KILN_CASE=name` runs one case and keeps its directory.
#![expect(clippy::print_stdout, reason = "the report is what this is for")]

mod base;
mod case;
mod check;
mod context;
mod runner;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use case::Case;
use case::File;
use kiln_tests::support::repo;
use kiln_tests::support::shared;
use runner::Verdict;

/// Cases that run at a time.
const WORKERS: usize = 2;

fn list_path() -> PathBuf {
    repo().join("tests/conformance/passing.txt")
}

fn load() -> Vec<Case> {
    let path = shared("conformance/dockerfile/build_cases.json");
    let text = std::fs::read_to_string(&path).expect("the cases can be read");
    let file: File = serde_json::from_str(&text).unwrap_or_else(|e| panic!("`{}`: {e}", path.display()));
    file.cases
}

/// Runs all of `cases`, several at a time.
fn run_all(cases: &[Case], is_kept: bool) -> BTreeMap<String, Verdict> {
    let base = base::Base::build();
    let (queue, verdicts) = (Mutex::new(cases.iter()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics with the queue").next();
                    let Some(case) = next else { break };
                    let run = std::panic::AssertUnwindSafe(|| runner::run(case, &base, is_kept));
                    let verdict = std::panic::catch_unwind(run)
                        .unwrap_or_else(|_| Verdict::Failed("the runner panicked, see above".to_owned()));
                    verdicts
                        .lock()
                        .expect("no worker panics with the verdicts")
                        .insert(case.name.clone(), verdict);
                }
            });
        }
    });
    verdicts.into_inner().expect("no worker panics with the verdicts")
}

/// Prints the report and returns the names of the cases that passed.
fn report(verdicts: &BTreeMap<String, Verdict>) -> BTreeSet<&str> {
    let mut counts = [0; 4];
    for (name, verdict) in verdicts {
        let (at, line) = match verdict {
            Verdict::Passed => (0, format!("passed               {name}")),
            Verdict::Failed(why) => (1, format!("failed               {name}: {why}")),
            Verdict::NotYet(why) => (2, format!("not yet supported    {name}: {why}")),
            Verdict::NotHere(why) => (3, format!("not verifiable here  {name}: {why}")),
        };
        counts[at] += 1;
        println!("{line}");
    }
    let [passed, failed, not_yet, not_here] = counts;
    println!(
        "conformance: {passed} passed, {failed} failed, {not_yet} not yet supported, {not_here} not verifiable here"
    );
    verdicts
        .iter()
        .filter(|(_, verdict)| **verdict == Verdict::Passed)
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn build_cases() {
    assert!(
        runner::is_root(),
        "the cases are those of a rootful build: run the tests as root"
    );
    let only = std::env::var("KILN_CASE").ok();
    let mut cases = load();
    cases.retain(|case| only.as_ref().is_none_or(|only| case.name == *only));
    assert!(!cases.is_empty(), "there is no such case: {only:?}");
    let verdicts = run_all(&cases, only.is_some());
    let passed = report(&verdicts);
    if only.is_some() {
        assert!(
            !verdicts
                .values()
                .any(|verdict| matches!(verdict, Verdict::Failed(_))),
            "the case failed"
        );
        return;
    }
    if std::env::var_os("KILN_CONFORMANCE_UPDATE").is_some() {
        let text: String = passed.iter().map(|name| format!("{name}\n")).collect();
        std::fs::write(list_path(), text).expect("the list can be written");
        return;
    }
    let text = std::fs::read_to_string(list_path()).expect("passing.txt is there");
    let listed: BTreeSet<&str> = text.lines().collect();
    let not_here = |name: &str| matches!(verdicts.get(name), Some(Verdict::NotHere(_)));
    let lost: Vec<_> = listed
        .difference(&passed)
        .filter(|name| !not_here(name))
        .collect();
    let new: Vec<_> = passed.difference(&listed).collect();
    assert!(lost.is_empty(), "these cases passed before: {lost:?}");
    assert!(
        new.is_empty(),
        "these cases pass now: {new:?}: add them with KILN_CONFORMANCE_UPDATE=1"
    );
}
