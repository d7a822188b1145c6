//! Finds installed PHP packages: Composer's `installed.json`, PEAR's registry.
//!
//! Knows nothing of how files come here.

mod pear;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use kiln_sdk::packages::warn;
use serde_json::Value;

/// The cataloger `php`.
#[derive(Debug, Clone, Copy)]
pub struct Php;

const COMPOSER: &str = "composer";
const PEAR: &str = "pear";

impl Cataloger for Php {
    fn interests() -> Vec<Interest> {
        let interest = |id: &str, glob: &str| Interest {
            id: id.to_owned(),
            globs: vec![glob.to_owned()],
            max_size: 32 << 20,
            head: None,
        };
        vec![
            interest(COMPOSER, "**/composer/installed.json"),
            interest(PEAR, "**/.registry/**/*.reg"),
        ]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let mut found = Vec::new();
        for file in &files {
            match file.interest.as_str() {
                PEAR => found.extend(pear::package(file)),
                _ => found.extend(composer(file)),
            }
        }
        Ok(found)
    }
}

/// Version 1 of the file is a list, version 2 has it under a name.
fn composer(file: &Matched) -> Vec<PackageInfo> {
    let list: Value = match serde_json::from_slice(&file.content) {
        Ok(list) => list,
        Err(error) => {
            warn(&file.path, &format!("packages are missing: {error}"));
            return Vec::new();
        }
    };
    let all = list["packages"].as_array().or_else(|| list.as_array());
    let all = all.map_or(&[][..], Vec::as_slice);
    let purl = |one: &Value| {
        let (full, version) = (one["name"].as_str()?, one["version"].as_str()?);
        let (vendor, name) = full.split_once('/')?;
        let purl = Purl::new("composer", &name.to_lowercase(), version).namespace(&vendor.to_lowercase());
        (!name.is_empty()).then_some(purl)
    };
    let known: Vec<(&str, String)> = all
        .iter()
        .filter_map(|one| Some((one["name"].as_str()?, purl(one)?.to_string())))
        .collect();
    let known: std::collections::BTreeMap<&str, String> = known.into_iter().collect();
    all.iter()
        .filter_map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let mut package = Package::new(text("name"), text("version"), &purl(one)?)
                .location(&file.path)
                .attr("homepage", text("homepage"))
                .attr("description", text("description"))
                .attr(
                    "download-location",
                    one["dist"]["url"].as_str().unwrap_or_default(),
                )
                .attr("source-info", "Composer's list of installed packages");
            for license in one["license"].as_array().into_iter().flatten() {
                package = package.license(license.as_str().unwrap_or_default());
            }
            for (need, _) in one["require"].as_object().into_iter().flatten() {
                if let Some(purl) = known.get(need.as_str()) {
                    package = package.needs(purl);
                }
            }
            Some(package.done())
        })
        .collect()
}

kiln_sdk::export_cataloger!(Php);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    #[test]
    fn both_versions_of_composers_list_are_read() {
        let packages = r#"[{"name":"Monolog/monolog","version":"3.5.0","license":["MIT"],"require":{"php":">=8","psr/log":"^3"}},
            {"name":"psr/log","version":"3.0.0"},{"name":"odd","version":"1"},7]"#;
        for text in [
            packages.to_owned(),
            format!("{{\"packages\":{packages},\"dev\":true}}"),
        ] {
            let file = matched(COMPOSER, "app/vendor/composer/installed.json", text.as_bytes());
            let found = Php::catalog(vec![file]).unwrap();
            let purls: Vec<&str> = found.iter().map(|p| p.purl.as_str()).collect();
            assert_eq!(
                purls,
                ["pkg:composer/monolog/monolog@3.5.0", "pkg:composer/psr/log@3.0.0"]
            );
            assert_eq!(found[0].relations[0].purl, purls[1]);
            assert_eq!(found[0].licenses, ["MIT"]);
        }
    }

    #[test]
    fn pears_registry_is_read() {
        let check = |text: &str, expect: &[&str]| {
            let file = matched(PEAR, "usr/share/php/.registry/archive_tar.reg", text.as_bytes());
            let found = Php::catalog(vec![file]).unwrap();
            let purls: Vec<&str> = found.iter().map(|p| p.purl.as_str()).collect();
            assert_eq!(purls, expect, "{text}");
        };
        let head = "a:3:{s:4:\"name\";s:11:\"Archive_Tar\";s:7:\"channel\";s:12:\"pear.php.net\";";
        let version = "s:7:\"version\";a:2:{s:7:\"release\";s:6:\"1.4.14\";s:3:\"api\";s:5:\"1.4.0\";}}";
        check(
            &format!("{head}{version}"),
            &["pkg:pear/pear.php.net/Archive_Tar@1.4.14"],
        );
        check(head, &[]);
        check("a:99999999999:{", &[]);
        check("a:1:{s:4:\"name\";s:99999999999999999999:\"x\";}", &[]);
        check(&"a:1:{i:0;".repeat(10_000), &[]);
    }

    #[test]
    fn damage_is_no_package() {
        for text in ["", "{", "[]", "{\"packages\":{}}", "\u{ff}"] {
            let file = matched(COMPOSER, "composer/installed.json", text.as_bytes());
            assert_eq!(Php::catalog(vec![file]).unwrap().len(), 0, "{text}");
        }
    }
}
