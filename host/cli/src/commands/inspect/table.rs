//! The table of `docker buildx imagetools inspect`, blank for blank.

use kiln_engine::Inspected;
use kiln_image::MediaType;
use serde_json::Value;

use crate::progress::printable;

/// Rows of a name and a value, laid out as Go's `tabwriter` does.
#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), printable(value)));
    }

    fn flush(&mut self, out: &mut String) {
        let widest = self.0.iter().map(|(name, _)| name.chars().count()).max();
        let width = widest.unwrap_or_default() + 1;
        for (name, value) in self.0.drain(..) {
            out.push_str(&format!("{name:<width$}{value}\n"));
        }
    }
}

/// Returns the table.
pub(super) fn table(found: &Inspected) -> String {
    let mut out = String::new();
    let mut rows = Rows::default();
    rows.add("Name:", &found.name);
    rows.add("MediaType:", &found.descriptor.media_type);
    rows.add("Digest:", &found.descriptor.digest.to_string());
    rows.flush(&mut out);
    if MediaType::is_index(&found.descriptor.media_type) {
        rows.add("", "");
        rows.add("Manifests:", "");
        rows.flush(&mut out);
        let index: Value = serde_json::from_slice(&found.raw).unwrap_or_default();
        let manifests = index["manifests"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (at, manifest) in manifests.iter().enumerate() {
            if at > 0 {
                rows.add("", "");
            }
            entry(&found.name, manifest, &mut rows, &mut out);
        }
        rows.flush(&mut out);
    }
    out
}

fn entry(name: &str, manifest: &Value, rows: &mut Rows, out: &mut String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(&text).collect::<Vec<_>>().join(", ")
    };
    rows.add("  Name:", &format!("{name}@{}", text(&manifest["digest"])));
    rows.add("  MediaType:", &text(&manifest["mediaType"]));
    let platform = &manifest["platform"];
    if !platform.is_object() {
        return;
    }
    let parts = [&platform["os"], &platform["architecture"], &platform["variant"]];
    let parts: Vec<String> = parts
        .iter()
        .map(|part| text(part))
        .filter(|part| !part.is_empty())
        .collect();
    rows.add("  Platform:", &parts.join("/"));
    for (title, value) in [
        ("  OSVersion:", text(&platform["os.version"])),
        ("  OSFeatures:", list(&platform["os.features"])),
        ("  URLs:", list(&manifest["urls"])),
    ] {
        if !value.is_empty() {
            rows.add(title, &value);
        }
    }
    let annotations = manifest["annotations"].as_object().filter(|map| !map.is_empty());
    if let Some(annotations) = annotations {
        rows.add("  Annotations:", "");
        rows.flush(out);
        for (key, value) in annotations {
            rows.add(&format!("    {}:", printable(key)), &text(value));
        }
        rows.flush(out);
    }
}
