//! Writes down how images were built.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kiln_attest::BuildkitMetadata;
use kiln_attest::Completeness;
use kiln_attest::ConfigSource;
use kiln_attest::IdOptional;
use kiln_attest::Local;
use kiln_attest::Location;
use kiln_attest::Locations;
use kiln_attest::Material;
use kiln_attest::Place;
use kiln_attest::Provenance;
use kiln_attest::ProvenanceMode;
use kiln_attest::Range;
use kiln_attest::Root;
use kiln_attest::RootRequest;
use kiln_attest::Scrubber;
use kiln_attest::SourceInfo;
use kiln_attest::SourceMap;
use kiln_attest::Steps;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::MountKind;
use kiln_graph::Network;
use kiln_graph::Op;
use kiln_graph::Source;
use kiln_graph::Vertex;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_plugin::CallUse;
use kiln_plugin::Component;
use kiln_plugin::Description;
use kiln_plugin::Lowered;
use kiln_plugin::PluginUse;
use serde_json::Value;
use serde_json::json;

use super::ProvenanceOptions;
use super::sources;
use super::sources::Found;
use crate::build::BuildContext;
use crate::error::BuildError;
use crate::images::ImageId;

/// What BuildKit's digests depend on; kiln's are those of this version.
const COMPATIBILITY: u32 = 30;

/// How one image was built; what is known only when it is written is missing.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) provenance: Provenance,
    /// Name of the step and output whose layers the image has.
    pub(crate) result: Option<String>,
}

/// Who read the build file.
pub(crate) struct Reader {
    pub(crate) description: Option<Description>,
    pub(crate) component: Option<Component>,
}

/// What all images of a build share.
struct Recorder<'a> {
    build: &'a BuildContext,
    options: &'a ProvenanceOptions,
    definition: &'a Definition,
    reader: &'a Reader,
    scrubber: Scrubber,
}

/// Records how each output was built.
///
/// # Errors
/// When something that was used cannot be told and must be.
pub(crate) async fn record(
    build: &BuildContext,
    options: &ProvenanceOptions,
    reader: &Reader,
    lowered: &Lowered,
) -> Result<Vec<Recorded>, BuildError> {
    let args = build.request.args.iter();
    let recorder = Recorder {
        build,
        options,
        definition: &lowered.definition,
        reader,
        scrubber: Scrubber::new(args.map(|(name, value)| (name.as_str(), value.as_str()))),
    };
    let mut recorded = Vec::new();
    for output in &lowered.outputs {
        recorded.push(recorder.output(output.result).await?);
    }
    Ok(recorded)
}

/// What was used by the steps of one image.
#[derive(Default)]
struct Used {
    images: BTreeSet<(String, BTreeMap<String, String>)>,
    git: BTreeSet<(String, BTreeMap<String, String>)>,
    http: BTreeSet<(String, BTreeMap<String, String>)>,
    locals: BTreeSet<String>,
    unknown: BTreeSet<String>,
    secrets: BTreeSet<IdOptional>,
    ssh: BTreeSet<IdOptional>,
    network: bool,
}

impl Used {
    fn materials(&self) -> Vec<Material> {
        let all = self.images.iter().chain(&self.git).chain(&self.http);
        all.map(|(uri, digest)| Material {
            uri: uri.clone(),
            digest: digest.clone(),
        })
        .collect()
    }

    fn note(&mut self, op: &Op) {
        let Op::Exec(exec) = op else { return };
        self.network |= exec.network != Network::None;
        let id = |id: &str, optional| IdOptional {
            id: id.to_owned(),
            optional,
        };
        for mount in &exec.mounts {
            match &mount.kind {
                MountKind::Secret(secret) => drop(self.secrets.insert(id(&secret.id, secret.optional))),
                MountKind::Ssh(ssh) => drop(self.ssh.insert(id(&ssh.id, ssh.optional))),
                MountKind::Bind | MountKind::Cache { .. } | MountKind::Tmpfs { .. } => {}
            }
        }
        let env = exec.secret_env.iter();
        self.secrets.extend(env.map(|env| id(&env.id, env.optional)));
    }
}

impl Recorder<'_> {
    async fn output(&self, result: Option<Input>) -> Result<Recorded, BuildError> {
        let steps = kiln_attest::steps(self.definition, result);
        let used = self.used(&steps).await;
        let max = self.options.mode == ProvenanceMode::Max;
        let complete = used.locals.is_empty() && used.unknown.is_empty();
        if self.options.complete_materials && !complete {
            let locals = used.locals.iter().map(|name| format!("local://{name}"));
            let missing: Vec<String> = locals.chain(used.unknown.iter().cloned()).collect();
            return Err(BuildError::Usage(format!(
                "provenance materials are incomplete: {}",
                missing.join(", ")
            )));
        }
        let (args, scrubbed) = self.args();
        let vcs = self.vcs();
        let time = |time: Timestamp| match self.build.request.epoch {
            Some(_) => self.build.created.to_string(),
            None => time.to_string(),
        };
        let hidden = !max && scrubbed;
        let materials = used.materials();
        let mut provenance = Provenance {
            config_source: self.config_source(&materials),
            builder_platform: self.build.config.platform.to_string(),
            environment: self.environment(),
            materials: self.with_plugin(materials),
            builder_id: self.options.builder_id.clone(),
            invocation_id: self.invocation(),
            started: time(self.build.started),
            finished: time(Timestamp::now()),
            completeness: Completeness {
                request: !hidden,
                materials: complete,
            },
            reproducible: self.options.reproducible,
            hermetic: complete && !used.network,
            plugins: self.plugins(),
            ..Provenance::default()
        };
        self.fill_request(&mut provenance, args, used);
        provenance.metadata.vcs = vcs;
        if max {
            self.fill_max(&mut provenance, &steps).await;
        }
        let result = result.and_then(|input| {
            let name = steps.name(input.vertex as usize)?;
            Some(format!("{name}:{}", input.output))
        });
        Ok(Recorded { provenance, result })
    }

    async fn used(&self, steps: &Steps) -> Used {
        let mut used = Used::default();
        if !self.is_remote() {
            // The build file is one of the user's machine.
            used.locals.insert("dockerfile".to_owned());
        }
        for at in &steps.vertices {
            let vertex = &self.definition.vertices[*at];
            used.note(&vertex.op);
            let Op::Source(source) = &vertex.op else { continue };
            let found = sources::material(self.build, source, self.platform(vertex)).await;
            match found {
                Found::Image(material) => drop(used.images.insert((material.uri, material.digest))),
                Found::Git(material) => drop(used.git.insert((material.uri, material.digest))),
                Found::Http(material) => drop(used.http.insert((material.uri, material.digest))),
                Found::Local(name) => drop(used.locals.insert(name)),
                Found::Unknown(identifier) => drop(used.unknown.insert(identifier)),
            }
        }
        used
    }

    /// Tells whether the build file came with a context from elsewhere.
    fn is_remote(&self) -> bool {
        let asked = &self.build.request;
        matches!(asked.build_file, crate::BuildFile::InContext { .. })
            && matches!(asked.context, crate::Context::Remote(_))
    }

    fn config_source(&self, materials: &[Material]) -> ConfigSource {
        let (crate::Context::Remote(url), true) = (&self.build.request.context, self.is_remote()) else {
            return ConfigSource::default();
        };
        let uri = sources::without_credentials(url);
        let found = materials.iter().find(|material| material.uri == uri);
        ConfigSource {
            digest: found.map(|material| material.digest.clone()).unwrap_or_default(),
            uri: Some(uri),
            path: Some(self.build.request.build_file.name().to_owned()),
        }
    }

    fn platform<'a>(&'a self, vertex: &'a Vertex) -> &'a Platform {
        vertex.platform.as_ref().unwrap_or(&self.build.config.platform)
    }

    /// Returns the frontend's attributes as BuildKit names them, and whether some are the user's own words.
    fn args(&self) -> (BTreeMap<String, String>, bool) {
        let asked = &self.build.request;
        let mut args = BTreeMap::new();
        // A proxy is how this machine reaches others, often with a password: no part of what was built.
        for (name, value) in asked.args.iter().filter(|(name, _)| !is_proxy(name)) {
            args.insert(format!("build-arg:{name}"), self.scrubber.value(name, value));
        }
        for (name, value) in &asked.labels {
            args.insert(format!("label:{name}"), self.scrubber.value(name, value));
        }
        let scrubbed = !args.is_empty();
        let left_out = |key: &str| matches!(key, "cgroup-parent" | "image-resolve-mode" | "cache-imports");
        for (key, value) in asked.options.iter().filter(|(key, _)| !left_out(key)) {
            args.insert(key.clone(), self.scrubber.text(value));
        }
        for (name, context) in &asked.contexts {
            let value = match context {
                crate::NamedContext::Files(_) => format!("local:{name}"),
                crate::NamedContext::Image(reference) => format!("docker-image://{reference}"),
                crate::NamedContext::OciLayout { .. } => format!("oci-layout://{name}"),
                crate::NamedContext::Remote(url) => sources::without_credentials(url),
            };
            args.insert(format!("context:{name}"), value);
        }
        if let Some(target) = &asked.target {
            args.insert("target".to_owned(), target.clone());
        }
        let name = asked.build_file.name();
        if name != "Dockerfile" {
            args.insert("filename".to_owned(), name.to_owned());
        }
        if let Some(frontend) = &asked.frontend {
            args.insert("source".to_owned(), frontend.clone());
        }
        (args, scrubbed)
    }

    fn vcs(&self) -> BTreeMap<String, String> {
        let options = self.build.request.options.iter();
        options
            .filter_map(|(key, value)| {
                let name = key.strip_prefix("vcs:")?;
                Some((name.to_owned(), sources::without_credentials(value)))
            })
            .collect()
    }

    fn fill_request(&self, provenance: &mut Provenance, args: BTreeMap<String, String>, used: Used) {
        let max = self.options.mode == ProvenanceMode::Max;
        let typed = |key: &str| key.starts_with("build-arg:") || key.starts_with("label:");
        let kept: BTreeMap<String, String> = args.into_iter().filter(|(key, _)| max || !typed(key)).collect();
        let asked = kept.iter().filter(|(key, _)| !key.starts_with("vcs:"));
        let request = &mut provenance.request;
        request.args = asked.map(|(key, value)| (key.clone(), value.clone())).collect();
        request.frontend = match (&self.build.request.frontend, &self.reader.description) {
            (None, Some(description)) => format!("{}.v0", description.name),
            _ => "gateway.v0".to_owned(),
        };
        request.locals = used.locals.into_iter().map(|name| Local { name }).collect();
        if max {
            request.secrets = used.secrets.into_iter().collect();
            request.ssh = used.ssh.into_iter().collect();
        }
        request.root = Some(Root {
            config_source: BTreeMap::new(),
            request: RootRequest { args: kept },
        });
        request.compatibility_version = Some(COMPATIBILITY);
    }

    /// The version of the language that the build file is in, such as `dockerfileVersion`.
    fn environment(&self) -> BTreeMap<String, Value> {
        let description = self.reader.description.iter();
        description
            .filter(|d| !d.version.is_empty())
            .map(|d| (format!("{}Version", d.name), Value::String(d.version.clone())))
            .collect()
    }

    /// The components that took part. What differs from run to run, such as time, is left out.
    fn plugins(&self) -> Vec<Value> {
        let plugin = |plugin: &PluginUse| {
            // A call that asks what is known already is not made: only that of the build file always is.
            let calls = plugin.calls.iter().filter(|call| call.call == "lower");
            let calls: Vec<Value> = calls.map(|call| self.call(call)).collect();
            json!({
                "name": plugin.name,
                "world": plugin.world,
                "digest": { "sha256": plugin.digest.hex() },
                "asked": plugin.asked,
                "grants": plugin.granted,
                "used": plugin.used,
                "calls": calls,
            })
        };
        self.build.request.ledger.plugins().iter().map(plugin).collect()
    }

    fn call(&self, call: &CallUse) -> Value {
        let mut value = json!({ "call": call.call, "fuel": call.usage.fuel });
        if self.options.mode == ProvenanceMode::Max {
            let answer = |(question, digest): &(String, Digest)| json!({ "question": question, "digest": { "sha256": digest.hex() } });
            value["answers"] = call.answers.iter().map(answer).collect();
        }
        value
    }

    /// The component that read the build file decides what is built: it is a dependency like an image.
    fn with_plugin(&self, mut materials: Vec<Material>) -> Vec<Material> {
        if let Some(component) = &self.reader.component {
            materials.push(Material {
                uri: format!("kiln:plugin/{}", component.name),
                digest: BTreeMap::from([("sha256".to_owned(), component.digest.hex())]),
            });
        }
        materials
    }

    /// A name for this build; with `SOURCE_DATE_EPOCH` the same for equal builds.
    fn invocation(&self) -> String {
        let what = match self.build.request.epoch {
            Some(epoch) => {
                let steps: Vec<String> = self.definition.digests().iter().map(Digest::to_string).collect();
                format!("{epoch} {}", steps.join(" "))
            }
            None => format!("{} {}", self.build.session, self.build.started),
        };
        let hex = Digest::of(what).hex();
        hex[..25].to_owned()
    }

    async fn fill_max(&self, provenance: &mut Provenance, steps: &Steps) {
        let mut config = steps.config.clone();
        for step in &mut config.llb_definition {
            self.scrubber.document(&mut step.op);
        }
        provenance.build_config = Some(config);
        provenance.metadata = BuildkitMetadata {
            vcs: std::mem::take(&mut provenance.metadata.vcs),
            source: Some(self.source_map(steps)),
            layers: self.base_layers(steps).await,
        };
    }

    fn source_map(&self, steps: &Steps) -> SourceMap {
        let mut map = SourceMap::default();
        for (at, vertex) in steps.vertices.iter().enumerate() {
            let spans = self.definition.vertices[*vertex].spans.iter();
            let locations = spans.map(|span| Location {
                source_index: span.source,
                ranges: vec![Range {
                    start: line(span.start.line),
                    end: line(span.end.line),
                }],
            });
            let mut known: Vec<Location> = Vec::new();
            for location in locations {
                if !known.contains(&location) {
                    known.push(location);
                }
            }
            map.locations
                .insert(format!("step{at}"), Locations { locations: known });
        }
        let infos = self.definition.sources.iter().map(|source| SourceInfo {
            filename: source.name.clone(),
            language: source.language.clone(),
            data: STANDARD.encode(&source.data),
            config: brought_in(&source.name),
        });
        map.infos = infos.collect();
        map
    }

    /// The layers of the images that steps start from.
    async fn base_layers(&self, steps: &Steps) -> BTreeMap<String, Vec<Vec<Descriptor>>> {
        let mut layers = BTreeMap::new();
        for (at, vertex) in steps.vertices.iter().enumerate() {
            let vertex = &self.definition.vertices[*vertex];
            let Op::Source(source) = &vertex.op else { continue };
            let Ok(id) = source.identifier.parse::<ImageId>() else {
                continue;
            };
            if let Ok(image) = self.build.image(&id, self.platform(vertex), "", None).await {
                layers.insert(format!("step{at}:0"), vec![image.manifest.layers.clone()]);
            }
        }
        layers
    }
}

fn line(line: u32) -> Place {
    Place { line, character: 0 }
}

/// The graph that brings the build file in, as BuildKit's frontends write it.
fn brought_in(name: &str) -> kiln_attest::BuildConfig {
    let beside = format!("{name}.dockerignore");
    let attrs = BTreeMap::from([
        ("local.differ".to_owned(), "none".to_owned()),
        ("local.followpaths".to_owned(), json!([name, beside]).to_string()),
        ("local.sharedkeyhint".to_owned(), "dockerfile".to_owned()),
    ]);
    let source = Source {
        identifier: "local://dockerfile".to_owned(),
        attrs,
    };
    let vertex = Vertex {
        op: Op::Source(source),
        platform: None,
        name: String::new(),
        spans: Vec::new(),
        ignore_cache: false,
        group: None,
    };
    let definition = Definition {
        vertices: vec![vertex],
        sources: Vec::new(),
    };
    let result = Input { vertex: 0, output: 0 };
    kiln_attest::steps(&definition, Some(result)).config
}

/// The build arguments that steps get without being asked for.
fn is_proxy(name: &str) -> bool {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
    names.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}
