//! What cargo-auditable writes into programs: the crates that are in them.

use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use serde_json::Value;

use crate::elf::Elf;

/// Longest list of crates.
const LIMIT: usize = 16 << 20;

/// Returns the crates of a program; none when it says nothing.
pub(crate) fn packages(elf: &Elf<'_>, path: &str) -> Option<Vec<PackageInfo>> {
    let section = elf.section(".dep-v0")?;
    let text = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(section, LIMIT).ok()?;
    let list: Value = serde_json::from_slice(&text).ok()?;
    let all = list["packages"].as_array()?;
    let purls: Vec<Option<String>> = all.iter().map(|one| Some(purl(one)?.to_string())).collect();
    let mut found = Vec::new();
    // What ran at build time is not in the program.
    for one in all.iter().filter(|one| one["kind"].as_str() != Some("build")) {
        let Some(purl) = purl(one) else { continue };
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let mut package = Package::new(text("name"), text("version"), &purl)
            .location(path)
            .attr("source-info", "list of crates in a Rust program");
        for need in one["dependencies"].as_array().into_iter().flatten() {
            let need = need.as_u64().and_then(|at| usize::try_from(at).ok());
            let need = need.and_then(|at| {
                let runs = all.get(at)?["kind"].as_str() != Some("build");
                purls[at].as_ref().filter(|_| runs)
            });
            if let Some(need) = need {
                package = package.needs(need);
            }
        }
        found.push(package.done());
    }
    Some(found)
}

fn purl(one: &Value) -> Option<Purl> {
    let (name, version) = (one["name"].as_str()?, one["version"].as_str()?);
    Some(Purl::new("cargo", name, version)).filter(|_| !name.is_empty())
}
