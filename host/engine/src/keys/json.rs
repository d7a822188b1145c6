//! JSON as Go's encoder writes LLB's types: fields in the order of the protobuf definition, zero values left out,
//! `<`, `>` and `&` escaped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_fetch::HttpSource;
use kiln_graph::CacheSharing;
use kiln_graph::Copy;
use kiln_graph::Exec;
use kiln_graph::Mkdir;
use kiln_graph::Mkfile;
use kiln_graph::MountKind;
use kiln_graph::Network;
use kiln_graph::Owner;
use kiln_graph::Rm;
use kiln_graph::SecretMount;
use kiln_graph::Security;
use kiln_graph::Symlink;
use kiln_graph::UserRef;
use kiln_image::Digest;
use kiln_image::Platform;
use serde_json::Value;

/// A JSON object that keeps the order in which fields were added and leaves out zero values.
#[derive(Default)]
pub(super) struct Object(Vec<(&'static str, String)>);

impl Object {
    fn raw(mut self, key: &'static str, json: String) -> Self {
        self.0.push((key, json));
        self
    }

    pub(super) fn always(self, key: &'static str, value: impl Into<Value>) -> Self {
        let value = escape(&value.into().to_string());
        self.raw(key, value)
    }

    fn field(self, key: &'static str, value: impl Into<Value>) -> Self {
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

    fn object(self, key: &'static str, object: Option<Self>) -> Self {
        match object {
            Some(object) => self.raw(key, object.finish()),
            None => self,
        }
    }

    fn objects(self, key: &'static str, objects: Vec<Self>) -> Self {
        if objects.is_empty() {
            return self;
        }
        let list: Vec<String> = objects.into_iter().map(Self::finish).collect();
        self.raw(key, format!("[{}]", list.join(",")))
    }

    pub(super) fn finish(self) -> String {
        let fields: Vec<String> = self
            .0
            .into_iter()
            .map(|(key, json)| format!("\"{key}\":{json}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// Applies the escapes that Go's encoder adds; the characters occur in strings only.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

fn strings(list: &[String]) -> Value {
    list.iter().map(String::as_str).collect()
}

pub(super) fn image(manifest: &Digest, platform: &Platform) -> String {
    Object::default()
        .always("Digest", manifest.to_string())
        .always("OS", platform.os.as_str())
        .always("Arch", platform.architecture.as_str())
        .field("Variant", platform.variant.clone())
        .field("OSVersion", platform.os_version.clone())
        .finish()
}

pub(super) fn http(source: &HttpSource, name: &str, checksum: &str, modified: Option<&str>) -> String {
    let headers = source.headers.iter().map(|(name, value)| {
        Object::default()
            .always("Name", canonical(name))
            .always("Value", value.as_str())
    });
    Object::default()
        .always("Filename", name)
        .always("Perm", source.mode.unwrap_or_default())
        .always("UID", source.uid)
        .always("GID", source.gid)
        .always("Checksum", checksum)
        .field("LastModTime", modified)
        .field("AuthHeaderSecret", source.auth_secret.clone())
        .objects("Header", headers.collect())
        .finish()
}

/// Writes a header's name as Go does: `User-Agent`.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Returns the JSON of a step; `places` are the positions of the mounts' inputs, -1 for an empty tree.
pub(super) fn exec(step: &Exec, places: &[i64], platform: &Platform) -> String {
    let exec = Object::default()
        .object("meta", Some(meta(step)))
        .objects(
            "mounts",
            step.mounts
                .iter()
                .zip(places)
                .map(|(mount, place)| self::mount(mount, *place))
                .collect(),
        )
        .field("network", network(step.network))
        .field("security", security(step.security))
        .objects("secretenv", step.secret_env.iter().map(secret_env).collect())
        .objects("cdiDevices", step.devices.iter().map(device).collect());
    Object::default()
        .always("Type", "buildkit.exec.v0")
        .object("Exec", Some(exec))
        .always("OS", platform.os.as_str())
        .always("Arch", platform.architecture.as_str())
        .field("Variant", platform.variant.clone())
        .field("OSVersion", platform.os_version.clone())
        .finish()
}

fn meta(step: &Exec) -> Object {
    let hosts = step
        .extra_hosts
        .iter()
        .map(|(host, _)| Object::default().field("Host", host.as_str()));
    let ulimits = step.ulimits.iter().map(|limit| {
        let name = Object::default().field("Name", limit.name.as_str());
        name.field("Soft", limit.soft).field("Hard", limit.hard)
    });
    let codes = step
        .attrs
        .get("valid-exit-codes")
        .map(String::as_str)
        .unwrap_or_default();
    let codes: Vec<i64> = codes
        .split(',')
        .filter_map(|code| code.trim().parse().ok())
        .collect();
    Object::default()
        .field("args", strings(&step.args))
        .field("env", strings(&step.env))
        .field("cwd", step.cwd.as_str())
        .field("user", step.user.as_str())
        .objects("extraHosts", hosts.collect())
        .field("hostname", step.hostname.as_str())
        .objects("ulimit", ulimits.collect())
        .field("cgroupParent", step.cgroup_parent.as_str())
        .field("removeMountStubsRecursive", true)
        .field("validExitCodes", codes)
}

fn network(network: Network) -> i64 {
    match network {
        Network::Sandbox => 0,
        Network::Host => 1,
        Network::None => 2,
    }
}

fn security(security: Security) -> i64 {
    match security {
        Security::Sandbox => 0,
        Security::Insecure => 1,
    }
}

fn secret_env(env: &kiln_graph::SecretEnv) -> Object {
    let object = Object::default()
        .field("ID", env.id.as_str())
        .field("name", env.name.as_str());
    object.field("optional", env.optional)
}

fn device((name, optional): &(String, String)) -> Object {
    Object::default()
        .field("name", name.as_str())
        .field("optional", optional == "optional")
}

fn mount(mount: &kiln_graph::Mount, place: i64) -> Object {
    let kind = match &mount.kind {
        MountKind::Bind => 0,
        MountKind::Secret(_) => 1,
        MountKind::Ssh(_) => 2,
        MountKind::Cache { .. } => 3,
        MountKind::Tmpfs { .. } => 4,
    };
    let object = Object::default()
        .field("input", place)
        .field("dest", mount.dest.as_str())
        .field("output", mount.output.map_or(-1, i64::from))
        .field("readonly", mount.readonly)
        .field("mountType", kind);
    match &mount.kind {
        MountKind::Bind => object,
        MountKind::Tmpfs { size } => object.object("TmpfsOpt", Some(Object::default().field("size", *size))),
        MountKind::Cache { id, sharing } => object.object("cacheOpt", Some(cache(id, *sharing))),
        MountKind::Secret(secret) => object.object("secretOpt", Some(self::secret(secret))),
        MountKind::Ssh(secret) => object.object("SSHOpt", Some(self::secret(secret))),
    }
}

fn cache(id: &str, sharing: CacheSharing) -> Object {
    let sharing = match sharing {
        CacheSharing::Shared => 0,
        CacheSharing::Private => 1,
        CacheSharing::Locked => 2,
    };
    Object::default().field("ID", id).field("sharing", sharing)
}

fn secret(secret: &SecretMount) -> Object {
    Object::default()
        .field("ID", secret.id.as_str())
        .field("uid", secret.uid)
        .field("gid", secret.gid)
        .field("mode", secret.mode)
        .field("optional", secret.optional)
}

/// Returns the JSON of a file operation; `indexes` are left out when they are the usual chain.
pub(super) fn file(actions: &[String], indexes: Option<&[[i64; 3]]>) -> String {
    let actions: Vec<String> = actions.iter().map(|action| STANDARD.encode(action)).collect();
    let object = Object::default()
        .always("Type", "buildkit.file.v0")
        .always("Actions", strings(&actions));
    match indexes {
        Some(indexes) => object.always("indexes", serde_json::json!(indexes)).finish(),
        None => object.finish(),
    }
}

/// `base` is the last component of the source path when it was moved to the selector.
pub(super) fn copy(copy: &Copy, src: &str, dest_input: i64) -> String {
    Object::default()
        .field("src", src)
        .field("dest", copy.dest.as_str())
        .object("owner", owner(copy.owner.as_ref(), dest_input))
        .field("mode", copy.mode.map_or(-1, i64::from))
        .field("followSymlink", copy.follow_symlink)
        .field("dirCopyContents", copy.dir_copy_contents)
        .field("attemptUnpackDockerCompatibility", copy.attempt_unpack)
        .field("createDestPath", copy.create_dest_path)
        .field("allowWildcard", copy.allow_wildcard)
        .field("allowEmptyWildcard", copy.allow_empty_wildcard)
        .field("timestamp", copy.timestamp.unwrap_or(-1))
        .field("include_patterns", strings(&copy.include_patterns))
        .field("exclude_patterns", strings(&copy.exclude_patterns))
        .field(
            "alwaysReplaceExistingDestPaths",
            copy.always_replace_existing_dest_paths,
        )
        .field("modeStr", copy.mode_str.as_str())
        .field("required_paths", strings(&copy.required_paths))
        .finish()
}

pub(super) fn mkfile(mkfile: &Mkfile, dest_input: i64) -> String {
    Object::default()
        .field("path", mkfile.path.as_str())
        .field("mode", mkfile.mode)
        .field("data", STANDARD.encode(&mkfile.data))
        .object("owner", owner(mkfile.owner.as_ref(), dest_input))
        .field("timestamp", mkfile.timestamp.unwrap_or(-1))
        .finish()
}

pub(super) fn mkdir(mkdir: &Mkdir, dest_input: i64) -> String {
    Object::default()
        .field("path", mkdir.path.as_str())
        .field("mode", mkdir.mode)
        .field("makeParents", mkdir.make_parents)
        .object("owner", owner(mkdir.owner.as_ref(), dest_input))
        .field("timestamp", mkdir.timestamp.unwrap_or(-1))
        .finish()
}

pub(super) fn rm(rm: &Rm) -> String {
    Object::default()
        .field("path", rm.path.as_str())
        .field("allowNotFound", rm.allow_not_found)
        .field("allowWildcard", rm.allow_wildcard)
        .finish()
}

pub(super) fn symlink(symlink: &Symlink, dest_input: i64) -> String {
    Object::default()
        .field("oldpath", symlink.old_path.as_str())
        .field("newpath", symlink.new_path.as_str())
        .object("owner", owner(symlink.owner.as_ref(), dest_input))
        .field("timestamp", symlink.timestamp.unwrap_or(-1))
        .finish()
}

fn owner(owner: Option<&Owner>, input: i64) -> Option<Object> {
    let user = |user: Option<&UserRef>| {
        user.map(|user| match user {
            UserRef::Id(id) => Object::default().object("User", Some(Object::default().always("byId", *id))),
            UserRef::Name(name) => {
                let named = Object::default()
                    .field("name", name.as_str())
                    .field("input", input);
                Object::default().object("User", Some(Object::default().object("byName", Some(named))))
            }
        })
    };
    owner.map(|owner| {
        let object = Object::default().object("user", user(owner.user.as_ref()));
        object.object("group", user(owner.group.as_ref()))
    })
}

pub(super) fn merge(places: &[usize]) -> String {
    let inputs = places
        .iter()
        .map(|place| Object::default().field("input", *place))
        .collect();
    let merge = Object::default().objects("inputs", inputs);
    Object::default()
        .always("Type", "buildkit.merge.v0")
        .object("Merge", Some(merge))
        .finish()
}

pub(super) fn diff(lower: Option<usize>, upper: Option<usize>) -> String {
    let side = |input: Option<usize>| Object::default().field("input", input.map_or(-1, |i| i as i64));
    let diff = Object::default()
        .object("lower", Some(side(lower)))
        .object("upper", Some(side(upper)));
    Object::default()
        .always("Type", "buildkit.diff.v0")
        .object("Diff", Some(diff))
        .finish()
}
