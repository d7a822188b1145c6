//! Random Dockerfiles: lowering ends in a graph or an error, never in a panic, and a graph uses only earlier vertices.

#![expect(clippy::unwrap_used, reason = "a test without its data fails")]

mod support;

use kiln_sdk::frontend::Lowered;
use kiln_sdk::graph::FileAct;
use kiln_sdk::graph::FileInput;
use kiln_sdk::graph::Input;
use kiln_sdk::graph::Op;
use support::Build;
use support::shared;

/// A small generator; the seed is printed when a test fails.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, list: &'a [String]) -> &'a str {
        &list[self.below(list.len())]
    }
}

/// The lines of all Dockerfiles that are known.
fn lines() -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let lint = shared("lint/lint_cases.json");
    for case in lint["cases"].as_array().unwrap() {
        out.extend(case["dockerfile"].as_str().unwrap().lines().map(str::to_owned));
    }
    let builds = shared("dockerfile/build_cases.json");
    for case in builds["cases"].as_array().unwrap() {
        for file in case["steps"][0]["context"].as_array().into_iter().flatten() {
            if file["path"] == "Dockerfile" {
                out.extend(
                    file["content"]
                        .as_str()
                        .unwrap_or_default()
                        .lines()
                        .map(str::to_owned),
                );
            }
        }
    }
    let extra = [
        "RUN --mount=type=cache,id=$X,target=${Y:-/a},from=0,sharing=locked,uid=1 <<A <<-'B'",
        "COPY --link --parents --exclude=[ --chown=:: --chmod=+X a/./b ../../.. \"\" /./",
        "ADD --checksum=sha256: --keep-git-dir https://h/x.git?ref=#:% git@h:x /é/",
        "FROM --platform=${X:+linux/a}//(x) a@sha256:0 AS a-",
        "ARG SOURCE_DATE_EPOCH=a TARGETPLATFORM=// BUILDKIT_SBOM_SCAN_STAGE",
        "ONBUILD ADD <<E /x",
        "EXPOSE 1-65535/udp [::]:1-2:3-4",
        "HEALTHCHECK --interval=9999999h --retries=-1 CMD x",
        "WORKDIR \\\\ ",
        "SHELL []",
        "USER :",
    ];
    out.extend(extra.map(str::to_owned));
    out
}

fn dockerfile(random: &mut Random, lines: &[String]) -> String {
    let count = 1 + random.below(14);
    let mut text = String::from("FROM busybox AS a\n");
    for _ in 0..count {
        let mut line = random.pick(lines).to_owned();
        for _ in 0..random.below(3) {
            let chars: Vec<char> = line.chars().collect();
            let at = random.below(chars.len() + 1);
            let tokens = [
                "$", "{", "\"", "'", "\\", "=", ",", ":", "--", "<<E", "é", " ", "/", "..", "[", "\u{0}", "9",
            ];
            let token = tokens[random.below(tokens.len())];
            let skip = random.below(2);
            line = chars[..at].iter().collect::<String>()
                + token
                + &chars[(at + skip).min(chars.len())..].iter().collect::<String>();
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Checks that every input names an earlier vertex and every result a vertex.
fn check(lowered: &Lowered) {
    let vertices = &lowered.definition.vertices;
    for (at, vertex) in vertices.iter().enumerate() {
        let earlier = |input: &Input| assert!((input.vertex as usize) < at, "vertex {at} uses {input:?}");
        match &vertex.op {
            Op::Source(_) => {}
            Op::Exec(exec) => {
                exec.mounts
                    .iter()
                    .filter_map(|m| m.input.as_ref())
                    .for_each(earlier);
                assert_eq!(exec.mounts.iter().filter(|m| m.dest == "/").count(), 1);
            }
            Op::Merge(inputs) => inputs.iter().for_each(earlier),
            Op::Diff((a, b)) => a.iter().chain(b).for_each(earlier),
            Op::File(actions) => {
                for (number, action) in actions.iter().enumerate() {
                    let from = match &action.act {
                        FileAct::Copy(copy) => Some(&copy.from),
                        _ => None,
                    };
                    for input in [Some(&action.on), from].into_iter().flatten() {
                        match input {
                            FileInput::Vertex(input) => earlier(input),
                            FileInput::Action(action) => assert!((*action as usize) < number),
                            FileInput::Scratch => {}
                        }
                    }
                }
            }
        }
        assert!(!vertex.name.is_empty(), "vertex {at} has no name");
    }
    for output in &lowered.outputs {
        assert!(
            output
                .result
                .is_none_or(|result| (result.vertex as usize) < vertices.len())
        );
        let _: serde_json::Value = serde_json::from_slice(&output.config).unwrap();
    }
}

#[test]
fn random_dockerfiles_never_panic() {
    let lines = lines();
    let mut lowered = 0;
    for seed in 1..3000u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let text = dockerfile(&mut random, &lines);
        let mut build = Build::new(&text).image(
            "docker.io/library/x:latest",
            "{\"config\":{\"OnBuild\":[\"COPY --from=a x y\", \"RUN <<E\\nx\\nE\\n\"]}}",
        );
        if random.below(3) == 0 {
            build = build.platforms(&["linux/amd64", "linux/arm64"]).arg("X", "/x");
        }
        if random.below(3) == 0 {
            build = build.named("a", "local:a").named("alpine", "https://h/x.git");
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let question = ["frontend.lint", "frontend.outline", "frontend.targets"][(seed % 3) as usize];
            let _ = Build::new(&text).ask(question);
            build.lower().0.inspect(check).is_ok()
        }));
        match result {
            Ok(good) => lowered += usize::from(good),
            Err(_) => panic!("seed {seed}:\n{text}"),
        }
    }
    assert!(lowered > 100, "only {lowered} random Dockerfiles lower");
}
