//! What the writer promises.

use std::io;
use std::io::Read;
use std::io::Write;
use std::sync::Mutex;

use kiln_image::Compression;
use kiln_image::Digest;
use kiln_layer::ContentSource;
use kiln_layer::DiskSource;
use kiln_layer::LayerError;
use kiln_layer::Pool;
use kiln_layer::ReadOptions;
use kiln_layer::WriteOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Node;

use crate::fixture::everything;
use crate::fixture::file;
use crate::fixture::hardlink;
use crate::fixture::noise;
use crate::fixture::on_disk;
use crate::fixture::options;
use crate::fixture::read;
use crate::fixture::tar;
use crate::fixture::write;

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// Several blocks of every codec, with an end that fills none.
fn large() -> ChangeSet {
    let file = |name: &str, seed, length| file(name, &noise(seed, length));
    ChangeSet::new(vec![
        file("a", 1, 3_000_000),
        file("b", 2, 100),
        file("c", 3, 5_000_001),
    ])
}

#[test]
fn the_blob_does_not_depend_on_the_number_of_threads() {
    for compression in ALL {
        let blobs = [1, 2, 3, 7].map(|threads| {
            let options = WriteOptions {
                pool: Pool::new(threads),
                ..options(compression)
            };
            write(&large(), &options)
        });
        for (blob, sums) in &blobs {
            assert_eq!(sums, &blobs[0].1, "{compression}");
            assert_eq!(sums.digest, Digest::of(blob), "{compression}");
            assert_eq!(sums.size, blob.len() as u64, "{compression}");
        }
    }
}

#[test]
fn every_level_is_read_back() {
    let plain = tar(&large());
    for (compression, levels) in [
        (Compression::Gzip, -1..=9),
        (Compression::Zstd, -1..=22),
        (Compression::None, 5..=5),
    ] {
        for level in levels {
            let (blob, sums) = write(
                &large(),
                &WriteOptions {
                    level: Some(level),
                    ..options(compression)
                },
            );
            assert_eq!(
                (sums.diff_id, sums.uncompressed_size),
                (Digest::of(&plain), plain.len() as u64)
            );
            for declared in [None, Some(compression)] {
                let mut bytes = Vec::new();
                let mut reader = kiln_layer::decompress(&*blob, declared, &ReadOptions::default()).unwrap();
                reader.read_to_end(&mut bytes).unwrap();
                assert!(bytes == plain, "{compression} {level}");
            }
        }
    }
}

#[test]
fn levels_that_do_not_exist_are_refused() {
    for (compression, level) in [
        (Compression::Gzip, 10),
        (Compression::Gzip, -2),
        (Compression::Zstd, 23),
    ] {
        let options = WriteOptions {
            level: Some(level),
            ..options(compression)
        };
        let error = kiln_layer::write_layer(&large(), &DiskSource::new(), io::sink(), &options).unwrap_err();
        assert!(matches!(error, LayerError::Level { .. }), "{error}");
    }
}

#[test]
fn recompressing_gives_the_same_blob() {
    for compression in ALL {
        let (blob, sums) = write(&large(), &options(compression));
        let mut again = Vec::new();
        let plain = tar(&large());
        assert_eq!(
            kiln_layer::recompress(&*plain, &mut again, &options(compression)).unwrap(),
            sums
        );
        assert!(again == blob, "{compression}");
    }
}

#[test]
fn nothing_at_all_is_still_a_stream() {
    for compression in ALL {
        let mut blob = Vec::new();
        kiln_layer::recompress(io::empty(), &mut blob, &options(compression)).unwrap();
        let mut bytes = Vec::new();
        let mut reader = kiln_layer::decompress(&*blob, Some(compression), &ReadOptions::default()).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"", "{compression}");
    }
}

#[test]
fn many_layers_share_one_pool() {
    let pool = Pool::new(2);
    let expected = write(&large(), &options(Compression::Gzip)).1;
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let options = WriteOptions {
                    pool: pool.clone(),
                    ..options(Compression::Gzip)
                };
                assert_eq!(write(&large(), &options).1, expected);
            });
        }
    });
}

#[test]
fn times_are_clamped_and_lose_their_fraction() {
    let mut changes = everything().into_entries();
    for entry in &mut changes {
        entry.meta.mtime.nanos = 999_999_999;
    }
    let changes = ChangeSet::new(changes);
    let (blob, _) = write(
        &changes,
        &WriteOptions {
            clamp: Some(1_000),
            ..options(Compression::None)
        },
    );
    for entry in read(&blob).unwrap().changes.entries() {
        let expected = match entry.node {
            Node::Whiteout => 0,
            _ if entry.path.to_string() == "/dir/old" => -100,
            _ => 1_000,
        };
        assert_eq!(
            (entry.meta.mtime.seconds, entry.meta.mtime.nanos),
            (expected, 0),
            "{}",
            entry.path
        );
    }
}

#[test]
fn the_first_name_of_a_file_carries_its_content() {
    let changes = ChangeSet::new(vec![file("m", b"x"), hardlink("a", "m"), hardlink("z", "a")]);
    let found = read(&tar(&changes)).unwrap().changes;
    let kinds: Vec<_> = found
        .entries()
        .iter()
        .map(|e| (e.path.to_string(), e.node.clone()))
        .collect();
    let link = Node::Hardlink {
        target: crate::fixture::path("a"),
    };
    assert!(matches!(kinds[0].1, Node::File { size: 1, .. }), "{kinds:?}");
    assert_eq!(
        kinds[1..],
        [("/m".to_owned(), link.clone()), ("/z".to_owned(), link)]
    );
}

#[test]
fn a_file_named_like_a_whiteout_is_refused() {
    let changes = ChangeSet::new(vec![file("dir/.wh.x", b"")]);
    let error = kiln_layer::write_layer(
        &changes,
        &DiskSource::new(),
        io::sink(),
        &options(Compression::None),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot archive `/dir/.wh.x`: a name that begins with `.wh.` means a deleted file in a layer"
    );
}

#[test]
fn a_file_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (before, after) in [(5, 4), (5, 6), (0, 1), (2 << 20, (2 << 20) + 1), (2 << 20, 100)] {
        std::fs::write(dir.path().join("f"), vec![1; before]).unwrap();
        let changes = on_disk(dir.path(), &["f"]);
        std::fs::write(dir.path().join("f"), vec![1; after]).unwrap();
        let error = kiln_layer::write_layer(
            &changes,
            &DiskSource::new(),
            io::sink(),
            &options(Compression::Gzip),
        );
        let expected = format!("`/f` changed while it was read (expected {before} bytes)");
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

#[test]
fn symbolic_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), b"secret").unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/f"), b"public").unwrap();
    std::fs::write(dir.path().join("g"), b"public").unwrap();
    let changes = on_disk(dir.path(), &["d/f", "g"]);
    let failing = |name: &str| {
        let error = kiln_layer::write_layer(
            &changes,
            &DiskSource::new(),
            io::sink(),
            &options(Compression::None),
        );
        assert_eq!(error.unwrap_err().to_string(), format!("cannot read `{name}`"));
    };
    std::fs::remove_file(dir.path().join("g")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("f"), dir.path().join("g")).unwrap();
    failing("/g");
    std::fs::remove_dir_all(dir.path().join("d")).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("d")).unwrap();
    failing("/d/f");
}

/// Takes some bytes, then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(self.0);
        self.0 -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_writer() {
    let pool = Pool::new(2);
    for compression in ALL {
        for room in [0, 5, 100_000, 1_500_000] {
            let options = WriteOptions {
                pool: pool.clone(),
                ..options(compression)
            };
            let error =
                kiln_layer::write_layer(&large(), &DiskSource::new(), Full(room), &options).unwrap_err();
            let LayerError::Write(source) = error else {
                panic!("{error}")
            };
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
    }
    // The memory that the failed layers used is free again.
    assert!(
        write(
            &large(),
            &WriteOptions {
                pool,
                ..options(Compression::Gzip)
            }
        )
        .1
        .size
            > 0
    );
}

struct Failing;

impl ContentSource for Failing {
    fn open(&self, _: &Entry) -> io::Result<Box<dyn Read + Send + '_>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error =
        kiln_layer::write_layer(&large(), &Failing, io::sink(), &options(Compression::Gzip)).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `/a`");
}

#[test]
fn progress_reaches_the_size() {
    let seen = Mutex::new(Vec::new());
    let progress = |bytes| seen.lock().unwrap().push(bytes);
    let options = options(Compression::Gzip);
    let sums = kiln_layer::write_layer_watched(&large(), &DiskSource::new(), io::sink(), &options, &progress);
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.len() > 3);
    assert_eq!(seen.last(), Some(&sums.unwrap().uncompressed_size));
}

#[test]
fn a_tree_has_no_marks() {
    let mut bytes = Vec::new();
    kiln_layer::write_tar(everything().entries(), &DiskSource::new(), &mut bytes, Some(7)).unwrap();
    let found = read(&bytes).unwrap().changes;
    assert!(
        found
            .entries()
            .iter()
            .all(|e| !matches!(e.node, Node::Whiteout | Node::Directory { opaque: true }))
    );
    assert!(found.entries().iter().all(|e| e.meta.mtime.seconds <= 7));
    assert_eq!(found.entries().len(), everything().entries().len() - 2);
}

#[test]
fn contents_of_other_layers_are_read_once() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = tar(&everything());
    let index = read(&archive).unwrap();
    let mut entries = index.changes.into_entries();
    entries.push(file("inline", b"inline"));
    // In an order that is not the archive's.
    for (at, entry) in entries.iter_mut().enumerate() {
        if matches!(entry.node, Node::File { .. }) {
            entry.path = crate::fixture::path(&format!("{}", 1000 - at));
        }
    }
    let changes = ChangeSet::new(entries);
    let mut opened = 0;
    let source = kiln_layer::LayerFiles::extract(changes.entries(), scratch.path(), |diff_id| {
        opened += 1;
        assert_eq!(*diff_id, index.diff_id);
        Ok(Box::new(io::Cursor::new(archive.clone())))
    })
    .unwrap();
    assert_eq!(opened, 1);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    for entry in changes.entries() {
        let Node::File { size, content } = &entry.node else {
            continue;
        };
        let mut bytes = Vec::new();
        source.open(entry).unwrap().read_to_end(&mut bytes).unwrap();
        match content {
            Content::Layer { offset, .. } => assert_eq!(bytes, archive[*offset as usize..][..*size as usize]),
            _ => assert_eq!(bytes, b"inline"),
        }
    }
    let short = |_: &Digest| Ok(Box::new(io::Cursor::new(archive[..2000].to_vec())) as Box<dyn Read + Send>);
    assert!(kiln_layer::LayerFiles::extract(changes.entries(), scratch.path(), short).is_err());
}
