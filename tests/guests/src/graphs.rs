//! Graphs that are none, or that reach for more than was granted.

use kiln_sdk::frontend::Input;
use kiln_sdk::frontend::Source;
use kiln_sdk::graph::CacheMount;
use kiln_sdk::graph::CacheSharing;
use kiln_sdk::graph::Copy;
use kiln_sdk::graph::Exec;
use kiln_sdk::graph::FileAct;
use kiln_sdk::graph::FileAction;
use kiln_sdk::graph::FileInput;
use kiln_sdk::graph::Mkdir;
use kiln_sdk::graph::Mkfile;
use kiln_sdk::graph::Mount;
use kiln_sdk::graph::MountKind;
use kiln_sdk::graph::Network;
use kiln_sdk::graph::Op;
use kiln_sdk::graph::Rm;
use kiln_sdk::graph::SecretEnv;
use kiln_sdk::graph::SecretMount;
use kiln_sdk::graph::Security;
use kiln_sdk::graph::Symlink;
use kiln_sdk::graph::Vertex;
use kiln_sdk::types::Attr;

/// Returns the graph of an attack; none when it is not one of these.
pub(crate) fn attack(name: &str) -> Option<Vec<Vertex>> {
    indexes(name).or_else(|| paths(name)).or_else(|| powers(name))
}

pub(crate) fn vertex(op: Op) -> Vertex {
    Vertex {
        op,
        platform: None,
        name: "attack".into(),
        spans: vec![],
        ignore_cache: false,
        group: None,
    }
}

pub(crate) fn source(identifier: &str, attrs: Vec<Attr>) -> Vertex {
    vertex(Op::Source(Source {
        identifier: identifier.into(),
        attrs,
    }))
}

fn file(path: &str) -> Mkfile {
    Mkfile {
        path: path.into(),
        mode: 0o644,
        data: b"x".to_vec(),
        owner: None,
        timestamp: Some(0),
    }
}

fn act(on: FileInput, act: FileAct) -> Vertex {
    let output = Some(0);
    vertex(Op::File(vec![FileAction { on, act, output }]))
}

fn input(vertex: u32, output: u32) -> Input {
    Input { vertex, output }
}

/// A vertex that is fine.
fn fine() -> Vertex {
    act(FileInput::Scratch, FileAct::Mkfile(file("/fine")))
}

fn indexes(name: &str) -> Option<Vec<Vertex>> {
    Some(match name {
        "well-behaved" => vec![fine()],
        "self-input" => vec![vertex(Op::Merge(vec![input(0, 0)]))],
        "later-input" => vec![vertex(Op::Merge(vec![input(1, 0)])), fine()],
        "cycle" => vec![
            act(FileInput::Vertex(input(1, 0)), FileAct::Mkfile(file("/a"))),
            act(FileInput::Vertex(input(0, 0)), FileAct::Mkfile(file("/b"))),
        ],
        "missing-output" => vec![fine(), vertex(Op::Merge(vec![input(0, 7), input(0, 0)]))],
        "largest-index" => vec![vertex(Op::Merge(vec![input(u32::MAX, u32::MAX)]))],
        "later-action" => vec![act(FileInput::Action(0), FileAct::Mkfile(file("/a")))],
        "largest-output" => vec![vertex(Op::File(vec![FileAction {
            on: FileInput::Scratch,
            act: FileAct::Mkfile(file("/a")),
            output: Some(u32::MAX),
        }]))],
        "million-vertices" => (0..1_000_000).map(|_| vertex(Op::Merge(vec![]))).collect(),
        "hundred-thousand-inputs" => vec![fine(), vertex(Op::Merge(vec![input(0, 0); 100_000]))],
        "no-actions" => vec![vertex(Op::File(vec![]))],
        _ => return None,
    })
}

fn paths(name: &str) -> Option<Vec<Vertex>> {
    let make = |path: &str| vec![act(FileInput::Scratch, FileAct::Mkfile(file(path)))];
    let on_fine = |action: FileAct| vec![fine(), act(FileInput::Vertex(input(0, 0)), action)];
    let link = |old: &str, new: &str| Symlink {
        old_path: old.into(),
        new_path: new.into(),
        owner: None,
        timestamp: Some(0),
    };
    Some(match name {
        "mkfile-parent" => make("/../../../../kiln-escaped"),
        "mkfile-nul" => make("/a\0b"),
        "mkfile-overlong" => make(&format!("/{}", "a".repeat(2 << 20))),
        "mkfile-long-name" => make(&format!("/{}", "a".repeat(300))),
        "mkdir-parent" => vec![act(
            FileInput::Scratch,
            FileAct::Mkdir(mkdir("/a/../../../kiln-escaped")),
        )],
        "mkdir-nul" => vec![act(FileInput::Scratch, FileAct::Mkdir(mkdir("/a\0")))],
        "rm-root" => on_fine(FileAct::Rm(rm("/"))),
        "rm-parent" => on_fine(FileAct::Rm(rm("/../../../../../tmp/kiln-escaped"))),
        "symlink-nul" => vec![act(FileInput::Scratch, FileAct::Symlink(link("x\0y", "/l")))],
        "copy-parent" => vec![fine(), copy("../../../../etc/passwd", "/p")],
        "copy-to-parent" => vec![fine(), copy("/fine", "/../../../../kiln-escaped")],
        "write-through-symlink" => vec![
            act(FileInput::Scratch, FileAct::Symlink(link("/tmp", "/l"))),
            act(
                FileInput::Vertex(input(0, 0)),
                FileAct::Mkfile(file("/l/kiln-escaped")),
            ),
        ],
        "mount-parent" => exec(|exec| exec.mounts.push(bind("/../../tmp/kiln-escaped"))),
        "mount-selector" => exec(|exec| exec.mounts[0].selector = "../../../..".into()),
        "no-root" => exec(|exec| exec.mounts.clear()),
        "exec-nul" => exec(|exec| exec.args = vec!["/bin/sh\0".into()]),
        "exec-no-args" => exec(|exec| exec.args.clear()),
        "cgroup-escape" => exec(|exec| exec.cgroup_parent = "../../../kiln-escaped".into()),
        _ => return None,
    })
}

/// Steps and sources that need what nobody granted.
fn powers(name: &str) -> Option<Vec<Vertex>> {
    let secret = |optional| SecretMount {
        id: "token".into(),
        uid: 0,
        gid: 0,
        mode: 0o400,
        optional,
    };
    let mounted = |kind: MountKind| {
        exec(move |exec| {
            exec.mounts.push(Mount {
                kind,
                ..bind("/run/x")
            });
        })
    };
    Some(match name {
        "network-host" => exec(|exec| exec.network = Network::Host),
        "security-insecure" => exec(|exec| exec.security = Security::Insecure),
        "device" => exec(|exec| exec.devices = vec![Attr::new("vendor.com/device=all", "")]),
        "secret-mount" => mounted(MountKind::Secret(secret(false))),
        "secret-optional" => mounted(MountKind::Secret(secret(true))),
        "ssh-mount" => mounted(MountKind::Ssh(secret(false))),
        "secret-env" => exec(|exec| {
            exec.secret_env = vec![SecretEnv {
                id: "token".into(),
                name: "TOKEN".into(),
                optional: true,
            }];
        }),
        "cache-parent" => mounted(MountKind::Cache(CacheMount {
            id: "../../../kiln-escaped".into(),
            sharing: CacheSharing::Shared,
        })),
        "source-loopback" => vec![source("http://127.0.0.1:1/x", vec![])],
        "source-metadata" => vec![source("http://169.254.169.254/latest/meta-data/", vec![])],
        "source-user-info" => vec![source("https://example.com@169.254.169.254/", vec![])],
        "source-git" => vec![source("git://example.com/a.git", vec![])],
        "source-git-file" => vec![source("git://file:///etc/.git", vec![])],
        "source-file" => vec![source("file:///etc/passwd", vec![])],
        "source-unknown" => vec![source("gopher://example.com/", vec![])],
        "source-empty" => vec![source("", vec![])],
        "source-local" => vec![source("local://../../etc", vec![])],
        "source-layout" => vec![source("oci-layout://somebody-else", vec![])],
        "source-http-name" => vec![source(
            "http://127.0.0.1:1/x",
            vec![Attr::new("http.filename", "../../kiln-escaped")],
        )],
        _ => return None,
    })
}

fn mkdir(path: &str) -> Mkdir {
    Mkdir {
        path: path.into(),
        mode: 0o755,
        make_parents: true,
        owner: None,
        timestamp: Some(0),
    }
}

fn rm(path: &str) -> Rm {
    Rm {
        path: path.into(),
        allow_not_found: false,
        allow_wildcard: false,
    }
}

fn copy(src: &str, dest: &str) -> Vertex {
    let copy = Copy {
        from: FileInput::Vertex(input(0, 0)),
        src: src.into(),
        dest: dest.into(),
        owner: None,
        mode: None,
        mode_str: String::new(),
        follow_symlink: true,
        dir_copy_contents: false,
        attempt_unpack: false,
        create_dest_path: true,
        allow_wildcard: false,
        allow_empty_wildcard: false,
        timestamp: Some(0),
        include_patterns: vec![],
        exclude_patterns: vec![],
        always_replace_existing_dest_paths: false,
        required_paths: vec![],
    };
    act(FileInput::Scratch, FileAct::Copy(copy))
}

fn bind(dest: &str) -> Mount {
    Mount {
        input: None,
        selector: String::new(),
        dest: dest.into(),
        output: None,
        readonly: false,
        kind: MountKind::Bind,
    }
}

/// A step on a tree of one file, changed.
fn exec(change: impl FnOnce(&mut Exec)) -> Vec<Vertex> {
    let mut exec = Exec {
        args: vec!["/bin/true".into()],
        env: vec![],
        cwd: "/".into(),
        user: String::new(),
        proxy_env: vec![],
        extra_hosts: vec![],
        hostname: String::new(),
        ulimits: vec![],
        cgroup_parent: String::new(),
        mounts: vec![Mount {
            input: Some(input(0, 0)),
            output: Some(0),
            ..bind("/")
        }],
        network: Network::Sandbox,
        security: Security::Sandbox,
        secret_env: vec![],
        devices: vec![],
        attrs: vec![],
    };
    change(&mut exec);
    vec![fine(), vertex(Op::Exec(exec))]
}
