//! Trees as text: one entry a line, `KIND PATH …`.
//!
//! `d /a 755 [opaque]`, `f /a/b 644 content`, `l /c target`, `h /d /a/b`, `c|b /dev/x 3 4`, `p /fifo`, `- /gone`; anywhere in a
//! line `uid:gid`, `@seconds` and `name=value` (an extended attribute) may follow.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fmt::Write as _;
use std::sync::Arc;

use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::Tree;
use kiln_tree::TreePath;

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::parse(text.trim_start_matches('/')).unwrap()
}

fn number(text: Option<&&str>) -> u32 {
    text.expect("a number").parse().unwrap()
}

fn entry(line: &str) -> Entry {
    let (mut words, mut meta) = (
        Vec::new(),
        Metadata {
            mode: 0o644,
            ..Metadata::default()
        },
    );
    for word in line.split_whitespace() {
        let owner = word
            .split_once(':')
            .and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
        if let Some((uid, gid)) = owner {
            (meta.uid, meta.gid) = (uid, gid);
        } else if let Some(seconds) = word.strip_prefix('@') {
            meta.mtime = Timestamp {
                seconds: seconds.parse().unwrap(),
                nanos: 0,
            };
        } else if let Some((name, value)) = word.split_once('=') {
            meta.xattrs
                .push((name.as_bytes().into(), value.as_bytes().into()));
        } else {
            words.push(word);
        }
    }
    let mode = |at: usize| words.get(at).and_then(|word| u32::from_str_radix(word, 8).ok());
    let node = match words[0] {
        "d" => {
            meta.mode = mode(2).unwrap_or(0o755);
            Node::Directory {
                opaque: words.contains(&"opaque"),
            }
        }
        "f" => {
            meta.mode = mode(2).unwrap_or(0o644);
            let content: Arc<[u8]> = words.get(3).unwrap_or(&"").as_bytes().into();
            Node::File {
                size: content.len() as u64,
                content: Content::Inline(content),
            }
        }
        "l" => {
            meta.mode = 0o777;
            Node::Symlink {
                target: words[2].as_bytes().into(),
            }
        }
        "h" => Node::Hardlink {
            target: path(words[2]),
        },
        "c" => Node::CharDevice {
            major: number(words.get(2)),
            minor: number(words.get(3)),
        },
        "b" => Node::BlockDevice {
            major: number(words.get(2)),
            minor: number(words.get(3)),
        },
        "p" => Node::Fifo,
        "-" => {
            meta = Metadata::default();
            Node::Whiteout
        }
        kind => panic!("`{kind}` is no kind of entry"),
    };
    Entry {
        path: path(words[1]),
        meta,
        node,
    }
}

pub(crate) fn changes(text: &str) -> ChangeSet {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    ChangeSet::new(lines.map(entry).collect())
}

/// Reads layers, bottom first, separated by lines of `---`.
pub(crate) fn tree(text: &str) -> Tree {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let layers = lines.split(|line| *line == "---");
    Tree::new(layers.map(|lines| Arc::new(changes(&lines.join("\n")))).collect())
}

pub(crate) fn show(entry: &Entry) -> String {
    let (path, meta) = (&entry.path, &entry.meta);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = match &entry.node {
        Node::Directory { opaque: true } => format!("d {path} {:o} opaque", meta.mode),
        Node::Directory { opaque: false } => format!("d {path} {:o}", meta.mode),
        Node::File {
            content: Content::Inline(content),
            ..
        } => format!("f {path} {:o} {}", meta.mode, text(content))
            .trim_end()
            .to_owned(),
        Node::File { .. } => format!("f {path} {:o} ?", meta.mode),
        Node::Symlink { target } => format!("l {path} {}", text(target)),
        Node::Hardlink { target } => format!("h {path} {target}"),
        Node::CharDevice { major, minor } => format!("c {path} {major} {minor}"),
        Node::BlockDevice { major, minor } => format!("b {path} {major} {minor}"),
        Node::Fifo => format!("p {path}"),
        Node::Whiteout => return format!("- {path}"),
    };
    if (meta.uid, meta.gid) != (0, 0) {
        write!(out, " {}:{}", meta.uid, meta.gid).unwrap();
    }
    if meta.mtime != Timestamp::default() {
        write!(out, " @{}", meta.mtime.seconds).unwrap();
    }
    for (name, value) in &meta.xattrs {
        write!(out, " {}={}", text(name), text(value)).unwrap();
    }
    out
}

pub(crate) fn show_all(entries: &[Entry]) -> String {
    entries.iter().map(|entry| show(entry) + "\n").collect()
}

/// Removes indentation and empty lines.
pub(crate) fn lines(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.to_owned() + "\n")
        .collect()
}

/// Reads a file of the shared data, which lies beside the repository.
pub(crate) fn shared(name: &str) -> String {
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("KILN_SHARED").map_or_else(beside, Into::into);
    let path = shared.join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error} (KILN_SHARED?)", path.display()))
}

/// Random numbers from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}
