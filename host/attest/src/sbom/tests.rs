use serde_json::Value;

use super::*;

fn sbom() -> Sbom {
    let package = |name: &str, licenses: &[&str], needs: &[&str]| SbomPackage {
        name: name.to_owned(),
        version: "1".to_owned(),
        purl: format!("pkg:deb/debian/{name}@1"),
        licenses: licenses.iter().map(|&l| l.to_owned()).collect(),
        locations: vec!["var/lib/dpkg/status".to_owned()],
        needs: needs.iter().map(|&n| n.to_owned()).collect(),
        attrs: [("supplier".to_owned(), "Debian Team <t@example.org>".to_owned())].into(),
    };
    let mut file = SbomFile::of("var/lib/dpkg/status", b"hello");
    file.layer = Some(Digest::of("layer"));
    Sbom {
        name: "app:1".to_owned(),
        subject: SbomSubject::Image(Digest::of("image")),
        created: "2023-11-14T22:13:20Z".to_owned(),
        tools: vec!["kiln-0.1.0".to_owned()],
        packages: vec![
            package(
                "b",
                &["GPL-2.0-or-later", "own words"],
                &["pkg:deb/debian/a@1", "pkg:deb/gone@1"],
            ),
            package("a", &["MIT OR Apache-2.0", "ISC"], &[]),
            package("a", &["ISC"], &[]),
        ],
        files: vec![file],
    }
}

fn tidy() -> Sbom {
    let mut sbom = sbom();
    sbom.tidy();
    sbom
}

#[test]
fn spdx_has_what_readers_look_for() {
    let document = spdx(&tidy());
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    let packages = document["packages"].as_array().unwrap();
    let names: Vec<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["app:1", "a", "b"]);
    assert_eq!(packages[0]["primaryPackagePurpose"], "CONTAINER");
    assert_eq!(packages[1]["licenseDeclared"], "ISC AND (MIT OR Apache-2.0)");
    assert_eq!(
        packages[2]["licenseDeclared"],
        "GPL-2.0-or-later AND LicenseRef-own-words"
    );
    assert_eq!(
        document["hasExtractedLicensingInfos"][0]["extractedText"],
        "own words"
    );
    assert_eq!(
        packages[1]["supplier"],
        "Organization: Debian Team (t@example.org)"
    );
    assert_eq!(
        packages[1]["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/a@1"
    );
    let file = &document["files"][0];
    assert_eq!(
        file["checksums"][0]["checksumValue"],
        "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
    );
    assert_eq!(file["comment"], format!("layerID: {}", Digest::of("layer")));
    let kinds = |kind: &str| {
        let all = document["relationships"].as_array().unwrap();
        all.iter().filter(|r| r["relationshipType"] == kind).count()
    };
    assert_eq!(
        (kinds("CONTAINS"), kinds("DEPENDENCY_OF"), kinds("DESCRIBES")),
        (2, 1, 1)
    );
}

#[test]
fn documents_are_the_same_in_any_order() {
    let mut other = sbom();
    other.packages.reverse();
    other.tidy();
    assert_eq!(spdx(&tidy()), spdx(&other));
    assert_eq!(cyclonedx(&tidy()), cyclonedx(&other));
}

#[test]
fn cyclonedx_has_what_readers_look_for() {
    let document = cyclonedx(&tidy());
    assert_eq!(document["specVersion"], "1.6");
    let components = document["components"].as_array().unwrap();
    assert_eq!(components.len(), 2);
    assert_eq!(components[0]["purl"], "pkg:deb/debian/a@1");
    assert_eq!(
        components[1]["licenses"][1]["license"]["name"],
        Value::from("own words")
    );
    assert_eq!(
        document["dependencies"][1]["dependsOn"],
        serde_json::json!(["pkg:deb/debian/a@1"])
    );
}

#[test]
fn package_urls_are_checked() {
    for good in [
        "pkg:deb/debian/a@1",
        "pkg:npm/%40a/b@1.0?x=y",
        "pkg:golang/a.b/c@v1#sub",
    ] {
        assert!(is_purl(good), "{good}");
    }
    for bad in [
        "",
        "deb/a",
        "pkg:deb",
        "pkg:/a",
        "pkg:deb/",
        "pkg:DEB/a",
        "pkg:deb/a b",
        "pkg:deb/@1",
        "pkg:deb/\u{e9}",
        "pkg:deb/a%2",
        "pkg:deb/a%zz@1",
    ] {
        assert!(!is_purl(bad), "{bad}");
    }
}

/// What SPDX' list knows is an expression, other words become a name of their own.
#[test]
fn licences_are_checked_against_the_list() {
    let check = |text: &str, expect: Option<&str>| {
        assert_eq!(license::known(text).as_deref(), expect, "{text}");
    };
    check("MIT", Some("MIT"));
    check(
        "GPL-2.0-or-later WITH Classpath-exception-2.0",
        Some("GPL-2.0-or-later WITH Classpath-exception-2.0"),
    );
    check("(MIT OR Apache-2.0) AND ISC", Some("(MIT OR Apache-2.0) AND ISC"));
    check("GPL-2.0", Some("GPL-2.0-only"));
    check("MIT AND", None);
    check("MIT OR nobody-knows-it", None);
    check("MIT Licence of the house", None);
    check("", None);
    check(&"(".repeat(5000), None);
}

#[test]
fn files_are_no_image() {
    let mut sbom = tidy();
    sbom.subject = SbomSubject::Files(Digest::of("files"));
    let document = spdx(&sbom);
    let root = &document["packages"][0];
    assert_eq!(root["SPDXID"], "SPDXRef-DocumentRoot-Directory-app-1");
    assert_eq!(root["primaryPackagePurpose"], "FILE");
    assert!(root.get("checksums").is_none() && root.get("versionInfo").is_none());
    let root = &cyclonedx(&sbom)["metadata"]["component"];
    assert_eq!(root["type"], "file");
    assert!(root.get("version").is_none());
    assert_ne!(document["documentNamespace"], spdx(&tidy())["documentNamespace"]);
}
