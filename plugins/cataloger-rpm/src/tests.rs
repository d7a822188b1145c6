use super::*;
use kiln_sdk::mock;
use kiln_sdk::packages::matched;

type Tag = (usize, usize, usize, Vec<u8>);

fn text(tag: usize, text: &str) -> Tag {
    (tag, 6, 1, [text.as_bytes(), b"\0"].concat())
}

fn list(tag: usize, texts: &[&str]) -> Tag {
    let all: Vec<u8> = texts
        .iter()
        .flat_map(|t| [t.as_bytes(), b"\0"].concat())
        .collect();
    (tag, 8, texts.len(), all)
}

fn header(tags: &[Tag]) -> Vec<u8> {
    let word = |n: usize| (n as u32).to_be_bytes().to_vec();
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, bytes) in tags {
        index.extend([word(*tag), word(*kind), word(data.len()), word(*count)].concat());
        data.extend_from_slice(bytes);
    }
    [word(tags.len()), word(data.len()), index, data].concat()
}

/// Two packages, the first so long that it needs pages of its own, and a key.
fn headers() -> Vec<Vec<u8>> {
    let tool = header(&[
        text(header::NAME, "tool"),
        text(header::VERSION, "1.5"),
        text(header::RELEASE, "3.fc39"),
        (header::EPOCH, 4, 1, vec![0, 0, 0, 2]),
        text(header::ARCH, "x86_64"),
        text(header::LICENSE, "MIT"),
        text(header::SOURCE, "tool-1.5-3.src.rpm"),
        list(header::REQUIRES, &["libx.so.1", "rpmlib(x)", "tool"]),
        text(9999, &"long ".repeat(5000)),
    ]);
    let library = header(&[
        text(header::NAME, "library"),
        text(header::VERSION, "2"),
        text(header::RELEASE, "1"),
        list(header::PROVIDES, &["library", "libx.so.1"]),
    ]);
    let key = header(&[text(header::NAME, "gpg-pubkey"), text(header::VERSION, "fd4")]);
    vec![tool, library, key]
}

fn sqlite(page: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rpmdb.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    let sql = format!(
        "PRAGMA page_size={page}; CREATE TABLE Other(a); CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);"
    );
    db.execute_batch(&sql).unwrap();
    for header in headers() {
        db.execute("INSERT INTO Packages(blob) VALUES (?)", [header])
            .unwrap();
    }
    drop(db);
    std::fs::read(path).unwrap()
}

fn ndb() -> Vec<u8> {
    let word = |n: usize| (n as u32).to_le_bytes().to_vec();
    let mut file = [b"RpmP".to_vec(), word(0), word(1), word(1), vec![0; 16]].concat();
    let mut blobs = Vec::new();
    for (at, header) in headers().iter().enumerate() {
        let blob = [
            b"BlbS".to_vec(),
            word(at + 1),
            word(7),
            word(header.len()),
            header.clone(),
        ]
        .concat();
        file.extend(
            [
                b"Slot".to_vec(),
                word(at + 1),
                word((4096 + blobs.len()) / 16),
                word(blob.len().div_ceil(16)),
            ]
            .concat(),
        );
        blobs.extend(blob);
        blobs.resize(blobs.len().next_multiple_of(16), 0);
    }
    while file.len() < 4096 {
        file.extend([b"Slot".to_vec(), word(0), word(0), word(0)].concat());
    }
    [file, blobs].concat()
}

fn bdb(big: bool) -> Vec<u8> {
    let number = |n: usize, size: usize| match big {
        true => (n as u64).to_be_bytes()[8 - size..].to_vec(),
        false => (n as u64).to_le_bytes()[..size].to_vec(),
    };
    let page = |next: usize, count: usize, kind: u8, body: &[u8]| {
        let head = [
            vec![0; 8],
            number(0, 4),
            number(0, 4),
            number(next, 4),
            number(count, 2),
            number(0, 2),
            vec![0, kind],
        ];
        let mut page = [head.concat(), body.to_vec()].concat();
        page.resize(512, 0);
        page
    };
    let mut meta = page(0, 0, 8, &[]);
    meta[12..16].copy_from_slice(&number(0x61561, 4));
    meta[20..24].copy_from_slice(&number(512, 4));
    let (mut longs, mut index, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for (at, header) in headers().iter().enumerate() {
        let key = [vec![1], number(at + 1, 4)].concat();
        let value = if header.len() < 80 {
            [vec![1], header.clone()].concat()
        } else {
            let first = 2 + longs.len() / 512;
            let parts: Vec<&[u8]> = header.chunks(512 - 26).collect();
            for (at, part) in parts.iter().enumerate() {
                let next = if at + 1 < parts.len() { first + at + 1 } else { 0 };
                longs.extend(page(next, 1, 7, part));
            }
            [vec![3, 0, 0, 0], number(first, 4), number(header.len(), 4)].concat()
        };
        for item in [key, value] {
            items = [item, items].concat();
            index.extend(number(512 - items.len(), 2));
        }
    }
    let mut table = page(0, 6, 13, &index);
    let at = 512 - items.len();
    table[at..].copy_from_slice(&items);
    [meta, table, longs].concat()
}

fn purls(content: &[u8]) -> Vec<String> {
    let files = vec![
        matched(DATABASE, "var/lib/rpm/Packages", content),
        matched(OS, "etc/os-release", b"ID=fedora\nVERSION_ID=39\n"),
    ];
    Rpm::catalog(files)
        .unwrap()
        .into_iter()
        .map(|package| package.purl)
        .collect()
}

const EXPECT: [&str; 2] = [
    "pkg:rpm/fedora/tool@1.5-3.fc39?arch=x86_64&distro=fedora-39&epoch=2&upstream=tool-1.5-3.src.rpm",
    "pkg:rpm/fedora/library@2-1?distro=fedora-39",
];

#[test]
fn packages_of_all_databases_are_found() {
    for (name, content) in [
        ("sqlite 512", sqlite(512)),
        ("sqlite 4096", sqlite(4096)),
        ("sqlite 65536", sqlite(65536)),
        ("ndb", ndb()),
        ("bdb little", bdb(false)),
        ("bdb big", bdb(true)),
    ] {
        assert_eq!(purls(&content), EXPECT, "{name}");
        assert_eq!(mock::warnings(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn packages_need_each_other() {
    let found = Rpm::catalog(vec![matched(DATABASE, "var/lib/rpm/Packages.db", &ndb())]).unwrap();
    assert_eq!(found[0].version, "2:1.5-3.fc39");
    assert_eq!(found[0].relations.len(), 1);
    assert_eq!(found[0].relations[0].purl, found[1].purl);
}

#[test]
fn damage_is_told_once_and_the_rest_is_read() {
    for whole in [sqlite(512), ndb(), bdb(false)] {
        let mut told = 0;
        for end in (0..whole.len()).step_by(97) {
            let found = purls(&whole[..end]);
            assert!(
                found.iter().all(|purl| EXPECT.contains(&purl.as_str())),
                "{end} {found:?}"
            );
            let warnings = mock::warnings();
            assert!(warnings.len() <= 1, "{end} {warnings:?}");
            told += warnings.len();
            assert!(
                found.len() == 2 || !warnings.is_empty(),
                "{end}: lost without a word"
            );
        }
        assert!(told > 1);
        for at in 0..whole.len().min(3000) {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = purls(&broken);
            }
        }
        drop(mock::warnings());
    }
}

#[test]
fn a_circle_of_pages_ends() {
    let mut file = sqlite(512);
    // All pages of the tree become the root's child again.
    let root = file.windows(8).position(|w| w == b"Packages").unwrap() / 512;
    let page = root * 512 + if root == 0 { 100 } else { 0 };
    file[page] = 5;
    assert_eq!(purls(&file).len(), 0);
    assert_eq!(mock::warnings().len(), 1);
}
