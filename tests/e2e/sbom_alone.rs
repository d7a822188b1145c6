//! SBOMs without a build (`kiln sbom`), and beside its result (`--sbom-out`).

use std::path::Path;

use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use serde_json::Value;

use super::sbom::installed;
use super::sbom::predicates;
use crate::root;

const PACKAGE: &str = r#"{"name": "@a/b", "version": "1.2.3", "license": "MIT"}"#;
const EPOCH: &str = "1700000000";

/// A build of Debian with a package of npm.
fn debian() -> Project {
    Project::new("FROM debian\nCOPY package.json /app/node_modules/@a/b/package.json\n")
        .file("package.json", PACKAGE)
}

fn kiln() -> Kiln {
    Kiln::new().env("SOURCE_DATE_EPOCH", EPOCH)
}

fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("it is JSON")
}

fn purls(document: &Value) -> Vec<String> {
    let packages = document["packages"].as_array().expect("packages").iter();
    let locators = packages.filter_map(|p| p["externalRefs"][0]["referenceLocator"].as_str());
    locators.map(str::to_owned).collect()
}

#[test]
fn all_ways_to_an_image_give_the_document_that_is_attested() {
    let (kiln, project, base) = (kiln(), debian(), root("debian"));
    let (out, beside) = (kiln.path("out"), kiln.path("beside.spdx.json"));
    let output = format!("type=oci,tar=false,name=example.com/app:1,dest={}", out.display());
    let beside_arg = format!("--sbom-out={}", beside.display());
    let args = [
        "--build-context",
        &base,
        "-o",
        &output,
        "--sbom=true",
        "--provenance=false",
        &beside_arg,
    ];
    let _built = kiln.build(project.path(), &args).ok();
    let attested = &predicates(&out)[0].1;
    assert!(installed(attested).contains(&"libc6"));
    assert_eq!(&read(&beside), attested);

    // The layout's name is not the image's, so only what was found is the same.
    let of_layout = kiln.path("layout.spdx.json");
    let (layout, file) = (
        format!("oci-layout://{}", out.display()),
        of_layout.display().to_string(),
    );
    let _said = kiln.run(&["sbom", &layout, "-o", &file]).ok();
    let of_layout = read(&of_layout);
    assert_eq!(purls(&of_layout), purls(attested));
    assert_eq!(of_layout["files"], attested["files"]);
    assert_eq!(
        of_layout["packages"][0]["checksums"],
        attested["packages"][0]["checksums"]
    );

    let _built = kiln
        .build(
            project.path(),
            &["--build-context", &base, "-t", "example.com/app:1"],
        )
        .ok();
    let of_store = kiln.run(&["sbom", "example.com/app:1"]).ok();
    let of_store: Value = serde_json::from_slice(&of_store.stdout).expect("it is JSON");
    assert_eq!(&of_store, attested);
}

#[test]
fn directories_are_no_images_and_the_same_everywhere() {
    let document = |project: &Project| {
        let kiln = kiln();
        let root = project.join("root").display().to_string() + "/";
        kiln.run(&["sbom", &root]).ok().stdout
    };
    let project = || {
        Project::new("")
            .file("root/node_modules/@a/b/package.json", PACKAGE)
            .file("root/Cargo.lock", "[[package]]\nname = \"itoa\"\nversion = \"1.0.9\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n")
    };
    let first = document(&project());
    assert_eq!(first, document(&project()));
    let parsed: Value = serde_json::from_slice(&first).expect("it is JSON");
    assert_eq!(purls(&parsed), ["pkg:npm/%40a/b@1.2.3"]);
    assert_eq!(parsed["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    assert_eq!(parsed["packages"][0]["primaryPackagePurpose"], "FILE");
    assert!(
        parsed["files"][0].get("comment").is_none(),
        "a directory has no layers"
    );
    // Another file is another document.
    let other = project().file(
        "root/node_modules/c/package.json",
        r#"{"name": "c", "version": "1.0.0"}"#,
    );
    assert_ne!(first, document(&other));

    let kiln = kiln();
    let project = project();
    let root = project.join("root").display().to_string();
    let said = kiln
        .run(&[
            "sbom",
            &root,
            "--format=table",
            "--generator=builtin:cataloger-lock",
        ])
        .ok();
    let text = said.text();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["NAME", "VERSION", "TYPE", "LICENSES"]
    );
    let words: Vec<Vec<&str>> = lines[1..]
        .iter()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert!(words.contains(&vec!["itoa", "1.0.9", "cargo"]), "{words:?}");
    assert!(
        words.iter().any(|w| w[1..] == ["1.2.3", "npm", "MIT"]),
        "{words:?}"
    );
}

#[test]
fn the_name_of_a_file_chooses_its_format() {
    let project = Project::new("FROM scratch\nCOPY package.json /node_modules/@a/b/package.json\n")
        .file("package.json", PACKAGE);
    let table = [
        ("x.cdx.json", "", "CycloneDX"),
        ("x.json", "", "SPDX"),
        ("x.json", "--sbom=format=cyclonedx", "CycloneDX"),
        ("x.spdx.json", "--sbom=format=cyclonedx", "SPDX"),
    ];
    for (name, flag, expect) in table {
        let kiln = kiln();
        let file = kiln.path(name);
        let beside = format!("--sbom-out={}", file.display());
        let args: Vec<&str> = [beside.as_str(), flag, "-o", "type=cacheonly"]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let _built = kiln.build(project.path(), &args).ok();
        let found = read(&file);
        let is_cyclonedx = found["bomFormat"] == "CycloneDX" && found["specVersion"] == "1.6";
        let is_spdx = found["spdxVersion"] == "SPDX-2.3";
        assert_eq!(
            (is_cyclonedx, is_spdx),
            (expect == "CycloneDX", expect == "SPDX"),
            "{name} {flag}"
        );
        assert!(
            found.to_string().contains("pkg:npm/%40a/b@1.2.3"),
            "{name} {flag}"
        );
    }
}

#[test]
fn a_file_beside_the_result_attests_nothing() {
    let (kiln, project) = (kiln(), Project::new("FROM scratch\nCOPY x /x\n").file("x", "x"));
    let digest = |args: &[&str]| {
        let meta = kiln.path("meta.json");
        let meta_arg = format!("--metadata-file={}", meta.display());
        let args = [&["-t", "example.com/a:1", "--provenance=false", &meta_arg], args].concat();
        let _built = kiln.build(project.path(), &args).ok();
        read(&meta)["containerimage.digest"].clone()
    };
    let file = kiln.path("s.json").display().to_string();
    assert_eq!(digest(&[]), digest(&["--sbom-out", &file]));
    // Files of a directory have an SBOM too.
    let (out, file) = (kiln.path("out").display().to_string(), kiln.path("l.json"));
    let shown = file.display().to_string();
    let _built = kiln
        .build(project.path(), &["-o", &out, "--sbom-out", &shown])
        .ok();
    assert_eq!(read(&file)["spdxVersion"], "SPDX-2.3");
}

#[test]
fn what_cannot_be_had_is_said() {
    let (kiln, project) = (kiln(), Project::new("FROM scratch\nCOPY x /x\n").file("x", "x"));
    let missing = kiln.path("missing/").display().to_string();
    let file = kiln.path("s.json").display().to_string();
    let context = project.path().display().to_string();
    let two = "--platform=linux/amd64,linux/arm64";
    let table: [(&[&str], &str); 5] = [
        (&["sbom", &missing], "missing"),
        (
            &["sbom", &context, "--platform=x/y/z/w"],
            "invalid value for `--platform`",
        ),
        (&["sbom", "BAD NAME"], "invalid image `BAD NAME`"),
        (
            &["build", two, "--sbom-out", &file, &context],
            "writes the SBOM of one image, and 2 platforms are built",
        ),
        (
            &["build", "--check", "--sbom-out", &file, &context],
            "`--sbom-out` needs a build",
        ),
    ];
    for (args, expect) in table {
        let failed = kiln.run(args);
        assert_ne!(failed.code(), Some(0), "{args:?}");
        assert!(failed.stderr.contains(expect), "{args:?}: {}", failed.stderr);
    }
    assert!(!Path::new(&file).exists());
}
