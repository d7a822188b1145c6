//! Content hashes against digests that BuildKit computed.

#![expect(clippy::unwrap_used, reason = "functions that tests share count as no tests")]

mod common;

use std::cell::RefCell;
use std::io;

use common::shared;
use common::tree;
use kiln_image::Digest;
use kiln_image::Hasher;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Node;
use kiln_tree::hash::FileDigests;
use kiln_tree::hash::Missing;
use kiln_tree::hash::Options;
use kiln_tree::hash::RootHeader;
use kiln_tree::hash::Selector;
use kiln_tree::hash::checksum;
use kiln_tree::hash::content_key;
use kiln_tree::hash::dedupe_paths;
use serde_json::Value;

/// Hashes contents in memory and keeps count.
#[derive(Default)]
struct Inline(RefCell<Vec<String>>);

impl FileDigests for Inline {
    fn digest(&self, file: &Entry, header: &[u8]) -> io::Result<Digest> {
        let Node::File {
            content: Content::Inline(bytes),
            ..
        } = &file.node
        else {
            return Err(io::Error::other("not in memory"));
        };
        self.0.borrow_mut().push(file.path.to_string());
        let mut hasher = Hasher::new();
        hasher.update(header);
        hasher.update(bytes);
        Ok(hasher.finish())
    }
}

/// Words behind the path: `follow`, `wildcard`, `local`, `+include`, `-exclude`, `!required`.
fn options(words: &[&str]) -> Options {
    let mut options = Options::default();
    for word in words {
        match (*word, word.split_at(1)) {
            ("follow", _) => options.follow_links = true,
            ("wildcard", _) => options.wildcard = true,
            ("local", _) => options.root = RootHeader::Empty,
            (_, ("+", pattern)) => options.include_patterns.push(pattern.to_owned()),
            (_, ("-", pattern)) => options.exclude_patterns.push(pattern.to_owned()),
            (_, ("!", path)) => options.required_paths.push(path.to_owned()),
            (word, _) => panic!("`{word}` is no option"),
        }
    }
    options
}

/// Returns the digest of a path, or the error.
fn of(layers: &str, query: &str) -> String {
    let words: Vec<&str> = query.split_whitespace().collect();
    let (files, options) = (Inline::default(), options(&words[1..]));
    let got = match checksum(&tree(layers), words[0], &options, &files) {
        Ok(digest) => digest.hex(),
        Err(error) => error.to_string(),
    };
    let mut asked = files.0.into_inner();
    if got.len() == 64 {
        let missing = Missing::new(|_| None);
        checksum(&tree(layers), words[0], &options, &missing).unwrap();
        assert_eq!(
            missing
                .into_files()
                .iter()
                .map(|(file, _)| file.path.to_string())
                .collect::<Vec<_>>(),
            asked,
            "{query}"
        );
    }
    asked.sort();
    let all = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), all, "{query}: a file was hashed twice");
    got
}

#[track_caller]
fn check(layers: &str, query: &str, expect: &str) {
    assert_eq!(of(layers, query), expect, "{query}");
}

const DATA0: &str = "cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b";
const DATA1: &str = "c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b";
const DATA2: &str = "1c67653c3cf95b12a0014e2c4cd1d776b474b3218aee54155d6ae27b9b999c54";
const D0: &str = "d47454417d2c554067fbefe5f5719edc49f3cfe969c36b62e34a187a4da0cc9a";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn files_and_directories() {
    let layer = "f /foo 644 data0\n f /bar 644 data1\n d /d0\n f /d0/abc 644 data0\n l /d0/def abc\n l /d0/ghi nosuchfile";
    check(layer, "foo", DATA0);
    check(layer, "/bar follow", DATA1);
    check(layer, "d0/abc", DATA0);
    check(layer, "d0/def follow", DATA0);
    check(layer, "d0 follow", D0);
    check(
        layer,
        "/ follow",
        "427c9cf9ae98c0f81fb57a3076b965c7c149b6b0a85625ad4e884236649a42c6",
    );
    check(layer, "nosuch follow", "\"/nosuch\": not found");
    check(layer, "d0/ghi follow", "\"/d0/ghi\": not found");
    check("f /abc 644 data0\n l /def abc\n l /ghi nosuchfile", "/", D0);
    let modified = "555ffa3028630d97ba37832b749eda85ab676fd64ffb629fbf0f4ec8c1e3bff1";
    check("f /abc 644 data0\n l /def abc", "/", modified);
    check("d /a\n d /a/b\n f /a/b/c 644 data2", "a/b/c", DATA2);
}

#[test]
fn names_are_in_the_order_of_a_walk() {
    let layer = "d /d0\n d /d0/foo\n f /d0/foo/bar 644 data0\n d /d0/foo-subdir\n f /d0/foo.subdir 644 data1";
    check(
        layer,
        "d0",
        "14276c302c940a80f82ca5477bf766c98a24702d6a9948ee71bb277cdad3ae05",
    );
    let layer = "d /d0\n d /d0/foo\n f /d0/foo/bar 644 data0\n d /d0/foo/subdir1\n f /d0/foo/subdir1/baz 644 data1\n d /d0/foo/subdir2";
    check(
        layer,
        "d0/foo",
        "e76717544f71725bd759a981554ca17c286b3d222598f46a671b983fd2b8172d",
    );
}

#[test]
fn patterns_that_match_nothing_change_nothing() {
    let test = "8f36dfd60011a21345427f4d3177b1223e11fbb732c18dd07cd8b2a27a0b53ca";
    check("d /test\n f /test/foo 644 data0", "test", test);
    check("d /test\n f /test/foo 644 data0", "test -*.git", test);
}

#[test]
fn times_do_not_count() {
    check("f /foo 644 data0 @77", "foo", DATA0);
    for other in [
        "f /foo 600 data0",
        "f /foo 644 data0 1:0",
        "f /foo 644 data0 user.a=b",
        "f /foo 4644 data0",
    ] {
        assert_ne!(of(other, "foo"), DATA0, "{other}");
    }
    check("f /foo 644 data0 security.selinux=x", "foo", DATA0);
    assert_ne!(of("f /foo 644 data0 security.capability=x", "foo"), DATA0);
}

#[test]
fn hard_links_are_the_file() {
    let layer =
        "d /abc\n f /abc/foo 644 data0\n h /ln /abc/foo\n h /ln2 /abc/foo\n---\n f /abc/foo 644 data1";
    for (path, expect) in [("abc/foo", DATA1), ("ln", DATA0), ("ln2", DATA0)] {
        check(layer, path, expect);
    }
}

#[test]
fn wildcards() {
    let layer = "
        f /bar 644 data1\n f /foo 644 data0\n f /fox 644 data2\n d /x\n d /x/d0\n f /x/d0/abc 644 data0
        l /x/d0/def abc\n l /x/d0/ghi nosuchfile\n l /y1 foo\n l /y2 fox";
    check(
        layer,
        "f*o wildcard",
        &Digest::of(format!("\0foosha256:{DATA0}")).hex(),
    );
    check(
        layer,
        "f* wildcard",
        "0b6731924f0a32a812bf8a729202e55e54ded331f9e4ff2397f681e43694e086",
    );
    check(
        layer,
        "x/d? wildcard",
        "6b612ad5c13159112ae26357ef7bd34df29916941ba40ec2ce38dfb70c6c60c3",
    );
    check(layer, "x/d?/def wildcard follow", DATA0);
    check(
        layer,
        "y* wildcard follow",
        "982153600b9653a1decb0f961e09e2bc1be335cfcaac9b39dbd1120b65fdf92c",
    );
    check(layer, "z* wildcard", EMPTY);
    check(layer, "z/* wildcard", EMPTY);
    check(layer, "[ wildcard", "cannot match `[`");
}

#[test]
fn symlinks_that_are_not_followed() {
    let layer =
        "f /target 644 data0\n l /sym target\n l /sym2 target2\n d /foo\n l /foo/ghi target\n l /y1 foo/ghi";
    let sym = "a2ba571981f48ec34eb79c9a3ab091b6491e825c2f7e9914ea86e8e958be7fae";
    for query in ["sym wildcard", "foo/ghi wildcard", "sym", "foo/ghi"] {
        check(layer, query, sym);
    }
    assert_ne!(of(layer, "sym2 wildcard"), sym);
    check(layer, "foo/ghi wildcard follow", "\"/foo/ghi\": not found");
    check(layer, "y1 wildcard follow", "\"/y1\": not found");
    let foo = "9b761577efcb1239cf4be971914c5d7404914dd32ff436401af1764dc5446b83";
    check(layer, "foo follow", foo);
    check(layer, "foo follow -*.git", foo);
    check(
        layer,
        "fo? follow wildcard",
        "2797e710c6d1a89ff2d91c834b828b1dc500f2982430a58241df8e146f4c4bb4",
    );
}

#[test]
fn symlinks_on_the_way_are_followed() {
    let layer = "
        d /target\n f /target/file 644 data0\n d /link1\n l /link1/target_file ../target/file
        l /link1/target_dir_abs /target\n d /link2\n l /link2/link1_rel ../link1\n l /link2/link1_abs /link1
        d /link3\n l /link3/target_file ../link2/link1_rel/target_file";
    for path in [
        "link1/target_file",
        "link2/link1_rel/target_file",
        "link2/link1_abs/target_dir_abs/file",
        "link3/target_file",
    ] {
        check(layer, &format!("{path} follow"), DATA0);
    }
    assert_eq!(
        of(layer, "link2/link1_abs/target_file"),
        of(layer, "link1/target_file")
    );
    assert_ne!(of(layer, "link3/target_file"), of(layer, "link1/target_file"));
}

#[test]
fn include_and_exclude_patterns() {
    let layer = "f /foo 644 data0\n f /bar 644 data1\n d /d0\n f /d0/abc 644 abc\n d /d1\n f /d1/def 644 def";
    let more = format!("{layer}\n f /baz 644 data2\n f /d0/xyz 644 xyz\n d /d2");
    for mode in ["", "wildcard"] {
        let of = |layer: &str, query: &str| of(layer, &format!("{query} {mode}"));
        for query in [
            "/ +foo",
            "/ +foo +bar",
            "/ +d1",
            "/ +d0/a*",
            "/ +d1/*",
            "/ +d2/foo",
        ] {
            assert_eq!(of(layer, query), of(&more, query), "{query}");
        }
        assert_eq!(of(layer, "/ +d0/*"), of(layer, "/ +d0/a*"));
        assert_eq!(of(&more, "/ +**/abc"), of(layer, "/ +d0/a*"));
        assert_eq!(of(&more, "/ +d0/* -d0/xyz"), of(layer, "/ +d0/*"));
        assert_ne!(of(layer, "/ +d0"), of(&more, "/ +d0"));
        assert_ne!(of(layer, "/ +foo"), of(&more, "/ +foo +bar"));
        assert_eq!(of(&more, "/ +d2/foo"), EMPTY);
        assert_eq!(of(&more, "d2 +foo"), EMPTY);
        let deep = "d /prefix\n d /prefix/a\n d /prefix/a/b\n d /prefix/a/b/c\n d /prefix/a/b/c/foo\n f /prefix/a/b/c/foo/bar 644 abc";
        let stars = "aa7448215bbf5b837b35ce64467857d8b9747965573d14d4b31b370586370971";
        assert_eq!(of(deep, "prefix/a +**/foo/** +**/report"), stars);
        assert_eq!(of(deep, "prefix/a +**/foo +**/report"), stars);
        assert_eq!(of(deep, "prefix/a +**/nothing/**"), EMPTY);
    }
    check(layer, "/ +foo !d0/nothing", "\"/d0/nothing\": not found");
    check(layer, "/ +[", "invalid includepatterns: [[]");
}

#[test]
fn patterns_are_relative_to_the_path_as_it_is_spelled() {
    let layer = "
        d /data\n d /data/d0\n d /data/d0/d1\n d /data/d0/d1/d2\n d /mnt\n l /mnt/data ../data
        f /data/d0/d1/d2/foo 644 abc\n l /data/symlink-to-d0 d0";
    for (one, other) in [
        ("data/d0", "mnt/data/d0"),
        ("data/d* wildcard", "mnt/data/d* wildcard"),
        ("data/d0/d1/d2", "mnt/data/d0/d1/d2"),
        ("data/d0/d1/d2", "mnt/data/d0/d1/d2 wildcard"),
        ("data/d0/d1/d* wildcard", "mnt/data/d0/d1/d* wildcard"),
        (
            "mnt/data/d0/d*/d2 wildcard",
            "mnt/data/symlink-to-d0/d*/d2 wildcard",
        ),
    ] {
        let digest = of(layer, &format!("{one} +**/foo"));
        assert_ne!(digest, EMPTY);
        assert_eq!(
            digest,
            of(layer, &format!("{other} +**/foo")),
            "{one} and {other}"
        );
    }
}

#[test]
fn a_local_context_has_a_root_without_metadata() {
    let one = "d / 700 5:5\n f /a 644 x";
    assert_eq!(of(one, "/ local"), of("f /a 644 x", "/ local"));
    assert_ne!(of(one, "/"), of("f /a 644 x", "/"));
}

#[test]
fn content_keys() {
    let vectors: Value = serde_json::from_str(&shared("reference/captures/cachekey-vectors.json")).unwrap();
    let mut seen = 0;
    for vector in vectors.as_array().unwrap() {
        let Some(preimage) = vector["tarsumPreimage"].as_str() else {
            continue;
        };
        seen += 1;
        let content = preimage.split_once("devminor0").unwrap().1.trim_end();
        let mut layer = tree(&format!("f /a 644 {content}")).flatten().into_entries();
        let text = format!("{content}\n");
        layer[0].node = Node::File {
            size: text.len() as u64,
            content: Content::Inline(text.as_bytes().into()),
        };
        let tree = kiln_tree::Tree::new(vec![kiln_tree::ChangeSet::new(layer).into()]);
        let selectors = [Selector {
            path: "/a".to_owned(),
            options: options(&["follow"]),
        }];
        let key = content_key(&tree, &selectors, RootHeader::Entry, &Inline::default()).unwrap();
        assert_eq!(key.to_string(), vector["cacheMapDigest"].as_str().unwrap());
        let record = Digest::of(format!("{key}@-1"));
        assert_eq!(record.to_string(), vector["recordDigest"].as_str().unwrap());
    }
    assert_eq!(seen, 2);
}

#[test]
fn paths_that_lie_in_others_drop_out() {
    let tables: Value = serde_json::from_str(&shared("conformance/solver/solver_tables.json")).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let cases = tables["dedupe_paths"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        assert_eq!(dedupe_paths(&texts(&case["in"])), texts(&case["out"]), "{case}");
    }
}
