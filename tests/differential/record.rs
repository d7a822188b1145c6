//! What a builder made, as lines that can be compared: fields of the config, history, and what the tree has that its
//! base has not.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use kiln_tests::support::Image;
use kiln_tests::support::Layout;
use kiln_tests::support::digest_of;
use serde_json::Value;

/// Lines by key.
pub(crate) type Record = BTreeMap<String, String>;

/// Fields of the config that builders set.
const FIELDS: [&str; 13] = [
    "Env",
    "Cmd",
    "Entrypoint",
    "User",
    "WorkingDir",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "Healthcheck",
    "StopSignal",
    "Shell",
    "OnBuild",
    "ArgsEscaped",
];

/// Times from here on are those of a build: 2020.
const NEW: u64 = 1_577_836_800;

/// A file of a merged tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    line: String,
    mtime: u64,
}

type Tree = BTreeMap<String, Node>;

/// Reads the image of a layout; its base is one of those in `bases`, or none.
pub(crate) fn read(layout: &Path, bases: &[&Path]) -> Record {
    let layout = Layout::open(layout);
    let image = layout.image();
    let diff_ids = diff_ids(&image);
    let below = bases.iter().map(|base| Layout::open(base));
    let base = below
        .map(|base| (base.image(), base))
        .find(|(found, _)| !diff_ids.is_empty() && diff_ids.starts_with(&self::diff_ids(found)));
    let mut record = Record::new();
    config(&image, &mut record);
    let history = image.config["history"].as_array().cloned().unwrap_or_default();
    let known = base.as_ref().map_or(0, |(image, _)| {
        image.config["history"].as_array().map_or(0, Vec::len)
    });
    for (at, step) in history.iter().skip(known).enumerate() {
        let empty = if step["empty_layer"] == true {
            "empty"
        } else {
            "layer"
        };
        let by = step["created_by"].as_str().unwrap_or_default();
        record.insert(
            format!("history.{at:02}"),
            format!("{empty} {}", by.escape_debug()),
        );
    }
    record.insert(
        "layers".to_owned(),
        (diff_ids.len() - base.as_ref().map_or(0, |(image, _)| self::diff_ids(image).len())).to_string(),
    );
    let old = base.map_or_else(Tree::new, |(image, base)| tree(&base, &image));
    compare(&old, &tree(&layout, &image), &mut record);
    record
}

fn diff_ids(image: &Image) -> Vec<Value> {
    image.config["rootfs"]["diff_ids"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn config(image: &Image, record: &mut Record) {
    for field in FIELDS {
        let value = &image.config["config"][field];
        let nothing = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !nothing {
            record.insert(format!("config.{field}"), value.to_string());
        }
    }
    for field in ["os", "architecture", "variant", "author"] {
        if let Some(text) = image.config[field].as_str() {
            record.insert(format!("image.{field}"), text.to_owned());
        }
    }
}

/// Writes what is other than in `old`. A time that the build made counts as `new`: contexts are from 2001.
fn compare(old: &Tree, now: &Tree, record: &mut Record) {
    for (path, node) in now {
        if old.get(path) == Some(node) {
            continue;
        }
        let time = if node.mtime >= NEW {
            "new".to_owned()
        } else {
            node.mtime.to_string()
        };
        record.insert(
            format!("tree.{}", path.escape_debug()),
            format!("{} @{time}", node.line),
        );
    }
    for path in old.keys().filter(|path| !now.contains_key(*path)) {
        record.insert(format!("tree.{}", path.escape_debug()), "gone".to_owned());
    }
}

/// Merges the layers of an image.
fn tree(layout: &Layout, image: &Image) -> Tree {
    let mut tree = Tree::new();
    for tar in layout.layers(image) {
        apply(&mut tree, &tar);
    }
    tree
}

fn apply(tree: &mut Tree, tar: &[u8]) {
    let below: Vec<String> = tree.keys().cloned().collect();
    let mut archive = tar::Archive::new(tar);
    let mut added: Tree = BTreeMap::new();
    for entry in archive.entries().expect("a layer is a tar") {
        let mut entry = entry.expect("a layer is a tar");
        let path = clean(&entry.path_bytes());
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            remove(tree, &below, dir, false);
        } else if let Some(hidden) = name.strip_prefix(".wh.") {
            remove(tree, &below, &format!("{dir}/{hidden}"), true);
        } else if entry.header().entry_type().is_hard_link() {
            let target = clean(&entry.link_name_bytes().expect("a hard link has a target"));
            let node = added.get(&target).or_else(|| tree.get(&target)).cloned();
            let mut node = node.unwrap_or_else(|| panic!("a hard link to nothing: {target}"));
            node.line = format!("{} = {target}", node.line.split(" = ").next().unwrap_or_default());
            added.insert(path, node);
        } else {
            let node = node(&mut entry);
            if !node.line.starts_with("dir") {
                remove(tree, &below, &path, true);
            }
            added.insert(path, node);
        }
    }
    tree.extend(added);
}

/// Removes what is below `path`, and `path` too if `itself`.
fn remove(tree: &mut Tree, below: &[String], path: &str, itself: bool) {
    let inside = format!("{path}/");
    for old in below
        .iter()
        .filter(|old| old.starts_with(&inside) || itself && *old == path)
    {
        tree.remove(old);
    }
}

/// Returns `/a/b` of `./a/b/`; bytes that are no UTF-8 are shown as such.
fn clean(path: &[u8]) -> String {
    let text = match std::str::from_utf8(path) {
        Ok(text) => text.to_owned(),
        Err(_) => path.escape_ascii().to_string(),
    };
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    format!("/{}", parts.join("/"))
}

fn node(entry: &mut tar::Entry<'_, &[u8]>) -> Node {
    let header = entry.header().clone();
    let kind = header.entry_type();
    let (uid, gid) = (header.uid().unwrap_or_default(), header.gid().unwrap_or_default());
    let mode = header.mode().unwrap_or_default() & 0o7777;
    let device = || {
        let number = |part: std::io::Result<Option<u32>>| part.ok().flatten().unwrap_or_default();
        format!(
            "{}:{}",
            number(header.device_major()),
            number(header.device_minor())
        )
    };
    let rest = if kind.is_dir() {
        String::new()
    } else if kind.is_symlink() {
        let target = entry.link_name_bytes().unwrap_or_default();
        format!(" -> {}", String::from_utf8_lossy(&target))
    } else if kind.is_character_special() || kind.is_block_special() {
        format!(" {}", device())
    } else {
        String::new()
    };
    let name = match kind {
        tar::EntryType::Directory => "dir",
        tar::EntryType::Symlink => "link",
        tar::EntryType::Char => "char",
        tar::EntryType::Block => "block",
        tar::EntryType::Fifo => "fifo",
        _ => "file",
    };
    let xattrs = xattrs(entry);
    let content = if name == "file" {
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a file can be read");
        format!(" {} {}", bytes.len(), &digest_of(&bytes)[..23])
    } else {
        String::new()
    };
    // A link's own mode means nothing.
    let mode = if name == "link" { 0o777 } else { mode };
    Node {
        line: format!("{name} {mode:o} {uid}:{gid}{content}{rest}{xattrs}"),
        mtime: header.mtime().unwrap_or_default(),
    }
}

fn xattrs(entry: &mut tar::Entry<'_, &[u8]>) -> String {
    let mut found = BTreeMap::new();
    if let Ok(Some(extensions)) = entry.pax_extensions() {
        for extension in extensions.flatten() {
            let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                found.insert(
                    name.to_owned(),
                    extension.value_bytes().escape_ascii().to_string(),
                );
            }
        }
    }
    found
        .iter()
        .map(|(name, value)| format!(" {name}={value}"))
        .collect()
}

/// Returns what of a record older builders can agree on. They tell history in other words, make one layer of a stage,
/// give directories the time of their last change, leave the mount points of a step behind, and sign their work.
pub(crate) fn plain(record: &Record) -> Record {
    let left_behind = ["/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run"];
    let is_kept = |key: &str| match key.strip_prefix("tree.") {
        Some(path) => !left_behind.contains(&path),
        None => !key.starts_with("history.") && !["layers", "config.ArgsEscaped"].contains(&key),
    };
    let value = |key: &str, value: &str| match key {
        "config.Labels" => {
            let mut labels: BTreeMap<String, String> = serde_json::from_str(value).expect("labels are JSON");
            labels.remove("io.buildah.version");
            format!("{labels:?}")
        }
        _ if value.starts_with("dir ") => value.split('@').next().unwrap_or_default().to_owned(),
        _ => value.to_owned(),
    };
    let kept = record.iter().filter(|(key, _)| is_kept(key));
    kept.map(|(key, text)| (key.clone(), value(key, text)))
        .filter(|(_, text)| text != "{}")
        .collect()
}

/// Returns a record as text.
pub(crate) fn text(record: &Record) -> String {
    record
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect()
}

/// Reads what [`text`] wrote.
pub(crate) fn parse(text: &str) -> Record {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(": ").expect("a line has a key"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the lines that differ: key, ours, theirs.
pub(crate) fn differences(ours: &Record, theirs: &Record) -> Vec<(String, String, String)> {
    let keys: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let value = |record: &Record, key: &str| record.get(key).map_or("(nothing)", String::as_str).to_owned();
    keys.into_iter()
        .map(|key| (key.clone(), value(ours, key), value(theirs, key)))
        .filter(|(_, ours, theirs)| ours != theirs)
        .collect()
}
