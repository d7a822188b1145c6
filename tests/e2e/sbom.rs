//! What is in an image: SBOMs of real root file systems.

use std::path::Path;

use serde_json::Value;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::repo;

/// Builds on Debian and returns the predicates of the only attestation manifest by type.
fn sboms(kiln: &Kiln, dockerfile: &str, args: &[&str]) -> Vec<(String, Value)> {
    let project = Project::new(dockerfile).file("x", "x");
    let (out, debian) = (kiln.path("out"), root("debian"));
    let output = format!("type=oci,tar=false,name=example.com/app:1,dest={}", out.display());
    let always = ["--build-context", &debian, "-o", &output];
    let _built = kiln.build(project.path(), &[&always[..], args].concat()).ok();
    predicates(&out)
}

/// Returns the predicates of the only attestation manifest of a layout by type.
pub(crate) fn predicates(out: &Path) -> Vec<(String, Value)> {
    let json = |digest: &Value| -> Value {
        let name = digest.as_str().expect("a digest").replace(':', "/");
        let bytes = std::fs::read(out.join("blobs").join(name)).expect("the blob is there");
        serde_json::from_slice(&bytes).expect("it is JSON")
    };
    let bytes = std::fs::read(out.join("index.json")).expect("a layout");
    let top: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    let index = json(&top["manifests"][0]["digest"]);
    let manifest = json(&index["manifests"][1]["digest"]);
    let layers = manifest["layers"].as_array().expect("layers").clone();
    let statements = layers.iter().map(|layer| json(&layer["digest"]));
    statements
        .map(|mut statement| {
            let kind = statement["predicateType"].as_str().expect("a type").to_owned();
            (kind, statement["predicate"].take())
        })
        .collect()
}

/// The names that dpkg says are installed.
pub(crate) fn installed(document: &Value) -> Vec<&str> {
    let packages = document["packages"].as_array().expect("packages");
    let purl = |p: &Value| {
        p["externalRefs"][0]["referenceLocator"]
            .as_str()
            .map(str::to_owned)
    };
    packages
        .iter()
        .filter(|p| purl(p).is_some_and(|purl| purl.starts_with("pkg:deb/debian/")))
        .filter_map(|p| p["name"].as_str())
        .collect()
}

#[test]
fn packages_of_debian_and_of_languages_are_found() {
    let kiln = Kiln::new().env("SOURCE_DATE_EPOCH", "1700000000");
    let dockerfile = "FROM debian
COPY <<EOF /app/node_modules/@a/b/package.json
{\"name\": \"@a/b\", \"version\": \"1.2.3\", \"license\": \"MIT\"}
EOF
COPY <<EOF /usr/lib/python3/dist-packages/thing-2.0.dist-info/METADATA
Name: thing
Version: 2.0
License: BSD-3-Clause
EOF
";
    let found = sboms(&kiln, dockerfile, &["--sbom=format=all", "--provenance=false"]);
    let kinds: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["https://spdx.dev/Document", "https://cyclonedx.org/bom"]);
    let spdx = &found[0].1;
    let names = installed(spdx);
    for name in ["base-files", "libc6", "dpkg"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert_eq!(spdx["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    let text = spdx.to_string();
    for purl in ["pkg:npm/%40a/b@1.2.3", "pkg:pypi/thing@2.0"] {
        assert!(text.contains(purl), "{purl}");
    }
    let files = spdx["files"].as_array().expect("files");
    let of = |name: &str| {
        let file = files.iter().find(|file| file["fileName"] == name);
        file.and_then(|file| file["comment"].as_str()).map(str::to_owned)
    };
    let (base, own) = (
        of("var/lib/dpkg/status"),
        of("app/node_modules/@a/b/package.json"),
    );
    assert!(
        base.as_ref().is_some_and(|c| c.starts_with("layerID: sha256:")),
        "{base:?}"
    );
    assert!(own.is_some() && own != base, "{own:?}");
    let bom = &found[1].1;
    assert_eq!(
        bom["components"].as_array().map(Vec::len),
        Some(spdx["packages"].as_array().expect("packages").len() - 1)
    );
}

#[test]
fn the_same_image_has_the_same_sbom() {
    let build = || {
        let kiln = Kiln::new().env("SOURCE_DATE_EPOCH", "1700000000");
        sboms(&kiln, "FROM debian\nCOPY x /x\n", &["--sbom=true"])
    };
    assert_eq!(build(), build());
}

#[test]
fn a_generator_that_is_none_is_named() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY x /x\n").file("x", "x");
    let failed = kiln.build(project.path(), &["--sbom=generator=x", "-o", "type=cacheonly"]);
    assert_ne!(failed.code(), Some(0));
}

#[test]
fn a_scanner_looks_through_the_image() {
    let kiln = Kiln::new().env("SOURCE_DATE_EPOCH", "1700000000");
    let scanner = repo().join("tests/corpus/0.1.0/scanner-rust.wasm");
    let dockerfile = "FROM debian\nCOPY <<EOF /opt/vendored.txt\n# name version licence\nzlib 1.3.1 Zlib\n\
                      bad\\tname\nEOF\n";
    let generator = format!("--sbom=generator={}", scanner.display());
    let found = sboms(&kiln, dockerfile, &[&generator]);
    let [(_, spdx)] = found.as_slice() else {
        panic!("{found:?}")
    };
    let packages = spdx["packages"].as_array().expect("packages");
    let vendored = |p: &&Value| p["name"] == "zlib" && p["versionInfo"] == "1.3.1";
    let vendored = packages.iter().find(vendored).expect("the scanner's package");
    assert_eq!(
        vendored["externalRefs"][0]["referenceLocator"],
        "pkg:generic/zlib@1.3.1"
    );
    assert!(installed(spdx).len() > 50, "and those of catalogers");
    let creators = spdx["creationInfo"]["creators"].to_string();
    assert!(creators.contains("scanner-rust"), "{creators}");
}
