//! SBOMs of databases that RPM and Berkeley DB wrote, whole and damaged, and of lock files.

use std::path::Path;

use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::tool;

const SPEC: &str = "Name: tool
Epoch: 2
Version: 1.5
Release: 3
Summary: A tool
License: MIT
Requires: library
%description
A tool.
%files
%package -n library
Summary: A library
License: LGPL-2.1-or-later AND MIT
BuildArch: noarch
%description -n library
A library.
%files -n library
";

const PURLS: [&str; 2] = [
    "pkg:rpm/fedora/tool@1.5-3?arch=x86_64&distro=fedora-39&epoch=2&upstream=tool-1.5-3.src.rpm",
    "pkg:rpm/fedora/library@1.5-3?arch=noarch&distro=fedora-39&epoch=2&upstream=tool-1.5-3.src.rpm",
];

/// Has RPM make two packages and install them into a database of SQLite; returns it and all headers, as it exports them.
fn database(place: &Path) -> (Vec<u8>, Vec<u8>) {
    let path = |name: &str| place.join(name).display().to_string();
    std::fs::write(place.join("tool.spec"), SPEC).expect("it can be written");
    let top = format!("_topdir {}", path("top"));
    let spec = path("tool.spec");
    let _said = tool(
        "rpmbuild",
        &["-bb", "--quiet", "--target=x86_64", "--define", &top, &spec],
    );
    let packages = [
        path("top/RPMS/x86_64/tool-1.5-3.x86_64.rpm"),
        path("top/RPMS/noarch/library-1.5-3.noarch.rpm"),
    ];
    let db = path("db");
    let always = ["--dbpath", &db, "--justdb", "--nodeps", "--ignorearch", "-i"];
    let _said = tool(
        "rpm",
        &[&always[..], &packages.each_ref().map(String::as_str)].concat(),
    );
    let headers = path("headers");
    let script = "rpmdb --dbpath \"$0\" --exportdb > \"$1\"";
    let _said = tool("sh", &["-c", script, &db, &headers]);
    let read = |name: &str| std::fs::read(place.join(name)).expect("RPM wrote it");
    (read("db/rpmdb.sqlite"), read("headers"))
}

/// Has Berkeley DB make a hash table of exported headers.
fn berkeley(place: &Path, headers: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut dump = "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n".to_owned();
    let (mut rest, mut number) = (headers, 1u32);
    while let Some(header) = rest.strip_prefix(&[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]) {
        let word =
            |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes")) as usize;
        let (blob, behind) = header.split_at(8 + 16 * word(0) + word(4));
        dump += &format!(" {}\n {}\n", hex(&number.to_le_bytes()), hex(blob));
        (rest, number) = (behind, number + 1);
    }
    dump += "DATA=END\n";
    std::fs::write(place.join("dump"), dump).expect("it can be written");
    let path = |name: &str| place.join(name).display().to_string();
    let _said = tool("db_load", &["-f", &path("dump"), &path("Packages")]);
    std::fs::read(place.join("Packages")).expect("db_load wrote it")
}

/// Builds an image with one file beside `os-release`; returns what kiln said, and the text of all blobs.
fn scanned(file: &str, content: &[u8], sbom: &str) -> (String, String) {
    let kiln = Kiln::new();
    let project = Project::new(&format!(
        "FROM scratch\nCOPY os-release /etc/os-release\nCOPY file /{file}\n"
    ))
    .file("os-release", "ID=fedora\nVERSION_ID=39\n");
    project.write("file", content);
    let out = kiln.path("out");
    let output = format!("type=oci,tar=false,name=example.com/app:1,dest={}", out.display());
    let built = kiln
        .build(project.path(), &[sbom, "--provenance=false", "-o", &output])
        .ok();
    let blobs = std::fs::read_dir(out.join("blobs/sha256")).expect("blobs");
    let text = blobs.map(|blob| {
        let bytes = std::fs::read(blob.expect("a blob").path()).expect("it can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (built.all(), text.collect())
}

#[test]
fn packages_of_rpms_databases_are_found() {
    let kiln = Kiln::new();
    let place = kiln.path("rpm");
    std::fs::create_dir(&place).expect("a folder");
    let (sqlite, headers) = database(&place);
    let berkeley = berkeley(&place, &headers);
    for (name, content) in [
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", &sqlite),
        ("var/lib/rpm/Packages", &berkeley),
    ] {
        let (said, text) = scanned(name, content, "--sbom=true");
        for purl in PURLS {
            assert!(
                text.contains(&purl.replace('&', "\\u0026")) || text.contains(purl),
                "{name}: {purl}\n{said}"
            );
        }
        assert!(said.contains("found 2 packages"), "{said}");
    }
    let half = &sqlite[..sqlite.len() / 2];
    let (said, _) = scanned("var/lib/rpm/rpmdb.sqlite", half, "--sbom=true");
    let warning = "cataloger `builtin:cataloger-rpm`: `var/lib/rpm/rpmdb.sqlite`: packages may be missing: ";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
}

#[test]
fn lock_files_are_read_when_asked_for() {
    let lock = b"[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\n";
    let purl = "pkg:cargo/libc@0.2.1";
    let (_, text) = scanned("app/Cargo.lock", lock, "--sbom=true");
    assert!(!text.contains(purl));
    let (_, text) = scanned("app/Cargo.lock", lock, "--sbom=generator=builtin:cataloger-lock");
    assert!(text.contains(purl));
}
