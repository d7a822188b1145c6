//! The same Dockerfiles through kiln and through others: trees, configs and histories must be equal. What BuildKit makes
//! is recorded beside each case (`cargo xtask differential` records it anew); buildah runs beside kiln.
//! A difference that is meant to be stands in the case's `case.toml` with its reason, and in `docs/differences.md`.
//! `KILN_CASE=name` runs one case.
#![expect(clippy::print_stdout, reason = "the report is what this is for")]

mod builders;
mod case;
mod record;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::OnceLock;

use builders::Buildah;
use builders::Builder;
use builders::Docker;
use case::Case;
use kiln_tests::support::Kiln;
use kiln_tests::support::repo;
use record::Record;

/// Cases that run at a time.
const WORKERS: usize = 2;

type Made = BTreeMap<String, Result<Record, String>>;

/// Builds all cases that `peer` can build.
fn build_all(builder: &dyn Builder, cases: &[Case], peer: &str) -> Made {
    let (queue, all) = (Mutex::new(cases.iter()), Mutex::new(Made::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics with the queue").next();
                    let Some(case) = next else { break };
                    if case.settings.skip.contains_key(peer) {
                        continue;
                    }
                    let made = builders::made(builder, case);
                    let mut all = all.lock().expect("no worker panics with the results");
                    all.insert(case.name.clone(), made);
                }
            });
        }
    });
    all.into_inner().expect("no worker panics with the results")
}

/// Returns what kiln makes of all cases; both tests look at the same.
fn ours(cases: &[Case]) -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| build_all(&Kiln::new(), cases, "kiln"))
}

/// Compares and prints a table; panics with the differences that nobody explained.
#[track_caller]
fn judge(peer: &str, cases: &[Case], mine: &Made, theirs: &Made) {
    let mut wrong = Vec::new();
    for case in cases {
        let name = &case.name;
        let (Some(mine), Some(theirs)) = (mine.get(name), theirs.get(name)) else {
            let skip = case.settings.skip.get(peer).map_or("not built", String::as_str);
            println!("skipped    {name}: {skip}");
            continue;
        };
        let verdict = match (mine, theirs) {
            (Ok(mine), Ok(theirs)) => verdict(case, peer, &record::differences(mine, theirs)),
            (Err(said), _) => Err(format!("kiln failed: {said}")),
            (_, Err(said)) => Err(format!("{peer} failed: {said}")),
        };
        match verdict {
            Ok(said) => println!("{said:<10} {name}"),
            Err(said) => {
                println!("DIFFERS    {name}");
                wrong.push(format!("{name}:\n{said}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases differ from {peer}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Says `same`, `documented`, or what differs without a reason.
fn verdict(
    case: &Case,
    peer: &str,
    differences: &[(String, String, String)],
) -> Result<&'static str, String> {
    let (mut explained, mut text) = (0, String::new());
    for (key, mine, theirs) in differences {
        if case.reason(peer, key).is_some() {
            explained += 1;
        } else {
            text.push_str(&format!(
                "  {key}\n    kiln:     {mine}\n    {peer:<8}: {theirs}\n"
            ));
        }
    }
    match (text.is_empty(), explained) {
        (true, 0) => Ok("same"),
        (true, _) => Ok("documented"),
        (false, _) => Err(text),
    }
}

/// A reason begins with a heading of the page that explains it to users.
#[test]
fn what_differs_from_buildkit_is_documented() {
    let page = std::fs::read_to_string(repo().join("docs/differences.md")).expect("the page is there");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for case in case::load() {
        for differs in case
            .settings
            .differs
            .iter()
            .filter(|differs| differs.peer == "buildkit")
        {
            let heading = differs.why.split(':').next().unwrap_or_default();
            assert!(
                headings.contains(&heading),
                "no heading `{heading}`, which {} names",
                case.name
            );
        }
    }
}

#[test]
fn kiln_makes_what_buildkit_made() {
    let cases = case::load();
    if let Some(docker) = Docker::from_env() {
        record(&cases, &docker);
    }
    let recorded = cases
        .iter()
        .filter(|case| !case.settings.skip.contains_key("buildkit"));
    let theirs: Made = recorded
        .map(|case| {
            let path = case.dir.join(case::RECORD);
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|e| format!("`{}`: {e}: run `cargo xtask differential`", path.display()));
            (case.name.clone(), text.map(|text| record::parse(&text)))
        })
        .collect();
    judge("buildkit", &cases, ours(&cases), &theirs);
}

/// Writes what Docker makes of the cases beside them.
fn record(cases: &[Case], docker: &Docker) {
    let made = build_all(docker, cases, "buildkit");
    for case in cases {
        match made.get(&case.name) {
            Some(Ok(record)) => {
                std::fs::write(case.dir.join(case::RECORD), record::text(record))
                    .expect("a record can be written");
            }
            Some(Err(said)) => println!("not recorded: {}: {said}", case.name),
            None => {}
        }
    }
}

#[test]
fn kiln_makes_what_buildah_makes() {
    let cases = case::load();
    println!("{}", builders::buildah_version());
    let theirs = build_all(&Buildah::new(), &cases, "buildah");
    let plain = |made: &Made| {
        let plain = |(name, record): (&String, &Result<Record, String>)| {
            (name.clone(), record.clone().map(|record| record::plain(&record)))
        };
        made.iter().map(plain).collect::<Made>()
    };
    judge("buildah", &cases, &plain(ours(&cases)), &plain(&theirs));
}
