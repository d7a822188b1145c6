//! COPY and ADD on trees, as BuildKit does them.

#![expect(clippy::unwrap_used, reason = "functions that tests share count as no tests")]

mod common;

use std::error::Error;

use common::changes;
use common::lines;
use common::show_all;
use common::tree;
use kiln_tree::OpError;
use kiln_tree::Timestamp;
use kiln_tree::ops;
use kiln_tree::ops::CopyAction;
use kiln_tree::users::Ids;

/// What COPY lowers to. Words that follow source and destination change it.
fn action(text: &str) -> CopyAction {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut action = CopyAction {
        src: words[0].to_owned(),
        dest: words[1].to_owned(),
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        allow_wildcard: true,
        allow_empty_wildcard: true,
        ..CopyAction::default()
    };
    for word in &words[2..] {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "chown" => {
                let (uid, gid) = value.split_once(':').unwrap();
                action.owner = Some(Ids {
                    uid: uid.parse().unwrap(),
                    gid: gid.parse().unwrap(),
                });
            }
            "chmod" => action.mode = Some(value.parse().unwrap()),
            "time" => {
                action.timestamp = Some(Timestamp {
                    seconds: value.parse().unwrap(),
                    nanos: 0,
                });
            }
            "include" => action.include_patterns.push(value.to_owned()),
            "exclude" => action.exclude_patterns.push(value.to_owned()),
            "require" => action.required_paths.push(value.to_owned()),
            "nofollow" => action.follow_symlink = false,
            "whole" => action.dir_copy_contents = false,
            "nocreate" => action.create_dest_path = false,
            "literal" => action.allow_wildcard = false,
            "some" => action.allow_empty_wildcard = false,
            "replace" => action.always_replace_existing_dest_paths = true,
            name => panic!("`{name}` is no option"),
        }
    }
    action
}

fn report(error: &OpError) -> String {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text + "\n"
}

/// All that is made on the way has the time 9.
#[track_caller]
fn check(dest: &str, source: &str, copy: &str, expect: &str) {
    let created = Timestamp { seconds: 9, nanos: 0 };
    let got = match ops::copy(&tree(dest), &tree(source), &action(copy), created) {
        Ok(changes) => show_all(changes.entries()),
        Err(error) => report(&error),
    };
    assert_eq!(got, lines(expect), "{copy}");
}

const CONTEXT: &str = "
    f /foo.go 600 foo 1:2 @5
    f /bar.go 600 bar
    d /sub 700 3:4 @6
    d /sub/dir1 710 @7
    d /sub/dir1/dir2 711 @8
    f /sub/dir1/dir2/foo 640 deep @4
    l /link sub
    l /flink foo.go
    l /sub/inner dir1 5:5 @3";

#[test]
fn a_file_goes_to_or_into_the_destination() {
    check("", CONTEXT, "foo.go /", "f /foo.go 600 foo 1:2 @5");
    check("", CONTEXT, "/foo.go /x", "f /x 600 foo 1:2 @5");
    check(
        "",
        CONTEXT,
        "foo.go /x/",
        "d /x 755 @9\n f /x/foo.go 600 foo 1:2 @5",
    );
    check(
        "",
        CONTEXT,
        "foo.go /x/.",
        "d /x 755 @9\n f /x/foo.go 600 foo 1:2 @5",
    );
    check("", CONTEXT, "foo.go /x/y", "d /x 755 @9\n f /x/y 600 foo 1:2 @5");
    check(
        "d /x 700 6:6 @2",
        CONTEXT,
        "foo.go /x",
        "d /x 700 6:6 @2\n f /x/foo.go 600 foo 1:2 @5",
    );
    check("f /x 700 y", CONTEXT, "foo.go /x", "f /x 600 foo 1:2 @5");
    check(
        "f /x 700 y",
        CONTEXT,
        "foo.go /x/",
        "error: mkdir /x: not a directory",
    );
    check(
        "f /x 700 y",
        CONTEXT,
        "foo.go /x/y/z",
        "error: mkdir /x: not a directory",
    );
    check(
        "d /x\n d /x/foo.go",
        CONTEXT,
        "foo.go /x",
        "error: cannot replace to directory /x/foo.go with file",
    );
    check("", CONTEXT, "../../foo.go ../x", "f /x 600 foo 1:2 @5");
}

#[test]
fn a_directory_gives_its_contents() {
    let deep = "d /x 755 @6\n d /x/dir1 710 @7\n d /x/dir1/dir2 711 @8\n f /x/dir1/dir2/foo 640 deep @4\n l /x/inner dir1 5:5 @3";
    check("", CONTEXT, "sub /x", deep);
    check("", CONTEXT, "sub/ /x/", deep);
    check("", CONTEXT, "sub/. /x", deep);
    check("", CONTEXT, "link /x", deep);
    check(
        "",
        CONTEXT,
        "sub/dir1/dir2 /x",
        "d /x 755 @8\n f /x/foo 640 deep @4",
    );
    check(
        "d /x 700 1:1 @1",
        CONTEXT,
        "sub/dir1/dir2 /x",
        "d /x 700 1:1 @8\n f /x/foo 640 deep @4",
    );
    check("", CONTEXT, "sub/dir1/dir2 /", "f /foo 640 deep @4");
    check(
        "f /x",
        CONTEXT,
        "sub /x",
        "error: cannot copy to non-directory: /x",
    );
    check(
        "d /x\n f /x/dir1",
        CONTEXT,
        "sub /x",
        "error: cannot copy to non-directory: /x/dir1",
    );
    check(
        "d /x\n l /x/dir1 /y\n d /y",
        CONTEXT,
        "sub /x",
        "error: cannot copy to non-directory: /x/dir1",
    );
    check(
        "d /x\n d /x/foo",
        CONTEXT,
        "sub/dir1/dir2 /x",
        "error: cannot replace to directory /x/foo with file",
    );
}

/// A root has no time of its own: its copy is as new as the copying.
#[test]
fn the_root_as_a_source_is_new() {
    check("", "f /a 644 x @5", ". /x", "d /x 755 @9\n f /x/a 644 x @5");
    check(
        "d /x 700 1:1 @1",
        "f /a 644 x @5",
        "/ /x/",
        "d /x 700 1:1 @9\n f /x/a 644 x @5",
    );
    check(
        "",
        "f /a 644 x @5",
        ". /x time=3",
        "d /x 755 @3\n f /x/a 644 x @3",
    );
}

#[test]
fn directories_that_are_there_take_over_the_sources_metadata() {
    check(
        "d /x 700 8:8 @1\n d /x/a 701 8:8 @1 user.old=1 user.both=1\n f /x/a/f 600 old 8:8",
        "d /s 711 @2\n d /s/a 750 1:1 @3 user.both=2 user.new=2\n f /s/a/g 640 new",
        "s /x",
        "d /x 700 8:8 @2\n d /x/a 750 1:1 @3 user.both=2 user.new=2 user.old=1\n f /x/a/g 640 new",
    );
}

#[test]
fn the_directory_itself() {
    let whole = "d /x 755 @9\n d /x/dir2 711 @8\n f /x/dir2/foo 640 deep @4";
    check("", CONTEXT, "sub/dir1/dir2 /x/ whole", whole);
    check(
        "",
        CONTEXT,
        "sub/dir1/dir2 /x whole",
        "d /x 711 @8\n f /x/foo 640 deep @4",
    );
    check(
        "d /x",
        CONTEXT,
        "sub/dir1/dir2 /x whole",
        "d /x 755\n d /x/dir2 711 @8\n f /x/dir2/foo 640 deep @4",
    );
    check(
        "f /x",
        CONTEXT,
        "sub/dir1/dir2 /x whole",
        "error: mkdir /x: not a directory",
    );
}

#[test]
fn wildcards() {
    check(
        "",
        CONTEXT,
        "*.go /g/",
        "d /g 755 @9\n f /g/bar.go 600 bar\n f /g/foo.go 600 foo 1:2 @5",
    );
    check("", CONTEXT, "f*.go x.go", "f /x.go 600 foo 1:2 @5");
    check(
        "",
        CONTEXT,
        "s*/*/dir2/foo /d/",
        "d /d 755 @9\n f /d/foo 640 deep @4",
    );
    check(
        "",
        CONTEXT,
        "link/d* /d/",
        "d /d 755 @7\n d /d/dir2 711 @8\n f /d/dir2/foo 640 deep @4",
    );
    check("", CONTEXT, "nothing* /d/", "");
    check("", CONTEXT, "nothing* /d/ some", "error: nothing* not found");
    check(
        "",
        CONTEXT,
        "lost/* /d/",
        "error: lstat /lost: no such file or directory",
    );
    check(
        "",
        CONTEXT,
        "*.g[ /d/",
        "error: cannot match `*.g[`: syntax error in pattern: `*.g[`",
    );
    check(
        "",
        "f /a*b 644 star\n f /axb 644 x",
        "a*b /d/ literal",
        "d /d 755 @9\n f /d/a*b 644 star",
    );
    check(
        "",
        "f /[a] 644 1\n f /a 644 2",
        "[[]a] /d/",
        "d /d 755 @9\n f /d/[a] 644 1",
    );
}

#[test]
fn missing_sources() {
    check("", CONTEXT, "nothing /", "error: \"/nothing\": not found");
    check("", CONTEXT, "sub/nothing /", "error: \"/sub/nothing\": not found");
    check(
        "",
        CONTEXT,
        "/ /out require=/sub/no include=sub/no",
        "error: \"/sub/no\": not found",
    );
    check(
        "",
        CONTEXT,
        "foo.go /a/b nocreate",
        "error: failed to stat /a/b: lstat /a: no such file or directory",
    );
}

#[test]
fn symlinks_are_followed_at_the_ends_only() {
    check("", CONTEXT, "flink /", "f /flink 600 foo 1:2 @5");
    check("", CONTEXT, "flink / nofollow", "l /flink foo.go");
    check(
        "",
        CONTEXT,
        "flin* /d/",
        "d /d 755 @9\n f /d/flink 600 foo 1:2 @5",
    );
    check("", CONTEXT, "link/dir1/dir2/foo /", "f /foo 640 deep @4");
    let dest = "l /s ../tmp/target\n d /tmp 1777";
    check(
        dest,
        CONTEXT,
        "foo.go /s/",
        "d /tmp 1777\n d /tmp/target 755 @9\n f /tmp/target/foo.go 600 foo 1:2 @5",
    );
    check(
        dest,
        CONTEXT,
        "foo.go /s",
        "d /tmp 1777\n f /tmp/target 600 foo 1:2 @5",
    );
    check(
        "d /x\n l /x/foo.go /etc",
        CONTEXT,
        "foo.go /x/",
        "d /x 755\n f /x/foo.go 600 foo 1:2 @5",
    );
    check(
        "l /a a",
        CONTEXT,
        "foo.go /a/",
        "error: too many links: `a` goes through more than 255 symbolic links",
    );
}

#[test]
fn owner_mode_and_time_are_set() {
    check(
        "",
        CONTEXT,
        "foo.go /a/b chown=7:8",
        "d /a 755 7:8 @9\n f /a/b 600 foo 7:8 @5",
    );
    check(
        "",
        CONTEXT,
        "foo.go /a/b chmod=777",
        "d /a 777 @9\n f /a/b 777 foo 1:2 @5",
    );
    check("", CONTEXT, "foo.go /a chmod=4711", "f /a 4711 foo 1:2 @5");
    check(
        "",
        CONTEXT,
        "foo.go /a/b chmod=go+w",
        "d /a 755 @9\n f /a/b 622 foo 1:2 @5",
    );
    check(
        "",
        CONTEXT,
        "foo.go /a/b time=3",
        "d /a 755 @3\n f /a/b 600 foo 1:2 @3",
    );
    check(
        "",
        CONTEXT,
        "sub /a chmod=u=rwX,go=rX time=1 chown=2:2",
        "d /a 755 2:2 @1\n d /a/dir1 755 2:2 @1\n d /a/dir1/dir2 755 2:2 @1\n f /a/dir1/dir2/foo 644 deep 2:2 @1\n l /a/inner dir1 2:2 @1",
    );
    check(
        "",
        "f /a 644 x security.capability=cap",
        "a /b chown=1:1",
        "f /b 644 x 1:1 security.capability=cap",
    );
}

#[test]
fn every_kind_is_copied() {
    let all = "c /c 1 3\n b /b 8 0\n p /p\n f /e 644\n l /l nowhere";
    check(
        "",
        &format!("d /d\n{}", all.replace(" /", " /d/")),
        "d /",
        "b /b 8 0\n c /c 1 3\n f /e 644\n l /l nowhere\n p /p",
    );
}

#[test]
fn hard_links_stay_together() {
    let source = "d /s\n f /s/a 644 x\n h /s/b /s/a\n h /s/c /s/a\n f /other 644 y\n h /s/o /other";
    check(
        "",
        source,
        "s /d",
        "d /d 755\n f /d/a 644 x\n h /d/b /d/a\n h /d/c /d/a\n f /d/o 644 y",
    );
    check("", source, "s/b /d", "f /d 644 x");
    // Another source replaces the first name: the content moves on.
    let source =
        "d /s\n d /s/1\n f /s/1/a 644 x\n h /s/1/b /s/1/a\n h /s/1/c /s/1/a\n d /s/2\n f /s/2/a 644 y";
    check(
        "",
        source,
        "s/* /d/",
        "d /d 755\n f /d/a 644 y\n f /d/b 644 x\n h /d/c /d/b",
    );
    check(
        "",
        "h /x /lost",
        "x /d",
        "error: /x is a hard link to a file that is not there",
    );
}

#[test]
fn patterns_choose() {
    let source = "d /a 701\n d /a/b 702 @2\n f /a/b/c.txt 644 1\n f /a/b/d.md 644 2\n f /a/e.txt 644 3\n d /z 703\n f /z/f.md";
    check(
        "",
        source,
        "/ /o exclude=**/*.md exclude=z",
        "d /o 755 @9\n d /o/a 701\n d /o/a/b 702 @2\n f /o/a/b/c.txt 644 1\n f /o/a/e.txt 644 3",
    );
    check(
        "",
        source,
        "/ /o exclude=a exclude=!a/b/c.txt",
        "d /o 755 @9\n d /o/a 701\n d /o/a/b 702 @2\n f /o/a/b/c.txt 644 1\n d /o/z 703\n f /o/z/f.md 644",
    );
    check(
        "",
        source,
        "a/* /o exclude=*.txt",
        "d /o 755 @2\n f /o/d.md 644 2\n f /o/e.txt 644 3",
    );
    check(
        "",
        source,
        "/ /o include=a/b/c.txt",
        "d /o 755 @9\n d /o/a 701\n d /o/a/b 702 @2\n f /o/a/b/c.txt 644 1",
    );
    check(
        "",
        source,
        "/ /o include=a/b",
        "d /o 755 @9\n d /o/a 701\n d /o/a/b 702 @2\n f /o/a/b/c.txt 644 1\n f /o/a/b/d.md 644 2",
    );
    check(
        "",
        source,
        "/a /o include=b/*.md",
        "d /o 755\n d /o/b 702 @2\n f /o/b/d.md 644 2",
    );
    check("", source, "/ /o include=q/*/c", "d /o 755 @9");
    check(
        "d /o\n d /o/a 777 5:5 @5",
        source,
        "/ /o/ include=a/e.txt",
        "d /o 755 @9\n d /o/a 701 5:5 @5\n f /o/a/e.txt 644 3",
    );
    check(
        "",
        source,
        "/ /o include=[",
        "error: invalid includepatterns: [[]: syntax error in pattern: `[`",
    );
}

#[test]
fn whatever_is_there_is_replaced_when_asked_for() {
    let dest = "d /x\n d /x/f\n f /x/f/old\n f /x/d\n l /x/l f";
    let source = "d /s\n f /s/f 644 new\n d /s/d\n f /s/d/n\n d /s/l";
    check(
        dest,
        source,
        "s /x replace",
        "d /x 755\n d /x/d 755\n f /x/d/n 644\n f /x/f 644 new\n d /x/l 755",
    );
}

#[test]
fn all_directories_above_a_change_are_named() {
    let dest = "d / 711\n d /a 700 1:1 @1\n d /a/b 701 2:2 @2\n---\n f /a/b/x 644 x";
    check(
        dest,
        CONTEXT,
        "foo.go /a/b/x",
        "d /a 700 1:1 @1\n d /a/b 701 2:2 @2\n f /a/b/x 600 foo 1:2 @5",
    );
}

#[test]
fn archives_are_unpacked() {
    let check = |dest: &str, archive: &str, expect: &str| {
        let action = action("archive.tar /x/ chown=4:4");
        let created = Timestamp { seconds: 9, nanos: 0 };
        let got = match ops::unpack(&tree(dest), &changes(archive), &action, created) {
            Ok(changes) => show_all(changes.entries()),
            Err(error) => report(&error),
        };
        assert_eq!(got, lines(expect));
    };
    check(
        "",
        "f /a/b 600 1 @2",
        "d /x 755 4:4 @9\n d /x/a 755 @9\n f /x/a/b 600 1 4:4 @2",
    );
    check(
        "d /x 700",
        "d / 711 @3\n f /a",
        "d /x 711 4:4 @3\n f /x/a 644 4:4",
    );
    check(
        "d /x\n l /x/a /etc\n d /etc 700",
        "f /a/b",
        "d /x 755\n d /x/etc 755 @9\n f /x/etc/b 644 4:4",
    );
    check(
        "d /x\n d /x/run 700\n l /x/a /run",
        "d /a/c\n f /a/c/f 644 1\n h /a/c/h /a/c/f",
        "d /x 755\n d /x/run 700\n d /x/run/c 755 4:4\n f /x/run/c/f 644 1 4:4\n h /x/run/c/h /x/run/c/f 4:4",
    );
    check(
        "d /x\n l /x/a /etc\n d /etc 700",
        "d /a\n f /a/b",
        "d /x 755\n d /x/a 755 4:4\n f /x/a/b 644 4:4",
    );
    check("d /x\n l /x/a ../../..", "f /a/b", "d /x 755\n f /x/b 644 4:4");
    check("d /x\n d /x/a\n f /x/a/old", "f /a", "d /x 755\n f /x/a 644 4:4");
    check(
        "d /x",
        "f /z 644 1\n h /a /z\n h /b /a",
        "d /x 755\n h /x/a /x/z 4:4\n h /x/b /x/z 4:4\n f /x/z 644 1 4:4",
    );
    check(
        "d /x\n f /x/old 644 o",
        "h /a /old",
        "d /x 755\n f /x/a 644 o 4:4",
    );
    check(
        "d /x",
        "h /a /lost",
        "error: /a is a hard link to a file that is not there",
    );
    check("f /x", "f /a", "error: mkdir /x: not a directory");
}
