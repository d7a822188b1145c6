//! Several processes on one store: writing the same things, killed at random moments, collecting garbage under
//! each other's feet.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "functions that tests share count as no tests"
)]

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use kiln_image::Digest;
use kiln_store::GcPolicy;
use kiln_store::Object;
use kiln_store::Owner;
use kiln_store::Scope;
use kiln_store::Store;
use kiln_store::StoreError;

/// Set for the processes that these tests start: `<act> <seed> <root>`.
const WORK: &str = "KILN_STORE_TEST_WORK";

/// A small generator of random numbers, so that a run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// The seed of this run: from the environment, or a new one. Printed, and shown when the test fails.
fn seed() -> u64 {
    let given = env::var("KILN_SEED").ok().and_then(|s| s.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = given.unwrap_or(now) | 1;
    println!("KILN_SEED={seed}");
    seed
}

/// Starts this test binary again, with nothing to do but [`worker`].
fn start(act: &str, seed: u64, root: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture"])
        .env(WORK, format!("{act} {seed} {}", root.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the processes do that the other tests start. Without their variable there is nothing to do.
#[test]
fn worker() {
    let Ok(work) = env::var(WORK) else { return };
    let mut words = work.splitn(3, ' ');
    let act = words.next().unwrap();
    let random = Random(words.next().unwrap().parse::<u64>().unwrap() | 1);
    let root = Path::new(words.next().unwrap());
    match act {
        "forever" => churn(root, random, u64::MAX),
        "some" => churn(root, random, 60),
        "same" => write_same(root),
        "build" => build(root, random),
        other => panic!("no act `{other}`"),
    }
}

/// Content number `i`: the same in each process.
fn content(i: u64) -> Vec<u8> {
    let mut random = Random(i * 7919 + 1);
    (0..random.next(20_000)).map(|_| random.next(256) as u8).collect()
}

fn fill_tree(path: &Path, i: u64) -> u64 {
    fs::create_dir(path.join("sub")).unwrap();
    for file in 0..5 {
        fs::write(path.join(format!("sub/{file}")), content(i + file)).unwrap();
    }
    fs::write(path.join("last"), i.to_string()).unwrap();
    (0..5).map(|file| content(i + file).len() as u64).sum()
}

fn check_tree(path: &Path, i: u64) {
    for file in 0..5 {
        assert_eq!(
            fs::read(path.join(format!("sub/{file}"))).unwrap(),
            content(i + file)
        );
    }
    assert_eq!(fs::read_to_string(path.join("last")).unwrap(), i.to_string());
}

/// Does everything the store can do, in random order.
fn churn(root: &Path, mut random: Random, steps: u64) {
    let store = Store::open(root).unwrap();
    for _ in 0..steps {
        let lease = store.lease().unwrap();
        let i = random.next(40);
        match random.next(7) {
            0 | 1 => {
                let mut ingest = store.ingest().unwrap();
                content(i)
                    .chunks(1000)
                    .for_each(|part| ingest.write_all(part).unwrap());
                let (digest, _) = ingest.commit(None).unwrap();
                let owner = Owner::new("cache", i.to_be_bytes());
                store.put("cache", &i.to_be_bytes(), digest.as_bytes()).unwrap();
                store.refer(&owner, &[Object::Blob(digest)]).unwrap();
                store.touch(&owner);
            }
            2 => {
                let digest = Digest::of(content(i));
                match store.resume(&digest) {
                    Err(StoreError::Busy { .. }) => {}
                    partial => {
                        let mut partial = partial.unwrap();
                        let rest = content(i).split_off(partial.len() as usize);
                        let part = if random.next(2) == 0 {
                            rest.len() / 2
                        } else {
                            rest.len()
                        };
                        if !partial.is_whole() {
                            partial.write_all(&rest[..part]).unwrap();
                        }
                        if part == rest.len() {
                            partial.commit().unwrap();
                        }
                    }
                }
            }
            3 => {
                let tree = store.new_tree().unwrap();
                let size = fill_tree(tree.path(), i);
                check_tree(&tree.commit(&format!("tree-{i}"), size).unwrap(), i);
                let object = Object::Tree(format!("tree-{i}"));
                store
                    .refer(&Owner::new("trees", i.to_be_bytes()), &[object])
                    .unwrap();
            }
            4 => {
                let scratch = store.scratch().unwrap();
                fs::create_dir_all(scratch.path().join("upper/a/b")).unwrap();
                fs::write(scratch.path().join("upper/a/b/c"), "x").unwrap();
            }
            5 => {
                if let Some(path) = store.tree(&format!("tree-{i}")).unwrap() {
                    check_tree(&path, i);
                }
            }
            _ => {
                let policy = GcPolicy {
                    max_used_space: 1 + random.next(300_000),
                    ..GcPolicy::default()
                };
                store.gc(&policy).unwrap();
            }
        }
        drop(lease);
    }
}

/// What must be true of every store that nobody has open.
fn check_store(root: &Path) {
    let store = Store::open(root).unwrap();
    assert_eq!(store.take_warnings(), Vec::<String>::new());
    let mut sizes = HashMap::new();
    for entry in fs::read_dir(root.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let digest = Digest::of(&bytes);
        assert_eq!(entry.file_name().to_str().unwrap(), digest.hex());
        sizes.insert(digest.to_string(), bytes.len() as u64);
    }
    for entry in fs::read_dir(root.join("trees")).unwrap() {
        let entry = entry.unwrap();
        let key = entry.file_name().into_string().unwrap();
        check_tree(&entry.path(), key.strip_prefix("tree-").unwrap().parse().unwrap());
        sizes.insert(key, 0);
    }
    // Nothing but downloads to go on with is left of who was killed.
    for dir in ["ingest", "tmp"] {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let own = name.starts_with(&format!("{}-", std::process::id()));
            assert!(own || name.starts_with("partial-"), "left over: {dir}/{name}");
        }
    }
    let usage = store.usage().unwrap();
    let listed = usage
        .records
        .iter()
        .filter(|r| r.id.starts_with("sha256:") || r.id.starts_with("tree-"));
    let listed: HashMap<String, u64> = listed.map(|r| (r.id.clone(), r.size)).collect();
    assert_eq!(listed.len(), sizes.len());
    for (id, size) in &sizes {
        assert!(id.starts_with("tree-") || listed.get(id) == Some(size), "{id}");
    }
    assert!(
        usage.records.iter().all(|r| !r.in_use),
        "a dead process holds something"
    );
}

#[test]
fn killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let seed = seed();
    let mut random = Random(seed);
    for round in 0..25 {
        let mut children: Vec<Child> = (0..2)
            .map(|n| start("forever", seed + round * 10 + n, &root))
            .collect();
        std::thread::sleep(Duration::from_micros(random.next(120_000)));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if root.exists() {
            check_store(&root);
        }
    }
    let store = Store::open(&root).unwrap();
    store.put_blob(b"still usable").unwrap();
    let report = store
        .gc(&GcPolicy {
            scope: Scope::All,
            ..GcPolicy::default()
        })
        .unwrap();
    assert_eq!((report.used, report.over), (0, 0));
}

#[test]
fn many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let seed = seed();
    // None of them makes the store first: they race for that as well.
    let children: Vec<Child> = (0..4).map(|n| start("some", seed + n, &root)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check_store(&root);
}

fn write_same(root: &Path) {
    let store = Store::open(root).unwrap();
    let _lease = store.lease().unwrap();
    for i in 0..60 {
        let digest = store.put_blob(&content(i)).unwrap();
        assert_eq!(store.read_blob(&digest, 1 << 20).unwrap(), content(i));
        let tree = store.new_tree().unwrap();
        let size = fill_tree(tree.path(), i);
        check_tree(&tree.commit(&format!("tree-{i}"), size).unwrap(), i);
    }
}

#[test]
fn the_same_content_from_several() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let children: Vec<Child> = (0..3).map(|n| start("same", n, &root)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let usage = Store::open(&root).unwrap().usage().unwrap();
    assert_eq!(usage.records.len(), 120);
    check_store(&root);
}

/// Uses, over and over, what it has made or found under a lease: it must be there until the lease ends.
fn build(root: &Path, mut random: Random) {
    let store = Store::open(root).unwrap();
    for _ in 0..30 {
        let _lease = store.lease().unwrap();
        let mut used = Vec::new();
        for _ in 0..6 {
            let i = random.next(30);
            let digest = Digest::of(content(i));
            if !store.contains(&digest).unwrap() {
                store.put_blob(&content(i)).unwrap();
            }
            let key = format!("tree-{i}");
            if store.tree(&key).unwrap().is_none() {
                let tree = store.new_tree().unwrap();
                let size = fill_tree(tree.path(), i);
                tree.commit(&key, size).unwrap();
            }
            used.push((i, digest, key));
            for (i, digest, key) in &used {
                assert_eq!(store.read_blob(digest, 1 << 20).unwrap(), content(*i));
                check_tree(&root.join("trees").join(key), *i);
            }
        }
        let objects: Vec<Object> = used
            .iter()
            .flat_map(|(_, d, k)| [Object::Blob(*d), Object::Tree(k.clone())])
            .collect();
        store
            .refer(&Owner::new("cache", random.next(20).to_be_bytes()), &objects)
            .unwrap();
    }
}

#[test]
fn collecting_while_others_build() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let seed = seed();
    let store = Store::open(&root).unwrap();
    let mut children: Vec<Child> = (0..2).map(|n| start("build", seed + n, &root)).collect();
    let mut removed = 0;
    while children
        .iter_mut()
        .any(|child| child.try_wait().unwrap().is_none())
    {
        removed += store
            .gc(&GcPolicy {
                max_used_space: 1,
                ..GcPolicy::default()
            })
            .unwrap()
            .removed
            .len();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success(), "KILN_SEED={seed}");
    }
    assert!(removed > 0, "nothing was ever collected");
    let report = store
        .gc(&GcPolicy {
            max_used_space: 1,
            ..GcPolicy::default()
        })
        .unwrap();
    assert_eq!((report.used, report.over), (0, 0));
    drop(store);
    check_store(&root);
}
