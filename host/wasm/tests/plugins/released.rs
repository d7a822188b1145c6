//! What was released stays: the contract still serves plugins of each release, and components of each still load.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use kiln_plugin::PluginKind;
use wit_component::semver_check;
use wit_parser::PackageId;
use wit_parser::Resolve;

use crate::bridge::runtime;

const WORLDS: [&str; 4] = [
    "frontend-plugin",
    "cataloger-plugin",
    "scanner-plugin",
    "cache-plugin",
];

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Returns the releases, oldest first.
fn releases() -> Vec<String> {
    let entries = std::fs::read_dir(repo("wit/released")).unwrap();
    let dirs = entries.map(Result::unwrap).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = dirs
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Parses all files of a folder as one package of `version`.
fn push(resolve: &mut Resolve, dir: &Path, version: &str, change: impl Fn(&str) -> String) -> PackageId {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let mut text = format!("package kiln:plugin@{version};\n");
    for file in files {
        text += std::fs::read_to_string(file).unwrap().split_once(';').unwrap().1;
    }
    resolve.push_str("plugin.wit", &change(&text)).unwrap()
}

/// Checks a world of the current contract, changed, against that of a release.
fn check(world: &str, release: &str, change: impl Fn(&str) -> String) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let old = push(
        &mut resolve,
        &repo("wit/released").join(release),
        release,
        str::to_owned,
    );
    // Two packages of one version cannot stand side by side; a later patch is the same line.
    let (line, _) = release.rsplit_once('.').unwrap();
    let new = push(&mut resolve, &repo("wit"), &format!("{line}.999"), change);
    let [old, new] = [old, new].map(|package| resolve.select_world(&[package], Some(world)).unwrap());
    semver_check(resolve, old, new).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_contract_serves_plugins_of_every_release() {
    let releases = releases();
    assert!(!releases.is_empty());
    for release in releases {
        for world in WORLDS {
            check(world, &release, str::to_owned)
                .unwrap_or_else(|error| panic!("{world} of {release}: {error}"));
        }
    }
}

#[test]
fn changes_that_break_plugins_are_noticed() {
    let release = releases().pop().unwrap();
    let broken = |from: &str, to: &str| {
        let change = |text: &str| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        };
        check("frontend-plugin", &release, change).is_err()
    };
    assert!(
        broken("report: func(diagnostic: diagnostic);", ""),
        "a function that plugins import is gone"
    );
    assert!(broken("enum level {", "enum level {\n trace,"), "one more case");
    assert!(broken("mode: u32,\n", "mode: u64,\n"), "another type");
    assert!(
        broken(
            "describe: func() -> description;",
            "describe: func() -> description;\n more: func();"
        ),
        "a new export"
    );
    assert!(!broken(
        "report: func(diagnostic: diagnostic);",
        "report: func(diagnostic: diagnostic);\n more: func();"
    ));
}

#[tokio::test]
async fn components_of_every_release_load() {
    for release in releases() {
        let dir = repo("tests/corpus").join(&release);
        let mut kinds = BTreeSet::new();
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let (kind, _language) = stem.split_once('-').unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let name = path.display().to_string();
            let found = kiln_wasm::inspect(&name, &bytes).unwrap();
            assert_eq!(found.kind.map(PluginKind::name), Some(kind), "{name}");
            assert!(
                found.world().unwrap().ends_with(&release),
                "{name} is of another release"
            );
            match found.kind {
                Some(PluginKind::Frontend) => {
                    let frontend = runtime("").frontend(&name, &bytes, None).unwrap();
                    assert!(!frontend.describe().await.unwrap().name.is_empty(), "{name}");
                }
                Some(PluginKind::Cataloger) => {
                    let cataloger = runtime("").cataloger(&name, &bytes, None).unwrap();
                    assert!(!cataloger.interests().await.unwrap().is_empty(), "{name}");
                }
                // Not run yet: what they import must be what the contract lends.
                _ => {
                    let lent =
                        |import: &&String| import.starts_with("kiln:plugin/") || import.starts_with("wasi:");
                    assert_eq!(
                        found.imports.iter().filter(lent).count(),
                        found.imports.len(),
                        "{name}"
                    );
                }
            }
            kinds.insert(kind.to_owned());
        }
        assert_eq!(kinds.len(), PluginKind::ALL.len(), "only {kinds:?} of {release}");
    }
}
