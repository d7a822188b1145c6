//! Who may import whom. A new arrow is a design decision: it is made here, with a record in `docs/decisions/`.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// Crates of `host/` from the bottom up, each with the workspace crates that it may import.
const HOST: &[(&str, &[&str])] = &[
    ("image", &[]),
    ("tree", &["image", "pattern"]),
    ("graph", &["image"]),
    ("attest", &["image", "graph"]),
    ("store", &["image"]),
    ("progress", &["image"]),
    ("layer", &["image", "tree"]),
    ("snapshot", &["image", "tree", "layer"]),
    ("registry", &["image"]),
    ("fetch", &["image", "giturl"]),
    ("solver", &["image"]),
    ("cache", &["image", "registry", "solver"]),
    ("plugin", &["image", "graph", "progress", "pattern"]),
    ("exec", &["image", "snapshot", "exec-init"]),
    ("export", &["image", "tree", "layer"]),
    ("wasm", &["image", "graph", "plugin"]),
    (
        "engine",
        &[
            "image", "tree", "graph", "store", "progress", "layer", "snapshot", "registry", "solver",
            "cache", "plugin", "exec", "export", "pattern", "fetch", "giturl", "attest",
        ],
    ),
    // The command line wires: it may name what the engine is configured with, nothing below that.
    (
        "cli",
        &[
            "image", "graph", "progress", "plugin", "wasm", "exec", "export", "registry", "cache", "fetch",
            "giturl", "engine", "attest",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_owned()
}

/// Returns the workspace crates that a manifest names, without `kiln-`; dev-dependencies do not count.
fn imports(manifest: &Path) -> BTreeSet<String> {
    let manifest = manifest_of(manifest);
    let tables = ["dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|name| manifest.get(name));
    let names = tables
        .filter_map(toml::Value::as_table)
        .flat_map(|table| table.keys());
    names
        .filter_map(|name| name.strip_prefix("kiln-"))
        .map(str::to_owned)
        .collect()
}

fn manifest_of(path: &Path) -> toml::Table {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    text.parse()
        .unwrap_or_else(|e| panic!("{} is no manifest: {e}", path.display()))
}

#[track_caller]
fn check(place: &str, allowed: &[&str]) {
    let imports = imports(&root().join(place).join("Cargo.toml"));
    let extra: Vec<_> = imports
        .iter()
        .filter(|name| !allowed.contains(&name.as_str()))
        .collect();
    assert!(extra.is_empty(), "{place} must not import {extra:?}");
}

#[test]
fn imports_follow_the_layers() {
    for (krate, allowed) in HOST {
        check(&format!("host/{krate}"), allowed);
    }
}

#[test]
fn every_host_crate_has_its_place() {
    let listed: BTreeSet<&str> = HOST.iter().map(|(krate, _)| *krate).collect();
    for entry in std::fs::read_dir(root().join("host")).expect("host/ is there") {
        let name = entry
            .expect("host/ can be read")
            .file_name()
            .into_string()
            .expect("folders have plain names");
        assert!(
            listed.contains(name.as_str()),
            "host/{name} is not in the table of layers"
        );
    }
}

#[test]
fn arrows_point_down() {
    for (at, (krate, allowed)) in HOST.iter().enumerate() {
        for import in *allowed {
            let place = HOST.iter().position(|(name, _)| name == import);
            assert!(
                place.is_none_or(|place| place < at),
                "host/{krate} would import upward: {import}"
            );
        }
    }
}

#[test]
fn plugins_see_the_sdk_only() {
    check("sdk/pattern", &[]);
    check("sdk/giturl", &[]);
    check("sdk/rust", &["pattern"]);
    check("plugins/frontend-dockerfile/syntax", &[]);
    for cataloger in ["apk", "debian", "npm", "python"] {
        check(&format!("plugins/cataloger-{cataloger}"), &["sdk"]);
    }
    check("plugins/frontend-debian", &["sdk"]);
    check(
        "plugins/frontend-dockerfile",
        &["sdk", "pattern", "giturl", "dockerfile-syntax"],
    );
}

/// Direct dependencies that belong to few crates.
#[test]
fn some_libraries_have_few_users() {
    let only: &[(&str, &[&str])] = &[
        ("wasmtime", &["wasm"]),
        ("rusqlite", &["store"]),
        ("reqwest", &["registry", "fetch"]),
        ("clap", &["cli"]),
        ("object_store", &["cache"]),
    ];
    for (krate, _) in HOST {
        let manifest = manifest_of(&root().join("host").join(krate).join("Cargo.toml"));
        let table = manifest.get("dependencies").and_then(toml::Value::as_table);
        for (library, users) in only {
            let found = table.is_some_and(|table| table.keys().any(|k| k == library));
            assert!(
                !found || users.contains(krate),
                "host/{krate} must not depend on {library}: that is for {users:?}"
            );
        }
    }
}

/// `unsafe` lives in `exec`, and in the one mapping of machine code in `wasm`.
#[test]
fn unsafe_code_stays_where_the_design_says() {
    let allowed = ["host/exec/", "host/wasm/"];
    let mut open = vec![
        root().join("host"),
        root().join("sdk"),
        root().join("plugins"),
        root().join("xtask"),
    ];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)
            .expect("source folders can be read")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let relative = path
                .strip_prefix(root())
                .expect("below the root")
                .display()
                .to_string();
            let text = if relative.ends_with(".rs") {
                std::fs::read_to_string(&path).unwrap_or_default()
            } else {
                String::new()
            };
            let block = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
            });
            assert!(
                !block || allowed.iter().any(|a| relative.starts_with(a)),
                "{relative} has unsafe code"
            );
        }
    }
}
