//! Other tools read what the writer writes, and the reader reads what they write. All of them are in Debian:
//! tar, gzip, zstd, python3.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use kiln_image::Compression;
use kiln_layer::DiskSource;
use kiln_layer::ReadOptions;
use kiln_tree::Node;

use crate::fixture::everything;
use crate::fixture::inline;
use crate::fixture::noise;
use crate::fixture::options;
use crate::fixture::read;
use crate::fixture::write;

fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("these tests need `{program}` ({error})"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn gnu_tar_lists_every_entry() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("layer.tar");
    std::fs::write(&archive, write(&everything(), &options(Compression::None)).0).unwrap();
    let listed = run("tar", &["--quoting-style=literal", "-tf", text(&archive)]);
    let mut expected = Vec::new();
    for entry in everything().entries() {
        let name = &entry.path.to_string()[1..];
        match entry.node {
            Node::Directory { .. } => expected.push(format!("{name}/")),
            Node::Whiteout => expected.push(name.replace("gone", ".wh.gone")),
            _ => expected.push(name.to_owned()),
        }
        if matches!(entry.node, Node::Directory { opaque: true }) {
            expected.push(format!("{name}/.wh..wh..opq"));
        }
    }
    assert_eq!(
        String::from_utf8(listed).unwrap().lines().collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn gzip_and_zstd_accept_the_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let mut entries = everything().into_entries();
    entries.push(crate::fixture::file("large", &noise(9, 7_000_000)));
    let changes = kiln_tree::ChangeSet::new(entries);
    let plain = write(&changes, &options(Compression::None)).0;
    for (compression, program) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
        let blob = dir.path().join(program);
        std::fs::write(&blob, write(&changes, &options(compression)).0).unwrap();
        let bytes = std::fs::File::open(&blob).unwrap();
        let output = Command::new(program).args(["-d", "-c"]).stdin(bytes).output();
        let output = output.unwrap_or_else(|error| panic!("these tests need `{program}` ({error})"));
        assert!(output.status.success() && output.stdout == plain, "{program}");
    }
}

#[test]
fn archives_that_people_make_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("plain"), dir.path().join("compressed"));
    let plain = noise(5, 3_000_000);
    std::fs::write(&from, &plain).unwrap();
    let check = |how: &str| {
        let script = format!(
            "import bz2, lzma, sys; d = open(sys.argv[1], 'rb').read(); open(sys.argv[2], 'wb').write({how})"
        );
        run("python3", &["-c", &script, text(&from), text(&to)]);
        let read = ReadOptions::new("archive");
        let blob = std::fs::read(&to).unwrap();
        let all = |blob: &[u8]| -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let reader = kiln_layer::decompress(blob, None, &read).map_err(std::io::Error::other);
            reader?.read_to_end(&mut bytes).map(|_| bytes)
        };
        assert!(all(&blob).unwrap() == plain, "{how}");
        let mut flipped = blob.clone();
        flipped[blob.len() / 2] ^= 0x10;
        for damaged in [&blob[..blob.len() / 2], &blob[..20], &flipped] {
            assert!(all(damaged).is_err(), "{how}, damaged");
        }
    };
    check("bz2.compress(d)");
    check("bz2.compress(d[:1000000], 1) + bz2.compress(d[1000000:])");
    check("lzma.compress(d)");
    check("lzma.compress(d, check=lzma.CHECK_SHA256, preset=9)");
    check("lzma.compress(d[:1000000]) + lzma.compress(d[1000000:])");
}

#[test]
fn python_sees_the_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("layer.tar.gz");
    std::fs::write(&archive, write(&everything(), &options(Compression::Gzip)).0).unwrap();
    let script = "
import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    for m in archive:
        print(m.name, m.type.decode(), oct(m.mode), m.uid, m.gid, m.size, int(m.mtime), m.linkname,
              m.devmajor, m.devminor, repr(m.pax_headers.get('SCHILY.xattr.user.a')), sep='|')
";
    let listed = String::from_utf8(run("python3", &["-c", script, text(&archive)])).unwrap();
    let line = |start: &str| {
        listed
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_default()
            .to_owned()
    };
    for (start, expected) in [
        ("dir|", "dir|5|0o755|0|0|0|1600000000||0|0|None"),
        (
            "dir/owned|",
            "dir/owned|0|0o4711|3000000|5|5|1600000000||0|0|None",
        ),
        ("dir/old|", "dir/old|0|0o644|0|0|21|-100||0|0|None"),
        (
            "dir/marked|",
            "dir/marked|0|0o644|0|0|6|1600000000||0|0|'1\\x00=\\n'",
        ),
        ("dir/block|", "dir/block|1|0o644|0|0|0|1600000000|a-link|0|0|None"),
        ("a-link|", "a-link|0|0o644|0|0|512|1600000000||0|0|None"),
        ("disk|", "disk|4|0o660|0|0|0|1600000000||8|300|None"),
        (".wh.gone|", ".wh.gone|0|0o0|0|0|0|0||0|0|None"),
    ] {
        assert_eq!(line(start), expected);
    }
    assert_eq!(listed.lines().count(), everything().entries().len() + 1);
}

#[test]
fn archives_of_other_tools_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    kiln_layer::write_tar(
        everything().entries(),
        &DiskSource::new(),
        std::fs::File::create(dir.path().join("first.tar")).unwrap(),
        None,
    )
    .unwrap();
    std::fs::create_dir(&tree).unwrap();
    let first = dir.path().join("first.tar");
    let excluded = ["--exclude=null", "--exclude=disk", "--no-same-owner", "-p"];
    run(
        "tar",
        &[&["-xf", text(&first), "-C", text(&tree)], &excluded[..]].concat(),
    );
    for format in ["gnu", "pax", "ustar", "oldgnu", "v7"] {
        let archive = dir.path().join(format);
        let mut args = vec![
            "-cf",
            text(&archive),
            "-C",
            text(&tree),
            "--sort=name",
            "--format",
            format,
        ];
        if matches!(format, "ustar" | "v7") {
            args.extend([
                "--exclude=d*d",
                "--exclude=long-link",
                "--exclude=fifo",
                "--exclude=old",
            ]);
        }
        args.push(".");
        run("tar", &args);
        let bytes = std::fs::read(&archive).unwrap();
        let found = inline(read(&bytes).unwrap().changes, &bytes);
        for name in [
            "dir/block",
            "a-link",
            "dir/link",
            "dir/empty",
            "sticky",
            "opaque/new",
        ] {
            let path = crate::fixture::path(name);
            let entry = found.get(&path).unwrap_or_else(|| panic!("{format}: no {name}"));
            assert_eq!(entry.meta.mtime.seconds, 1_600_000_000, "{format} {name}");
        }
        if !matches!(format, "ustar" | "v7") {
            let long = crate::fixture::path(&format!("dir/{}/{}", "d".repeat(200), "f".repeat(255)));
            assert!(
                matches!(found.get(&long).unwrap().node, Node::File { size: 4, .. }),
                "{format}"
            );
        }
    }
}

#[test]
fn gnu_sparse_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("holes")).unwrap();
    file.set_len(10 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let archive = dir.path().join("sparse.tar");
        run(
            "tar",
            &[
                "-S",
                "--format",
                format,
                "-cf",
                text(&archive),
                "-C",
                text(dir.path()),
                "holes",
            ],
        );
        let error = kiln_layer::read_layer(
            std::fs::File::open(&archive).unwrap(),
            &ReadOptions::new("sha256:x"),
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("it is a sparse file, which image layers do not have"),
            "{format}: {error}"
        );
    }
}
