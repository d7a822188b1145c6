//! What every snapshotter promises, tested on all of them: the lower layers with the changes on top are what the step
//! left behind, and the layer directory says the same as the changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

use kiln_layer::ContentSource as _;
use kiln_layer::Devices;
use kiln_layer::DiskSource;
use kiln_layer::Owner;
use kiln_layer::UnpackOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Node;

use crate::Committed;
use crate::Copy;
use crate::Overlay;
use crate::RootMount;
use crate::Snapshotter;
use crate::copy::stack;
use crate::overlay::detached_overlay;
use crate::scan_tree;
use crate::scan_upper;
use crate::supported;

type Step = fn(&Path);

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn snapshotters() -> Vec<Box<dyn Snapshotter>> {
    let owner = if is_root() { Owner::Keep } else { Owner::Own };
    let copy = Copy {
        options: UnpackOptions {
            devices: Devices::Skip,
            owner,
            ..UnpackOptions::default()
        },
    };
    match supported(&std::env::temp_dir()) {
        Ok(()) => vec![Box::new(Overlay), Box::new(copy)],
        // Without privileges there is no overlay to test, and the probe has to say so.
        Err(error) => {
            assert!(!is_root(), "{error}: {}", error.source);
            vec![Box::new(copy)]
        }
    }
}

/// A step's view of its root; unmounted when dropped.
struct View {
    path: PathBuf,
    _mount: Option<OwnedFd>,
}

fn enter(root: RootMount) -> View {
    match root {
        RootMount::Directory { path } => View { path, _mount: None },
        RootMount::Overlay { lowers, upper, work } => {
            let mount = detached_overlay(&lowers, &upper, &work).unwrap();
            View {
                path: format!("/proc/self/fd/{}/", mount.as_raw_fd()).into(),
                _mount: Some(mount),
            }
        }
    }
}

/// Makes two layers: the upper one deletes, replaces and hides parts of the lower one.
fn layers(dir: &Path) -> Vec<PathBuf> {
    let [base, middle] = ["base", "middle"].map(|name| dir.join(name));
    for path in ["keep/deep", "drop/deep", "hide/deep", "swap"] {
        fs::create_dir_all(base.join(path)).unwrap();
    }
    for path in [
        "keep/a",
        "keep/b",
        "keep/deep/c",
        "drop/deep/d",
        "hide/deep/e",
        "gone",
        "plain",
        "swap/x",
    ] {
        fs::write(base.join(path), path).unwrap();
    }
    fs::hard_link(base.join("keep/a"), base.join("keep/a2")).unwrap();
    fs::hard_link(base.join("gone"), base.join("heir")).unwrap();
    symlink("keep", base.join("link")).unwrap();
    fs::set_permissions(base.join("keep"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::create_dir_all(middle.join("hide")).unwrap();
    fs::write(middle.join("hide/new"), "new").unwrap();
    let hide = fs::File::open(middle.join("hide")).unwrap();
    rustix::fs::fsetxattr(
        &hide,
        "user.overlay.opaque",
        b"y",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let whiteout = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        middle.join("gone"),
        whiteout,
        rustix::fs::Mode::empty(),
        0,
    )
    .unwrap();
    vec![base, middle]
}

/// What a change set amounts to, with contents and without how it links names.
fn described(changes: &ChangeSet) -> BTreeMap<String, String> {
    let describe = |entry: &kiln_tree::Entry| {
        let file = match &entry.node {
            Node::Hardlink { target } => changes.get(target).unwrap(),
            _ => entry,
        };
        let what = match &file.node {
            Node::File { size, .. } => {
                let mut text = String::new();
                DiskSource::new()
                    .open(file)
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                assert_eq!(text.len() as u64, *size);
                text
            }
            node => format!("{node:?}"),
        };
        (entry.path.to_string(), format!("{what} {:?}", entry.meta))
    };
    changes.entries().iter().map(describe).collect()
}

/// Runs `step` on the layers and returns the changed paths; `!` marks opaque directories, `-` deleted paths.
#[track_caller]
fn run(snapshotter: &dyn Snapshotter, step: impl Fn(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let lowers = layers(dir.path());
    let lower = lowers.iter().fold(ChangeSet::default(), |tree, layer| {
        stack(&tree, &scan_upper(layer).unwrap())
    });
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let prepared = snapshotter.prepare(&lowers, &scratch).unwrap();
    let view = enter(prepared.root());
    let before = described(&scan_tree(&view.path).unwrap());
    assert_eq!(
        before,
        described(&lower),
        "{} shows the lower layers",
        snapshotter.name()
    );
    step(&view.path);
    let after = described(&scan_tree(&view.path).unwrap());
    drop(view);
    let Committed { changes, dir: layer } = prepared.commit(&lower).unwrap();
    let merged = described(&stack(&lower, &changes));
    assert_eq!(merged, after, "{}: {changes:?}", snapshotter.name());
    assert_eq!(
        scan_upper(&layer).unwrap(),
        changes,
        "{} leaves a directory with the changes",
        snapshotter.name()
    );
    let word = |entry: &kiln_tree::Entry| match entry.node {
        Node::Whiteout => format!("-{}", entry.path),
        Node::Directory { opaque: true } => format!("{}!", entry.path),
        _ => entry.path.to_string(),
    };
    changes.entries().iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn changes_are_found() {
    let cases: Vec<(Step, &str)> = vec![
        (|_| {}, ""),
        (|r| drop(fs::read(r.join("keep/a")).unwrap()), ""),
        (|r| fs::write(r.join("new"), "new").unwrap(), "/new"),
        (
            |r| fs::write(r.join("keep/deep/n"), "new").unwrap(),
            "/keep /keep/deep /keep/deep/n",
        ),
        (|r| fs::write(r.join("plain"), "other").unwrap(), "/plain"),
        (|r| fs::remove_file(r.join("plain")).unwrap(), "-/plain"),
        (|r| fs::remove_dir_all(r.join("drop")).unwrap(), "-/drop"),
        (
            |r| fs::remove_file(r.join("keep/deep/c")).unwrap(),
            "/keep /keep/deep -/keep/deep/c",
        ),
        (
            |r| fs::set_permissions(r.join("keep"), fs::Permissions::from_mode(0o700)).unwrap(),
            "/keep",
        ),
        (|r| fs::create_dir(r.join("empty")).unwrap(), "/empty"),
        (
            |r| fs::create_dir_all(r.join("keep/x/y")).unwrap(),
            "/keep /keep/x /keep/x/y",
        ),
        (|r| symlink("a", r.join("keep/l")).unwrap(), "/keep /keep/l"),
        (
            |r| fs::rename(r.join("plain"), r.join("moved")).unwrap(),
            "/moved -/plain",
        ),
        (|r| fs::write(r.join("heir"), "changed").unwrap(), "/heir"),
        (
            |r| {
                fs::write(r.join("tmp"), "tmp").unwrap();
                fs::remove_file(r.join("tmp")).unwrap();
            },
            "",
        ),
        (
            |r| {
                fs::remove_dir_all(r.join("swap")).unwrap();
                fs::write(r.join("swap"), "file").unwrap();
            },
            "/swap",
        ),
        (
            |r| {
                fs::remove_file(r.join("plain")).unwrap();
                fs::create_dir(r.join("plain")).unwrap();
                fs::write(r.join("plain/x"), "x").unwrap();
            },
            "/plain /plain/x",
        ),
        (
            |r| {
                fs::write(r.join("one"), "1").unwrap();
                fs::hard_link(r.join("one"), r.join("two")).unwrap();
            },
            "/one /two",
        ),
        (
            |r| {
                let file = fs::File::create(r.join("marked")).unwrap();
                rustix::fs::fsetxattr(&file, "user.a", b"b", rustix::fs::XattrFlags::empty()).unwrap();
            },
            "/marked",
        ),
    ];
    for snapshotter in snapshotters() {
        for (at, (step, expected)) in cases.iter().enumerate() {
            assert_eq!(
                run(&*snapshotter, step),
                *expected,
                "{}, case {at}",
                snapshotter.name()
            );
        }
    }
}

#[test]
fn a_directory_made_again_hides_what_was_in_it() {
    for snapshotter in snapshotters() {
        let found = run(&*snapshotter, |root| {
            fs::remove_dir_all(root.join("drop")).unwrap();
            fs::create_dir(root.join("drop")).unwrap();
        });
        let expected = if snapshotter.name() == "overlay" {
            "/drop!"
        } else {
            "/drop -/drop/deep"
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_file_set_back_to_its_time_is_still_changed() {
    for snapshotter in snapshotters() {
        let found = run(&*snapshotter, |root| {
            let path = root.join("plain");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "pl4in").unwrap();
            fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        });
        assert_eq!(found, "/plain");
    }
}

/// Steps that a seed makes up; a failure prints it.
#[test]
fn random_steps() {
    let names = [
        "keep",
        "keep/a",
        "keep/a2",
        "keep/deep",
        "keep/deep/c",
        "plain",
        "hide/new",
        "swap",
        "swap/x",
        "n",
        "n/m",
        "heir",
    ];
    for seed in 1..60u64 {
        for snapshotter in snapshotters() {
            println!("seed {seed} {}", snapshotter.name());
            run(&*snapshotter, |root| {
                let mut state = seed;
                let mut pick = |below: usize| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) as usize % below
                };
                for _ in 0..12 {
                    let (path, other) = (
                        root.join(names[pick(names.len())]),
                        root.join(names[pick(names.len())]),
                    );
                    // What is not possible does not happen.
                    let _ = match pick(7) {
                        0 => fs::write(&path, format!("{}", pick(1000))),
                        1 => fs::remove_file(&path),
                        2 => fs::remove_dir_all(&path),
                        3 => fs::create_dir(&path),
                        4 => fs::hard_link(&path, &other),
                        5 => symlink("keep", &path),
                        _ => fs::set_permissions(&path, fs::Permissions::from_mode(0o700 | pick(64) as u32)),
                    };
                }
            });
        }
    }
}

#[test]
fn redirects_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("f")).unwrap();
    rustix::fs::fsetxattr(
        &file,
        "user.overlay.metacopy",
        b"",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let error = scan_upper(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("/f` has the overlay attribute `user.overlay.metacopy` (mount with redirect_dir=nofollow,metacopy=off)"), "{error}");
    assert_eq!(scan_tree(dir.path()).unwrap().entries()[0].meta.xattrs, []);
}

#[test]
fn whiteouts_that_share_an_inode_are_no_links() {
    let dir = tempfile::tempdir().unwrap();
    let make = rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("a"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    );
    make.unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    let found = scan_upper(dir.path()).unwrap();
    assert!(
        found.entries().iter().all(|entry| entry.node == Node::Whiteout),
        "{found:?}"
    );
    assert_eq!(found.entries().len(), 2);
}

#[test]
fn a_missing_directory_is_named() {
    let error = supported(Path::new("/does/not/exist")).unwrap_err().to_string();
    assert_eq!(
        error,
        "overlayfs does not work in `/does/not/exist`: cannot create a directory"
    );
    assert!(scan_upper(Path::new("/does/not/exist")).is_err());
}
