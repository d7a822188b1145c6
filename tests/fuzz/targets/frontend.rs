//! The Dockerfile frontend, run as a function: what it answers is a graph or diagnostics.

use kiln_frontend_dockerfile::Dockerfile;
use kiln_sdk::frontend::Frontend as _;
use kiln_sdk::frontend::Lowered;
use kiln_sdk::frontend::Request;
use kiln_sdk::graph::FileAct;
use kiln_sdk::graph::FileInput;
use kiln_sdk::graph::Input;
use kiln_sdk::graph::Op;
use kiln_sdk::mock::MockHost;
use kiln_sdk::mock::MockTree;
use kiln_sdk::types::Attr;
use kiln_sdk::types::Platform;
use kiln_sdk::types::Severity;

use crate::engine::Target;
use crate::engine::shape;
use crate::targets::DOCKERFILE_TOKENS;
use crate::targets::shared_texts;

/// An image whose triggers do what a Dockerfile does.
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin","a=b"],"WorkingDir":"/w",
    "OnBuild":["COPY --from=a x y","RUN <<E\nx\nE\n"]},"rootfs":{"type":"layers","diff_ids":[]},"history":[{}]}"#;

pub(crate) fn target() -> Target {
    Target {
        name: "frontend",
        run,
        tokens: DOCKERFILE_TOKENS,
        seeds: shared_texts("conformance/lint/lint_cases.json", "cases", "dockerfile"),
    }
}

fn run(bytes: &[u8]) -> String {
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: None,
        os_version: None,
    };
    let request = Request {
        source_name: "Dockerfile".to_owned(),
        target: None,
        args: vec![Attr::new("a", "x y"), Attr::new("b", "1")],
        labels: Vec::new(),
        platforms: Vec::new(),
        build_platform: platform,
        contexts: Vec::new(),
        options: Vec::new(),
    };
    let files = MockTree::new().file("Dockerfile", bytes);
    let context = MockTree::new()
        .file("Dockerfile", bytes)
        .file(".dockerignore", bytes);
    let mut host = MockHost::new().context("context", context);
    for name in ["busybox", "alpine", "debian"] {
        let config = if name == "debian" {
            CONFIG
        } else {
            r#"{"config":{"Env":["PATH=/bin"]}}"#
        };
        host = host.image(&format!("docker-image://docker.io/library/{name}:latest"), config);
    }
    for question in ["frontend.lint", "frontend.outline", "frontend.targets"] {
        let _ = Dockerfile::subrequest(&host, question, &request, &files);
    }
    match Dockerfile::lower(&host, &request, &files) {
        Ok(lowered) => {
            check(&lowered);
            let warnings = lowered.diagnostics.iter().map(|d| d.code.as_str()).take(3);
            format!("ok {}", warnings.collect::<Vec<_>>().join(" "))
        }
        Err(failure) => {
            let error = failure.diagnostics.iter().find(|d| d.severity == Severity::Error);
            let error = error.expect("a failure has an error");
            assert!(!error.message.is_empty(), "an error without a text");
            shape(&error.message)
        }
    }
}

/// Inputs name earlier vertices, results name vertices, configs are JSON.
fn check(lowered: &Lowered) {
    let vertices = &lowered.definition.vertices;
    for (at, vertex) in vertices.iter().enumerate() {
        let earlier = |input: &Input| assert!((input.vertex as usize) < at, "vertex {at} uses {input:?}");
        match &vertex.op {
            Op::Source(_) => {}
            Op::Exec(exec) => exec
                .mounts
                .iter()
                .filter_map(|mount| mount.input.as_ref())
                .for_each(earlier),
            Op::Merge(inputs) => inputs.iter().for_each(earlier),
            Op::Diff((lower, upper)) => lower.iter().chain(upper).for_each(earlier),
            Op::File(actions) => {
                for action in actions {
                    let from = match &action.act {
                        FileAct::Copy(copy) => Some(&copy.from),
                        _ => None,
                    };
                    for input in [Some(&action.on), from].into_iter().flatten() {
                        if let FileInput::Vertex(input) = input {
                            earlier(input);
                        }
                    }
                }
            }
        }
    }
    for output in &lowered.outputs {
        let there = output
            .result
            .is_none_or(|result| (result.vertex as usize) < vertices.len());
        assert!(there, "the result is {:?}", output.result);
        let config = serde_json::from_slice::<serde_json::Value>(&output.config);
        assert!(
            config.is_ok_and(|config| config.is_object()),
            "the config is no JSON object"
        );
    }
}
