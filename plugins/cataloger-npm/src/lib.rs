//! Finds installed npm packages: `package.json`.
//!
//! Knows nothing of how files come here.

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use serde_json::Value;

/// The cataloger `npm`.
#[derive(Debug, Clone, Copy)]
pub struct Npm;

impl Cataloger for Npm {
    fn interests() -> Vec<Interest> {
        vec![Interest {
            id: "manifest".to_owned(),
            globs: vec!["**/package.json".to_owned()],
            max_size: 4 << 20,
            head: None,
        }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        Ok(files.iter().filter_map(package).collect())
    }
}

fn package(file: &Matched) -> Option<PackageInfo> {
    let text = file
        .content
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&file.content);
    let manifest: Value = serde_json::from_slice(text).ok()?;
    let text = |key: &str| manifest.get(key).and_then(Value::as_str).unwrap_or_default();
    let (full, version) = (text("name"), text("version"));
    if full.is_empty() || version.is_empty() {
        return None;
    }
    let purl = match full.split_once('/') {
        Some((scope, name)) => Purl::new("npm", name, version).namespace(scope),
        None => Purl::new("npm", full, version),
    };
    let mut package = Package::new(full, version, &purl)
        .location(&file.path)
        .attr("originator", &author(&manifest["author"]))
        .attr("homepage", text("homepage"))
        .attr("source-info", "installed node module manifest file")
        .attr("description", text("description"));
    let one = [&manifest["license"]];
    let many = manifest["licenses"].as_array();
    for license in one.into_iter().chain(many.into_iter().flatten()) {
        let name = license.as_str().or_else(|| license["type"].as_str());
        package = package.license(name.unwrap_or_default());
    }
    Some(package.done())
}

fn author(author: &Value) -> String {
    match author {
        Value::String(text) => text.split(" (").next().unwrap_or(text).to_owned(),
        author => {
            let text = |key: &str| author[key].as_str().unwrap_or_default();
            match (text("name"), text("email")) {
                (name, "") => name.to_owned(),
                (name, mail) => format!("{name} <{mail}>"),
            }
        }
    }
}

kiln_sdk::export_cataloger!(Npm);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    #[test]
    fn manifests_are_packages() {
        let check = |text: &str, expect: Option<(&str, &[&str])>| {
            let found = Npm::catalog(vec![matched("manifest", "a/package.json", text.as_bytes())]).unwrap();
            let found = found.first().map(|p| (p.purl.as_str(), p.licenses.clone()));
            let expect = expect.map(|(purl, l)| (purl, l.iter().map(|&l| l.to_owned()).collect::<Vec<_>>()));
            assert_eq!(found, expect, "{text}");
        };
        check(
            r#"{"name":"@babel/core","version":"7.0.0","license":"MIT"}"#,
            Some(("pkg:npm/%40babel/core@7.0.0", &["MIT"])),
        );
        check(
            r#"{"name":"a","version":"1","licenses":[{"type":"MIT"},{"type":"ISC"}]}"#,
            Some(("pkg:npm/a@1", &["MIT", "ISC"])),
        );
        check(r#"{"name":"a"}"#, None);
        check(r#"[1]"#, None);
        check(r#"{"name":"#, None);
    }
}
