//! A graph as text, one vertex a line.

use kiln_sdk::frontend::Lowered;
use kiln_sdk::graph::Copy;
use kiln_sdk::graph::Exec;
use kiln_sdk::graph::FileAct;
use kiln_sdk::graph::FileAction;
use kiln_sdk::graph::FileInput;
use kiln_sdk::graph::Input;
use kiln_sdk::graph::Mount;
use kiln_sdk::graph::MountKind;
use kiln_sdk::graph::Network;
use kiln_sdk::graph::Op;
use kiln_sdk::graph::Owner;
use kiln_sdk::graph::Security;
use kiln_sdk::graph::UserRef;
use kiln_sdk::types::Attr;

/// Writes what was lowered: vertices, then outputs. What is as usual is left out.
pub(crate) fn dump(lowered: &Lowered) -> String {
    let mut out = String::new();
    for (at, vertex) in lowered.definition.vertices.iter().enumerate() {
        let op = match &vertex.op {
            Op::Source(source) => format!("source {}{}", source.identifier, attrs(&source.attrs)),
            Op::Exec(exec) => self::exec(exec),
            Op::File(actions) => {
                let actions: Vec<String> = actions.iter().map(action).collect();
                actions.join("; ")
            }
            Op::Merge(inputs) => format!("merge {inputs:?}"),
            Op::Diff(pair) => format!("diff {pair:?}"),
        };
        let op = op.replace("Input { vertex: ", "#").replace(", output: 0 }", "");
        let on = vertex
            .platform
            .as_ref()
            .filter(|p| p.to_string() != "linux/amd64");
        let on = on.map_or_else(String::new, |p| format!(" on {p}"));
        let extra = if vertex.ignore_cache { " no-cache" } else { "" };
        let group = vertex
            .group
            .as_ref()
            .map_or_else(String::new, |g| format!(" group={g}"));
        out.push_str(&format!("{at}: {op}{on}{extra}{group} | {}\n", vertex.name));
    }
    out = out.replace(&format!("sha256:{}", "0".repeat(48)), "sha256:");
    for output in &lowered.outputs {
        let on = output
            .platform
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        let result = output.result.map_or_else(|| "nothing".to_owned(), |i| input(&i));
        out.push_str(&format!("= {on} {result}\n"));
    }
    out
}

fn input(input: &Input) -> String {
    if input.output == 0 {
        format!("#{}", input.vertex)
    } else {
        format!("#{}.{}", input.vertex, input.output)
    }
}

fn attrs(attrs: &[Attr]) -> String {
    attrs.iter().map(|a| format!(" {}={}", a.key, a.value)).collect()
}

fn exec(exec: &Exec) -> String {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let env: Vec<&str> = exec
        .env
        .iter()
        .map(|e| if e == path { "PATH" } else { e.as_str() })
        .collect();
    let mut out = format!("exec {:?} env={env:?}", exec.args);
    let mut more = |name: &str, value: String| {
        if !value.is_empty() {
            out.push_str(&format!(" {name}={value}"));
        }
    };
    more(
        "cwd",
        if exec.cwd == "/" {
            String::new()
        } else {
            exec.cwd.clone()
        },
    );
    more("user", exec.user.clone());
    more("hostname", exec.hostname.clone());
    more("cgroup", exec.cgroup_parent.clone());
    more("proxy", attrs(&exec.proxy_env));
    more("hosts", attrs(&exec.extra_hosts));
    more("devices", attrs(&exec.devices));
    more("attrs", attrs(&exec.attrs));
    for limit in &exec.ulimits {
        more("ulimit", format!("{}:{}:{}", limit.name, limit.soft, limit.hard));
    }
    if exec.network != Network::Sandbox {
        more("network", format!("{:?}", exec.network));
    }
    if exec.security != Security::Sandbox {
        more("security", format!("{:?}", exec.security));
    }
    for secret in &exec.secret_env {
        more(
            "secret-env",
            format!("{}:{}:{}", secret.id, secret.name, secret.optional),
        );
    }
    for mount in &exec.mounts {
        out.push_str(&self::mount(mount));
    }
    out
}

fn mount(mount: &Mount) -> String {
    let from = mount.input.as_ref().map_or_else(|| "nothing".to_owned(), input);
    let kind = match &mount.kind {
        MountKind::Bind => String::new(),
        MountKind::Cache(cache) => format!(" cache:{}:{:?}", cache.id, cache.sharing),
        MountKind::Tmpfs(size) => format!(" tmpfs:{size}"),
        MountKind::Secret(s) => format!(" secret:{}:{}:{}:{:o}:{}", s.id, s.uid, s.gid, s.mode, s.optional),
        MountKind::Ssh(s) => format!(" ssh:{}:{}:{}:{:o}:{}", s.id, s.uid, s.gid, s.mode, s.optional),
    };
    let ro = if mount.readonly { " ro" } else { "" };
    let out = if mount.output == Some(0) { " out" } else { "" };
    format!(" [{} {from}{}{kind}{ro}{out}]", mount.dest, mount.selector)
}

fn file_input(from: &FileInput) -> String {
    match from {
        FileInput::Scratch => "nothing".to_owned(),
        FileInput::Vertex(i) => input(i),
        FileInput::Action(at) => format!("@{at}"),
    }
}

fn owner(owner: Option<&Owner>) -> String {
    let one = |user: &Option<UserRef>| match user {
        None => "-".to_owned(),
        Some(UserRef::Id(id)) => id.to_string(),
        Some(UserRef::Name(name)) => format!("'{name}'"),
    };
    owner.map_or_else(String::new, |o| {
        format!(" owner={}:{}", one(&o.user), one(&o.group))
    })
}

fn action(action: &FileAction) -> String {
    let on = file_input(&action.on);
    let time = |t: Option<i64>| t.map_or_else(String::new, |t| format!(" time={t}"));
    let act = match &action.act {
        FileAct::Copy(copy) => self::copy(copy),
        FileAct::Mkfile(f) => {
            let data = String::from_utf8_lossy(&f.data).into_owned();
            format!(
                "mkfile {} {:o} {data:?}{}{}",
                f.path,
                f.mode,
                owner(f.owner.as_ref()),
                time(f.timestamp)
            )
        }
        FileAct::Mkdir(d) => {
            let parents = if d.make_parents { " parents" } else { "" };
            format!(
                "mkdir {} {:o}{parents}{}{}",
                d.path,
                d.mode,
                owner(d.owner.as_ref()),
                time(d.timestamp)
            )
        }
        other => format!("{other:?}"),
    };
    let out = if action.output == Some(0) { "" } else { " (kept)" };
    format!("on {on} {act}{out}")
}

fn copy(copy: &Copy) -> String {
    let mut out = format!("copy {}{} -> {}", file_input(&copy.from), copy.src, copy.dest);
    let usual = copy.follow_symlink
        && copy.dir_copy_contents
        && copy.create_dest_path
        && copy.allow_wildcard
        && copy.allow_empty_wildcard;
    if !usual {
        let flags = [
            (copy.follow_symlink, "follow"),
            (copy.dir_copy_contents, "contents"),
            (copy.create_dest_path, "create"),
            (copy.allow_wildcard, "wildcard"),
            (copy.allow_empty_wildcard, "empty"),
        ];
        let flags: Vec<&str> = flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| *name)
            .collect();
        out.push_str(&format!(" only:{}", flags.join(",")));
    }
    if copy.attempt_unpack {
        out.push_str(" unpack");
    }
    if let Some(mode) = copy.mode {
        out.push_str(&format!(" mode={mode:o}"));
    }
    if !copy.mode_str.is_empty() {
        out.push_str(&format!(" mode={}", copy.mode_str));
    }
    if let Some(time) = copy.timestamp {
        out.push_str(&format!(" time={time}"));
    }
    out.push_str(&owner(copy.owner.as_ref()));
    for (name, list) in [
        ("include", &copy.include_patterns),
        ("exclude", &copy.exclude_patterns),
        ("required", &copy.required_paths),
    ] {
        if !list.is_empty() {
            out.push_str(&format!(" {name}={list:?}"));
        }
    }
    out
}
