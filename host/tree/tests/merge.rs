//! Stacks of layers as one tree.

#![expect(clippy::unwrap_used, reason = "functions that tests share count as no tests")]

mod common;

use common::changes;
use common::lines;
use common::path;
use common::shared;
use common::show;
use common::show_all;
use common::tree;
use kiln_tree::Follow;
use kiln_tree::Tree;
use kiln_tree::TreePath;
use serde_json::Value;

fn walked(tree: &Tree) -> String {
    tree.walk(&TreePath::root())
        .map(|found| show(&found) + "\n")
        .collect()
}

/// The walk, the lookups of all that it found and the flattened tree agree.
#[track_caller]
fn check(layers: &str, expect: &str) {
    let tree = tree(layers);
    assert_eq!(walked(&tree), lines(expect), "{layers}");
    for found in tree.walk(&TreePath::root()) {
        assert_eq!(tree.lookup(&found.path).as_ref(), Some(&found), "{layers}");
    }
}

#[test]
fn layers_merge() {
    check("", "");
    check("d /a 700\n f /a/b 644 x", "d /a 700\n f /a/b 644 x");
    check("f /a 644 x \n---\n f /a 600 y", "f /a 600 y");
    check(
        "d /a 700\n f /a/b 644 x \n---\n d /a 755\n f /a/c 644 y",
        "d /a 755\n f /a/b 644 x\n f /a/c 644 y",
    );
    check(
        "d /a 700\n f /a/b 644 x\n f /a-b 644 z\n---\n- /a",
        "f /a-b 644 z",
    );
    check(
        "d /a 700\n f /a/b 644 x\n f /a/c 644 z\n---\n- /a/b",
        "d /a 700\n f /a/c 644 z",
    );
    check(
        "d /a 700\n f /a/b 644 x\n---\nd /a 711 opaque\n f /a/c 644 z",
        "d /a 711 opaque\n f /a/c 644 z",
    );
    check("d /a 700\n f /a/b 644 x\n---\nf /a 644 y", "f /a 644 y");
    check(
        "d /a 700\n f /a/b 644 x\n---\nf /a 644 y\n---\nd /a 755\n f /a/c 644 z",
        "d /a 755\n f /a/c 644 z",
    );
    check(
        "d /a 700\n f /a/b 644 x\n---\n- /a\n---\n f /a/c 644 z",
        "d /a 755\n f /a/c 644 z",
    );
    check("- /nothing\n f /x 644 1", "f /x 644 1");
}

#[test]
fn missing_directories_are_implied() {
    check("f /a/b/c 644 x", "d /a 755\n d /a/b 755\n f /a/b/c 644 x");
    check(
        "d /a 700 7:8\n---\n f /a/b/c 644 x",
        "d /a 700 7:8\n d /a/b 755\n f /a/b/c 644 x",
    );
    check("f /a 644 y\n---\n f /a/b 644 x", "d /a 755\n f /a/b 644 x");
    check("l /a b\n---\n f /a/b 644 x", "d /a 755\n f /a/b 644 x");
    check(
        "d /a 700\n f /a/b 644 x\n---\n- /a\n f /a/c 644 z",
        "d /a 755\n f /a/c 644 z",
    );
    check(
        "d /a 700\n f /a/b/x 644 x\n---\n d /a 755 opaque\n---\n f /a/b/y 644 x",
        "d /a 755 opaque\n d /a/b 755\n f /a/b/y 644 x",
    );
}

#[test]
fn a_file_has_nothing_in_it() {
    check(
        "f /a 644 y\n f /a/b 644 x\n f /b 644 z",
        "f /a 644 y\n f /b 644 z",
    );
    let tree = tree("d /a\n f /a/b 644 x\n---\n f /a 644 y");
    assert_eq!(tree.lookup(&path("/a/b")), None);
    assert!(tree.read_dir(&path("/a")).is_empty());
    assert!(tree.walk(&path("/nothing")).next().is_none());
}

#[test]
fn directories_are_read_without_what_is_in_their_directories() {
    let tree = tree("d /a\n d /a/b\n f /a/b/c\n f /a/z\n---\n f /a/b/d\n f /a/c\n---\n- /a/z");
    let names: Vec<String> = tree
        .read_dir(&path("/a"))
        .iter()
        .map(|found| found.path.to_string())
        .collect();
    assert_eq!(names, ["/a/b", "/a/c"]);
    let below: Vec<String> = tree
        .walk(&path("/a/b"))
        .map(|found| found.path.to_string())
        .collect();
    assert_eq!(below, ["/a/b/c", "/a/b/d"]);
}

#[test]
fn the_root_is_always_there() {
    assert_eq!(
        show(tree("").lookup(&TreePath::root()).unwrap().entry()),
        "d / 755"
    );
    assert_eq!(
        show(tree("d / 700 1:2").lookup(&TreePath::root()).unwrap().entry()),
        "d / 700 1:2"
    );
}

#[test]
fn hard_links_are_files() {
    let tree = tree("f /a 600 x 3:4\n h /b /a\n h /c /b\n h /lost /nothing\n---\n- /a\n---\n h /d /c");
    for name in ["/b", "/c", "/d"] {
        assert_eq!(show(&tree.file(&path(name)).unwrap()), format!("f {name} 644 x"));
    }
    assert_eq!(tree.file(&path("/lost")), None);
    assert_eq!(
        show_all(tree.flatten().entries()),
        lines("f /b 644 x\n h /c /b\n h /d /b")
    );
}

#[test]
fn a_flat_tree_has_no_whiteouts() {
    let tree = tree("d / 711\n d /a\n f /a/b 644 x\n f /c\n---\n- /c\n d /a 700 opaque\n f /a/d/e");
    assert_eq!(
        show_all(tree.flatten().entries()),
        lines("d / 711\n d /a 700\n d /a/d 755\n f /a/d/e 644")
    );
}

#[test]
fn symlinks_resolve_inside_the_root() {
    let tables: Value = serde_json::from_str(&shared("conformance/solver/solver_tables.json")).unwrap();
    let table = &tables["root_path_symlinks"];
    let mut layer = String::new();
    for dir in table["tree"]["dirs"].as_array().unwrap() {
        layer += &format!("d /{}\n", dir.as_str().unwrap());
    }
    for (name, target) in table["tree"]["symlinks"].as_object().unwrap() {
        layer += &format!("l /{name} {}\n", target.as_str().unwrap());
    }
    let tree = tree(&layer);
    let cases = table["cases"].as_array().unwrap();
    assert!(cases.len() >= 46, "{} cases", cases.len());
    for case in cases {
        let follow = if case["followTrailing"] == true {
            Follow::Last
        } else {
            Follow::NotLast
        };
        let got = tree.resolve(case["path"].as_str().unwrap(), follow).unwrap();
        assert_eq!(got.to_string(), case["expected"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn symlinks_that_lead_nowhere() {
    let tree = tree("l /loop loop\n l /up ../../../etc/x\n l /abs /b/c\n d /b\n l /b/c ./d/e");
    let check = |path: &str, expect: &str| {
        let got = tree
            .resolve(path, Follow::Last)
            .map_or_else(|e| e.to_string(), |path| path.to_string());
        assert_eq!(got, expect);
    };
    check(
        "/loop",
        "too many links: `/loop` goes through more than 255 symbolic links",
    );
    check("/up", "/etc/x");
    check("abs/f", "/b/d/e/f");
    check("b/../../b", "/b");
    let missing = tree.resolve_existing(&path("/abs")).unwrap_err();
    assert_eq!(missing.to_string(), "\"/abs\": not found");
}

#[test]
fn two_change_sets_in_one() {
    let check = |lower: &str, upper: &str, expect: &str| {
        assert_eq!(
            show_all(changes(lower).then(&changes(upper)).entries()),
            lines(expect)
        );
    };
    check("f /a 644 x", "f /b 644 y", "f /a 644 x\n f /b 644 y");
    check("f /a 644 x", "- /a", "- /a");
    check("- /a", "d /a 755", "d /a 755 opaque");
    check("f /a 644 x", "d /a 755\n f /a/b", "d /a 755 opaque\n f /a/b 644");
    check("f /a 644 x", "f /a/b", "d /a 755 opaque\n f /a/b 644");
    check("d /a 755\n f /a/b", "d /a 700 opaque", "d /a 700 opaque");
    check(
        "d /a 755 opaque\n f /a/b",
        "d /a 700\n f /a/c",
        "d /a 700 opaque\n f /a/b 644\n f /a/c 644",
    );
    check("d /a\n f /a/b", "- /a", "- /a");
    check(
        "f /a 644 x\n h /b /a\n h /c /a",
        "f /a 600 y",
        "f /a 600 y\n f /b 644 x\n h /c /b",
    );
}
