use super::*;
use kiln_sdk::packages::matched;

/// A ZIP archive; files whose name ends in `~` (which is taken off) are stored, others packed.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let (name, stored) = name.strip_suffix('~').map_or((*name, false), |name| (name, true));
        let packed = match stored {
            true => data.to_vec(),
            false => miniz_oxide::deflate::compress_to_vec(data, 6),
        };
        let start = out.len() as u32;
        let shared = [
            vec![20, 0, 0, 0, if stored { 0 } else { 8 }, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            (packed.len() as u32).to_le_bytes().to_vec(),
            (data.len() as u32).to_le_bytes().to_vec(),
            (name.len() as u16).to_le_bytes().to_vec(),
            vec![0, 0],
        ]
        .concat();
        out.extend([b"PK\x03\x04".as_slice(), &shared, name.as_bytes(), &packed].concat());
        let more = [&[0; 10][..], &start.to_le_bytes()].concat();
        central.extend([b"PK\x01\x02\x14\0".as_slice(), &shared, &more, name.as_bytes()].concat());
    }
    let (at, count) = (out.len() as u32, (files.len() as u16).to_le_bytes());
    let size = (central.len() as u32).to_le_bytes();
    out.extend(central);
    out.extend(
        [
            b"PK\x05\x06\0\0\0\0".as_slice(),
            &count,
            &count,
            &size,
            &at.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

fn purls(path: &str, content: &[u8]) -> Vec<String> {
    let found = Java::catalog(vec![matched("archive", path, content)]).unwrap();
    found.into_iter().map(|package| package.purl).collect()
}

const POM: &[u8] = b"#Generated\ngroupId=com.example\nartifactId=thing\nversion=1.2\n";
const MODEL: &[u8] = b"<?xml version=\"1.0\"?><!-- <a> --><project xmlns=\"x\"><parent><groupId>org.parent</groupId><artifactId>p</artifactId>\n<version>3</version></parent><artifactId>thing</artifactId><dependencies><dependency><groupId>no</groupId></dependency></dependencies></project>";

#[test]
fn archives_tell_what_they_are() {
    let check = |path: &str, files: &[(&str, &[u8])], expect: &[&str]| {
        assert_eq!(purls(path, &archive(files)), expect, "{path}");
    };
    let pom = ("META-INF/maven/com.example/thing/pom.properties", POM);
    check("a/thing.jar", &[pom], &["pkg:maven/com.example/thing@1.2"]);
    let model = ("META-INF/maven/org.parent/thing/pom.xml", MODEL);
    check("a/thing.jar", &[model], &["pkg:maven/org.parent/thing@3"]);
    let manifest: &[u8] = b"Manifest-Version: 1.0\r\nImplementation-Version: 4.5\r\nBundle-SymbolicName: org.exam\r\n ple.other;x:=y\r\n\r\nName: x\r\n";
    check(
        "other.jar",
        &[("META-INF/MANIFEST.MF~", manifest)],
        &["pkg:maven/org.example/other@4.5"],
    );
    check("other-7.8-beta.jar", &[], &["pkg:maven/other/other@7.8-beta"]);
    check(
        "app-1.jar",
        &[
            pom,
            (
                "META-INF/maven/b/b/pom.properties",
                b"groupId=b\nartifactId=b\nversion=2\n",
            ),
        ],
        &[
            "pkg:maven/app/app@1",
            "pkg:maven/b/b@2",
            "pkg:maven/com.example/thing@1.2",
        ],
    );
}

#[test]
fn archives_in_archives_are_found() {
    let inner = archive(&[("META-INF/maven/com.example/thing/pom.properties", POM)]);
    let middle = archive(&[("WEB-INF/lib/thing-1.2.jar~", &inner)]);
    let outer = [
        b"#!/bin/sh\nexec java\n".as_slice(),
        &archive(&[("app.war", &middle)]),
    ]
    .concat();
    let expect = [
        "pkg:maven/all/all@1",
        "pkg:maven/app/app",
        "pkg:maven/com.example/thing@1.2",
    ];
    assert_eq!(purls("all-1.ear", &outer), expect);
}

#[test]
fn archives_end_somewhere() {
    let mut nested = archive(&[]);
    for _ in 0..10 {
        nested = archive(&[("a.jar", &nested)]);
    }
    assert_eq!(purls("a.jar", &nested).len(), DEPTH + 1);
    let bomb = archive(&[("a.jar", &vec![0; UNPACKED + 1])]);
    assert_eq!(purls("b.jar", &bomb), ["pkg:maven/b/b"]);
    let expect = ["`b.jar`: packages are missing: `a.jar` is damaged, or too large"];
    assert_eq!(kiln_sdk::mock::warnings(), expect);
}

#[test]
fn damage_is_no_archive() {
    let whole = archive(&[
        ("META-INF/maven/com.example/thing/pom.properties", POM),
        ("a.jar", &archive(&[])),
    ]);
    for end in 0..whole.len() {
        let _ = purls("x.jar", &whole[..end]);
    }
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] = 0xff;
        let _ = purls("x.jar", &broken);
    }
    assert_eq!(purls("x.jar", b"no archive"), Vec::<String>::new());
}
