//! What is built again, and what is not.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;

const DOCKERFILE: &str = "
FROM busybox AS one
COPY a /a
RUN cat /a > /one
FROM busybox AS two
COPY b /b
RUN cat /b > /two
FROM scratch
COPY --from=one /one /
COPY --from=two /two /
";

fn project() -> Project {
    Project::new(DOCKERFILE).file("a", "a").file("b", "b")
}

fn build(kiln: &Kiln, project: &Project, args: &[&str]) -> Outcome {
    let busybox = root("busybox");
    let always = ["--build-context", &busybox, "-o", "type=cacheonly"];
    kiln.build(project.path(), &[&always[..], args].concat()).ok()
}

/// Returns the names of the steps that ran, without their numbers: those of the plain display that are not `CACHED`.
fn ran(outcome: &Outcome) -> BTreeSet<String> {
    let position = Regex::new(r" ?\d+/\d+\]").expect("it is a pattern");
    let (mut names, mut cached) = (Vec::new(), BTreeSet::new());
    for line in outcome.stderr.lines() {
        let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) else {
            continue;
        };
        if rest.starts_with("CACHED") {
            cached.insert(number.to_owned());
        } else if rest.starts_with('[') && !rest.starts_with("[internal]") {
            names.push((number.to_owned(), position.replace(rest, "]").into_owned()));
        }
    }
    let kept = names.into_iter().filter(|(number, _)| !cached.contains(number));
    kept.map(|(_, name)| name)
        .filter(|name| name.contains("RUN") || name.contains("COPY"))
        .collect()
}

#[track_caller]
fn check(outcome: &Outcome, wanted: &[&str]) {
    let ran = ran(outcome);
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(ran, wanted, "steps that ran\n{}", outcome.report());
}

const ALL: [&str; 6] = [
    "[one] COPY a /a",
    "[one] RUN cat /a > /one",
    "[two] COPY b /b",
    "[two] RUN cat /b > /two",
    "[stage-2] COPY --from=one /one /",
    "[stage-2] COPY --from=two /two /",
];

#[test]
fn the_second_build_runs_nothing() {
    let (kiln, project) = (Kiln::new(), project());
    check(&build(&kiln, &project, &[]), &ALL);
    check(&build(&kiln, &project, &[]), &[]);
}

#[test]
fn a_changed_file_runs_what_depends_on_it() {
    let (kiln, project) = (Kiln::new(), project());
    check(&build(&kiln, &project, &[]), &ALL);
    project.write("b", b"changed");
    check(&build(&kiln, &project, &[]), &[ALL[2], ALL[3], ALL[5]]);
}

#[test]
fn a_step_with_the_same_result_ends_the_chain() {
    let text = "FROM busybox AS one\nCOPY a /a\nRUN wc -c < /a > /size\nFROM busybox\nCOPY --from=one /size /size\nRUN cat /size\n";
    let (kiln, project) = (Kiln::new(), Project::new(text).file("a", "a"));
    drop(build(&kiln, &project, &[]));
    project.write("a", b"z");
    check(
        &build(&kiln, &project, &[]),
        &["[one] COPY a /a", "[one] RUN wc -c < /a > /size"],
    );
}

#[test]
fn times_of_files_do_not_count() {
    let (kiln, project) = (Kiln::new(), project());
    drop(build(&kiln, &project, &[]));
    let file = std::fs::File::options()
        .write(true)
        .open(project.join("a"))
        .expect("the file is there");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("a time can be set");
    check(&build(&kiln, &project, &[]), &[]);
}

#[test]
fn no_cache_runs_everything() {
    let (kiln, project) = (Kiln::new(), project());
    drop(build(&kiln, &project, &[]));
    check(&build(&kiln, &project, &["--no-cache"]), &ALL);
}

#[test]
fn no_cache_filter_runs_a_stage() {
    let (kiln, project) = (Kiln::new(), project());
    drop(build(&kiln, &project, &[]));
    let ran = ran(&build(&kiln, &project, &["--no-cache-filter", "two"]));
    assert!(ran.contains(ALL[2]) && ran.contains(ALL[3]), "{ran:?}");
    assert!(!ran.contains(ALL[0]) && !ran.contains(ALL[1]), "{ran:?}");
}

#[test]
fn a_build_argument_counts_where_it_is_used() {
    let text = "FROM busybox\nRUN echo first\nARG WHO=me\nRUN echo $WHO > /who\n";
    let (kiln, project) = (Kiln::new(), Project::new(text));
    drop(build(&kiln, &project, &[]));
    check(
        &build(&kiln, &project, &["--build-arg", "WHO=you"]),
        &["[] RUN echo you > /who"],
    );
    check(&build(&kiln, &project, &["--build-arg", "WHO=me"]), &[]);
}
