//! Large Dockerfiles take time in proportion to their size, and the host is asked no more than needed.

#![expect(clippy::unwrap_used, reason = "a test without its data fails")]

mod support;

use std::fmt::Write;
use support::Build;

/// A Dockerfile of so many stages of ten lines.
fn stages(count: usize) -> String {
    let mut text = String::from("ARG BASE=busybox\n");
    for at in 0..count {
        writeln!(
            text,
            "FROM ${{BASE}} AS s{at}\nARG V{at}=x\nENV E{at}=$V{at} PATH=/a:$PATH\nWORKDIR /w{at}"
        )
        .unwrap();
        writeln!(text, "COPY a{at} b ./").unwrap();
        writeln!(text, "RUN --mount=type=cache,target=/c make $V{at}").unwrap();
        match at {
            0 => writeln!(text, "COPY --from=alpine /x /y").unwrap(),
            _ => writeln!(text, "COPY --from=s{} /x /y", at - 1).unwrap(),
        }
        writeln!(text, "LABEL l{at}=v\nUSER u{at}\nCMD [\"x\"]").unwrap();
    }
    text
}

#[test]
fn each_image_is_asked_for_once() {
    let (lowered, host) = Build::new(&stages(50)).lower();
    assert!(lowered.is_ok());
    let images: Vec<String> = host
        .questions()
        .into_iter()
        .filter(|q| q.starts_with("resolve-image"))
        .collect();
    assert_eq!(images.len(), 2, "{images:?}");
}

#[test]
fn stages_that_nobody_needs_are_not_looked_up() {
    let (lowered, host) = Build::new("FROM nosuch AS a\nRUN x\nFROM busybox\nRUN y\n").lower();
    assert!(lowered.is_ok());
    assert_eq!(host.questions().len(), 1, "{:?}", host.questions());
}

#[test]
fn a_thousand_lines_lower() {
    let lowered = Build::new(&stages(100)).ok();
    assert!(lowered.definition.vertices.len() > 400);
}

/// Deep chains must not recurse: a component's stack is small.
#[test]
fn long_chains_of_stages_lower() {
    let mut text = String::from("FROM busybox AS s0\n");
    for at in 1..3000 {
        writeln!(text, "FROM s{} AS s{at}", at - 1).unwrap();
    }
    Build::new(&text).ok();
    let mut text = String::new();
    for at in 0..3000 {
        writeln!(
            text,
            "FROM scratch AS s{at}\nCOPY --from={} /x /x",
            if at == 0 {
                "alpine".to_owned()
            } else {
                format!("s{}", at - 1)
            }
        )
        .unwrap();
    }
    Build::new(&text).ok();
}
