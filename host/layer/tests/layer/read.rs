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
            Node::File { content: kiln_tree::Content::Inline(bytes), .. } => {
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

#[test]
fn marks_and_repeated_members() {
    let f = |name: &str, data: &str| raw(name, b'0').data(data.as_bytes());
    let d = |name: &str| raw(name, b'5');
    let h = |name: &str, to: &str| raw(name, b'1').link(to);
    let s = |name: &str, to: &str| raw(name, b'2').link(to);
    let cases: Vec<(&str, Vec<Raw>, &str)> = vec![
        ("spellings", vec![d("./"), d("./a/"), f("/a//b", "1")], "/a=dir /a/b=file:1"),
        ("a file with a slash is a directory", vec![raw("a/", b'0')], "/a=dir"),
        ("old files", vec![raw("a", 0).data(b"x"), raw("b", b'7').data(b"y")], "/a=file:x /b=file:y"),
        ("the last wins", vec![f("a", "1"), f("a", "2")], "/a=file:2"),
        ("a link keeps the content it was made of", vec![f("a", "1"), h("b", "a"), f("a", "2")], "/a=file:2 /b=file:1"),
        ("two links keep it", vec![f("a", "1"), h("c", "a"), h("b", "a"), f("a", "2")], "/a=file:2 /b=file:1 /c=link:/b"),
        ("links to links", vec![f("z", "1"), h("b", "z"), h("a", "b")], "/a=link:/z /b=link:/z /z=file:1"),
        ("links to lower layers", vec![h("a", "b/c")], "/a=link:/b/c"),
        ("links to symbolic links", vec![s("a", "x"), h("b", "a")], "/a=symlink:x /b=symlink:x"),
        ("directories merge", vec![d("a/"), f("a/b", "1"), d("a/")], "/a=dir /a/b=file:1"),
        ("a file replaces a directory", vec![d("a/"), f("a/b/c", "1"), f("a", "2"), f("a-b", "3")], "/a=file:2 /a-b=file:3"),
        ("a directory replaces a file", vec![f("a", "2"), d("a/"), f("a/b", "1")], "/a=dir /a/b=file:1"),
        ("whiteouts", vec![d("a/"), f("a/.wh.b", ""), f(".wh.c", "")], "/a=dir /a/b=gone /c=gone"),
        ("opaque", vec![d("a/"), f("a/.wh..wh..opq", "")], "/a=opaque"),
        ("opaque first", vec![f("a/.wh..wh..opq", ""), d("a/")], "/a=opaque"),
        ("opaque without its directory", vec![f("a/.wh..wh..opq", "")], "/a=opaque"),
        ("opaque root", vec![f(".wh..wh..opq", ""), f("a", "")], "/=opaque /a=file:"),
        ("a whiteout does not hide its own layer", vec![f("a", "1"), f(".wh.a", "")], "/a=file:1"),
        ("a file in the place of a whiteout", vec![f(".wh.a", ""), f("a", "1")], "/a=file:1"),
        ("a directory in the place of a whiteout", vec![f(".wh.a", ""), d("a/")], "/a=opaque"),
        ("a whiteout of a directory that is here", vec![d("a/"), f(".wh.a", "")], "/a=opaque"),
        ("a whiteout above a file", vec![f(".wh.a", ""), f("a/b", "1")], "/a=opaque /a/b=file:1"),
        ("a whiteout above an earlier file", vec![f("a/b", "1"), f(".wh.a", "")], "/a=opaque /a/b=file:1"),
        ("marks of aufs", vec![f(".wh..wh.plnk", ""), f(".wh..wh.aufs", "")], ""),
        ("what overlayfs takes for a whiteout", vec![raw("a", b'3')], "/a=gone"),
        ("links are followed inside", vec![d("usr/lib/"), s("lib", "usr/lib"), f("lib/x", "1")], "/lib=symlink:usr/lib /usr/lib=dir /usr/lib/x=file:1"),
        ("and never leave", vec![s("l", "../../etc"), f("l/x", "1")], "/etc/x=file:1 /l=symlink:../../etc"),
        ("a global header says nothing", vec![raw("g", b'g').data(b"11 path=xy\n"), f("a", "1")], "/a=file:1"),
        ("PAX wins", vec![raw("p", b'x').data(b"11 path=xy\n"), f("a", "1")], "/xy=file:1"),
        ("an empty record takes back", vec![raw("p", b'x').data(b"11 path=xy\n8 path=\n"), f("a", "1")], "/a=file:1"),
        ("GNU long names", vec![raw("L", b'L').data(b"long\0"), raw("K", b'K').data(b"target\0"), s("a", "b")], "/long=symlink:target"),
    ];
    for (name, members, expected) in cases {
        assert_eq!(described(&members), expected, "{name}");
    }
}

#[test]
fn archives_may_end_early_between_members() {
    let whole = raw_tar(&[raw("a", b'0').data(b"x")]);
    for cut in [0, 512, 1024] {
        assert_eq!(read(&whole[..whole.len() - cut]).unwrap().changes.entries().len(), 1, "{cut}");
    }
    let padded = [&whole[..], &[0; 9000]].concat();
    assert_eq!(read(&padded).unwrap().diff_id, kiln_image::Digest::of(&padded));
    assert_eq!(read(&[]).unwrap().changes.entries().len(), 0);
}
