//! Lock files in JSON: npm, Pipenv, Composer.

use serde_json::Value;

use crate::Pinned;

fn read(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Versions 2 and 3 list folders, version 1 has packages below packages.
pub(crate) fn npm(content: &str) -> Result<Vec<Pinned>, String> {
    let list = read(content)?;
    let mut found = Vec::new();
    if let Some(packages) = list["packages"].as_object() {
        for (folder, package) in packages {
            let version = text(package, "version");
            let Some((_, name)) = folder.rsplit_once("node_modules/") else {
                continue;
            };
            // Under an alias, the package's own name stands beside it.
            let name = Some(text(package, "name"))
                .filter(|own| !own.is_empty())
                .unwrap_or(name);
            if !version.is_empty() && package["link"] != true {
                found.push((name.to_owned(), version.to_owned()));
            }
        }
        return Ok(found);
    }
    let mut ahead = vec![&list["dependencies"]];
    while let Some(packages) = ahead.pop() {
        for (name, package) in packages.as_object().into_iter().flatten() {
            let version = text(package, "version");
            let (name, version) = match version.strip_prefix("npm:").and_then(|v| v.rsplit_once('@')) {
                Some(alias) => alias,
                None => (name.as_str(), version),
            };
            // Folders and addresses have no version.
            if version.starts_with(|c: char| c.is_ascii_digit()) {
                found.push((name.to_owned(), version.to_owned()));
            }
            ahead.push(&package["dependencies"]);
        }
    }
    Ok(found)
}

pub(crate) fn pipfile(content: &str) -> Result<Vec<Pinned>, String> {
    let list = read(content)?;
    let groups = ["default", "develop"];
    let all = groups
        .iter()
        .filter_map(|group| list[*group].as_object())
        .flatten();
    let pinned = all.filter_map(|(name, package)| {
        let version = text(package, "version").strip_prefix("==")?;
        Some((name.clone(), version.trim().to_owned()))
    });
    Ok(pinned.collect())
}

pub(crate) fn composer(content: &str) -> Result<Vec<Pinned>, String> {
    let list = read(content)?;
    let groups = ["packages", "packages-dev"];
    let all = groups
        .iter()
        .filter_map(|group| list[*group].as_array())
        .flatten();
    let pinned = all.map(|package| {
        (
            text(package, "name").to_owned(),
            text(package, "version").to_owned(),
        )
    });
    Ok(pinned
        .filter(|(name, version)| name.contains('/') && !version.is_empty())
        .collect())
}
