use std::path::PathBuf;

use kiln_graph::Exec;
use kiln_graph::Input;
use kiln_graph::Mount;
use kiln_graph::MountKind;
use serde::Deserialize;

use super::*;

fn shared(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("KILN_SHARED").map_or(root, PathBuf::from);
    let file = root.join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()))
}

fn linux() -> Platform {
    Platform::new("linux", "amd64", None)
}

fn source(identifier: &str) -> kiln_graph::Vertex {
    let source = kiln_graph::Source {
        identifier: identifier.into(),
        ..Default::default()
    };
    kiln_graph::Vertex {
        op: Op::Source(source),
        platform: None,
        name: String::new(),
        spans: Vec::new(),
        ignore_cache: false,
        group: None,
    }
}

fn input(vertex: u32) -> Input {
    Input { vertex, output: 0 }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    preimage: String,
    cache_map_digest: String,
    #[serde(default)]
    inner: String,
    #[serde(default)]
    input_selector: String,
    #[serde(default)]
    input_selector1: String,
}

/// Our preimages are BuildKit's, byte for byte.
#[test]
fn buildkits_vectors_are_reproduced() {
    let vectors: Vec<Vector> =
        serde_json::from_str(&shared("reference/captures/cachekey-vectors.json")).unwrap();
    let mut seen = 0;
    for vector in &vectors {
        let got = match vector.name.split(',').next().unwrap_or_default() {
            "image source" if vector.name.contains("key 0") => {
                let manifest = vector.inner.split('"').nth(3).unwrap().parse().unwrap();
                OpKey {
                    preimage: image_manifest(&manifest, &linux()),
                    dependencies: Vec::new(),
                }
            }
            "exec" => {
                let root = Mount {
                    input: Some(input(0)),
                    dest: "/".into(),
                    output: Some(0),
                    ..Mount::default()
                };
                let step = Exec {
                    args: ["/bin/sh", "-c", "echo hi > /hi.txt"].map(Into::into).into(),
                    env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
                    cwd: "/".into(),
                    mounts: vec![root],
                    ..Exec::default()
                };
                op_key(&Op::Exec(Box::new(step)), &linux()).unwrap()
            }
            name if name.starts_with("file copy") => {
                let copy = kiln_graph::Copy {
                    from: kiln_graph::FileInput::Vertex(input(1)),
                    src: "/out.txt".into(),
                    dest: "/out.txt".into(),
                    follow_symlink: true,
                    dir_copy_contents: true,
                    create_dest_path: true,
                    allow_wildcard: true,
                    allow_empty_wildcard: true,
                    ..Default::default()
                };
                let on = kiln_graph::FileInput::Vertex(input(0));
                let action = kiln_graph::FileAction {
                    on,
                    act: kiln_graph::FileAct::Copy(copy),
                    output: Some(0),
                };
                op_key(&Op::File(vec![action]), &linux()).unwrap()
            }
            _ => continue, // content hashes are `kiln-tree`'s
        };
        seen += 1;
        assert_eq!(got.preimage, vector.preimage, "{}", vector.name);
        assert_eq!(
            Digest::of(&got.preimage).to_string(),
            vector.cache_map_digest,
            "{}",
            vector.name
        );
        let selector = |input: usize| got.dependencies[input].selector.map(|d| d.to_string());
        if !vector.input_selector.is_empty() {
            assert_eq!(
                selector(0).as_deref(),
                Some(vector.input_selector.as_str()),
                "{}",
                vector.name
            );
        }
        if !vector.input_selector1.is_empty() {
            assert_eq!(
                selector(1).as_deref(),
                Some(vector.input_selector1.as_str()),
                "{}",
                vector.name
            );
        }
    }
    assert_eq!(seen, 3);
}

#[derive(Deserialize)]
struct Go {
    #[serde(rename = "$go")]
    text: String,
}

/// Reads the Go expressions of the tables: one or no mount.
fn mounted(go: &Go) -> Exec {
    let text = |name: &str| {
        let (_, rest) = go.text.split_once(&format!("{name}(\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let mut step = Exec {
        args: vec!["a".into()],
        ..Exec::default()
    };
    if let Some(dest) = text("withNewMount") {
        let mut mount = Mount {
            input: Some(input(0)),
            dest,
            output: Some(0),
            ..Mount::default()
        };
        mount.selector = text("withSelector").unwrap_or_default();
        mount.readonly = go.text.contains("withReadonly");
        if go.text.contains("withoutOutput") {
            mount.output = None;
        }
        if let Some((_, rest)) = go.text.split_once("CacheOpt{ID: \"") {
            let id = rest.split('"').next().unwrap_or_default().to_owned();
            let sharing = match rest {
                r if r.contains("LOCKED") => kiln_graph::CacheSharing::Locked,
                r if r.contains("Sharing: 1") => kiln_graph::CacheSharing::Private,
                _ => kiln_graph::CacheSharing::Shared,
            };
            mount.kind = MountKind::Cache { id, sharing };
        }
        step.mounts.push(mount);
    }
    step
}

#[derive(Deserialize)]
struct Tables {
    exec_cache_map: Vec<CacheMapRow>,
    exec_content_cache: Vec<ContentRow>,
    dedupe_paths: Vec<DedupeRow>,
}

#[derive(Deserialize)]
struct CacheMapRow {
    name: String,
    op1: Go,
    op2: Go,
    #[serde(rename = "xMatch")]
    matches: bool,
}

#[derive(Deserialize)]
struct ContentRow {
    name: String,
    op: Go,
    #[serde(rename = "cacheByDefault")]
    by_default: bool,
}

#[derive(Deserialize)]
struct DedupeRow {
    r#in: Vec<String>,
    out: Vec<String>,
}

#[test]
fn buildkits_tables_hold() {
    let tables: Tables = serde_json::from_str(&shared("conformance/solver/solver_tables.json")).unwrap();
    assert_eq!(
        (
            tables.exec_cache_map.len(),
            tables.exec_content_cache.len(),
            tables.dedupe_paths.len()
        ),
        (11, 8, 7)
    );
    let key = |go: &Go| op_key(&Op::Exec(Box::new(mounted(go))), &linux()).unwrap();
    for row in &tables.exec_cache_map {
        assert_eq!(
            key(&row.op1).preimage == key(&row.op2).preimage,
            row.matches,
            "{}",
            row.name
        );
    }
    for row in &tables.exec_content_cache {
        assert_eq!(
            key(&row.op).dependencies[0].content.is_some(),
            row.by_default,
            "{}",
            row.name
        );
    }
    for row in &tables.dedupe_paths {
        assert_eq!(dedupe_paths(&row.r#in), row.out);
    }
}

#[test]
fn what_does_not_change_the_result_is_not_in_the_key() {
    let mut step = mounted(&Go {
        text: "newExecOp(withNewMount(\"/\"))".into(),
    });
    let key = |step: &Exec| op_key(&Op::Exec(Box::new(step.clone())), &linux()).unwrap();
    let plain = key(&step);
    step.proxy_env.push(("HTTP_PROXY".into(), "http://proxy".into()));
    step.attrs.insert("memory".into(), "1000000".into());
    assert_eq!(key(&step), plain);
    step.env.push("A=1".into());
    assert_ne!(key(&step), plain);
    let json: serde_json::Value = serde_json::from_str(&plain.preimage).unwrap();
    assert_eq!(json["Type"], "buildkit.exec.v0");
    assert_eq!(
        platform_of(
            &Definition {
                vertices: vec![source("a")],
                sources: Vec::new()
            },
            0,
            &linux()
        ),
        linux()
    );
}
