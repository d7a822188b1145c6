//! Calls that ask for too much, or for what is none of a plugin's business. Each function of the world has one.

use std::hint::black_box;

use kiln_sdk::Error;
use kiln_sdk::Tree;
use kiln_sdk::frontend::Definition;
use kiln_sdk::frontend::Filter;
use kiln_sdk::frontend::Host;
use kiln_sdk::frontend::ImageQuery;
use kiln_sdk::frontend::Input;
use kiln_sdk::frontend::Lowered;
use kiln_sdk::frontend::Request;
use kiln_sdk::frontend::Source;
use kiln_sdk::graph::Op;
use kiln_sdk::types::Diagnostic;
use kiln_sdk::types::Level;
use kiln_sdk::types::Severity;
use kiln_sdk::types::Span;

use crate::graphs::vertex;
use crate::lowered;

/// How an attack ended inside.
pub(crate) enum Ending {
    /// The host answered so.
    Said(String),
    /// It went on to return a graph.
    Lowered(Box<Lowered>),
}

/// Runs an attack; none when it is not one of these.
pub(crate) fn attack(name: &str, host: &dyn Host, files: &dyn Tree) -> Option<Ending> {
    exhaust(name, host, files)
        .or_else(|| content(name, files))
        .or_else(|| build(name, host))
        .or_else(|| answers(name))
}

fn said<T: std::fmt::Debug>(answer: Result<T, Error>) -> Ending {
    Ending::Said(match answer {
        Err(error) => error.message().chars().take(300).collect(),
        Ok(value) => format!("{value:?}").chars().take(300).collect(),
    })
}

#[expect(unconditional_recursion, reason = "that is the attack")]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth + 1))) + 1
}

fn exhaust(name: &str, host: &dyn Host, files: &dyn Tree) -> Option<Ending> {
    let all = || Filter {
        include: vec![],
        exclude: vec![],
        follow: vec![],
    };
    match name {
        "loop" => loop {
            black_box(0);
        },
        "recursion" => Some(Ending::Said(deeper(0).to_string())),
        "memory" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(vec![1; 1 << 20]));
            }
        }
        "panic" => panic!("a guest's last words"),
        "log-flood" => loop {
            host.log(Level::Info, &"x".repeat(4096));
        },
        "log-control" => {
            host.log(Level::Info, "\u{1b}]0;title\u{7}\u{1b}[2J\rgone");
            Some(Ending::Said("logged".into()))
        }
        "call-flood" => loop {
            black_box(files.stat("a").is_ok());
        },
        "report-flood" => loop {
            host.report(&Diagnostic::warning("Flood", "x"));
        },
        "handle-flood" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(host.context("context", &all()));
            }
        }
        "blob-flood" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(files.open("build.txt"));
            }
        }
        _ => None,
    }
}

fn content(name: &str, files: &dyn Tree) -> Option<Ending> {
    Some(match name {
        "stat-parent" => said(files.stat("../etc/passwd")),
        "stat-absolute" => said(files.stat("/etc/passwd")),
        "stat-nul" => said(files.stat("a\0b")),
        "stat-overlong" => said(files.stat(&"a/".repeat(4000))),
        "glob-pattern" => said(files.glob(&["[".into()], None, 0)),
        "glob-many" => said(files.glob(&vec!["**/*a*".to_owned(); 100_000], None, u32::MAX)),
        // No attacks: what benchmarks measure.
        "stat-often" => said((0..100_000).try_for_each(|_| files.stat("build.txt").map(drop))),
        "list-all" => said(list(files)),
        "open-parent" => said(files.open("x/../../y").map(|_| ())),
        "open-missing" => said(files.open("missing").map(|_| ())),
        "read-parent" => said(files.read("../../../etc/shadow", u64::MAX)),
        "read-limit" => said(files.read("build.txt", 0)),
        "read-many-parent" => said(files.read_many(&["ok".into(), "..".into()], u64::MAX)),
        "read-many-million" => said(files.read_many(&vec!["missing".to_owned(); 1_000_000], u64::MAX)),
        "blob-wild-offset" => {
            let read = files
                .open("build.txt")
                .and_then(|blob| blob.read(u64::MAX, u32::MAX));
            said(read)
        }
        "blob-digest" => {
            let digest = files
                .open("build.txt")
                .and_then(|blob| blob.digest().map(|digest| (digest, blob.size())));
            said(digest.map(|(digest, size)| digest.starts_with("sha256:") && size < 1 << 20))
        }
        _ => return None,
    })
}

/// Counts all entries, a page at a time.
fn list(files: &dyn Tree) -> Result<usize, Error> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = files.glob(&["**".into()], after.as_deref(), 0)?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        count += page.len();
        after = Some(last.path.clone());
    }
}

fn build(name: &str, host: &dyn Host) -> Option<Ending> {
    let image = |identifier: &str| {
        let query = ImageQuery {
            identifier,
            platform: None,
            mode: "",
            name: "",
        };
        said(host.resolve_image(&query).map(|image| image.reference))
    };
    let source = |identifier: &str| {
        let source = Source {
            identifier: identifier.into(),
            attrs: vec![],
        };
        said(
            host.resolve_source(&source, "attack")
                .map(|resolved| resolved.pinned.identifier),
        )
    };
    let none = |name: &str| {
        let filter = Filter {
            include: vec![],
            exclude: vec![],
            follow: vec![],
        };
        said(host.context(name, &filter).map(|tree| tree.is_some()))
    };
    Some(match name {
        "image-scheme" => image("file:///etc/passwd"),
        "image-garbage" => image("docker-image://../../x"),
        "image-loopback" => image("docker-image://127.0.0.1:1/a/b"),
        "resolve-metadata" => source("http://169.254.169.254/latest/"),
        "resolve-git" => source("git://github.com/a/b.git"),
        "resolve-scheme" => source("file:///etc/passwd"),
        "context-parent" => none("../../etc"),
        "context-other" => none("somebody-else"),
        "context-pattern" => {
            let filter = Filter {
                include: vec!["[".into()],
                exclude: vec![],
                follow: vec!["../../etc/passwd".into()],
            };
            said(host.context("context", &filter).map(|tree| tree.is_some()))
        }
        "solve-index" => {
            let definition = Definition {
                vertices: vec![vertex(Op::Merge(vec![]))],
                sources: vec![],
            };
            said(
                host.solve(&definition, Input { vertex: 9, output: 9 })
                    .map(|_| ()),
            )
        }
        "solve-cycle" => {
            let vertices = vec![vertex(Op::Merge(vec![Input { vertex: 0, output: 0 }]))];
            let definition = Definition {
                vertices,
                sources: vec![],
            };
            said(
                host.solve(&definition, Input { vertex: 0, output: 0 })
                    .map(|_| ()),
            )
        }
        "solve-ungranted" => {
            let vertices = crate::graphs::attack("secret-mount").unwrap_or_default();
            let definition = Definition {
                vertices,
                sources: vec![],
            };
            said(
                host.solve(&definition, Input { vertex: 1, output: 0 })
                    .map(|_| ()),
            )
        }
        "call-frontend" => {
            let called = host.call_frontend("builtin:dockerfile", &Request::named("build.txt"));
            let message = |d: &Diagnostic| d.message.clone();
            Ending::Said(match called {
                Ok(_) => "called".to_owned(),
                Err(failure) => failure.diagnostics.first().map(message).unwrap_or_default(),
            })
        }
        _ => return None,
    })
}

/// Answers that are none.
fn answers(name: &str) -> Option<Ending> {
    let mut graph = lowered(crate::graphs::attack("well-behaved")?);
    let output = graph.outputs.pop()?;
    match name {
        "output-dangling" => {
            let result = Some(Input { vertex: 5, output: 0 });
            graph
                .outputs
                .push(kiln_sdk::frontend::Output { result, ..output });
        }
        "output-config" => {
            let config = b"not JSON \0 at all".to_vec();
            graph
                .outputs
                .push(kiln_sdk::frontend::Output { config, ..output });
        }
        "output-many" => graph.outputs = vec![output; 5000],
        "output-huge" => {
            let config = vec![b' '; 48 << 20];
            graph
                .outputs
                .push(kiln_sdk::frontend::Output { config, ..output });
        }
        "diagnostic-span" => {
            let place = kiln_sdk::types::Position {
                line: 0,
                column: u32::MAX,
            };
            let span = Span {
                source: 9,
                start: place,
                end: place,
            };
            let mut diagnostic = Diagnostic::warning("Span", "nowhere").at(span);
            diagnostic.severity = Severity::Info;
            graph.diagnostics.push(diagnostic);
            graph.outputs.push(output);
        }
        _ => return None,
    }
    Some(Ending::Lowered(Box::new(graph)))
}
