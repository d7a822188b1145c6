//! Archives that want to do harm: each is refused with one error that names the entry, or does what it does inside.

use std::path::Path;

use kiln_layer::Devices;
use kiln_layer::Limits;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;

use crate::engine::peak_memory;
use crate::sandbox::ABSOLUTE;
use crate::sandbox::Sandbox;
use crate::tarball::Member;
use crate::tarball::dir;
use crate::tarball::file;
use crate::tarball::gzip;
use crate::tarball::hardlink;
use crate::tarball::member;
use crate::tarball::pax;
use crate::tarball::symlink;
use crate::tarball::tarball;
use crate::tarball::zstd_bomb;
use crate::targets::layers::check_files;
use crate::targets::layers::read_blob;
use crate::targets::layers::unpack_options;

/// What becomes of an archive.
#[derive(Clone, Copy)]
enum End {
    /// One error with this text, which names this entry.
    Refused(&'static str, &'static str),
    /// Unpacked; these paths are there afterwards.
    Inside(&'static [&'static str]),
}
use End::Inside;
use End::Refused;

#[track_caller]
fn check(tar: &[u8], end: End) {
    let sandbox = Sandbox::new();
    check_in(&sandbox, tar, end, &unpack_options());
}

#[track_caller]
fn check_in(sandbox: &Sandbox, tar: &[u8], end: End, options: &UnpackOptions) {
    let result = kiln_layer::unpack(tar, &sandbox.dest(), options);
    sandbox.check();
    match (end, result) {
        (Refused(problem, entry), Err(error)) => {
            let text = error.to_string();
            assert!(text.contains(problem), "{text}\n  does not contain\n{problem}");
            assert!(text.contains(entry), "{text}\n  does not name\n{entry}");
        }
        (Inside(paths), Ok(unpacked)) => {
            check_files(&unpacked.changes, &sandbox.dest());
            for path in paths {
                let there = std::fs::symlink_metadata(sandbox.dest().join(path)).is_ok();
                assert!(there, "`{path}` is not there: {:?}", unpacked.changes);
            }
        }
        (Refused(problem, entry), Ok(unpacked)) => {
            panic!("`{entry}` was not refused ({problem}): {:?}", unpacked.changes)
        }
        (Inside(paths), Err(error)) => panic!("{error}, not {paths:?}"),
    }
}

#[test]
fn names_do_not_lead_out() {
    let cases: Vec<(Vec<Member>, End)> = vec![
        (
            vec![file("../canary/file", b"x")],
            Refused("has a `..`", "`../canary/file`"),
        ),
        (
            vec![file("a/../../canary/file", b"x")],
            Refused("has a `..`", "`a/../../canary/file`"),
        ),
        (vec![file("..", b"x")], Refused("has a `..`", "`..`")),
        (vec![dir("../canary")], Refused("has a `..`", "`../canary`")),
        (
            vec![symlink("../canary/l", "x")],
            Refused("has a `..`", "`../canary/l`"),
        ),
        (
            vec![file("../.wh.canary", b"")],
            Refused("has a `..`", "`../.wh.canary`"),
        ),
        (
            vec![file("../canary/.wh..wh..opq", b"")],
            Refused("has a `..`", "`../canary/.wh..wh..opq`"),
        ),
        (vec![file(".wh...", b"")], Refused("not a path", ".wh...")),
        (
            vec![pax("path", b"../canary/file"), file("a", b"x")],
            Refused("has a `..`", "`../canary/file`"),
        ),
        (
            vec![member("long", b'L').data(b"../canary/file\0"), file("a", b"x")],
            Refused("has a `..`", "`../canary/file`"),
        ),
        (vec![file(ABSOLUTE, b"x")], Inside(&["kiln-fuzz-canary"])),
        (vec![file("//a//./b", b"x")], Inside(&["a/b"])),
        (vec![dir("/"), dir("./"), file("./a", b"x")], Inside(&["a"])),
    ];
    for (members, end) in cases {
        check(&tarball(&members), end);
    }
}

#[test]
fn links_do_not_lead_out() {
    let cases: Vec<(Vec<Member>, End)> = vec![
        (
            vec![hardlink("a", "../canary/file")],
            Refused("has a `..`", "`a`"),
        ),
        (
            vec![hardlink("a", "/etc/passwd")],
            Refused("neither this layer nor a lower one has", "`a`"),
        ),
        (
            vec![symlink("s", "/etc/passwd"), hardlink("a", "s")],
            Inside(&["s", "a"]),
        ),
        (
            vec![symlink("s", "/etc"), hardlink("a", "s/passwd")],
            Refused("neither this layer nor a lower one has", "`a`"),
        ),
        (
            vec![symlink("s", "../canary"), hardlink("a", "s/file")],
            Refused("neither this layer nor a lower one has", "`a`"),
        ),
        (
            vec![hardlink("a", "b"), hardlink("b", "a")],
            Refused("neither this layer nor a lower one has", "`a`"),
        ),
        // Links lead where they would lead in a container: to what is inside.
        (
            vec![symlink("s", "../canary"), file("s/file", b"x")],
            Inside(&["s", "canary/file"]),
        ),
        (
            vec![symlink("s", ABSOLUTE), file("s/file", b"x")],
            Inside(&["s", "kiln-fuzz-canary/file"]),
        ),
        (
            vec![symlink("a", "b"), symlink("b", ".."), file("a/canary/file", b"x")],
            Inside(&["canary/file"]),
        ),
        (
            vec![symlink("s", "../canary/file"), file("s", b"x")],
            Inside(&["s"]),
        ),
        (vec![symlink("s", "../canary"), dir("s/")], Inside(&["s"])),
        (
            vec![symlink("s", "../canary"), file("s/.wh.file", b"")],
            Inside(&["s", "canary/file"]),
        ),
        (
            vec![symlink("s", "../canary"), file("s/.wh..wh..opq", b"")],
            Inside(&["s", "canary"]),
        ),
        (
            vec![dir("d"), symlink("d", "../canary"), file("d/file", b"x")],
            Inside(&["d", "canary/file"]),
        ),
        (
            vec![symlink("l", "l"), file("l/x", b"")],
            Refused("too many symbolic links", "`l/x`"),
        ),
        (
            vec![file("f", b"1"), symlink("g", "f"), file("g/x", b"")],
            Refused("which is no directory", "`g/x`"),
        ),
    ];
    for (members, end) in cases {
        check(&tarball(&members), end);
    }
}

/// What lies in the directory before unpacking starts is no way out either.
#[test]
fn links_that_are_there_before_do_not_lead_out() {
    for (name, end) in [
        ("s/file", Refused("cannot create", "s/file")),
        ("s", Inside(&["s"])),
    ] {
        let sandbox = Sandbox::new();
        std::os::unix::fs::symlink(sandbox.canary(), sandbox.dest().join("s"))
            .expect("the directory is empty");
        let tar = tarball(&[file(name, b"x")]);
        let result = kiln_layer::unpack(&*tar, &sandbox.dest(), &unpack_options());
        sandbox.check();
        assert_eq!(result.is_ok(), matches!(end, Inside(_)), "{name}: {result:?}");
    }
}

#[test]
fn sizes_and_headers_are_bounded() {
    let endless = |kind: u8| member("endless", kind).size(1 << 40);
    let cut = |mut tar: Vec<u8>, end: usize| {
        tar.truncate(end);
        tar
    };
    let long = vec![b'n'; 100 << 10];
    let mut wrong = tarball(&[file("a", b"x"), file("b", b"y")]);
    wrong[1024 + 150] ^= 1;
    let cases: Vec<(Vec<u8>, End)> = vec![
        (
            tarball(&[endless(b'0')]),
            Refused("uncompressed bytes", "sha256:fuzzed"),
        ),
        (
            tarball(&[member("huge", b'0').size(u64::MAX)]),
            Refused("", "sha256:fuzzed"),
        ),
        (
            tarball(&[member("huge", b'0').size(i64::MAX as u64)]),
            Refused("uncompressed bytes", "sha256:fuzzed"),
        ),
        (tarball(&[endless(b'x')]), Refused("", "sha256:fuzzed")),
        (tarball(&[endless(b'L')]), Refused("", "sha256:fuzzed")),
        (tarball(&[endless(b'g')]), Refused("", "sha256:fuzzed")),
        (
            tarball(&[pax("path", &long), file("a", b"")]),
            Refused("bytes of extended headers", "sha256:fuzzed"),
        ),
        (
            tarball(&[pax("comment", &long), file("a", b"")]),
            Refused("bytes of extended headers", "sha256:fuzzed"),
        ),
        (
            tarball(&[member("l", b'L').data(&long), file("a", b"")]),
            Refused("bytes of extended headers", "sha256:fuzzed"),
        ),
        (
            tarball(&[member("l", b'K').data(&long), symlink("a", "b")]),
            Refused("bytes of extended headers", "sha256:fuzzed"),
        ),
        (
            tarball(&vec![pax("path", &[b'n'; 5000]); 40]),
            Refused("bytes of extended headers", "sha256:fuzzed"),
        ),
        (
            tarball(&[pax("size", b"18446744073709551616"), file("a", b"")]),
            Refused("number", "a"),
        ),
        (tarball(&[member("s", b'S')]), Refused("sparse", "`s`")),
        (
            tarball(&[pax("GNU.sparse.realsize", b"1000000000000"), file("s", b"")]),
            Refused("sparse", "`pax`"),
        ),
        (wrong, Refused("wrong checksum", "byte 1024")),
        (
            cut(tarball(&[file("cut", &[1; 3000])]), 1500),
            Refused("ends in the middle", "`cut`"),
        ),
        (
            cut(tarball(&[file("cut", b"")]), 300),
            Refused("ends in the middle", "sha256:fuzzed"),
        ),
        (
            vec![file("many", b""); 3000]
                .chunks(3000)
                .flat_map(tarball)
                .collect(),
            Refused("2000 entries", "sha256:fuzzed"),
        ),
    ];
    for (tar, end) in cases {
        check(&tar, end);
    }
    let peak = peak_memory();
    assert!(peak < 1 << 20, "the tests took {peak} KiB of memory");
}

#[test]
fn devices_and_modes() {
    let devices = || {
        vec![
            member("dev/mem", b'3').device(1, 1),
            member("dev/sda", b'4').device(8, 0),
        ]
    };
    let refuse = UnpackOptions {
        devices: Devices::Refuse,
        ..unpack_options()
    };
    let sandbox = Sandbox::new();
    let end = Refused("has the device `/dev/mem`, which is not allowed", "dev/mem");
    check_in(&sandbox, &tarball(&devices()), end, &refuse);
    assert!(!sandbox.dest().join("dev/mem").exists(), "the device was made");
    // Left out: the index still has them.
    check(&tarball(&devices()), Inside(&["dev"]));
    check(
        &tarball(&[
            dir("d").mode(0),
            file("d/a", b"x"),
            dir("d/e").mode(0),
            file("d/e/f", b""),
        ]),
        Inside(&[]),
    );
}

#[test]
fn later_entries_replace_earlier_ones() {
    // A whiteout deletes what lower layers have, not what its own layer has.
    type Row = (Vec<Member>, &'static str, Option<&'static [u8]>);
    let cases: Vec<Row> = vec![
        (vec![file("a", b"1"), file("a", b"2")], "a", Some(b"2")),
        (
            vec![file("a", b"1"), dir("a"), file("a/b", b"2")],
            "a/b",
            Some(b"2"),
        ),
        (
            vec![dir("a"), file("a/b", b"1"), file("a", b"2")],
            "a",
            Some(b"2"),
        ),
        (
            vec![file("a", b"1"), hardlink("b", "a"), file("a", b"2")],
            "b",
            Some(b"1"),
        ),
        (
            vec![symlink("a", "b"), file("b", b"1"), file("a", b"2")],
            "b",
            Some(b"1"),
        ),
        (vec![member("a", b'6'), file("a", b"2")], "a", Some(b"2")),
        (vec![file("a", b"1"), file(".wh.a", b"")], "a", Some(b"1")),
        (vec![file(".wh.a", b""), file("a", b"1")], "a", Some(b"1")),
    ];
    for (members, path, content) in cases {
        let sandbox = Sandbox::new();
        let result = kiln_layer::unpack(&*tarball(&members), &sandbox.dest(), &unpack_options());
        sandbox.check();
        check_files(&result.expect("it is a good archive").changes, &sandbox.dest());
        let path = sandbox.dest().join(path);
        let found = path
            .is_file()
            .then(|| std::fs::read(&path).expect("a file can be read"));
        assert_eq!(found.as_deref(), content, "{}", path.display());
    }
}

#[test]
fn bombs_end_at_a_limit() {
    let limited = |uncompressed: u64| ReadOptions {
        name: "sha256:bomb".to_owned(),
        limits: Limits {
            uncompressed,
            ..Limits::default()
        },
    };
    // 1 MiB of blob is 1 GiB of zeros: each of 1024 members is a MiB.
    let gzip_bomb = gzip(&vec![0; 1 << 20]).repeat(1024);
    assert!(gzip_bomb.len() < 2 << 20, "{}", gzip_bomb.len());
    let cases = [
        (gzip_bomb, limited(32 << 20), "33554432 uncompressed bytes"),
        (zstd_bomb(8000), limited(32 << 20), "33554432 uncompressed bytes"),
        (
            zstd_bomb(9000),
            ReadOptions::new("sha256:bomb"),
            "20000 bytes for each compressed byte",
        ),
    ];
    for (bomb, options, limit) in cases {
        let error = read_blob(&bomb, &options).expect_err("it is a bomb").to_string();
        assert_eq!(error, format!("layer sha256:bomb exceeds the limit of {limit}"));
        // Reading it as a layer ends in the same one error, or earlier because zeros are no archive.
        let reader = kiln_layer::decompress(&*bomb, None, &options).expect("it starts well");
        let read = kiln_layer::read_layer(reader, &options);
        assert!(read.is_err_and(|read| read.to_string() == error));
    }
    let peak = peak_memory();
    assert!(peak < 1 << 20, "the tests took {peak} KiB of memory");
}

#[test]
fn nothing_is_left_outside() {
    assert!(!Path::new(ABSOLUTE).exists(), "a test has written `{ABSOLUTE}`");
}
