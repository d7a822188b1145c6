//! WORKDIR, heredocs and the other file operations.

#![expect(clippy::unwrap_used, reason = "functions that tests share count as no tests")]

mod common;

use common::lines;
use common::show_all;
use common::tree;
use kiln_tree::ChangeSet;
use kiln_tree::OpError;
use kiln_tree::Timestamp;
use kiln_tree::ops;
use kiln_tree::ops::Chmod;
use kiln_tree::ops::MkdirAction;
use kiln_tree::ops::MkfileAction;
use kiln_tree::ops::RmAction;
use kiln_tree::ops::SymlinkAction;
use kiln_tree::users::Ids;

const NOW: Timestamp = Timestamp { seconds: 9, nanos: 0 };
const OWNER: Option<Ids> = Some(Ids { uid: 1, gid: 2 });

#[track_caller]
fn check(got: Result<ChangeSet, OpError>, expect: &str) {
    let got = got.map_or_else(
        |error| format!("error: {error}\n"),
        |changes| show_all(changes.entries()),
    );
    assert_eq!(got, lines(expect));
}

#[test]
fn directories() {
    let make = |dest: &str, path: &str, make_parents: bool| {
        let action = MkdirAction {
            path: path.to_owned(),
            mode: 0o4750,
            make_parents,
            owner: OWNER,
            timestamp: None,
        };
        ops::mkdir(&tree(dest), &action, NOW)
    };
    check(make("", "/a/b", true), "d /a 750 1:2 @9\n d /a/b 750 1:2 @9");
    check(make("d /a 700", "/a/b", true), "d /a 700\n d /a/b 750 1:2 @9");
    check(make("d /a 700", "/a", true), "");
    check(make("", "/", true), "");
    check(make("f /a", "/a", true), "error: mkdir /a: not a directory");
    check(make("f /a", "/a/b/c", true), "error: mkdir /a: not a directory");
    check(
        make("l /a /b/c", "/a/d", true),
        "d /b 750 1:2 @9\n d /b/c 750 1:2 @9\n d /b/c/d 750 1:2 @9",
    );
    check(make("", "/a", false), "d /a 750 1:2 @9");
    check(make("f /a", "/a", false), "");
    check(
        make("", "/a/b", false),
        "error: mkdir /a/b: no such file or directory",
    );
    check(make("f /a", "/a/b", false), "error: mkdir /a/b: not a directory");
}

#[test]
fn files() {
    let make = |dest: &str, path: &str| {
        let data = b"text"[..].into();
        let timestamp = Some(Timestamp { seconds: 3, nanos: 0 });
        let action = MkfileAction {
            path: path.to_owned(),
            mode: 0o640,
            data,
            owner: None,
            timestamp,
        };
        ops::mkfile(&tree(dest), &action, NOW)
    };
    check(make("", "a"), "f /a 640 text @3");
    check(make("d /d 700", "/d/a"), "d /d 700\n f /d/a 640 text @3");
    check(make("c /a 1 3", "/a"), "f /a 640 text @3");
    check(make("l /a b", "/a"), "f /b 640 text @3");
    check(make("", "/"), "error: mkfile /: is a directory");
    check(make("d /a", "/a"), "error: rename /a: file exists");
    check(make("", "/d/a"), "error: open /d/a: no such file or directory");
    check(make("f /d", "/d/a"), "error: open /d/a: not a directory");
}

#[test]
fn symlinks() {
    let make = |dest: &str| {
        let action = SymlinkAction {
            old_path: "../x".to_owned(),
            new_path: "/a/b".to_owned(),
            owner: OWNER,
            timestamp: None,
        };
        ops::symlink(&tree(dest), &action, NOW)
    };
    check(make("d /a"), "d /a 755\n l /a/b ../x 1:2 @9");
    check(make("f /a/b"), "error: symlink ../x /a/b: file exists");
    check(make(""), "error: symlink ../x /a/b: no such file or directory");
    check(make("f /a"), "error: symlink ../x /a/b: not a directory");
}

#[test]
fn removals() {
    let remove = |dest: &str, path: &str, allow_not_found: bool, allow_wildcard: bool| {
        ops::rm(
            &tree(dest),
            &RmAction {
                path: path.to_owned(),
                allow_not_found,
                allow_wildcard,
            },
        )
    };
    let dest = "d /a 700\n f /a/b\n f /a/c.x\n f /a/d.x\n l /l a\n l /lost nothing";
    check(remove(dest, "/a/b", false, false), "d /a 700\n - /a/b");
    check(remove(dest, "/l/b", false, false), "d /a 700\n - /a/b");
    check(remove(dest, "a", false, false), "- /a");
    check(remove(dest, "/l", false, false), "- /l");
    check(remove(dest, "/lost", false, false), "- /lost");
    check(
        remove(dest, "/a/*.x", false, true),
        "d /a 700\n - /a/c.x\n - /a/d.x",
    );
    check(remove(dest, "/a/*.y", false, true), "");
    check(remove(dest, "/b", true, false), "");
    check(
        remove(dest, "/b", false, false),
        "error: stat /b: no such file or directory",
    );
    check(
        remove(dest, "/", false, false),
        "error: rmPath: invalid empty path",
    );
}

#[test]
fn modes() {
    let check = |text: &str, mode: u32, expect: u32| {
        let got = text.parse::<Chmod>().unwrap().apply(mode, false);
        assert_eq!(got, expect, "{text}: {got:o}, not {expect:o}");
    };
    check("644", 0o777, 0o644);
    check("07777", 0o0, 0o7777);
    check("u=rwX,go=rX", 0o600, 0o644);
    check("u=rwX,go=rX", 0o711, 0o755);
    check("+X", 0o644, 0o644);
    check("a+x", 0o644, 0o755);
    check("go-rwx", 0o4755, 0o4700);
    check("u+s,g+s", 0o755, 0o6755);
    check("o+s", 0o755, 0o755);
    check("+t", 0o755, 0o1755);
    check("u=rw", 0o4755, 0o655);
    check("a=r", 0o6777, 0o444);
    check("g=u", 0o2701, 0o2771);
    check("g=u-w", 0o700, 0o750);
    check("=", 0o1777, 0o1000);
    check("u=rwx,g=rx,o=", 0o0, 0o750);
    assert_eq!("u=rwX,go=rX".parse::<Chmod>().unwrap().apply(0o600, true), 0o755);
    for bad in ["", "8", "77777", "u", "u=z", "rw", "u+r,", ",", "ug"] {
        let error = bad.parse::<Chmod>().unwrap_err().to_string();
        assert_eq!(error, format!("invalid mode `{bad}`: invalid syntax"));
    }
}
