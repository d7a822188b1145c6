//! Finds .NET packages: `*.deps.json`, which lies beside every published program.
//!
//! Knows nothing of how files come here.

use std::collections::BTreeMap;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use kiln_sdk::packages::warn;
use serde_json::Map;
use serde_json::Value;

/// The cataloger `dotnet`.
#[derive(Debug, Clone, Copy)]
pub struct Dotnet;

impl Cataloger for Dotnet {
    fn interests() -> Vec<Interest> {
        vec![Interest {
            id: "deps".to_owned(),
            globs: vec!["**/*.deps.json".to_owned()],
            max_size: 32 << 20,
            head: None,
        }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        Ok(files.iter().flat_map(packages).collect())
    }
}

fn packages(file: &Matched) -> Vec<PackageInfo> {
    let text = file
        .content
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&file.content);
    let list: Value = match serde_json::from_slice(text) {
        Ok(list) => list,
        Err(error) => {
            warn(&file.path, &format!("packages are missing: {error}"));
            return Vec::new();
        }
    };
    let Some(libraries) = list["libraries"].as_object() else {
        return Vec::new();
    };
    let purls: BTreeMap<&str, String> = libraries
        .iter()
        .filter(|(_, library)| library["type"] == "package")
        .filter_map(|(key, _)| {
            let (name, version) = split(key)?;
            Some((key.as_str(), Purl::new("nuget", name, version).to_string()))
        })
        .collect();
    let needs = needs(&list);
    purls
        .keys()
        .filter_map(|key| {
            let (name, version) = split(key)?;
            let mut package = Package::new(name, version, &Purl::new("nuget", name, version))
                .location(&file.path)
                .attr("source-info", "list of a .NET program's packages");
            for (need, version) in needs.get(key).into_iter().flat_map(|needs| needs.iter()) {
                let other = format!("{need}/{}", version.as_str().unwrap_or_default());
                if let Some(purl) = purls.get(other.as_str()) {
                    package = package.needs(purl);
                }
            }
            Some(package.done())
        })
        .collect()
}

fn split(key: &str) -> Option<(&str, &str)> {
    key.split_once('/')
        .filter(|(name, version)| !name.is_empty() && !version.is_empty())
}

/// What each library needs on the runtime that the program is for.
fn needs(list: &Value) -> BTreeMap<&str, &Map<String, Value>> {
    let runtime = list["runtimeTarget"]["name"].as_str().unwrap_or_default();
    let libraries = list["targets"][runtime].as_object();
    libraries
        .into_iter()
        .flatten()
        .filter_map(|(key, library)| Some((key.as_str(), library["dependencies"].as_object()?)))
        .collect()
}

kiln_sdk::export_cataloger!(Dotnet);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    const DEPS: &str = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v8.0","signature":""},
        "targets":{".NETCoreApp,Version=v8.0":{
            "App/1.0.0":{"dependencies":{"Serilog":"3.1.1"}},
            "Serilog.Sinks.Console/5.0.1":{"dependencies":{"Serilog":"3.1.1"}},
            "Serilog/3.1.1":{}}},
        "libraries":{"App/1.0.0":{"type":"project"},"Serilog/3.1.1":{"type":"package"},
            "Serilog.Sinks.Console/5.0.1":{"type":"package"},"odd":{"type":"package"}}}"#;

    #[test]
    fn libraries_are_packages() {
        let found = Dotnet::catalog(vec![matched("deps", "app/App.deps.json", DEPS.as_bytes())]).unwrap();
        let purls: Vec<&str> = found.iter().map(|p| p.purl.as_str()).collect();
        assert_eq!(
            purls,
            ["pkg:nuget/Serilog.Sinks.Console@5.0.1", "pkg:nuget/Serilog@3.1.1"]
        );
        assert_eq!(found[0].relations[0].purl, purls[1]);
    }

    #[test]
    fn damage_is_no_package() {
        for text in [
            "",
            "[]",
            "{\"libraries\":[]}",
            "{\"libraries\":{\"a/1\":7}}",
            &DEPS[..300],
        ] {
            let file = matched("deps", "a.deps.json", text.as_bytes());
            assert_eq!(Dotnet::catalog(vec![file]).unwrap().len(), 0, "{text}");
        }
    }
}
