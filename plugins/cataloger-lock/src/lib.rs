//! Finds packages that lock files name: what a project would install, not what is installed.
//!
//! It is not asked unless it is named, lest images have packages that are not in them. Knows nothing of how files
//! come here.

mod json;
mod lines;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use kiln_sdk::packages::warn;

/// The cataloger `lock`.
#[derive(Debug, Clone, Copy)]
pub struct Lock;

/// Name and version.
pub(crate) type Pinned = (String, String);
/// Reads a lock file; the error says what is wrong with it.
type Reader = fn(&str) -> Result<Vec<Pinned>, String>;

/// Names of files, the type of their packages' URLs, and what reads them.
const FILES: [(&str, &str, Reader); 14] = [
    ("Cargo.lock", "cargo", lines::toml),
    ("Gemfile.lock", "gem", lines::gems),
    ("Pipfile.lock", "pypi", json::pipfile),
    ("composer.lock", "composer", json::composer),
    ("go.mod", "golang", lines::go),
    ("npm-shrinkwrap.json", "npm", json::npm),
    ("package-lock.json", "npm", json::npm),
    ("pdm.lock", "pypi", lines::toml),
    ("pnpm-lock.yaml", "npm", lines::pnpm),
    ("poetry.lock", "pypi", lines::toml),
    ("requirements*.txt", "pypi", lines::requirements),
    ("requirements/*.txt", "pypi", lines::requirements),
    ("uv.lock", "pypi", lines::toml),
    ("yarn.lock", "npm", lines::yarn),
];

impl Cataloger for Lock {
    fn interests() -> Vec<Interest> {
        let interest = |(name, ..): &(&str, &str, Reader)| Interest {
            id: (*name).to_owned(),
            // Those that came with an installed package are not the project's.
            globs: vec![
                format!("**/{name}"),
                "!**/node_modules".to_owned(),
                "!**/site-packages".to_owned(),
                "!**/dist-packages".to_owned(),
            ],
            max_size: 32 << 20,
            head: None,
        };
        FILES.iter().map(interest).collect()
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let mut found = Vec::new();
        for file in &files {
            let Some((_, kind, read)) = FILES.iter().find(|(name, ..)| *name == file.interest) else {
                continue;
            };
            match read(&String::from_utf8_lossy(&file.content)) {
                Ok(pinned) => found.extend(pinned.iter().map(|pinned| package(kind, pinned, file))),
                Err(what) => warn(&file.path, &format!("packages are missing: {what}")),
            }
        }
        Ok(found)
    }
}

fn package(kind: &'static str, (name, version): &Pinned, file: &Matched) -> PackageInfo {
    let plain = match kind {
        "pypi" => normalised(name),
        "composer" | "golang" => name.to_lowercase(),
        _ => name.clone(),
    };
    let purl = match plain.rsplit_once('/') {
        Some((namespace, name)) => Purl::new(kind, name, version).namespace(namespace),
        None => Purl::new(kind, &plain, version),
    };
    Package::new(name, version, &purl)
        .location(&file.path)
        .attr("source-info", "lock file")
        .done()
}

/// PEP 503.
fn normalised(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

kiln_sdk::export_cataloger!(Lock);

#[cfg(test)]
mod tests;
