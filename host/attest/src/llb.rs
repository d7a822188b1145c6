//! The build graph in BuildKit's JSON form of LLB, as provenance holds it: steps by name, zero values left out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_graph::CacheSharing;
use kiln_graph::Copy;
use kiln_graph::Definition;
use kiln_graph::Exec;
use kiln_graph::FileAct;
use kiln_graph::FileAction;
use kiln_graph::FileInput;
use kiln_graph::Input;
use kiln_graph::Mount;
use kiln_graph::MountKind;
use kiln_graph::Network;
use kiln_graph::Op;
use kiln_graph::Owner;
use kiln_graph::SecretMount;
use kiln_graph::Security;
use kiln_graph::UserRef;
use kiln_image::Digest;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::BuildConfig;
use crate::StepDef;

/// The steps that one result needs.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    /// The steps with their digests.
    pub config: BuildConfig,
    /// The vertices of the definition behind the steps, in the steps' order, without the last, empty one.
    pub vertices: Vec<usize>,
}

impl Steps {
    /// Returns the step's name of a vertex, if it is needed.
    pub fn name(&self, vertex: usize) -> Option<String> {
        let at = self.vertices.iter().position(|v| *v == vertex)?;
        Some(format!("step{at}"))
    }
}

/// Returns the steps that `result` needs, in the order of the definition, which must have been checked.
pub fn steps(definition: &Definition, result: Option<Input>) -> Steps {
    let digests = definition.digests();
    let mut needed = vec![false; definition.vertices.len()];
    let mut open: Vec<usize> = result.iter().map(|input| input.vertex as usize).collect();
    while let Some(at) = open.pop() {
        let Some(flag) = needed.get_mut(at) else { continue };
        if !std::mem::replace(flag, true) {
            let inputs = definition.vertices[at].op.inputs();
            open.extend(inputs.iter().map(|input| input.vertex as usize));
        }
    }
    let vertices: Vec<usize> = (0..needed.len()).filter(|at| needed[*at]).collect();
    let mut steps = Steps {
        config: BuildConfig::default(),
        vertices,
    };
    let place = |input: &Input, steps: &Steps| {
        let name = steps.name(input.vertex as usize).unwrap_or_default();
        format!("{name}:{}", input.output)
    };
    for (at, vertex) in steps.vertices.clone().into_iter().enumerate() {
        let id = format!("step{at}");
        let op = &definition.vertices[vertex].op;
        let inputs = op.inputs();
        let step = StepDef {
            id: id.clone(),
            op: operation(&definition.vertices[vertex], &inputs),
            inputs: inputs.iter().map(|input| place(input, &steps)).collect(),
        };
        steps.config.llb_definition.push(step);
        steps
            .config
            .digest_mapping
            .insert(digests[vertex].to_string(), id);
    }
    let id = format!("step{}", steps.vertices.len());
    let inputs: Vec<String> = result.iter().map(|input| place(input, &steps)).collect();
    let last = result
        .and_then(|input| digests.get(input.vertex as usize))
        .map(ToString::to_string);
    let digest = Digest::of(format!("result {}", last.unwrap_or_default()));
    steps.config.llb_definition.push(StepDef {
        id: id.clone(),
        op: json!({ "Op": {} }),
        inputs,
    });
    steps.config.digest_mapping.insert(digest.to_string(), id);
    steps
}

/// An object without zero values.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn always(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn field(self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let zero = match &value {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(number) => number.as_i64() == Some(0) || number.as_u64() == Some(0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
        };
        if zero { self } else { self.always(key, value) }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

fn list<T>(items: &[T], write: impl Fn(&T) -> Value) -> Value {
    items.iter().map(write).collect()
}

fn operation(vertex: &kiln_graph::Vertex, inputs: &[Input]) -> Value {
    let kind = match &vertex.op {
        Op::Source(source) => {
            let attrs: BTreeMap<&String, &String> = source
                .attrs
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "local.session" | "local.unique"))
                .collect();
            let attrs: Map<String, Value> = attrs
                .into_iter()
                .map(|(key, value)| (key.clone(), value.clone().into()))
                .collect();
            let source = Object::default()
                .field("identifier", source.identifier.as_str())
                .field("attrs", attrs);
            json!({ "source": Value::from(source) })
        }
        Op::Exec(exec) => json!({ "exec": self::exec(exec, inputs) }),
        Op::File(actions) => {
            json!({ "file": { "actions": list(actions, |action| file_action(action, inputs)) } })
        }
        Op::Merge(merged) => {
            let input = |input: &Input| {
                Object::default()
                    .field("input", place(inputs, Some(*input)))
                    .into()
            };
            json!({ "merge": { "inputs": list(merged, input) } })
        }
        Op::Diff { lower, upper } => {
            let side = |input: &Option<Input>| -> Value {
                Object::default().field("input", place(inputs, *input)).into()
            };
            json!({ "diff": { "lower": side(lower), "upper": side(upper) } })
        }
    };
    let mut object = Object::default().always("Op", kind);
    if let Some(platform) = &vertex.platform {
        let platform = Object::default()
            .always("Architecture", platform.architecture.as_str())
            .always("OS", platform.os.as_str())
            .field("Variant", platform.variant.clone())
            .field("OSVersion", platform.os_version.clone());
        object = object.always("platform", platform);
    }
    object.always("constraints", json!({})).into()
}

/// Returns the position among the operation's inputs; -1 is an empty tree.
fn place(inputs: &[Input], input: Option<Input>) -> i64 {
    let found = input.and_then(|input| inputs.iter().position(|i| *i == input));
    found.map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
}

fn exec(step: &Exec, inputs: &[Input]) -> Value {
    let hosts = |(host, ip): &(String, String)| {
        let host = Object::default().field("Host", host.as_str());
        host.field("IP", ip.as_str()).into()
    };
    let limit = |limit: &kiln_graph::Ulimit| {
        let name = Object::default().field("Name", limit.name.as_str());
        name.field("Soft", limit.soft).field("Hard", limit.hard).into()
    };
    let codes = step.attrs.get("valid-exit-codes").map(String::as_str);
    let codes: Vec<i64> = codes
        .unwrap_or_default()
        .split(',')
        .filter_map(|code| code.trim().parse().ok())
        .collect();
    let meta = Object::default()
        .field("args", step.args.clone())
        .field("env", step.env.clone())
        .field("cwd", step.cwd.as_str())
        .field("user", step.user.as_str())
        .field("extraHosts", list(&step.extra_hosts, hosts))
        .field("hostname", step.hostname.as_str())
        .field("ulimit", list(&step.ulimits, limit))
        .field("cgroupParent", step.cgroup_parent.as_str())
        .field("removeMountStubsRecursive", true)
        .field("validExitCodes", codes);
    let network = match step.network {
        Network::Sandbox => 0,
        Network::Host => 1,
        Network::None => 2,
    };
    let security = match step.security {
        Security::Sandbox => 0,
        Security::Insecure => 1,
    };
    let secret_env = |env: &kiln_graph::SecretEnv| {
        let object = Object::default().field("ID", env.id.as_str());
        object
            .field("name", env.name.as_str())
            .field("optional", env.optional)
            .into()
    };
    let device = |(name, optional): &(String, String)| {
        let object = Object::default().field("name", name.as_str());
        object.field("optional", optional == "optional").into()
    };
    Object::default()
        .field("meta", meta)
        .field("mounts", list(&step.mounts, |mount| self::mount(mount, inputs)))
        .field("network", network)
        .field("security", security)
        .field("secretenv", list(&step.secret_env, secret_env))
        .field("cdiDevices", list(&step.devices, device))
        .into()
}

fn mount(mount: &Mount, inputs: &[Input]) -> Value {
    let (kind, option) = match &mount.kind {
        MountKind::Bind => (0, None),
        MountKind::Secret(secret) => (1, Some(("secretOpt", self::secret(secret)))),
        MountKind::Ssh(secret) => (2, Some(("SSHOpt", self::secret(secret)))),
        MountKind::Cache { id, sharing } => {
            let sharing = match sharing {
                CacheSharing::Shared => 0,
                CacheSharing::Private => 1,
                CacheSharing::Locked => 2,
            };
            let cache = Object::default()
                .field("ID", id.as_str())
                .field("sharing", sharing);
            (3, Some(("cacheOpt", cache)))
        }
        MountKind::Tmpfs { size } => (4, Some(("TmpfsOpt", Object::default().field("size", *size)))),
    };
    let output = match mount.kind {
        MountKind::Secret(_) | MountKind::Ssh(_) => 0,
        _ => mount.output.map_or(-1, i64::from),
    };
    let mut object = Object::default()
        .field("input", place(inputs, mount.input))
        .field("selector", mount.selector.as_str())
        .field("dest", mount.dest.as_str())
        .field("output", output)
        .field("readonly", mount.readonly)
        .field("mountType", kind);
    if let Some((key, option)) = option {
        object = object.field(key, option);
    }
    object.into()
}

fn secret(secret: &SecretMount) -> Object {
    Object::default()
        .field("ID", secret.id.as_str())
        .field("uid", secret.uid)
        .field("gid", secret.gid)
        .field("mode", secret.mode)
        .field("optional", secret.optional)
}

fn file_action(action: &FileAction, inputs: &[Input]) -> Value {
    let number = |input: FileInput| match input {
        FileInput::Scratch => -1,
        FileInput::Vertex(input) => place(inputs, Some(input)),
        FileInput::Action(at) => i64::try_from(inputs.len()).unwrap_or(i64::MAX) + i64::from(at),
    };
    let on = number(action.on);
    let mut second = -1;
    let act = match &action.act {
        FileAct::Copy(copy) => {
            second = number(copy.from);
            json!({ "copy": self::copy(copy, on) })
        }
        FileAct::Mkfile(file) => {
            let object = Object::default()
                .field("path", file.path.as_str())
                .field("mode", file.mode)
                .field("data", STANDARD.encode(&file.data));
            json!({ "mkfile": made(object, file.owner.as_ref(), on, file.timestamp) })
        }
        FileAct::Mkdir(dir) => {
            let object = Object::default()
                .field("path", dir.path.as_str())
                .field("mode", dir.mode)
                .field("makeParents", dir.make_parents);
            json!({ "mkdir": made(object, dir.owner.as_ref(), on, dir.timestamp) })
        }
        FileAct::Rm(rm) => {
            let object = Object::default()
                .field("path", rm.path.as_str())
                .field("allowNotFound", rm.allow_not_found)
                .field("allowWildcard", rm.allow_wildcard);
            json!({ "rm": Value::from(object) })
        }
        FileAct::Symlink(link) => {
            let object = Object::default()
                .field("oldpath", link.old_path.as_str())
                .field("newpath", link.new_path.as_str());
            json!({ "symlink": made(object, link.owner.as_ref(), on, link.timestamp) })
        }
    };
    json!({
        "Action": act,
        "input": on,
        "secondaryInput": second,
        "output": action.output.map_or(-1, i64::from),
    })
}

fn made(object: Object, owner: Option<&Owner>, on: i64, timestamp: Option<i64>) -> Value {
    object
        .field("owner", owner.map_or(Value::Null, |owner| self::owner(owner, on)))
        .field("timestamp", timestamp.unwrap_or(-1))
        .into()
}

fn copy(copy: &Copy, on: i64) -> Value {
    let object = Object::default()
        .field("src", copy.src.as_str())
        .field("dest", copy.dest.as_str())
        .field("mode", copy.mode.map_or(-1, i64::from))
        .field("followSymlink", copy.follow_symlink)
        .field("dirCopyContents", copy.dir_copy_contents)
        .field("attemptUnpackDockerCompatibility", copy.attempt_unpack)
        .field("createDestPath", copy.create_dest_path)
        .field("allowWildcard", copy.allow_wildcard)
        .field("allowEmptyWildcard", copy.allow_empty_wildcard)
        .field("include_patterns", copy.include_patterns.clone())
        .field("exclude_patterns", copy.exclude_patterns.clone())
        .field(
            "alwaysReplaceExistingDestPaths",
            copy.always_replace_existing_dest_paths,
        )
        .field("modeStr", copy.mode_str.as_str())
        .field("required_paths", copy.required_paths.clone());
    made(object, copy.owner.as_ref(), on, copy.timestamp)
}

fn owner(owner: &Owner, on: i64) -> Value {
    let user = |user: Option<&UserRef>| match user {
        None => Value::Null,
        Some(UserRef::Id(id)) => json!({ "User": { "byId": id } }),
        Some(UserRef::Name(name)) => {
            let named = Object::default().field("name", name.as_str()).field("input", on);
            json!({ "User": { "byName": Value::from(named) } })
        }
    };
    Object::default()
        .field("user", user(owner.user.as_ref()))
        .field("group", user(owner.group.as_ref()))
        .into()
}
