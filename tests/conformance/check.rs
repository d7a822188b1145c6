//! Compares what came out with what a step wants. A difference is one line.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiln_tests::support::Image;
use kiln_tests::support::Layout;
use serde_json::Value;

use crate::case::FileCheck;
use crate::case::HistoryCheck;
use crate::case::IndexCheck;
use crate::case::LayersCheck;
use crate::case::Source;

/// A difference, as one line.
pub(crate) type Checked = Result<(), String>;

/// Returns `message` as the difference unless `good`.
pub(crate) fn expect(good: bool, message: impl FnOnce() -> String) -> Checked {
    if good { Ok(()) } else { Err(message()) }
}

/// Checks a file of a directory; `context` is the directory that the build read.
pub(crate) fn file(root: &Path, check: &FileCheck, context: &Path) -> Checked {
    let path = root.join(check.path.trim_start_matches('/'));
    let name = &check.path;
    let meta = path.symlink_metadata();
    if check.absent {
        return expect(meta.is_err(), || format!("`{name}` is there"));
    }
    let meta = meta.map_err(|_| format!("`{name}` is missing"))?;
    if let Some(kind) = &check.kind {
        let is = meta.file_type();
        let found = [
            (is.is_dir(), "dir"),
            (is.is_file(), "file"),
            (is.is_symlink(), "symlink"),
        ];
        let found = found
            .iter()
            .find(|(is, _)| *is)
            .map_or("special", |(_, name)| name);
        expect(found == kind, || format!("`{name}` is a {found}, not a {kind}"))?;
    }
    if let Some(target) = &check.link_target {
        let found = std::fs::read_link(&path).map_err(|e| format!("`{name}`: {e}"))?;
        expect(found == Path::new(target), || {
            format!("`{name}` leads to `{}`, not to `{target}`", found.display())
        })?;
    }
    for (what, wanted, found) in [("uid", check.uid, meta.uid()), ("gid", check.gid, meta.gid())] {
        expect(wanted.is_none_or(|wanted| wanted == found), || {
            format!("`{name}` has {what} {found}, not {wanted:?}")
        })?;
    }
    if let Some(other) = &check.same_inode_as {
        let other_meta = root
            .join(other)
            .symlink_metadata()
            .map_err(|e| format!("`{other}`: {e}"))?;
        expect(meta.ino() == other_meta.ino(), || {
            format!("`{name}` is no hard link of `{other}`")
        })?;
    }
    if check.empty && meta.is_dir() {
        let count = std::fs::read_dir(&path).map_err(|e| e.to_string())?.count();
        expect(count == 0, || format!("`{name}` has {count} entries"))?;
    }
    content(&path, check, context)
}

fn content(path: &Path, check: &FileCheck, context: &Path) -> Checked {
    let wants = check.content.is_some() || check.same_as_context.is_some();
    if !wants && check.contains.is_empty() && check.not_contains.is_empty() {
        return Ok(());
    }
    let name = &check.path;
    let bytes = std::fs::read(path).map_err(|e| format!("`{name}`: {e}"))?;
    let text = String::from_utf8_lossy(&bytes);
    if let Some(content) = &check.content {
        expect(text == *content, || {
            format!("`{name}` is {text:?}, not {content:?}")
        })?;
    }
    for part in &check.contains {
        expect(text.contains(part), || {
            format!("`{name}` is {text:?}, without {part:?}")
        })?;
    }
    for part in &check.not_contains {
        expect(!text.contains(part), || {
            format!("`{name}` is {text:?}, with {part:?}")
        })?;
    }
    if let Some(other) = &check.same_as_context {
        let other_bytes = std::fs::read(context.join(other)).map_err(|e| format!("`{other}`: {e}"))?;
        expect(bytes == other_bytes, || {
            format!("`{name}` is not what the context's `{other}` is")
        })?;
    }
    Ok(())
}

/// Checks the place that an error shows: the first line, and each line in the excerpt.
pub(crate) fn source(said: &str, source: &Source) -> Checked {
    let first = source.lines.first().copied().unwrap_or_default();
    let arrow = format!("--> {}:{first}", source.filename);
    expect(said.contains(&arrow), || format!("`{arrow}` is not in the error"))?;
    for line in &source.lines {
        let gutter = format!("{line} |");
        let shown = said.lines().any(|text| text.trim_start().starts_with(&gutter));
        expect(shown, || format!("line {line} is not shown in the error"))?;
    }
    Ok(())
}

/// Checks one value of an image config by its path (`a.b.0.c`, `*` for all items of a list).
pub(crate) fn config(config: &Value, path: &str, wanted: &Value) -> Checked {
    let found = select(config, path);
    let shown = || {
        format!(
            "config `{path}` is {}, not {wanted}",
            Value::Array(found.iter().map(|v| (*v).clone()).collect())
        )
    };
    if path.contains('*') {
        return expect(
            !found.is_empty() && found.iter().all(|value| matches(value, wanted)),
            shown,
        );
    }
    match found.first() {
        None => expect(wanted.is_null() || wanted["len"] == 0, shown),
        Some(value) => expect(matches(value, wanted), shown),
    }
}

fn select<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![value];
    for key in path.split('.') {
        let step = |value: &'a Value| -> Vec<&'a Value> {
            match (value, key) {
                (Value::Array(items), "*") => items.iter().collect(),
                (Value::Array(items), _) => key
                    .parse()
                    .ok()
                    .and_then(|at: usize| items.get(at))
                    .into_iter()
                    .collect(),
                _ => value.get(key).into_iter().collect(),
            }
        };
        found = found.into_iter().flat_map(step).collect();
    }
    found
}

fn matches(value: &Value, wanted: &Value) -> bool {
    if let Some(part) = wanted.get("contains").and_then(Value::as_str) {
        return value.as_str().is_some_and(|text| text.contains(part));
    }
    if let Some(item) = wanted.get("contains_item") {
        return value.as_array().is_some_and(|items| items.contains(item));
    }
    if let Some(len) = wanted.get("len").and_then(Value::as_u64) {
        return value
            .as_array()
            .map_or(value.is_null() && len == 0, |items| items.len() as u64 == len);
    }
    if wanted.get("nonempty").is_some() {
        return !matches!(value, Value::Null) && value.as_str() != Some("");
    }
    value == wanted
}

/// Checks an image of a platform: config values, number of layers.
pub(crate) fn platform(image: &Image, wanted: &std::collections::BTreeMap<String, Value>) -> Checked {
    for (path, value) in wanted {
        if path == "layers" {
            let count = image.manifest["layers"].as_array().map_or(0, Vec::len);
            expect(*value == count, || {
                format!("{} has {count} layers, not {value}", image.platform)
            })?;
        } else {
            // A label's value may be `os/arch`, its key has no dot.
            config(&image.config, path, value)?;
        }
    }
    Ok(())
}

/// Checks `index.json` and what is below it.
pub(crate) fn index(layout: &Layout, images: &[Image], check: &IndexCheck) -> Checked {
    let top = layout.index["manifests"].as_array().map_or(0, Vec::len);
    expect(check.top_manifests.is_none_or(|wanted| wanted == top), || {
        format!("index.json has {top} manifests")
    })?;
    expect(
        check.manifests.is_none_or(|wanted| wanted == images.len()),
        || format!("there are {} images", images.len()),
    )?;
    let order: Vec<String> = images.iter().map(|image| image.platform.clone()).collect();
    // What the config of 32-bit ARM says is the variant of the platform that was asked for.
    expect(check.order.as_ref().is_none_or(|wanted| *wanted == order), || {
        format!("platforms are {order:?}")
    })
}

/// Checks the layers of a manifest.
pub(crate) fn layers(image: &Image, check: &LayersCheck) -> Checked {
    let layers = image.manifest["layers"].as_array().cloned().unwrap_or_default();
    expect(layers.len() == check.count, || {
        format!("there are {} layers, not {}", layers.len(), check.count)
    })?;
    for (layer, wanted) in layers.iter().zip(&check.annotations) {
        for (key, value) in wanted {
            let found = layer["annotations"].get(key).cloned().unwrap_or_default();
            expect(found == *value, || {
                format!("annotation `{key}` of a layer is {found}, not {value}")
            })?;
        }
    }
    Ok(())
}

/// Checks the history after that of the base image.
pub(crate) fn history(image: &Image, base: usize, wanted: &[HistoryCheck]) -> Checked {
    let entries: Vec<Value> = image.config["history"]
        .as_array()
        .into_iter()
        .flatten()
        .skip(base)
        .cloned()
        .collect();
    expect(entries.len() == wanted.len(), || {
        format!(
            "history has {} entries after the base's: {entries:?}",
            entries.len()
        )
    })?;
    for (entry, check) in entries.iter().zip(wanted) {
        let by = entry["created_by"].as_str().unwrap_or_default();
        expect(by.contains(&check.created_by_contains), || {
            format!("history `{by}` is not `{}`", check.created_by_contains)
        })?;
        let is_empty = entry["empty_layer"].as_bool().unwrap_or_default();
        expect(is_empty == check.empty_layer, || {
            format!("history `{by}` has empty_layer {is_empty}")
        })?;
        expect(entry["created"].is_string(), || {
            format!("history `{by}` has no time")
        })?;
    }
    Ok(())
}
