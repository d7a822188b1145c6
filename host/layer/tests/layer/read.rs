//! What the reader makes of archives that other tools write.

use kiln_tree::ChangeSet;
use kiln_tree::Node;

use crate::fixture::Raw;
use crate::fixture::everything;
use crate::fixture::inline;
use crate::fixture::raw;
use crate::fixture::raw_tar;
use crate::fixture::read;
use crate::fixture::tar;

#[test]
fn what_is_written_is_read_back() {
    let archive = tar(&everything());
    let index = read(&archive).unwrap();
    assert_eq!(index.diff_id, kiln_image::Digest::of(&archive));
    assert_eq!(index.uncompressed_size, archive.len() as u64);
    let found = inline(index.changes, &archive);
    assert_eq!(tar(&found), archive);
    // The content has moved to the first name of the file.
    let names = |set: &ChangeSet| set.entries().iter().map(|e| e.path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&everything()));
    for entry in everything().entries() {
        let other = found.get(&entry.path).unwrap();
        let linked = ["/a-link", "/dir/block", "/z-link"].contains(&&*entry.path.to_string());
        assert!(linked || other == entry, "{other:?} is not {entry:?}");
    }
}

/// Describes what is read: one word for each entry.
fn described(members: &[Raw]) -> String {
    let archive = raw_tar(members);
    let found = inline(read(&archive).unwrap().changes, &archive);
    let mut words = Vec::new();
    for entry in found.entries() {
        let what = match &entry.node {
            Node::Directory { opaque: true } => "opaque".to_owned(),
            Node::Directory { .. } => "dir".to_owned(),
            Node::File {
                content: kiln_tree::Content::Inline(bytes),
                ..
            } => {
                format!("file:{}", String::from_utf8_lossy(bytes))
            }
            Node::Hardlink { target } => format!("link:{target}"),
            Node::Symlink { target } => format!("symlink:{}", String::from_utf8_lossy(target)),
            Node::Whiteout => "gone".to_owned(),
            other => format!("{other:?}"),
        };
        words.push(format!("{}={what}", entry.path));
    }
    words.join(" ")
}

/// Reads members from words: a letter for the kind, a name, and content or link target.
fn members(words: &str) -> Vec<Raw> {
    let member = |word: &str| {
        let (kind, rest) = word.split_once(':').unwrap();
        let (name, more) = rest.split_once('=').unwrap_or((rest, ""));
        match kind {
            "d" => raw(name, b'5'),
            "f" => raw(name, b'0').data(more.as_bytes()),
            "h" => raw(name, b'1').link(more),
            "s" => raw(name, b'2').link(more),
            "c" => raw(name, b'3'),
            "old" => raw(name, 0).data(more.as_bytes()),
            "contiguous" => raw(name, b'7').data(more.as_bytes()),
            "long-name" => raw("L", b'L').data(format!("{name}\0").as_bytes()),
            "long-link" => raw("K", b'K').data(format!("{name}\0").as_bytes()),
            "pax" => {
                raw("p", b'x').data(format!("{} {name}={more}\n", name.len() + more.len() + 5).as_bytes())
            }
            "global" => {
                raw("g", b'g').data(format!("{} {name}={more}\n", name.len() + more.len() + 5).as_bytes())
            }
            other => panic!("no kind {other}"),
        }
    };
    words.split_whitespace().map(member).collect()
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (words, expected) in cases {
        assert_eq!(described(&members(words)), *expected, "{words}");
    }
}

#[test]
fn names_in_all_spellings() {
    check(&[
        ("d:./ d:./a/ f:/a//b=1", "/a=dir /a/b=file:1"),
        ("f:a/", "/a=dir"),
        ("old:a=x contiguous:b=y", "/a=file:x /b=file:y"),
        ("global:longname=xy f:a=1", "/a=file:1"),
        ("pax:path=abcdef f:a=1", "/abcdef=file:1"),
        ("pax:path=abcdef pax:path=ghijkl f:a=1", "/ghijkl=file:1"),
        ("long-name:long long-link:target s:a=b", "/long=symlink:target"),
    ]);
}

#[test]
fn later_members_replace_earlier_ones() {
    check(&[
        ("f:a=1 f:a=2", "/a=file:2"),
        ("d:a/ f:a/b=1 d:a/", "/a=dir /a/b=file:1"),
        ("d:a/ f:a/b/c=1 f:a=2 f:a-b=3", "/a=file:2 /a-b=file:3"),
        ("f:a=2 d:a/ f:a/b=1", "/a=dir /a/b=file:1"),
        // A link keeps the content that it was made of.
        ("f:a=1 h:b=a f:a=2", "/a=file:2 /b=file:1"),
        ("f:a=1 h:c=a h:b=a f:a=2", "/a=file:2 /b=file:1 /c=link:/b"),
    ]);
}

#[test]
fn links_inside_and_below() {
    check(&[
        ("f:z=1 h:b=z h:a=b", "/a=link:/z /b=link:/z /z=file:1"),
        ("h:a=b/c", "/a=link:/b/c"),
        ("s:a=x h:b=a", "/a=symlink:x /b=symlink:x"),
        (
            "d:usr/lib/ s:lib=usr/lib f:lib/x=1",
            "/lib=symlink:usr/lib /usr/lib=dir /usr/lib/x=file:1",
        ),
        ("s:l=../../etc f:l/x=1", "/etc/x=file:1 /l=symlink:../../etc"),
    ]);
}

#[test]
fn whiteouts_and_opaque_directories() {
    check(&[
        ("d:a/ f:a/.wh.b f:.wh.c", "/a=dir /a/b=gone /c=gone"),
        ("d:a/ f:a/.wh..wh..opq", "/a=opaque"),
        ("f:a/.wh..wh..opq d:a/", "/a=opaque"),
        ("f:a/.wh..wh..opq", "/a=opaque"),
        ("f:.wh..wh..opq f:a", "/=opaque /a=file:"),
        // A whiteout hides lower layers, not its own.
        ("f:a=1 f:.wh.a", "/a=file:1"),
        ("f:.wh.a f:a=1", "/a=file:1"),
        ("f:.wh.a d:a/", "/a=opaque"),
        ("d:a/ f:.wh.a", "/a=opaque"),
        ("f:.wh.a f:a/b=1", "/a=opaque /a/b=file:1"),
        ("f:a/b=1 f:.wh.a", "/a=opaque /a/b=file:1"),
        // Marks of aufs mean nothing; what overlayfs takes for a whiteout is one.
        ("f:.wh..wh.plnk f:.wh..wh.aufs", ""),
        ("c:a", "/a=gone"),
    ]);
}

#[test]
fn an_empty_record_takes_an_earlier_one_back() {
    let members = [raw("p", b'x').data(b"11 path=xy\n8 path=\n"), raw("a", b'0')];
    assert_eq!(described(&members), "/a=file:");
}

#[test]
fn archives_may_end_early_between_members() {
    let whole = raw_tar(&[raw("a", b'0').data(b"x")]);
    for cut in [0, 512, 1024] {
        assert_eq!(
            read(&whole[..whole.len() - cut]).unwrap().changes.entries().len(),
            1,
            "{cut}"
        );
    }
    let padded = [&whole[..], &[0; 9000]].concat();
    assert_eq!(read(&padded).unwrap().diff_id, kiln_image::Digest::of(&padded));
    assert_eq!(read(&[]).unwrap().changes.entries().len(), 0);
}
