//! A frontend for build files with the lines `from IMAGE`, `run COMMAND`, `copy SOURCE DESTINATION` and `cmd PROGRAM`.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "frontend-plugin" });
}

use bindings::exports::kiln::plugin::frontend::*;
use bindings::kiln::plugin::build;
use bindings::kiln::plugin::graph::*;
use bindings::kiln::plugin::log;
use bindings::kiln::plugin::lowering::Output;
use bindings::kiln::plugin::types::{Diagnostic, Error, Position, Severity, SourceFile, Span};

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    fn describe() -> Description {
        Description { name: "PLUGIN_NAME".into(), version: "0.1".into(), subrequests: vec![] }
    }

    fn lower(request: Request, files: &Tree) -> Result<Lowered, Failure> {
        // A panic's text reaches the user this way.
        std::panic::set_hook(Box::new(|info| log::log(log::Level::Error, &info.to_string())));
        let data = files.read(&request.source_name, 1 << 20).map_err(refused)?;
        let text = String::from_utf8_lossy(&data).into_owned();
        let source = SourceFile { name: request.source_name.clone(), language: "text".into(), data };
        lower(&text, &request).map_err(|(line, message)| failure(line, message, vec![source]))
    }

    fn subrequest(id: String, _: Request, _: &Tree) -> Result<Answer, Failure> {
        Err(failure(0, format!("unsupported request `{id}`"), vec![]))
    }
}

fn lower(text: &str, request: &Request) -> Result<Lowered, (u32, String)> {
    let platform = request.platforms.first().unwrap_or(&request.build_platform).clone();
    let (mut vertices, mut cmd) = (Vec::new(), None);
    let mut rootfs = None;
    let mut local = None;
    for (number, line) in (1..).zip(text.lines()) {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let rest = rest.trim();
        let mut add = |op, name: String| {
            vertices.push(Vertex { op, platform: Some(platform.clone()), name, spans: vec![], ignore_cache: false, group: None });
            Input { vertex: vertices.len() as u32 - 1, output: 0 }
        };
        match word {
            "" => {}
            _ if word.starts_with('#') => {}
            "from" => {
                let identifier = format!("docker-image://{rest}");
                let image = build::resolve_image(&identifier, Some(&platform), "", "");
                let image = image.map_err(|error| (number, text_of(error)))?;
                let identifier = format!("docker-image://{}", image.reference);
                rootfs = Some(add(Op::Source(Source { identifier, attrs: vec![] }), format!("from {rest}")));
            }
            "run" => rootfs = Some(add(Op::Exec(exec(rest, rootfs)), format!("run {rest}"))),
            "copy" => {
                let (from, to) = rest.split_once(' ').ok_or((number, "expected `copy SOURCE DESTINATION`".into()))?;
                let context = *local.get_or_insert_with(|| {
                    let identifier = "local://context".into();
                    add(Op::Source(Source { identifier, attrs: vec![] }), "load the context".into())
                });
                let action = copy(context, rootfs, from, to.trim());
                rootfs = Some(add(Op::File(vec![action]), format!("copy {rest}")));
            }
            "cmd" => cmd = Some(rest),
            other => return Err((number, format!("unknown word `{other}`: expected from, run, copy or cmd"))),
        }
    }
    let cmd = cmd.map(|cmd| format!("{:?}", cmd)).unwrap_or_else(|| "\"/bin/sh\"".into());
    let config = format!(
        r#"{{"architecture":"{}","os":"{}","config":{{"Cmd":[{cmd}]}}}}"#,
        platform.architecture, platform.os
    );
    Ok(Lowered {
        definition: Definition { vertices, sources: vec![] },
        outputs: vec![Output { platform: Some(platform), result: rootfs, config: config.into(), attrs: vec![] }],
        diagnostics: vec![],
        attrs: vec![],
    })
}

fn exec(command: &str, rootfs: Option<Input>) -> Exec {
    let root = Mount {
        input: rootfs,
        selector: String::new(),
        dest: "/".into(),
        output: Some(0),
        readonly: false,
        kind: MountKind::Bind,
    };
    Exec {
        args: vec!["/bin/sh".into(), "-c".into(), command.into()],
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
        cwd: "/".into(),
        user: String::new(),
        proxy_env: vec![],
        extra_hosts: vec![],
        hostname: String::new(),
        ulimits: vec![],
        cgroup_parent: String::new(),
        mounts: vec![root],
        network: Network::Sandbox,
        security: Security::Sandbox,
        secret_env: vec![],
        devices: vec![],
        attrs: vec![],
    }
}

fn copy(context: Input, rootfs: Option<Input>, from: &str, to: &str) -> FileAction {
    let copy = CopyAction {
        from: FileInput::Vertex(context),
        src: format!("/{}", from.trim_start_matches('/')),
        dest: to.into(),
        owner: None,
        mode: Some(0o755),
        mode_str: String::new(),
        follow_symlink: true,
        dir_copy_contents: true,
        attempt_unpack: false,
        create_dest_path: true,
        allow_wildcard: false,
        allow_empty_wildcard: false,
        timestamp: None,
        include_patterns: vec![],
        exclude_patterns: vec![],
        always_replace_existing_dest_paths: false,
        required_paths: vec![],
    };
    FileAction { on: rootfs.map_or(FileInput::Scratch, FileInput::Vertex), act: FileAct::Copy(copy), output: Some(0) }
}

fn text_of(error: Error) -> String {
    match error {
        Error::NotFound(text) | Error::Denied(text) | Error::Invalid(text) => text,
        Error::Unavailable(text) | Error::Limit(text) | Error::Other(text) => text,
    }
}

fn refused(error: Error) -> Failure {
    failure(0, text_of(error), vec![])
}

/// An error; line 0 is none of the build file's.
fn failure(line: u32, message: String, sources: Vec<SourceFile>) -> Failure {
    let place = |line, column| Position { line, column };
    let span = Span { source: 0, start: place(line, 1), end: place(line + 1, 1) };
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        code: String::new(),
        message,
        detail: vec![],
        help: None,
        url: None,
        spans: if line == 0 || sources.is_empty() { vec![] } else { vec![span] },
    };
    Failure { diagnostics: vec![diagnostic], sources }
}
