//! Archives that want to do harm, or are broken: each ends in one error that names the layer and the entry.

use std::io::Read;

use kiln_image::Compression;
use kiln_layer::Limits;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;

use crate::fixture::Raw;
use crate::fixture::everything;
use crate::fixture::noise;
use crate::fixture::options;
use crate::fixture::raw;
use crate::fixture::raw_tar;
use crate::fixture::read;
use crate::fixture::tar;
use crate::fixture::write;

fn limited(limits: Limits) -> ReadOptions {
    ReadOptions {
        name: "sha256:test".to_owned(),
        limits,
    }
}

#[test]
fn bad_members_are_named() {
    let f = |name: &str| raw(name, b'0');
    let h = |name: &str, to: &str| raw(name, b'1').link(to);
    let pax = |records: &str| vec![raw("p", b'x').data(records.as_bytes()), f("a")];
    let cases: Vec<(Vec<Raw>, &str)> = vec![
        (
            vec![f("../a")],
            "the name has a `..`, which could lead out of the layer (entry `../a`, at byte 0)",
        ),
        (
            vec![f("a/../../b")],
            "the name has a `..`, which could lead out of the layer",
        ),
        (
            vec![h("a", "../../etc/passwd")],
            "of its link target the name has a `..`",
        ),
        (vec![h("a", "/")], "it is a hard link to the root directory"),
        (vec![h("a", "a")], "it is a hard link to itself"),
        (
            vec![raw("d/", b'5'), h("a", "d")],
            "it is a hard link to the directory `/d`",
        ),
        (
            vec![f("d/x"), h("a", "d")],
            "it is a hard link to the directory `/d`",
        ),
        (
            vec![f(".wh.d"), h("a", "d")],
            "it is a hard link to `/d`, which this layer deletes",
        ),
        (
            vec![f("a"), f("a/b")],
            "it lies below `/a`, which is no directory (entry `a/b`, at byte 512)",
        ),
        (
            vec![raw("l", b'2').link("l"), f("l/x")],
            "too many symbolic links at `/l`",
        ),
        (vec![raw("l", b'2')], "symbolic link without a usable target"),
        (
            vec![raw(".", b'2').link("x")],
            "it is in the place of the root directory",
        ),
        (vec![f(".wh.")], "is not a path inside a file tree"),
        (vec![f("d/.wh...")], "is not a path inside a file tree"),
        (
            vec![raw("s", b'S')],
            "it is a sparse file, which image layers do not have",
        ),
        (vec![raw("s", b'Z')], "its type `Z` is unknown"),
        (pax("22 GNU.sparse.major=1\n"), "it is a sparse file"),
        (pax("5 a=b\n"), "a PAX record is malformed"),
        (pax("99999999999 a=b\n"), "a PAX record is malformed"),
        (pax("9 uid=-x\n"), "a number of a PAX record is no number"),
        (pax("10 uid=-1\n"), "its owner is no number of 32 bits"),
        (pax("18 uid=4294967296\n"), "its owner is no number of 32 bits"),
        (pax("11 size=-1\n"), "the size of a PAX record is negative"),
        (pax("9 size=9\n"), "the archive ends in the middle of it"),
        (pax("12 path=a\0b\n"), "is not a path inside a file tree"),
        (pax("11 mtime=x\n"), "the time of a PAX record is no number"),
    ];
    for (mut members, problem) in cases {
        if problem.contains("in the middle") {
            members.truncate(2);
        }
        let mut archive = raw_tar(&members);
        if problem.contains("in the middle") {
            archive.truncate(archive.len() - 1024);
        }
        let error = read(&archive).unwrap_err().to_string();
        assert!(
            error.starts_with("layer sha256:test has a bad archive: "),
            "{error}"
        );
        assert!(error.contains(problem), "{error}\n  does not contain\n{problem}");
        // Unpacking finds the same.
        let dir = tempfile::tempdir().unwrap();
        let options = UnpackOptions {
            read: ReadOptions::new("sha256:test"),
            owner: kiln_layer::Owner::Own,
            ..UnpackOptions::default()
        };
        assert_eq!(
            kiln_layer::unpack(&*archive, dir.path(), &options)
                .unwrap_err()
                .to_string(),
            error
        );
    }
}

#[test]
fn long_path_components_are_refused() {
    let name = format!("{:03} path={}\n", 300 + 10, "n".repeat(300));
    let error = read(&raw_tar(&[raw("p", b'x').data(name.as_bytes()), raw("a", b'0')]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("is not a path inside a file tree"), "{error}");
}

#[test]
fn damaged_headers_are_refused() {
    let good = raw_tar(&[raw("a", b'0').data(b"x"), raw("b", b'0')]);
    let mut broken = good.clone();
    broken[1024] ^= 1;
    let error = read(&broken).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer sha256:test has a bad archive: a header has a wrong checksum, or what is there is no tar header \
         (entry ``, at byte 1024)"
    );
    for cut in [100, 600, 1023, 1400] {
        let error = read(&good[..cut]).unwrap_err().to_string();
        assert!(
            error.contains("the archive ends in the middle of it"),
            "{cut}: {error}"
        );
    }
    let after_zeros = [&good[..1536], &[0; 512], &good].concat();
    let error = read(&after_zeros).unwrap_err().to_string();
    assert!(error.contains("followed by something else"), "{error}");
}

#[test]
fn limits_hold() {
    let many: Vec<Raw> = (0..20).map(|at| raw(&format!("f{at}"), b'0')).collect();
    let huge = |size: u64| {
        let mut block = raw("a", b'0').header();
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        crate::fixture::checksum(&mut block);
        block.to_vec()
    };
    let default = Limits::default;
    let cases: Vec<(Vec<u8>, Limits, &str)> = vec![
        (
            raw_tar(&many),
            Limits {
                entries: 10,
                ..default()
            },
            "10 entries",
        ),
        (
            raw_tar(&many),
            Limits {
                uncompressed: 5000,
                ..default()
            },
            "5000 uncompressed bytes",
        ),
        (
            raw_tar(&many),
            Limits {
                index: 20,
                ..default()
            },
            "20 bytes of names and attributes",
        ),
        (
            huge(0o77_777_777_777),
            Limits {
                uncompressed: 1 << 20,
                ..default()
            },
            "1048576 uncompressed bytes",
        ),
        (
            raw_tar(&[raw("p", b'x').data(&[b'x'; 3000])]),
            Limits {
                header: 2000,
                ..default()
            },
            "2000 bytes of extended headers for one entry",
        ),
        (
            raw_tar(&vec![raw("L", b'L').data(b"x\0"); 10]),
            Limits {
                header: 2000,
                ..default()
            },
            "2000 bytes of extended headers for one entry",
        ),
    ];
    for (archive, limits, expected) in cases {
        let error = kiln_layer::read_layer(&*archive, &limited(limits))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("layer sha256:test exceeds the limit of {expected}")
        );
    }
}

#[test]
fn a_header_that_claims_much_takes_no_memory() {
    let mut block = raw("p", b'x').header();
    block[124..136].copy_from_slice(b"77777777777\0");
    crate::fixture::checksum(&mut block);
    let error = read(&block).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer sha256:test exceeds the limit of 1048576 bytes of extended headers for one entry"
    );
}

/// Each name implies 400 directories: few bytes in the archive, many in memory and on the disk.
#[test]
fn names_that_imply_many_directories_are_refused() {
    let member = |at: usize, depth: usize| {
        let name = format!("{at}{}", "/dir".repeat(depth));
        let record = format!("path={name}\n");
        let length = record.len() + 1 + (record.len() + 5).to_string().len();
        [
            raw("p", b'x').data(format!("{length} {record}").as_bytes()),
            raw("a", b'0'),
        ]
    };
    let error = read(&raw_tar(&member(0, 600))).unwrap_err().to_string();
    assert!(
        error.contains("its name is more than 512 directories deep"),
        "{error}"
    );
    let members: Vec<Raw> = (0..1500).flat_map(|at| member(at, 500)).collect();
    let error = read(&raw_tar(&members)).unwrap_err().to_string();
    assert!(
        error.contains("the archive leaves out too many directories"),
        "{error}"
    );
}

#[test]
fn too_many_attributes_are_refused() {
    let mut records = String::new();
    for at in 0..2000 {
        let record = format!("SCHILY.xattr.user.{at:04}=v\n");
        records.push_str(&format!("{} {record}", record.len() + 3));
    }
    let error = read(&raw_tar(&[
        raw("p", b'x').data(records.as_bytes()),
        raw("a", b'0'),
    ]))
    .unwrap_err()
    .to_string();
    assert!(error.contains("it has too many extended attributes"), "{error}");
}

#[test]
fn bombs_end_at_the_limit() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut bomb = Vec::new();
        kiln_layer::recompress(
            std::io::repeat(0).take(64 << 20),
            &mut bomb,
            &options(compression),
        )
        .unwrap();
        let read = limited(Limits {
            uncompressed: 10 << 20,
            ..Limits::default()
        });
        let reader = kiln_layer::decompress(&*bomb, None, &read).unwrap();
        let error = kiln_layer::read_layer(reader, &read).unwrap_err().to_string();
        assert!(error.starts_with("layer sha256:test "), "{error}");
        let mut reader = kiln_layer::decompress(&*bomb, None, &read).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert_eq!(
            error,
            "layer sha256:test exceeds the limit of 10485760 uncompressed bytes"
        );
    }
}

#[test]
fn damaged_blobs_are_refused() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (blob, _) = write(&everything(), &options(compression));
        let read = ReadOptions::new("sha256:test");
        let check = |bytes: &[u8]| {
            let reader = kiln_layer::decompress(bytes, None, &read)?;
            kiln_layer::read_layer(reader, &read)
        };
        check(&blob).unwrap();
        for cut in [4, 50, blob.len() / 2, blob.len() - 1] {
            let error = check(&blob[..cut]).unwrap_err().to_string();
            assert_eq!(error, "cannot read layer sha256:test", "{compression} {cut}");
        }
        let mut flipped = blob.clone();
        flipped[blob.len() / 2] ^= 0x10;
        assert!(check(&flipped).is_err(), "{compression}");
    }
    let lz4 = &b"\x04\x22\x4d\x18\x60"[..];
    assert!(kiln_layer::decompress(lz4, None, &ReadOptions::default()).is_err());
    for bad in [&b"\xfd7zXZ\0\0\0"[..], b"BZh91AY&SY", b"BZh9"] {
        let mut reader = kiln_layer::decompress(bad, None, &ReadOptions::default()).unwrap();
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}

/// Changes bytes of a good archive at places that a seed picks. Whatever comes out, nobody panics, and nothing is
/// written outside.
#[test]
fn mutations_do_no_harm() {
    let good = tar(&everything());
    for seed in 0..400u64 {
        let random = noise(seed * 7919 + 1, 64);
        let mut bytes = good.clone();
        for pick in random.chunks_exact(4) {
            let at = usize::from(pick[0]) << 12 ^ usize::from(pick[1]) << 7 ^ usize::from(pick[2]) << 2;
            let at = at % bytes.len();
            bytes[at] = pick[3].wrapping_mul(seed as u8 | 1);
            if seed % 2 == 0 {
                // Most of the time the parser is to get past the checksum.
                let start = at / 512 * 512;
                let mut block: [u8; 512] = bytes[start..start + 512].try_into().unwrap();
                crate::fixture::checksum(&mut block);
                bytes[start..start + 512].copy_from_slice(&block);
            }
        }
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("layer");
        std::fs::create_dir(&dir).unwrap();
        let index = read(&bytes);
        let options = UnpackOptions {
            devices: kiln_layer::Devices::Skip,
            ..UnpackOptions::default()
        };
        let unpacked = kiln_layer::unpack(&*bytes, &dir, &options);
        assert!(unpacked.is_err() || index.is_ok(), "seed {seed}: {index:?}");
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1, "seed {seed}");
    }
}
