//! The frontend: a build file and what the host knows in, a graph out.

use kiln_sdk::Tree;
use kiln_sdk::frontend::Answer;
use kiln_sdk::frontend::Description;
use kiln_sdk::frontend::Failure;
use kiln_sdk::frontend::Frontend;
use kiln_sdk::frontend::Host;
use kiln_sdk::frontend::Lowered;
use kiln_sdk::frontend::Output;
use kiln_sdk::frontend::Request;
use kiln_sdk::frontend::Subrequest;
use kiln_sdk::types::Diagnostic;
use kiln_sdk::types::Platform;
use kiln_sdk::types::SourceFile;
use serde_json::json;

use crate::choose;
use crate::choose::Options;
use crate::graph::Graph;
use crate::index::Package;
use crate::lock::Lock;
use crate::package;
use crate::package::Unpacked;
use crate::plan;
use crate::scripts;
use crate::spec::Scripts;
use crate::spec::Spec;
use crate::yaml::Fault;

/// Largest build file.
const BUILD_FILE: u64 = 4 << 20;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The frontend `debian`.
#[derive(Debug, Clone, Copy)]
pub struct Debian;

impl Frontend for Debian {
    fn describe() -> Description {
        Description {
            name: "debian".into(),
            version: "1".into(),
            subrequests: vec![
                question(LOCK, "write the lock file of the packages"),
                question(LOCK_DIFF, "say how the packages differ from the lock file's"),
            ],
        }
    }

    fn lower(host: &dyn Host, request: &Request, files: &dyn Tree) -> Result<Lowered, Failure> {
        reading(request, files, |spec, source| lower(host, request, spec, source))
    }

    fn subrequest(host: &dyn Host, id: &str, request: &Request, files: &dyn Tree) -> Result<Answer, Failure> {
        reading(request, files, |spec, _| answer(host, id, request, spec))
    }
}

/// Question for the text of a lock file.
const LOCK: &str = "frontend.lock";
/// Question for what would change in it.
const LOCK_DIFF: &str = "frontend.lock-diff";

fn question(id: &str, description: &str) -> Subrequest {
    Subrequest {
        id: id.to_owned(),
        version: "1.0.0".to_owned(),
        description: description.to_owned(),
    }
}

/// Reads the build file and goes on with it.
fn reading<T>(
    request: &Request,
    files: &dyn Tree,
    work: impl FnOnce(&Spec, &SourceFile) -> Result<T, Fault>,
) -> Result<T, Failure> {
    let data = files.read(&request.source_name, BUILD_FILE);
    let source = SourceFile {
        name: request.source_name.clone(),
        language: "yaml".into(),
        data: data.map_err(Diagnostic::from)?,
    };
    let text = String::from_utf8_lossy(&source.data).into_owned();
    let done = Spec::parse(&text).and_then(|spec| work(&spec, &source));
    done.map_err(|fault| Failure::new(vec![fault.diagnostic()], vec![source]))
}

fn answer(host: &dyn Host, id: &str, request: &Request, spec: &Spec) -> Result<Answer, Fault> {
    if ![LOCK, LOCK_DIFF].contains(&id) {
        return Err(Fault::new(format!("unsupported request `{id}`")));
    }
    let options = Options::read(request)?;
    let mut new = Lock::of(spec);
    for platform in platforms(request, spec) {
        let arch = choose::arch(&platform)?;
        let (packages, origins) = choose::resolved(host, spec, arch, &options)?;
        new.add(arch, &packages, &origins);
    }
    let json = new.text();
    let text = match id {
        LOCK_DIFF => {
            let old = Lock::read(host, &request.source_name)?;
            old.unwrap_or_else(|| Lock::of(spec)).difference(&new)
        }
        _ => json.clone(),
    };
    Ok(Answer {
        metadata: vec![
            ("result.json".to_owned(), json.into_bytes()),
            ("result.txt".to_owned(), text.into_bytes()),
            ("version".to_owned(), b"1.0.0".to_vec()),
        ],
    })
}

fn lower(host: &dyn Host, request: &Request, spec: &Spec, source: &SourceFile) -> Result<Lowered, Fault> {
    let options = Options::read(request)?;
    let lock = Lock::read(host, &request.source_name)?;
    let mut graph = Graph::new();
    let (mut outputs, mut diagnostics) = (Vec::new(), Vec::new());
    for platform in platforms(request, spec) {
        let arch = choose::arch(&platform)?;
        graph.on(&platform);
        let placed = choose::packages(host, spec, (arch, &options), lock.as_ref(), &mut diagnostics)?;
        placed.iter().try_for_each(|(package, _)| check(package))?;
        let remotes = placed
            .into_iter()
            .map(|(package, url)| (package, options.mirrored(&url)));
        let unpack = package::unpack(host, &remotes.collect::<Vec<_>>())?;
        warn(spec, &unpack.all, &mut diagnostics)?;
        let result = plan::image(&mut graph, spec, &unpack)?;
        outputs.push(Output {
            config: config(spec, request, &platform),
            platform: Some(platform),
            result,
            attrs: Vec::new(),
        });
    }
    Ok(Lowered {
        definition: graph.finish(vec![source.clone()]),
        outputs,
        diagnostics,
        attrs: Vec::new(),
    })
}

fn platforms(request: &Request, spec: &Spec) -> Vec<Platform> {
    let own = spec
        .archs
        .iter()
        .filter_map(|arch| crate::arch::platform_of(&arch.text));
    match (request.platforms.is_empty(), spec.archs.is_empty()) {
        (false, _) => request.platforms.clone(),
        (true, false) => own.collect(),
        (true, true) => vec![request.build_platform.clone()],
    }
}

/// An index is signed, but its packages become addresses and files: what has another form is refused.
fn check(package: &Package) -> Result<(), Fault> {
    let path = &package.filename;
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['?', '#', '\\', '\0']);
    let digest = package.sha256.len() == 64 && package.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digest && path.split('/').all(plain) {
        true => Ok(()),
        false => Err(Fault::new(format!(
            "the index has no good path and digest for `{}`",
            package.shown()
        ))),
    }
}

/// Names the scripts that are not covered, once for each package.
fn warn(spec: &Spec, all: &[Unpacked], diagnostics: &mut Vec<Diagnostic>) -> Result<(), Fault> {
    for unpacked in all {
        let open = scripts::uncovered(unpacked);
        if open.is_empty() || spec.scripts == Scripts::Ignore {
            continue;
        }
        let package = &unpacked.package;
        let message = format!("{} of `{}` is not run", open.join(" and "), package.shown());
        let named = spec.packages.iter().find(|wanted| wanted.name == package.name);
        let place = named.map(|wanted| wanted.text.place);
        if spec.scripts == Scripts::Error {
            let mut fault = Fault::new(message).with_help("`scripts: warn` builds nevertheless");
            fault.place = place;
            return Err(fault);
        }
        let mut diagnostic = Diagnostic::warning("MaintainerScripts", message);
        if !diagnostics
            .iter()
            .any(|known| known.message == diagnostic.message)
        {
            diagnostic.spans.extend(place.map(crate::yaml::Place::span));
            diagnostics.push(diagnostic);
        }
    }
    Ok(())
}

/// Writes the image's config.
fn config(spec: &Spec, request: &Request, platform: &Platform) -> Vec<u8> {
    let image = &spec.image;
    let mut env = Vec::new();
    if !image.environment.iter().any(|(key, _)| key == "PATH") {
        env.push(format!("PATH={PATH}"));
    }
    env.extend(
        image
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={value}")),
    );
    let mut config = serde_json::Map::new();
    config.insert("Env".into(), json!(env));
    let mut set = |key: &str, value: serde_json::Value, is_empty: bool| {
        if !is_empty {
            config.insert(key.to_owned(), value);
        }
    };
    set("Entrypoint", json!(image.entrypoint), image.entrypoint.is_empty());
    set("Cmd", json!(image.cmd), image.cmd.is_empty());
    set("WorkingDir", json!(image.workdir), image.workdir.is_empty());
    set("User", json!(image.user), image.user.is_empty());
    set(
        "StopSignal",
        json!(image.stop_signal),
        image.stop_signal.is_empty(),
    );
    let ports = image.ports.iter().map(|port| (port.clone(), json!({})));
    let ports: serde_json::Map<String, serde_json::Value> = ports.collect();
    set("ExposedPorts", json!(ports), ports.is_empty());
    let asked = request
        .labels
        .iter()
        .map(|label| (label.key.clone(), json!(label.value)));
    let labels = image
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)));
    let labels: serde_json::Map<String, serde_json::Value> = labels.chain(asked).collect();
    set("Labels", json!(labels), labels.is_empty());
    let mut whole = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": config,
    });
    if let (Some(variant), Some(object)) = (&platform.variant, whole.as_object_mut()) {
        object.insert("variant".into(), json!(variant));
    }
    whole.to_string().into_bytes()
}

kiln_sdk::export_frontend!(Debian);
