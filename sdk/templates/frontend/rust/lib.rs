//! A frontend for images of Debian packages, files and a command, written down as a small part of YAML.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "frontend-plugin" });
}

use bindings::exports::kiln::plugin::frontend::*;
use bindings::kiln::plugin::build;
use bindings::kiln::plugin::graph::*;
use bindings::kiln::plugin::log;
use bindings::kiln::plugin::lowering::Output;
use bindings::kiln::plugin::types::{Diagnostic, Error, Position, Severity, SourceFile, Span};

const ENV: [&str; 2] =
    ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"];

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    fn describe() -> Description {
        Description { name: "PLUGIN_NAME".into(), version: "0.1".into(), subrequests: vec![] }
    }

    fn lower(request: Request, files: &Tree) -> Result<Lowered, Failure> {
        // A panic's text reaches the user this way.
        std::panic::set_hook(Box::new(|info| log::log(log::Level::Error, &info.to_string())));
        let data = files.read(&request.source_name, 1 << 20).map_err(|e| failure(0, text_of(e), vec![]))?;
        let text = String::from_utf8_lossy(&data).into_owned();
        let source = SourceFile { name: request.source_name.clone(), language: "yaml".into(), data };
        let image = Image::parse(&text);
        let lowered = image.and_then(|image| lower(&image, &request).map_err(|message| (image.base_line, message)));
        lowered.map_err(|(line, message)| failure(line, message, vec![source]))
    }

    fn subrequest(id: String, _: Request, _: &Tree) -> Result<Answer, Failure> {
        Err(failure(0, format!("unsupported request `{id}`"), vec![]))
    }
}

/// A build file.
#[derive(Default)]
struct Image {
    base: String,
    base_line: u32,
    packages: Vec<String>,
    files: Vec<(String, String)>,
    command: String,
}

impl Image {
    fn parse(text: &str) -> Result<Self, (u32, String)> {
        let (mut image, mut section) = (Self::default(), String::new());
        for (number, line) in (1..).zip(text.lines()) {
            let item = line.trim();
            let pair = item.split_once(':').map(|(key, value)| (key.trim(), value.trim()));
            if item.is_empty() || item.starts_with('#') {
                continue;
            } else if line.starts_with(' ') && section == "packages" {
                let package = item.strip_prefix("- ").ok_or((number, "expected `- PACKAGE`".to_owned()))?;
                image.packages.push(package.trim().to_owned());
            } else if line.starts_with(' ') && section == "files" {
                let (from, to) = pair.ok_or((number, "expected `FILE: PATH`".to_owned()))?;
                image.files.push((from.to_owned(), to.to_owned()));
            } else {
                let (key, value) = pair.ok_or((number, "expected `KEY: VALUE`".to_owned()))?;
                match key {
                    "base" => (image.base, image.base_line) = (value.to_owned(), number),
                    "command" => image.command = value.to_owned(),
                    "packages" | "files" => {}
                    _ => {
                        let expected = "expected base, packages, files or command";
                        return Err((number, format!("unknown key `{key}`: {expected}")));
                    }
                }
                section = key.to_owned();
            }
        }
        match image.base.is_empty() {
            true => Err((1, "`base` is missing: it names the image to start from".to_owned())),
            false => Ok(image),
        }
    }
}

fn lower(image: &Image, request: &Request) -> Result<Lowered, String> {
    let platform = request.platforms.first().unwrap_or(&request.build_platform).clone();
    let mut vertices = Vec::new();
    let mut add = |op, name: String| {
        let platform = Some(platform.clone());
        vertices.push(Vertex { op, platform, name, spans: vec![], ignore_cache: false, group: None });
        Input { vertex: vertices.len() as u32 - 1, output: 0 }
    };
    let identifier = format!("docker-image://{}", image.base);
    let resolved = build::resolve_image(&identifier, Some(&platform), "", "").map_err(text_of)?;
    let identifier = format!("docker-image://{}", resolved.reference);
    let mut rootfs = add(Op::Source(Source { identifier, attrs: vec![] }), format!("from {}", image.base));
    if !image.packages.is_empty() {
        let packages = image.packages.join(" ");
        rootfs = add(Op::Exec(install(&packages, rootfs)), format!("install {packages}"));
    }
    if !image.files.is_empty() {
        let identifier = "local://context".into();
        let context = add(Op::Source(Source { identifier, attrs: vec![] }), "load the context".into());
        let actions = (0..).zip(&image.files).map(|(index, (from, to))| FileAction {
            on: if index == 0 { FileInput::Vertex(rootfs) } else { FileInput::Action(index - 1) },
            act: FileAct::Copy(copy(context, from, to)),
            output: (index as usize + 1 == image.files.len()).then_some(0),
        });
        let names: Vec<&str> = image.files.iter().map(|(from, _)| from.as_str()).collect();
        rootfs = add(Op::File(actions.collect()), format!("copy {}", names.join(" ")));
    }
    let config = format!(
        r#"{{"architecture":"{}","os":"{}","config":{{"Cmd":["/bin/sh","-c","{}"]}}}}"#,
        platform.architecture,
        platform.os,
        image.command.replace('\\', "\\\\").replace('"', "\\\"")
    );
    Ok(Lowered {
        definition: Definition { vertices, sources: vec![] },
        outputs: vec![Output { platform: Some(platform), result: Some(rootfs), config: config.into(), attrs: vec![] }],
        diagnostics: vec![],
        attrs: vec![],
    })
}

fn install(packages: &str, rootfs: Input) -> Exec {
    let command = format!("apt-get update && apt-get install --yes --no-install-recommends {packages}");
    let root = Mount {
        input: Some(rootfs),
        selector: String::new(),
        dest: "/".into(),
        output: Some(0),
        readonly: false,
        kind: MountKind::Bind,
    };
    Exec {
        args: vec!["/bin/sh".into(), "-c".into(), command],
        env: ENV.map(String::from).into(),
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

fn copy(context: Input, from: &str, to: &str) -> CopyAction {
    CopyAction {
        from: FileInput::Vertex(context),
        src: format!("/{from}"),
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
    }
}

fn text_of(error: Error) -> String {
    match error {
        Error::NotFound(text) | Error::Denied(text) | Error::Invalid(text) => text,
        Error::Unavailable(text) | Error::Limit(text) | Error::Other(text) => text,
    }
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
