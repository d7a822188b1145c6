//! Captures of a real `BuildKit`, replayed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::SystemTime;

use kiln_image::Digest;
use kiln_progress::End;
use kiln_progress::Event;
use kiln_progress::Range;
use kiln_progress::Source;
use kiln_progress::Status;
use kiln_progress::Stream;
use kiln_progress::Vertex;
use kiln_progress::Warning;

use super::plain;
use super::plain::Plain;
use super::rawjson::RawJson;
use super::replay::capture;
use super::replay::events;
use super::replay::replay;
use super::state::Line;
use super::state::State;
use super::state::Step;
use super::terminal::Size;
use super::tty;
use super::tty::Phase;

/// Takes away what differs between two runs of the same build: times, digests that hold times, the order of two lines
/// that were written at once, whether a part was drawn before it was done, and when steps that run side by side took
/// turns. What is left are the lines of each step.
fn comparable(plain: &str) -> BTreeMap<String, Vec<String>> {
    let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for block in plain.split("\n\n") {
        let (steps_lines, excerpt) = block.split_once("------").unwrap_or((block, ""));
        let mut lines = steps_lines.lines().map(comparable_line);
        let name = lines.next().unwrap_or_default();
        steps.entry(name).or_default().extend(lines);
        steps
            .entry("excerpt".to_owned())
            .or_default()
            .extend(excerpt.lines().map(comparable_line));
    }
    for lines in steps.values_mut() {
        let done: BTreeSet<String> = lines
            .iter()
            .filter_map(|l| l.strip_suffix(" done"))
            .map(str::to_owned)
            .collect();
        lines.retain(|line| !done.contains(line) && line != "...");
        let is_log = |line: &String| line.starts_with("T ");
        if let (Some(first), Some(last)) = (lines.iter().position(is_log), lines.iter().rposition(is_log)) {
            lines[first..=last].sort();
        }
    }
    steps
}

fn comparable_line(line: &str) -> String {
    let rest = line
        .strip_prefix('#')
        .and_then(|line| line.split_once(' '))
        .map_or(line, |(_, rest)| rest);
    let words = rest
        .split(' ')
        .map(comparable_word)
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn comparable_word(word: &str) -> &str {
    let digits = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    match word {
        _ if word.starts_with("sha256:") => "sha256:X",
        _ if word.strip_suffix('s').is_some_and(digits) => "",
        _ if word.contains('.') && digits(word) => "T",
        _ => word,
    }
}

fn drawn(raw: &str) -> String {
    let mut plain = Plain::default();
    let mut out = String::new();
    let state = replay(&capture(raw), |state, now| out += &plain.draw(state, now));
    out + &plain::excerpts(&state)
}

#[track_caller]
fn check(raw: &str, expected: &str) {
    let out = drawn(raw);
    let expected = capture(expected);
    let expected = expected.split("Dockerfile:7\n").next().expect("a text");
    assert_eq!(comparable(&out), comparable(expected), "\n{out}");
}

#[test]
fn a_fresh_build_reads_as_buildkits() {
    check("fresh.rawjson", "fresh.plain");
}

#[test]
fn a_failed_build_reads_as_buildkits() {
    check("failed.rawjson", "failed.plain");
}

#[test]
fn steps_take_turns() {
    let out = drawn("fresh.rawjson");
    let upto = out.find("#6").expect("a sixth step");
    insta::assert_snapshot!(out[..upto], @r#"
    #1 [internal] load build definition from Dockerfile
    #1 transferring dockerfile: 276B done
    #1 WARN: ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase) (line 10)
    #1 DONE 0.0s

    #2 [internal] load metadata for docker.io/library/busybox:latest
    #2 DONE 0.2s

    #3 [internal] load .dockerignore
    #3 transferring context: 2B done
    #3 DONE 0.0s

    #4 [base 1/3] FROM docker.io/library/busybox:latest@sha256:a8c2c0853fb4a07346483680330b4aadb1036de74a29a1fa9688fb511c7392b5
    #4 resolve docker.io/library/busybox:latest@sha256:a8c2c0853fb4a07346483680330b4aadb1036de74a29a1fa9688fb511c7392b5 0.0s done
    #4 ...

    #5 [internal] load build context
    #5 transferring context: 30B 0.1s done
    #5 DONE 0.2s

    #4 [base 1/3] FROM docker.io/library/busybox:latest@sha256:a8c2c0853fb4a07346483680330b4aadb1036de74a29a1fa9688fb511c7392b5
    #4 sha256:65b68c047dad6672d2cb9d68a3a1281c8dab66a5210dd9de9e05f67a17fe10ea 2.14MB / 2.14MB 0.0s done
    #4 extracting sha256:65b68c047dad6672d2cb9d68a3a1281c8dab66a5210dd9de9e05f67a17fe10ea 0.2s done
    #4 DONE 0.5s
    "#);
}

#[test]
fn the_failed_step_is_shown_again() {
    let out = drawn("failed.rawjson");
    let from = out.find("#7").expect("a seventh step");
    insta::assert_snapshot!(out[from..], @r#"
    #7 [broken 1/1] RUN echo before; exit 7
    #7 0.184 before
    #7 ERROR: process "/bin/sh -c echo before; exit 7" did not complete successfully: exit code: 7
    ------
     > [broken 1/1] RUN echo before; exit 7:
    0.184 before
    ------
    "#);
}

const SIZE: Size = Size {
    columns: 60,
    rows: 12,
};

fn picture(raw: &str, after: Duration, size: Size) -> String {
    let mut first = None;
    let mut out = String::new();
    replay(&capture(raw), |state, now| {
        let elapsed = now
            .duration_since(*first.get_or_insert(now))
            .expect("time goes on");
        if out.is_empty() && elapsed >= after {
            out = lines(&tty::frame(state, elapsed, now, size, Phase::Running));
        }
    });
    out
}

fn lines(frame: &[(String, &str)]) -> String {
    frame.iter().map(|(line, _)| format!("{line}|\n")).collect()
}

#[test]
fn the_picture_shows_what_runs() {
    insta::assert_snapshot!(picture("fresh.rawjson", Duration::from_millis(600), SIZE), @r#"
    [+] Building 0.8s (5/8)|
     => [internal] load build definition from Dockerfile    0.0s|
     => [internal] load metadata for docker.io/library/b... 0.2s|
     => [internal] load .dockerignore                       0.0s|
     => [base 1/3] FROM docker.io/library/busybox:latest... 0.5s|
     => => sha256:65b68c047dad6672d2cb9d68a3a1281c8dab66... 0.0s|
     => => extracting sha256:65b68c047dad6672d2cb9d68a3a... 0.2s|
     => [internal] load build context                       0.2s|
     => => transferring context: 30B                        0.1s|
     => [base 2/3] RUN echo hello && echo err >&2           0.2s|
     => => # err|
    "#);
}

#[test]
fn the_picture_fits_the_terminal() {
    let size = Size { columns: 40, rows: 6 };
    insta::assert_snapshot!(picture("fresh.rawjson", Duration::from_millis(900), size), @r#"
    [+] Building 1.0s (6/8)|
     => [internal] load .dockerignore   0.0s|
     => [base 1/3] FROM docker.io/li... 0.5s|
     => [internal] load build context   0.2s|
     => [base 2/3] RUN echo hello &&... 0.4s|
    "#);
}

#[test]
fn the_last_picture_stays() {
    let mut end = None;
    let state = replay(&capture("failed.rawjson"), |_, now| end = Some(now));
    let frame = tty::frame(
        &state,
        Duration::from_secs(2),
        end.expect("an end"),
        SIZE,
        Phase::Over,
    );
    insta::assert_snapshot!(lines(&frame), @r#"
    [+] Building 2.0s (7/7) FINISHED|
     => [internal] load build definition from Dockerfile    0.0s|
     => => transferring dockerfile: 276B                    0.0s|
     => [internal] load metadata for docker.io/library/b... 0.0s|
     => [internal] load .dockerignore                       0.0s|
     => => transferring context: 2B                         0.0s|
     => [base 1/3] FROM docker.io/library/busybox:latest... 0.0s|
     => => resolve docker.io/library/busybox:latest@sha2... 0.0s|
     => CACHED [base 2/3] RUN echo hello && echo err >&2    0.0s|
     => CACHED [base 3/3] RUN --mount=type=cache,target=... 0.0s|
     => ERROR [broken 1/1] RUN echo before; exit 7          0.7s|
    "#);
}

#[test]
fn rawjson_says_what_it_was_told() {
    for name in ["fresh.rawjson", "failed.rawjson"] {
        let told: Vec<Event> = events(&capture(name)).concat();
        let mut raw = RawJson::default();
        let said: String = told
            .iter()
            .filter_map(|e| raw.line(e.clone()))
            .map(|line| line + "\n")
            .collect();
        let ours = replay(&said, |_, _| {});
        let theirs = replay(&capture(name), |_, _| {});
        assert_eq!(summary(&ours), summary(&theirs), "{name}");
    }
}

fn summary(state: &State) -> Vec<String> {
    let end = SystemTime::UNIX_EPOCH;
    let step = |step: &Step| {
        let parts: Vec<_> = step.parts.iter().map(|part| &part.status).collect();
        let tail: Vec<_> = step.tail.iter().map(Line::stamped).collect();
        let warnings: Vec<_> = step.warnings.iter().map(|w| &w.short).collect();
        format!(
            "{} {:?} {:?} {parts:?} {tail:?} {warnings:?}",
            step.name,
            step.end(),
            step.duration(end)
        )
    };
    state.steps.iter().map(step).collect()
}

#[test]
fn rawjson_has_buildkits_shape() {
    let digest = Digest::of("step");
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
    let events = [
        Event::Known(Vertex {
            digest,
            name: "[1/1] RUN x".to_owned(),
            inputs: vec![digest],
            group: None,
        }),
        Event::Started { vertex: digest, at },
        Event::Log {
            vertex: digest,
            stream: Stream::Stderr,
            data: b"err\n".to_vec(),
            at,
        },
        Event::Status(Status {
            vertex: digest,
            id: "sha256:1".to_owned(),
            action: "downloading",
            current: 5,
            total: 10,
            started: at,
            completed: Some(at),
        }),
        Event::Warning(Box::new(Warning {
            vertex: digest,
            level: 1,
            short: "short".to_owned(),
            detail: vec!["detail".to_owned()],
            url: None,
            source: Some(Source {
                name: "Dockerfile".into(),
                language: "Dockerfile".into(),
                data: b"x"[..].into(),
            }),
            ranges: vec![Range {
                start: (1, 1),
                end: (1, 2),
            }],
        })),
        Event::Finished {
            vertex: digest,
            end: End::Failed("no".to_owned()),
            at,
        },
    ];
    let mut raw = RawJson::default();
    let said: Vec<String> = events.into_iter().filter_map(|event| raw.line(event)).collect();
    let said = said.join("\n").replace(&digest.to_string(), "D");
    insta::assert_snapshot!(said, @r#"
    {"vertexes":[{"digest":"D","inputs":["D"],"name":"[1/1] RUN x"}]}
    {"vertexes":[{"digest":"D","inputs":["D"],"name":"[1/1] RUN x","started":"1970-01-01T00:00:01.5Z"}]}
    {"logs":[{"vertex":"D","stream":2,"data":"ZXJyCg==","timestamp":"1970-01-01T00:00:01.5Z"}]}
    {"statuses":[{"id":"sha256:1","vertex":"D","name":"downloading","total":10,"current":5,"timestamp":"1970-01-01T00:00:01.5Z","started":"1970-01-01T00:00:01.5Z","completed":"1970-01-01T00:00:01.5Z"}]}
    {"warnings":[{"vertex":"D","level":1,"short":"c2hvcnQ=","detail":["ZGV0YWls"],"sourceInfo":{"filename":"Dockerfile","data":"eA==","language":"Dockerfile"},"range":[{"start":{"line":1,"character":1},"end":{"line":1,"character":2}}]}]}
    {"vertexes":[{"digest":"D","inputs":["D"],"name":"[1/1] RUN x","started":"1970-01-01T00:00:01.5Z","completed":"1970-01-01T00:00:01.5Z","error":"no"}]}
    "#);
}

#[test]
fn steps_of_a_group_are_shown_as_one() {
    let now = SystemTime::UNIX_EPOCH;
    let mut state = State::default();
    for name in ["a", "b"] {
        let group = Some("[1/1] COPY --link a b".to_owned());
        let vertex = Vertex {
            digest: Digest::of(name),
            name: name.to_owned(),
            inputs: Vec::new(),
            group,
        };
        state.apply(Event::Known(vertex), now);
    }
    let end = |name: &str, end: End| Event::Finished {
        vertex: Digest::of(name),
        end,
        at: now,
    };
    state.apply(
        Event::Started {
            vertex: Digest::of("b"),
            at: now,
        },
        now,
    );
    state.apply(end("a", End::Cached), now);
    let mut plain = Plain::default();
    insta::assert_snapshot!(plain.draw(&mut state, now), @r#"
    #1 [1/1] COPY --link a b
    "#);
    state.apply(end("b", End::Done), now);
    insta::assert_snapshot!(plain.draw(&mut state, now), @r#"
    #1 DONE 0.0s
    "#);
}
