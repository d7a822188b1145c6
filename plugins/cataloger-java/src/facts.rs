//! What an archive says of itself: the manifest, Maven's properties and models, the file's name.

use std::collections::BTreeMap;

/// Maven's coordinates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Coordinates {
    pub(crate) group: String,
    pub(crate) artifact: String,
    pub(crate) version: String,
}

/// The main section of `MANIFEST.MF`.
pub(crate) fn manifest(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut last: Option<(String, String)> = None;
    for line in text.lines().take_while(|line| !line.is_empty()) {
        if let Some(more) = line.strip_prefix(' ') {
            if let Some((_, value)) = &mut last {
                value.push_str(more);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.extend(last.replace((key.to_owned(), value.trim().to_owned())));
        }
    }
    fields.extend(last);
    fields
}

/// `pom.properties`.
pub(crate) fn properties(text: &str) -> Coordinates {
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        line.unwrap_or_default().trim().to_owned()
    };
    Coordinates {
        group: value("groupId"),
        artifact: value("artifactId"),
        version: value("version"),
    }
}

/// `pom.xml`: its coordinates; what is missing is the parent's.
pub(crate) fn model(text: &str) -> Coordinates {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut path: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let inner = rest[..start].trim();
        if !inner.is_empty() && path.len() <= 3 {
            texts.entry(path.join("/")).or_insert_with(|| inner.to_owned());
        }
        rest = &rest[start..];
        let close = if rest.starts_with("<!--") { "-->" } else { ">" };
        let Some(end) = rest.find(close) else { break };
        let tag = rest[1..end].trim();
        rest = &rest[end + close.len()..];
        if tag.starts_with(['!', '?']) || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(_) => drop(path.pop()),
            None if path.len() < 64 => path.push(tag.split_whitespace().next().unwrap_or_default()),
            None => break,
        }
    }
    let value = |key: &str| {
        let own = texts.get(&format!("project/{key}"));
        let found = own.or_else(|| texts.get(&format!("project/parent/{key}")));
        // What Maven would have to fill in is not known.
        let known = found.filter(|text| !text.contains("${"));
        known.cloned().unwrap_or_default()
    };
    Coordinates {
        group: value("groupId"),
        artifact: texts.get("project/artifactId").cloned().unwrap_or_default(),
        version: value("version"),
    }
}

/// Splits `jackson-core-2.14.1.jar` into name and version.
pub(crate) fn named(path: &str) -> (&str, &str) {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let mut from = 0;
    while let Some(dash) = stem[from..].find('-') {
        let at = from + dash;
        let version = &stem[at + 1..];
        let plain = version.strip_prefix('v').unwrap_or(version);
        if at > 0 && plain.starts_with(|c: char| c.is_ascii_digit()) {
            return (&stem[..at], version);
        }
        from = at + 1;
    }
    (stem, "")
}
