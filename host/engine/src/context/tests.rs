use std::os::unix::fs::symlink;

use super::*;

/// Makes a context: `dir/`, `link -> target`, `file`.
fn context(paths: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for path in paths {
        let (path, target) = path
            .split_once(" -> ")
            .map_or((*path, None), |(p, t)| (p, Some(t)));
        let full = directory.path().join(path);
        match target {
            _ if path.ends_with('/') => std::fs::create_dir_all(full).unwrap(),
            Some(target) => symlink(target, full).unwrap(),
            None => {
                std::fs::create_dir_all(full.parent().unwrap()).unwrap();
                std::fs::write(full, path).unwrap();
            }
        }
    }
    directory
}

fn list(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[track_caller]
fn check(paths: &[&str], include: &str, exclude: &str, follow: &str, expect: &str) {
    let directory = context(paths);
    let cache = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        include: list(include),
        exclude: list(exclude),
        follow: list(follow),
    };
    for threads in [1, 2, 5] {
        let tree = LocalTree::read(directory.path(), &wanted, cache.path(), threads).unwrap();
        let found: Vec<String> = tree
            .changes()
            .entries()
            .iter()
            .map(|e| e.path.to_string())
            .collect();
        assert_eq!(found.join(" "), expect, "{threads} threads");
        assert_eq!(tree.stats.len(), found.len());
    }
}

#[test]
fn what_is_read_follows_the_patterns() {
    let files = ["a/b/c", "a/d", "a-b", "e", "f/"];
    check(&files, "", "", "", "/a /a/b /a/b/c /a/d /a-b /e /f");
    check(&files, "", "a", "", "/a-b /e /f");
    check(&files, "", "a !a/b/c", "", "/a /a/b /a/b/c /a-b /e /f");
    check(&files, "", "* !e", "", "/e");
    check(&files, "a/b", "", "", "/a /a/b /a/b/c");
    check(&files, "", "", "a/d e", "/a /a/d /e");
    check(&files, "", "**/d", "a", "/a /a/b /a/b/c");
    check(&files, "", "", "/", "/a /a/b /a/b/c /a/d /a-b /e /f");
}

#[test]
fn links_on_the_way_are_followed() {
    check(
        &["real/x", "real/y", "link -> real", "other"],
        "",
        "",
        "link/x",
        "/link /real /real/x /real/y",
    );
    check(&["a/x", "b -> a/x", "c -> b", "d"], "", "", "c", "/a /a/x /b /c");
    check(&["loop -> loop", "x"], "", "", "loop x", "/loop /x");
    // A link in a directory that is wanted is a file like others: nobody asked for what it points at.
    check(&["d/", "d/link -> ../other", "other"], "", "", "d", "/d /d/link");
    check(
        &["d/", "d/link -> ../other", "other"],
        "",
        "",
        "d/*",
        "/d /d/link /other",
    );
}

#[test]
fn hard_links_stay_links_and_owners_are_reset() {
    let directory = context(&["a/x", "b"]);
    std::fs::hard_link(directory.path().join("a/x"), directory.path().join("c")).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let tree = LocalTree::read(directory.path(), &Wanted::default(), cache.path(), 2).unwrap();
    let linked = tree.changes().get(&TreePath::parse("c").unwrap()).unwrap();
    assert_eq!(
        linked.node,
        Node::Hardlink {
            target: TreePath::parse("a/x").unwrap()
        }
    );
    assert!(
        tree.changes()
            .entries()
            .iter()
            .all(|e| (e.meta.uid, e.meta.gid) == (0, 0))
    );
}

#[test]
fn a_missing_context_is_named() {
    let error = LocalTree::read(
        Path::new("/no/such/dir"),
        &Wanted::default(),
        Path::new("/tmp"),
        1,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unable to prepare context: path \"/no/such/dir\" not found"
    );
}

#[test]
fn attributes_are_kept_and_remembered() {
    let directory = context(&["a", "b"]);
    let (path, value) = (directory.path().join("a"), b"x".as_slice());
    let set = |value| rustix::fs::setxattr(&path, "user.kiln", value, rustix::fs::XattrFlags::empty());
    if set(value) == Err(rustix::io::Errno::NOTSUP) {
        return; // a file system that has none
    }
    let cache = tempfile::tempdir().unwrap();
    let found = |expect: &[u8]| {
        let tree = LocalTree::read(directory.path(), &Wanted::default(), cache.path(), 1).unwrap();
        let of = |name: &str| {
            let path = TreePath::parse(name).unwrap();
            tree.changes().get(&path).unwrap().clone()
        };
        assert_eq!(
            of("a").meta.xattrs,
            [(b"user.kiln".as_slice().into(), expect.into())]
        );
        assert!(of("b").meta.xattrs.is_empty());
        let digest = |_: &Entry| Ok(Digest::of("x"));
        tree.file_digest(&of("a"), digest).unwrap();
        tree.save();
    };
    found(value);
    // Files are remembered when they were old enough when they were read.
    std::thread::sleep(std::time::Duration::from_millis(50));
    found(value);
    found(value);
    set(b"y").unwrap();
    found(b"y");
}
