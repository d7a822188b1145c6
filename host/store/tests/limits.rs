//! Disks that are full or cannot be written. These need root to mount something; without, they say so and prove
//! nothing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "functions that tests share count as no tests"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use kiln_image::Digest;
use kiln_store::GcPolicy;
use kiln_store::Object;
use kiln_store::Owner;
use kiln_store::Scope;
use kiln_store::Store;
use kiln_store::StoreError;

/// Something mounted, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(arguments).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("SKIPPED: cannot mount (run the tests as root)");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Writes blobs until there is no space; the error, and the blobs that are in.
fn fill(store: &Store) -> (StoreError, Vec<Digest>) {
    let mut blobs = Vec::new();
    for i in 0..100_000_u32 {
        let written = (|| {
            let mut ingest = store.ingest()?;
            for part in 0..=i % 7 {
                let bytes = [i.to_be_bytes(), part.to_be_bytes()].concat().repeat(5000);
                ingest.write_all(&bytes).map_err(StoreError::from_write)?;
            }
            let (digest, _) = ingest.commit(None)?;
            store.refer(&Owner::new("cache", i.to_be_bytes()), &[Object::Blob(digest)])?;
            Ok(digest)
        })();
        match written {
            Ok(digest) => blobs.push(digest),
            Err(error) => return (error, blobs),
        }
    }
    panic!("the disk is never full");
}

#[test]
fn a_full_disk_ends_in_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], dir.path()) else {
        return;
    };
    let root = mount.0.join("store");
    for round in 0..3 {
        let store = Store::open(&root).unwrap();
        let (error, blobs) = fill(&store);
        assert!(error.is_full(), "{error}: {error:?}");
        let text = error.to_string();
        assert!(
            text.contains("no space left") && text.contains("hint: free space with `kiln prune`"),
            "{text}"
        );
        assert!(text.contains(root.to_str().unwrap()), "{text}");
        drop(store);
        // Not a byte is left for anybody.
        drop(fs::write(mount.0.join("filler"), vec![0; 16 << 20]));
        let store = Store::open(&root).unwrap();
        assert_eq!(store.take_warnings(), Vec::<String>::new());
        for digest in &blobs {
            store.read_blob(digest, 1 << 20).unwrap();
        }
        let policy = GcPolicy {
            scope: Scope::All,
            ..GcPolicy::default()
        };
        let report = if round % 2 == 0 {
            store.gc(&policy)
        } else {
            store.prune(&policy)
        }
        .unwrap();
        assert!(report.freed > 1 << 20, "{}", report.freed);
        assert_eq!(report.used, 0);
        fs::remove_file(mount.0.join("filler")).unwrap();
        store.put_blob(&vec![1; 1 << 20]).unwrap();
    }
}

#[test]
fn a_read_only_store_names_itself() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let digest = Store::open(&root).unwrap().put_blob(b"x").unwrap();
    let text = root.to_str().unwrap().to_owned();
    let Some(mount) = Mount::new(&["--bind", &text], &root) else {
        return;
    };
    let remounted = Command::new("mount")
        .args(["-o", "remount,bind,ro"])
        .arg(&root)
        .status()
        .unwrap();
    assert!(remounted.success());
    let error = Store::open(&root).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains(&text) && message.contains("hint: make the directory writable"),
        "{message}"
    );
    let absent = Store::open(&root.join("blobs/new")).unwrap_err();
    assert!(matches!(absent, StoreError::ReadOnly { .. }), "{absent:?}");
    drop(mount);
    assert_eq!(Store::open(&root).unwrap().read_blob(&digest, 1).unwrap(), b"x");
}

#[test]
fn a_file_in_place_of_the_store_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    fs::write(&root, "").unwrap();
    let error = Store::open(&root).unwrap_err().to_string();
    assert!(error.contains(root.to_str().unwrap()), "{error}");
}
