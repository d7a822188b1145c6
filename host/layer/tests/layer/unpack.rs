//! What unpacking leaves on the disk.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Compression;
use kiln_layer::Devices;
use kiln_layer::DiskSource;
use kiln_layer::LayerError;
use kiln_layer::Owner;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;
use kiln_layer::Unpacked;
use kiln_tree::ChangeSet;
use kiln_tree::Node;

use crate::fixture::dir;
use crate::fixture::entry;
use crate::fixture::everything;
use crate::fixture::file;
use crate::fixture::hardlink;
use crate::fixture::inline;
use crate::fixture::options;
use crate::fixture::path;
use crate::fixture::raw;
use crate::fixture::raw_tar;
use crate::fixture::symlink;
use crate::fixture::tar;
use crate::fixture::whiteout;
use crate::fixture::write;

/// Options of whoever runs the tests: only root can give files away and make devices.
fn as_we_are() -> UnpackOptions {
    let root = rustix::process::geteuid().is_root();
    UnpackOptions {
        read: ReadOptions::new("sha256:test"),
        devices: if root { Devices::Create } else { Devices::Skip },
        owner: if root { Owner::Keep } else { Owner::Own },
        ..UnpackOptions::default()
    }
}

fn unpack(archive: &[u8], options: &UnpackOptions) -> (tempfile::TempDir, Result<Unpacked, LayerError>) {
    let dest = tempfile::tempdir().unwrap();
    let result = kiln_layer::unpack(archive, dest.path(), options);
    (dest, result)
}

fn xattr(at: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 100];
    let length = rustix::fs::lgetxattr(at, name, &mut *value).ok()?;
    value.truncate(length);
    Some(value)
}

/// Describes every file below `root`: kind, mode, owner, time, content or target, links, attributes.
pub(crate) fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for item in std::fs::read_dir(at).unwrap() {
            let item = item.unwrap();
            let (full, stat) = (item.path(), item.metadata().unwrap());
            let kind = stat.file_type();
            let what = if kind.is_dir() {
                walk(root, &full, found);
                format!("dir opaque={:?}", xattr(&full, "user.overlay.opaque"))
            } else if kind.is_symlink() {
                format!("-> {}", std::fs::read_link(&full).unwrap().display())
            } else if kind.is_file() {
                let (links, marks) = (stat.nlink(), xattr(&full, "user.a"));
                format!("{:?} links={links} {marks:?}", std::fs::read(&full).unwrap())
            } else {
                format!(
                    "{} {:x}",
                    if kind.is_char_device() { "char" } else { "other" },
                    stat.rdev()
                )
            };
            let whiteout = kind.is_char_device() && stat.rdev() == 0;
            let time = if whiteout { 0 } else { stat.mtime() };
            let about = format!("{:o} {}:{} {time} {what}", stat.mode(), stat.uid(), stat.gid());
            found.insert(full.strip_prefix(root).unwrap().to_owned(), about);
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

#[test]
fn everything_arrives() {
    let (dest, unpacked) = unpack(&tar(&everything()), &as_we_are());
    let unpacked = unpacked.unwrap();
    assert_eq!(
        unpacked.implied_parents,
        [path(&format!("dir/{}", "d".repeat(200))),]
    );
    let at = |name: &str| dest.path().join(name);
    let stat = |name: &str| std::fs::symlink_metadata(at(name)).unwrap();
    for entry in everything().entries() {
        let name = entry.path.to_string();
        let full = at(&name[1..]);
        let stat = match std::fs::symlink_metadata(&full) {
            Err(_) if matches!(entry.node, Node::CharDevice { .. } | Node::BlockDevice { .. }) => continue,
            stat => stat.unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        match &entry.node {
            Node::Directory { opaque } => {
                assert_eq!(xattr(&full, "user.overlay.opaque").is_some(), *opaque, "{name}");
            }
            Node::Whiteout => {
                assert!(stat.file_type().is_char_device() && stat.rdev() == 0, "{name}");
                continue;
            }
            Node::Symlink { target } => {
                assert_eq!(
                    std::fs::read_link(&full).unwrap().as_os_str().as_encoded_bytes(),
                    &**target
                );
            }
            _ => {}
        }
        assert_eq!(stat.mtime(), entry.meta.mtime.seconds, "{name}");
        if !stat.is_symlink() {
            assert_eq!(
                stat.mode() & 0o7777,
                if name.contains("link") {
                    0o644
                } else {
                    entry.meta.mode
                },
                "{name}"
            );
        }
    }
    assert_eq!(std::fs::read(at("z-link")).unwrap(), [7; 512]);
    assert_eq!(stat("a-link").ino(), stat("z-link").ino());
    assert_eq!(stat("a-link").nlink(), 3);
    assert_eq!(xattr(&at("dir/marked"), "user.a").unwrap(), b"1\0=\n");
    if rustix::process::geteuid().is_root() {
        assert_eq!((stat("dir/owned").uid(), stat("dir/owned").gid()), (3_000_000, 5));
        assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    }
}

#[test]
fn a_change_set_becomes_the_same_directory() {
    let archive = tar(&everything());
    let (unpacked, result) = unpack(&archive, &as_we_are());
    let changes = inline(result.unwrap().changes, &archive);
    let dest = tempfile::tempdir().unwrap();
    let moved = kiln_layer::materialise(&changes, &DiskSource::new(), dest.path(), &as_we_are()).unwrap();
    assert_eq!(listing(dest.path()), listing(unpacked.path()));
    // The contents can be read from the new place.
    assert_eq!(tar(&moved), archive);
    let third = tempfile::tempdir().unwrap();
    kiln_layer::materialise(&moved, &DiskSource::new(), third.path(), &as_we_are()).unwrap();
    assert_eq!(listing(third.path()), listing(dest.path()));
}

#[test]
fn all_compressions_unpack_to_the_same() {
    let (plain, result) = unpack(&tar(&everything()), &as_we_are());
    let diff_id = result.unwrap().diff_id;
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (blob, sums) = write(&everything(), &options(compression));
        let dest = tempfile::tempdir().unwrap();
        let reader = kiln_layer::decompress(&*blob, None, &ReadOptions::default()).unwrap();
        let unpacked = kiln_layer::unpack(reader, dest.path(), &as_we_are()).unwrap();
        assert_eq!((unpacked.diff_id, sums.diff_id), (diff_id, diff_id));
        assert_eq!(listing(dest.path()), listing(plain.path()));
    }
}

#[test]
fn nothing_leaves_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    std::fs::write(outer.path().join("victim"), b"untouched").unwrap();
    let escape = outer.path().to_str().unwrap();
    let members = [
        raw("/absolute", b'0').data(b"1"),
        raw("up", b'2').link("../../.."),
        raw("up/victim", b'0').data(b"2"),
        raw("out", b'2').link(escape),
        raw("out/victim", b'0').data(b"3"),
        raw("victim", b'2').link(&format!("{escape}/victim")),
        raw("link", b'1').link("victim"),
        raw("victim", b'0').data(b"4"),
    ];
    let dest = outer.path().join("layer");
    std::fs::create_dir(&dest).unwrap();
    kiln_layer::unpack(&*raw_tar(&members), &dest, &as_we_are()).unwrap();
    assert_eq!(std::fs::read(outer.path().join("victim")).unwrap(), b"untouched");
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 2);
    let read = |name: &str| std::fs::read(dest.join(name)).unwrap();
    assert_eq!((read("absolute"), read("victim")), (b"1".to_vec(), b"4".to_vec()));
    assert_eq!(read(&format!(".{escape}/victim")), b"3");
    // A hard link to a symbolic link is another symbolic link, not a way to its target.
    assert_eq!(
        std::fs::read_link(dest.join("link")).unwrap(),
        outer.path().join("victim")
    );
}

#[test]
fn later_members_replace_earlier_ones() {
    let members = [
        raw("d/", b'5'),
        raw("d/e/f", b'0').data(b"1"),
        raw("d", b'0').data(b"file now"),
        raw("g", b'0').data(b"1"),
        raw("h", b'1').link("g"),
        raw("g/", b'5'),
        raw("g/x", b'0').data(b"2"),
        raw("h", b'0').data(b"3"),
        raw("implied/x/y", b'0').data(b"1"),
        raw("implied", b'2').link("d"),
    ];
    let (dest, unpacked) = unpack(&raw_tar(&members), &as_we_are());
    let names: Vec<_> = unpacked
        .unwrap()
        .changes
        .entries()
        .iter()
        .map(|e| e.path.to_string())
        .collect();
    assert_eq!(names, ["/d", "/g", "/g/x", "/h", "/implied"]);
    let found: Vec<_> = listing(dest.path())
        .into_keys()
        .map(|p| p.display().to_string())
        .collect();
    assert_eq!(found, ["d", "g", "g/x", "h", "implied"]);
    assert_eq!(std::fs::read(dest.path().join("implied")).unwrap(), b"file now");
}

#[test]
fn devices_need_permission() {
    let changes = ChangeSet::new(vec![entry(
        "null",
        0o666,
        Node::CharDevice { major: 1, minor: 3 },
    )]);
    let with = |devices| UnpackOptions {
        devices,
        ..as_we_are()
    };
    let (_, refused) = unpack(&tar(&changes), &with(Devices::Refuse));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "layer sha256:test has the device `/null`, which is not allowed here"
    );
    let (dest, skipped) = unpack(&tar(&changes), &with(Devices::Skip));
    assert_eq!(skipped.unwrap().changes.entries(), changes.entries());
    assert_eq!(listing(dest.path()).len(), 0);
}

#[test]
fn overlay_attributes_never_arrive() {
    let mut records = String::new();
    for name in [
        "user.overlay.opaque",
        "user.overlay.redirect",
        "trusted.overlay.opaque",
        "user.kept",
    ] {
        let rest = format!(" SCHILY.xattr.{name}=y\n");
        let length = (rest.len()..)
            .find(|n| n - rest.len() == n.to_string().len())
            .unwrap();
        records.push_str(&format!("{length}{rest}"));
    }
    let archive = raw_tar(&[raw("p", b'x').data(records.as_bytes()), raw("d/", b'5')]);
    let (dest, unpacked) = unpack(&archive, &as_we_are());
    let unpacked = unpacked.unwrap();
    assert_eq!(unpacked.changes.entries()[0].meta.xattrs.len(), 1);
    assert_eq!(xattr(&dest.path().join("d"), "user.overlay.opaque"), None);
    assert_eq!(xattr(&dest.path().join("d"), "user.kept").unwrap(), b"y");
}

#[test]
fn lower_layers_supply_parents_and_links() {
    let mut special = dir("etc");
    special.meta.mode = 0o711;
    let base = ChangeSet::new(vec![
        special,
        file("etc/conf", b"conf"),
        dir("hidden"),
        file("hidden/f", b"1"),
    ]);
    let middle = ChangeSet::new(vec![whiteout("hidden"), symlink("other", "etc")]);
    let base_dir = tempfile::tempdir().unwrap();
    let middle_dir = tempfile::tempdir().unwrap();
    for (changes, at) in [(&base, &base_dir), (&middle, &middle_dir)] {
        kiln_layer::materialise(changes, &DiskSource::new(), at.path(), &as_we_are()).unwrap();
    }
    let lowers = vec![middle_dir.path().to_owned(), base_dir.path().to_owned()];
    let options = UnpackOptions {
        lowers,
        ..as_we_are()
    };
    let top = ChangeSet::new(vec![
        file("etc/new", b"new"),
        hardlink("etc/copy", "etc/conf"),
        file("fresh/x", b""),
    ]);
    let check = |dest: &Path, changes: &ChangeSet| {
        let mode = |name: &str| std::fs::metadata(dest.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("etc"), mode("fresh")), (0o711, 0o755));
        assert_eq!(
            std::fs::metadata(dest.join("etc")).unwrap().mtime(),
            1_600_000_000
        );
        assert_eq!(std::fs::read(dest.join("etc/copy")).unwrap(), b"conf");
        let copy = changes.get(&path("etc/copy")).unwrap();
        assert!(matches!(copy.node, Node::File { size: 4, .. }), "{copy:?}");
    };
    let (dest, unpacked) = unpack(&tar(&top), &options);
    let unpacked = unpacked.unwrap();
    assert_eq!(unpacked.implied_parents, [path("etc"), path("fresh")]);
    check(dest.path(), &unpacked.changes);
    let dest = tempfile::tempdir().unwrap();
    check(
        dest.path(),
        &kiln_layer::materialise(&top, &DiskSource::new(), dest.path(), &options).unwrap(),
    );

    for gone in ["hidden/f", "nowhere", "other", "other/conf", "etc"] {
        let top = ChangeSet::new(vec![hardlink("l", gone)]);
        let (_, refused) = unpack(&tar(&top), &options);
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains("neither this layer nor a lower one has"),
            "{gone}: {error}"
        );
    }
}

#[test]
fn a_file_that_changed_while_it_was_copied_is_named() {
    let from = tempfile::tempdir().unwrap();
    for (before, after) in [(5, 4), (5, 6), (0, 1)] {
        std::fs::write(from.path().join("f"), vec![1; before]).unwrap();
        let changes = crate::fixture::on_disk(from.path(), &["f"]);
        std::fs::write(from.path().join("f"), vec![1; after]).unwrap();
        let dest = tempfile::tempdir().unwrap();
        let error =
            kiln_layer::materialise(&changes, &DiskSource::new(), dest.path(), &as_we_are()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`/f` changed while it was read (expected {before} bytes)")
        );
    }
}
