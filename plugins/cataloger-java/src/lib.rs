//! Finds Java archives, those inside others too: `MANIFEST.MF`, `pom.properties`, `pom.xml`, names of files.
//!
//! Knows nothing of how files come here.

mod facts;
mod zip;

use std::collections::BTreeMap;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use kiln_sdk::packages::warn;

use crate::facts::Coordinates;

/// The cataloger `java`.
#[derive(Debug, Clone, Copy)]
pub struct Java;

const EXTENSIONS: [&str; 8] = ["jar", "war", "ear", "par", "sar", "nar", "jpi", "hpi"];
/// Deepest archive in an archive.
const DEPTH: usize = 4;
/// Longest text, and most bytes of archives that are unpacked from one file.
const TEXT: usize = 1 << 20;
const UNPACKED: usize = 96 << 20;
/// Most packages of one file.
const MOST: usize = 20_000;

impl Cataloger for Java {
    fn interests() -> Vec<Interest> {
        vec![Interest {
            id: "archive".to_owned(),
            globs: EXTENSIONS
                .iter()
                .map(|extension| format!("**/*.{extension}"))
                .collect(),
            max_size: 192 << 20,
            head: None,
        }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let mut found = Vec::new();
        for file in files {
            let mut walk = Walk {
                path: &file.path,
                budget: UNPACKED,
                found: Vec::new(),
            };
            walk.archive(&file.path, &file.content, 0);
            found.extend(walk.found);
        }
        Ok(found)
    }
}

/// What is read of one file.
struct Walk<'a> {
    path: &'a str,
    budget: usize,
    found: Vec<PackageInfo>,
}

/// Texts of an archive that tell what is in it.
#[derive(Default)]
struct Told {
    manifest: BTreeMap<String, String>,
    /// Maven's coordinates by the folder that tells them.
    maven: BTreeMap<String, Coordinates>,
}

impl Walk<'_> {
    fn archive(&mut self, name: &str, bytes: &[u8], depth: usize) {
        let Some(entries) = zip::entries(bytes) else {
            let inside = match depth {
                0 => String::new(),
                _ => format!("`{}`: ", name.escape_debug()),
            };
            let what = "packages are missing: ".to_owned() + &inside + "no ZIP archive, or a damaged one";
            warn(self.path, &what);
            return;
        };
        let mut told = Told::default();
        for entry in &entries {
            let text = || {
                let bytes = entry.read(TEXT)?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            };
            if entry.name.eq_ignore_ascii_case("META-INF/MANIFEST.MF") {
                told.manifest = text().map(|text| facts::manifest(&text)).unwrap_or_default();
            } else if let Some(place) = entry.name.strip_prefix("META-INF/maven/") {
                let (folder, file) = place.rsplit_once('/').unwrap_or(("", place));
                match (file, text()) {
                    ("pom.properties", Some(text)) => {
                        told.maven.insert(folder.to_owned(), facts::properties(&text));
                    }
                    ("pom.xml", Some(text)) => {
                        told.maven
                            .entry(folder.to_owned())
                            .or_insert_with(|| facts::model(&text));
                    }
                    _ => {}
                }
            }
        }
        self.packages(name, &told);
        if depth == DEPTH {
            return;
        }
        for entry in entries.iter().filter(|entry| is_archive(&entry.name)) {
            let Some(inner) = entry.read(self.budget) else {
                let inside = entry.name.escape_debug();
                warn(
                    self.path,
                    &format!("packages are missing: `{inside}` is damaged, or too large"),
                );
                continue;
            };
            self.budget -= inner.len();
            self.archive(&entry.name, &inner, depth + 1);
        }
    }

    /// Notes the archive's own package, and those that were put into it.
    fn packages(&mut self, file: &str, told: &Told) {
        let (name, version) = facts::named(file);
        let is_own = |one: &Coordinates| {
            one.artifact == name || (told.maven.len() == 1 && name.contains(&one.artifact))
        };
        let own = told
            .maven
            .values()
            .find(|one| !one.artifact.is_empty() && is_own(one));
        let said = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| told.manifest.get(*key));
            found.map_or("", String::as_str)
        };
        let first = |texts: [&str; 3]| {
            let found = texts.into_iter().find(|text| !text.is_empty());
            found.unwrap_or_default().to_owned()
        };
        let stated = said(&[
            "Implementation-Version",
            "Specification-Version",
            "Plugin-Version",
            "Bundle-Version",
        ]);
        let artifact = first([own.map_or("", |own| &own.artifact), name, ""]);
        let version = first([own.map_or("", |own| &own.version), version, stated]);
        let group = match own {
            Some(own) if !own.group.is_empty() => own.group.clone(),
            _ => group(&told.manifest, &artifact),
        };
        let license = said(&["Bundle-License"]);
        let main = Coordinates {
            group,
            artifact,
            version,
        };
        self.note(&main, license);
        for one in told.maven.values().filter(|one| Some(*one) != own) {
            if !one.artifact.is_empty() && !one.version.is_empty() {
                self.note(one, "");
            }
        }
    }

    fn note(&mut self, one: &Coordinates, license: &str) {
        if one.artifact.is_empty() || self.found.len() >= MOST {
            return;
        }
        let group = if one.group.is_empty() {
            &one.artifact
        } else {
            &one.group
        };
        let purl = Purl::new("maven", &one.artifact, &one.version).namespace(group);
        let license = if license.len() < 100 { license } else { "" };
        let package = Package::new(&one.artifact, &one.version, &purl)
            .location(self.path)
            .license(license)
            .attr("source-info", "Java archive");
        self.found.push(package.done());
    }
}

fn is_archive(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Guesses the group from the names that bundles and modules have: `com.example.thing` of `thing` is of `com.example`.
fn group(manifest: &BTreeMap<String, String>, artifact: &str) -> String {
    for key in [
        "Implementation-Vendor-Id",
        "Bundle-SymbolicName",
        "Automatic-Module-Name",
        "Extension-Name",
    ] {
        let value = manifest.get(key).map_or("", String::as_str);
        let value = value.split(';').next().unwrap_or_default().trim();
        let plain = value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if !plain || !value.contains('.') {
            continue;
        }
        let Some((head, last)) = value.rsplit_once('.') else {
            continue;
        };
        let is_last = artifact.ends_with(last) || last.ends_with(artifact);
        return if is_last { head } else { value }.to_owned();
    }
    String::new()
}

kiln_sdk::export_cataloger!(Java);

#[cfg(test)]
mod tests;
