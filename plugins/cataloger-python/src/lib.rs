//! Finds installed Python packages: `*.dist-info/METADATA` and `*.egg-info`.
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

/// The cataloger `python`.
#[derive(Debug, Clone, Copy)]
pub struct Python;

impl Cataloger for Python {
    fn interests() -> Vec<Interest> {
        let globs = ["**/*dist-info/METADATA", "**/*egg-info/PKG-INFO", "**/*.egg-info"];
        vec![Interest {
            id: "metadata".to_owned(),
            globs: globs.map(str::to_owned).to_vec(),
            max_size: 4 << 20,
            head: None,
        }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let all: Vec<(Metadata, &Matched)> = files
            .iter()
            .filter_map(|file| Some((Metadata::parse(&String::from_utf8_lossy(&file.content))?, file)))
            .collect();
        // A package is needed from where the other one is.
        let known: BTreeMap<(&str, String), String> = all
            .iter()
            .map(|(metadata, file)| {
                (
                    (site(&file.path), normalised(metadata.first("Name"))),
                    metadata.purl().to_string(),
                )
            })
            .collect();
        Ok(all
            .iter()
            .map(|(metadata, file)| metadata.package(file, &known))
            .collect())
    }
}

/// The directory that packages are installed in.
fn site(path: &str) -> &str {
    let info = path.rsplit_once('/').map_or("", |(dir, name)| match name {
        "METADATA" | "PKG-INFO" => dir,
        _ => path,
    });
    info.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// PEP 503.
fn normalised(name: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.push(c),
        }
    }
    out
}

/// Headers of the core metadata.
struct Metadata(Vec<(String, String)>);

impl Metadata {
    fn parse(text: &str) -> Option<Self> {
        let mut headers: Vec<(String, String)> = Vec::new();
        // The description follows an empty line.
        for line in text.lines().take_while(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                continue;
            }
            if let Some((key, value)) = line.split_once(':') {
                headers.push((key.to_owned(), value.trim().to_owned()));
            }
        }
        let metadata = Self(headers);
        let named = !metadata.first("Name").is_empty() && !metadata.first("Version").is_empty();
        named.then_some(metadata)
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let is = move |(name, _): &&(String, String)| name.eq_ignore_ascii_case(key);
        self.0.iter().filter(is).map(|(_, value)| value.as_str())
    }

    fn first(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map_or("", |(_, value)| value)
    }

    fn purl(&self) -> Purl {
        let name = self.first("Name").to_lowercase().replace('_', "-");
        Purl::new("pypi", &name, self.first("Version"))
    }

    fn licenses(&self) -> Vec<String> {
        let expression = self.first("License-Expression");
        if !expression.is_empty() {
            return vec![expression.to_owned()];
        }
        let license = self.first("License");
        if !license.is_empty() && license.len() < 80 && !license.eq_ignore_ascii_case("unknown") {
            return vec![license.to_owned()];
        }
        let classifiers = self
            .all("Classifier")
            .filter_map(|c| c.strip_prefix("License :: "));
        let last = |c: &str| c.rsplit(" :: ").next().unwrap_or(c).to_owned();
        classifiers
            .map(last)
            .filter(|name| name != "OSI Approved")
            .collect()
    }

    fn author(&self) -> String {
        let (name, mail) = (self.first("Author"), self.first("Author-email"));
        match (name.is_empty(), mail.is_empty(), mail.contains('<')) {
            (false, false, false) => format!("{name} <{mail}>"),
            (true, false, _) => mail.to_owned(),
            _ => name.to_owned(),
        }
    }

    fn package(&self, file: &Matched, known: &BTreeMap<(&str, String), String>) -> PackageInfo {
        let purl = self.purl();
        let own = purl.to_string();
        let mut package = Package::new(self.first("Name"), self.first("Version"), &purl)
            .location(&file.path)
            .attr("originator", &self.author())
            .attr("homepage", self.first("Home-page"))
            .attr("source-info", "installed python package manifest file")
            .attr("description", self.first("Summary"));
        for license in self.licenses() {
            package = package.license(&license);
        }
        let mut seen: Vec<&String> = Vec::new();
        for need in self.all("Requires-Dist") {
            let (need, marker) = need.split_once(';').unwrap_or((need, ""));
            let end = need.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
            let name = normalised(&need[..end.unwrap_or(need.len())]);
            if let Some(purl) = known.get(&(site(&file.path), name))
                && !marker.contains("extra")
                && *purl != own
                && !seen.contains(&purl)
            {
                seen.push(purl);
                package = package.needs(purl);
            }
        }
        package.done()
    }
}

kiln_sdk::export_cataloger!(Python);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    #[test]
    fn installed_packages_are_found() {
        let site = "usr/lib/python3/dist-packages";
        let files = vec![
            matched(
                "metadata",
                &format!("{site}/requests-2.31.0.dist-info/METADATA"),
                b"Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\nLicense: Apache 2.0\nRequires-Dist: charset-normalizer <4,>=2\nRequires-Dist: PySocks ; extra == 'socks'\n\nName: not this\n",
            ),
            matched(
                "metadata",
                &format!("{site}/charset_normalizer-3.0.1.egg-info/PKG-INFO"),
                b"Name: Charset_Normalizer\nVersion: 3.0.1\nClassifier: License :: OSI Approved :: MIT License\n",
            ),
            matched("metadata", &format!("{site}/x.egg-info"), b"no metadata"),
        ];
        let found = Python::catalog(files).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].purl, "pkg:pypi/charset-normalizer@3.0.1");
        assert_eq!(found[1].licenses, ["MIT License"]);
        assert_eq!(found[0].relations.len(), 1);
        assert_eq!(found[0].relations[0].purl, found[1].purl);
    }
}
