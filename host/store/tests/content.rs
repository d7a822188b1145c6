//! What every caller of the store may count on: blobs, downloads, trees, scratch directories, entries.
#![expect(clippy::unwrap_used, reason = "functions that tests share count as no tests")]

use std::fs;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiln_image::Digest;
use kiln_store::Object;
use kiln_store::Owner;
use kiln_store::Store;
use kiln_store::StoreError;

fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

/// Names under a directory, relative to it, sorted.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_blob_is_visible_when_it_is_whole() {
    let (_dir, store) = fresh();
    let digest = Digest::of("hello");
    let mut ingest = store.ingest().unwrap();
    ingest.write_all(b"hel").unwrap();
    assert!(!store.contains(&digest).unwrap());
    ingest.write_all(b"lo").unwrap();
    assert_eq!(ingest.len(), 5);
    assert_eq!(ingest.commit(Some(&digest)).unwrap(), (digest, 5));
    assert_eq!(store.size(&digest).unwrap(), Some(5));
    let mut text = String::new();
    store
        .open_blob(&digest)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "hello");
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
    let again = store.put_blob(b"hello").unwrap();
    assert_eq!(again, digest);
}

#[test]
fn a_blob_that_is_dropped_or_wrong_leaves_nothing() {
    let (_dir, store) = fresh();
    let mut ingest = store.ingest().unwrap();
    ingest.write_all(&vec![7; 300_000]).unwrap();
    drop(ingest);
    let mut ingest = store.ingest().unwrap();
    ingest.write_all(b"what arrived").unwrap();
    let announced = Digest::of("what was announced");
    let error = ingest.commit(Some(&announced)).unwrap_err();
    let arrived = Digest::of("what arrived");
    assert_eq!(
        error.to_string(),
        format!("blob `{announced}` has content `{arrived}`")
    );
    assert!(!store.contains(&announced).unwrap());
    assert!(!store.contains(&arrived).unwrap());
    let root = store.root().to_owned();
    drop(store);
    assert_eq!(names(&root.join("ingest")), Vec::<String>::new());
    assert_eq!(names(&root.join("blobs/sha256")), Vec::<String>::new());
}

#[test]
fn the_writer_may_compute_the_digest() {
    let (_dir, store) = fresh();
    let mut ingest = store.ingest_unhashed().unwrap();
    ingest.write_all(b"layer").unwrap();
    assert_eq!(ingest.commit_as(&Digest::of("layer")).unwrap(), 5);
    assert_eq!(store.read_blob(&Digest::of("layer"), 100).unwrap(), b"layer");
}

#[test]
fn reading_is_bounded_and_checked() {
    let (_dir, store) = fresh();
    let digest = store.put_blob(b"0123456789").unwrap();
    let error = store.read_blob(&digest, 9).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("blob `{digest}` has 10 bytes, more than the limit of 9")
    );
    fs::write(store.blob_path(&digest), b"012345678X").unwrap();
    assert!(matches!(
        store.read_blob(&digest, 100),
        Err(StoreError::Mismatch { .. })
    ));
    // It can be fetched again.
    assert!(matches!(
        store.read_blob(&digest, 100),
        Err(StoreError::NotFound { .. })
    ));
    store.put_blob(b"0123456789").unwrap();
    store.read_blob(&digest, 100).unwrap();
    assert!(store.delete_blob(&digest).unwrap());
    assert!(!store.delete_blob(&digest).unwrap());
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let (_dir, store) = fresh();
    let digest = Digest::of("first second");
    let mut partial = store.resume(&digest).unwrap();
    partial.write_all(b"first ").unwrap();
    drop(partial);
    let other = Store::open(store.root()).unwrap();
    let mut partial = other.resume(&digest).unwrap();
    assert_eq!((partial.len(), partial.is_whole()), (6, false));
    assert!(matches!(store.resume(&digest), Err(StoreError::Busy { .. })));
    partial.write_all(b"second").unwrap();
    assert!(!store.contains(&digest).unwrap());
    assert_eq!(partial.commit().unwrap(), 12);
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"first second");
    let partial = store.resume(&digest).unwrap();
    assert_eq!((partial.len(), partial.is_whole()), (12, true));
    assert_eq!(partial.commit().unwrap(), 12);
}

#[test]
fn a_download_that_is_wrong_begins_anew() {
    let (_dir, store) = fresh();
    let digest = Digest::of("right");
    let mut partial = store.resume(&digest).unwrap();
    partial.write_all(b"wrong").unwrap();
    assert!(matches!(partial.commit(), Err(StoreError::Mismatch { .. })));
    let mut partial = store.resume(&digest).unwrap();
    assert_eq!(partial.len(), 0);
    partial.write_all(b"wr").unwrap();
    partial.restart().unwrap();
    partial.write_all(b"right").unwrap();
    partial.commit().unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"right");
}

#[test]
fn who_waits_for_a_download_gets_the_blob() {
    let (_dir, store) = fresh();
    let digest = Digest::of("shared");
    let mut first = store.resume(&digest).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.resume_when_free(&digest).unwrap().is_whole());
        first.write_all(b"shared").unwrap();
        first.commit().unwrap();
        assert!(waiter.join().unwrap());
    });
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"shared");
    assert!(
        !names(&store.root().join("ingest"))
            .iter()
            .any(|n| n.starts_with("partial-"))
    );
}

#[test]
fn a_tree_is_visible_when_it_is_whole() {
    let (_dir, store) = fresh();
    let tree = store.new_tree().unwrap();
    fs::write(tree.path().join("file"), "1").unwrap();
    assert_eq!(store.tree("key").unwrap(), None);
    let path = tree.commit("key", 1).unwrap();
    assert_eq!(store.tree("key").unwrap(), Some(path.clone()));
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "1");
    // The first one stays.
    let second = store.new_tree().unwrap();
    fs::write(second.path().join("file"), "2").unwrap();
    let own = second.path().to_owned();
    assert_eq!(second.commit("key", 1).unwrap(), path);
    assert!(!own.exists());
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "1");
    assert!(store.delete_tree("key").unwrap());
    assert_eq!(store.tree("key").unwrap(), None);
}

#[test]
fn tree_keys_are_plain_names() {
    let (_dir, store) = fresh();
    for key in ["", ".", "..", "a/b", ".hidden", "a\0b", &"x".repeat(201)] {
        assert!(
            matches!(store.tree(key), Err(StoreError::TreeKey { .. })),
            "{key}"
        );
        let tree = store.new_tree().unwrap();
        assert!(
            matches!(tree.commit(key, 0), Err(StoreError::TreeKey { .. })),
            "{key}"
        );
    }
}

#[test]
fn scratch_goes_whatever_is_in_it() {
    let (_dir, store) = fresh();
    let scratch = store.scratch().unwrap();
    let path = scratch.path().to_owned();
    let closed = path.join("a/inner/work");
    fs::create_dir_all(&closed).unwrap();
    fs::write(closed.join("file"), "").unwrap();
    std::os::unix::fs::symlink("/", path.join("a/link")).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(path.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
    let mut deep = path.clone();
    for _ in 0..60 {
        deep.push("d".repeat(20));
        fs::create_dir(&deep).unwrap();
    }
    drop(scratch);
    assert!(!path.exists());
}

#[test]
fn entries_are_kept_by_bucket() {
    let (_dir, store) = fresh();
    assert_eq!(store.get("a", b"k").unwrap(), None);
    store.put("a", b"k", b"1").unwrap();
    store.put("b", b"k", b"2").unwrap();
    store.put("a", b"k", b"3").unwrap();
    store
        .put_many("a", &[(b"ka", b"4"), (b"\xff\xff", b"5"), (b"l", b"6")])
        .unwrap();
    assert_eq!(store.get("a", b"k").unwrap().unwrap(), b"3");
    let keys = |prefix: &[u8]| -> Vec<Vec<u8>> {
        store
            .scan("a", prefix)
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    assert_eq!(keys(b"k"), [b"k".to_vec(), b"ka".to_vec()]);
    assert_eq!(keys(b"\xff"), [b"\xff\xff".to_vec()]);
    assert_eq!(keys(b"").len(), 4);
    assert!(store.delete("a", b"k").unwrap());
    assert!(!store.delete("a", b"k").unwrap());
    let reopened = Store::open(store.root()).unwrap();
    assert_eq!(reopened.get("b", b"k").unwrap().unwrap(), b"2");
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let (_dir, store) = fresh();
    let failed: Result<(), StoreError> = store.transaction(|entries| {
        entries.put("a", b"k", b"1")?;
        assert_eq!(entries.get("a", b"k")?.unwrap(), b"1");
        entries.refer(&Owner::new("a", "k"), &[Object::Blob(Digest::of("not there"))])
    });
    assert!(matches!(failed, Err(StoreError::NotFound { .. })));
    assert_eq!(store.get("a", b"k").unwrap(), None);
    let count = store
        .transaction(|entries| {
            entries.put("a", b"k", b"1")?;
            entries.put("a", b"l", b"1")?;
            entries.delete("a", b"l")?;
            Ok(entries.scan("a", b"")?.len())
        })
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(store.get("a", b"k").unwrap().unwrap(), b"1");
}

#[test]
fn a_newer_store_is_refused() {
    let (_dir, store) = fresh();
    let root = store.root().to_owned();
    drop(store);
    fs::write(root.join("version"), "2\n").unwrap();
    let error = Store::open(&root).unwrap_err().to_string();
    assert!(
        error.contains("has version `2`, this kiln reads version `1`"),
        "{error}"
    );
    fs::write(root.join("version"), "1\n").unwrap();
    Store::open(&root).unwrap();
}

#[test]
fn a_damaged_database_is_rebuilt() {
    for damage in [&b"this is no database at all, but long enough to have a header of one hundred bytes ...................."[..], b""] {
        let (_dir, store) = fresh();
        let digest = store.put_blob(b"kept").unwrap();
        store.put("a", b"k", b"lost").unwrap();
        let root = store.root().to_owned();
        drop(store);
        drop(fs::remove_file(root.join("kiln.db-wal")));
        drop(fs::remove_file(root.join("kiln.db-shm")));
        fs::write(root.join("kiln.db"), damage).unwrap();
        let store = Store::open(&root).unwrap();
        assert_eq!(store.read_blob(&digest, 100).unwrap(), b"kept");
        assert_eq!(store.get("a", b"k").unwrap(), None);
        store.put("a", b"k", b"new").unwrap();
        store.refer(&Owner::new("a", "k"), &[Object::Blob(digest)]).unwrap();
        if damage.is_empty() {
            continue;
        }
        let warnings = store.take_warnings();
        assert!(warnings[0].contains("kiln.db.damaged-1"), "{warnings:?}");
        assert_eq!(store.usage().unwrap().total, 4);
    }
}

#[test]
fn a_database_damaged_while_it_is_open_is_rebuilt() {
    let (_dir, store) = fresh();
    let digest = store.put_blob(b"kept").unwrap();
    let tree = store.new_tree().unwrap();
    fs::write(tree.path().join("file"), "1").unwrap();
    tree.commit("key", 1).unwrap();
    for i in 0..2000_u32 {
        store.put("a", &i.to_be_bytes(), &[b'x'; 100]).unwrap();
    }
    let other = Store::open(store.root()).unwrap();
    let _lease = other.lease().unwrap();
    other.tree("key").unwrap().unwrap();
    for name in ["kiln.db", "kiln.db-wal"] {
        let path = store.root().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let from = bytes.len().min(100);
        bytes[from..].fill(0xa5);
        // In place, as a failing disk would: the store keeps the file open.
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(&bytes).unwrap();
    }
    drop(store);
    let store = Store::open(other.root()).unwrap();
    store.put("a", b"k", b"1").unwrap();
    assert_eq!(
        other.scan("a", b"k").unwrap().len(),
        1,
        "both work on the new database"
    );
    assert_eq!(other.read_blob(&digest, 100).unwrap(), b"kept");
    assert!(store.tree("key").unwrap().is_some(), "in use by the other");
    assert_eq!(store.take_warnings().len() + other.take_warnings().len(), 1);
}

#[test]
fn the_next_open_clears_up_after_a_dead_process() {
    let (_dir, store) = fresh();
    let lost = store.put_blob(b"lost").unwrap();
    let root = store.root().to_owned();
    drop(store);
    // Killed while it showed one blob and collected another, with a tree, a scratch directory and a download open.
    fs::write(root.join("ingest/1-dead.lock"), "").unwrap();
    fs::create_dir_all(root.join("ingest/1-dead/tree-1/usr")).unwrap();
    fs::create_dir_all(root.join("tmp/1-dead/1")).unwrap();
    fs::write(
        root.join(format!("ingest/partial-{}", Digest::of("rest").hex())),
        "re",
    )
    .unwrap();
    let shown = Digest::of("shown");
    fs::write(root.join("blobs/sha256").join(shown.hex()), "shown").unwrap();
    fs::remove_file(root.join("blobs/sha256").join(lost.hex())).unwrap();
    let store = Store::open(&root).unwrap();
    assert_eq!(names(&root.join("tmp")), Vec::<String>::new());
    let left = names(&root.join("ingest"));
    assert!(
        left.iter()
            .all(|name| name.starts_with("partial-") || name.ends_with(".lock")),
        "{left:?}"
    );
    assert!(!left.contains(&"1-dead.lock".to_owned()));
    let ids: Vec<String> = store.usage().unwrap().records.into_iter().map(|r| r.id).collect();
    assert_eq!(
        ids,
        [shown.to_string(), format!("partial-{}", Digest::of("rest").hex())]
    );
    assert_eq!(store.read_blob(&shown, 100).unwrap(), b"shown");
    assert_eq!(store.resume(&Digest::of("rest")).unwrap().len(), 2);
}

#[test]
fn a_tree_keeps_the_mode_of_its_root() {
    let (_dir, store) = fresh();
    let tree = store.new_tree().unwrap();
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let path = tree.commit("closed", 0).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o555);
    assert!(store.delete_tree("closed").unwrap());
    assert!(!path.exists());
}
