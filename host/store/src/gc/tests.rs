use super::*;
use crate::Lease;
use crate::OwnerInfo;
use kiln_image::Digest;

struct Fixture {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Self { _dir: dir, store }
    }

    fn blob(&self, name: &str) -> Digest {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(100, b' ');
        self.store.put_blob(&bytes).unwrap()
    }

    /// An owner with an entry, last used `age` hours ago, that refers to blobs of 100 bytes.
    fn owner(&self, name: &str, (age, uses): (i64, i64), blobs: &[&str]) {
        let to: Vec<Object> = blobs.iter().map(|b| Object::Blob(self.blob(b))).collect();
        self.store.put("cache", name.as_bytes(), b"record").unwrap();
        self.store
            .refer_as(&Owner::new("cache", name), &OwnerInfo::default(), &to)
            .unwrap();
        self.used(name, (age, uses));
    }

    fn info(&self, name: &str, pin: Pin, record_type: &str) {
        let owner = Owner::new("cache", name);
        let to = self.store.references(&owner).unwrap();
        let info = OwnerInfo {
            pin,
            record_type: record_type.to_owned(),
            description: String::new(),
        };
        self.store.refer_as(&owner, &info, &to).unwrap();
    }

    fn used(&self, name: &str, (age, uses): (i64, i64)) {
        let last = store::now() - age * 3_600_000;
        let set = |t: &Transaction<'_>| {
            t.execute(
                "UPDATE owner SET last_used = ?, uses = ? WHERE key = ?",
                params![last, uses, name.as_bytes()],
            )?;
            Ok(())
        };
        self.store.write("test", set).unwrap();
    }

    /// What went, in order; owners by name, blobs by what they hold.
    #[track_caller]
    fn check(&self, policy: &GcPolicy, gone: &[&str], left: u64) -> GcReport {
        let report = self.store.gc(policy).unwrap();
        let names: Vec<String> = report
            .removed
            .iter()
            .map(|r| r.id.trim_start_matches("cache/").to_owned())
            .collect();
        let gone: Vec<String> = gone.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names, gone);
        assert_eq!(self.store.usage().unwrap().total, left);
        for owner in report.removed.iter().filter(|r| r.id.starts_with("cache/")) {
            let key = owner.id.trim_start_matches("cache/").as_bytes();
            assert_eq!(self.store.get("cache", key).unwrap(), None);
        }
        report
    }

    fn lease(&self) -> Lease {
        self.store.lease().unwrap()
    }
}

fn cap(bytes: u64) -> GcPolicy {
    GcPolicy {
        max_used_space: bytes,
        ..GcPolicy::default()
    }
}

#[test]
fn without_a_cap_everything_unused_goes() {
    let f = Fixture::new();
    f.owner("a", (2, 1), &["x", "y"]);
    f.owner("b", (1, 1), &["y"]);
    let report = f.check(&GcPolicy::default(), &["a", "b"], 0);
    assert_eq!((report.freed, report.used, report.over), (200, 0, 0));
}

#[test]
fn under_a_cap_the_least_useful_goes_first() {
    let f = Fixture::new();
    f.owner("new", (1, 1), &["1"]);
    f.owner("old", (9, 1), &["2"]);
    f.owner("old-and-liked", (9, 9), &["3"]);
    f.check(&cap(300), &[], 300);
    f.check(&cap(299), &["old"], 200);
    let report = f.check(&cap(150), &["new"], 100);
    assert_eq!((report.freed, report.used, report.over), (100, 100, 0));
}

#[test]
fn what_several_refer_to_goes_with_the_last() {
    let f = Fixture::new();
    f.owner("a", (3, 1), &["base", "a"]);
    f.owner("b", (2, 2), &["base", "b"]);
    f.owner("c", (1, 3), &["base"]);
    f.check(&cap(250), &["a"], 200);
    f.check(&cap(50), &["b", "c"], 0);
}

#[test]
fn pinned_owners_keep_their_objects() {
    let f = Fixture::new();
    f.owner("image", (99, 1), &["layer"]);
    f.info("image", Pin::Pinned, "");
    f.owner("shared", (98, 1), &["layer"]);
    f.owner("step", (97, 1), &["layer", "own"]);
    f.used("image", (99, 1));
    f.check(&GcPolicy::default(), &["step"], 100);
    f.check(
        &GcPolicy {
            scope: Scope::All,
            ..GcPolicy::default()
        },
        &["shared"],
        100,
    );
    f.store.unrefer(&Owner::new("cache", "image")).unwrap();
    let layer = f.blob("layer");
    f.check(&GcPolicy::default(), &[&layer.to_string()], 0);
}

#[test]
fn a_pinned_owner_keeps_through_other_owners() {
    let f = Fixture::new();
    f.owner("manifest", (5, 1), &["config"]);
    f.owner("plain", (5, 1), &[]);
    let to = [
        Object::Entry("cache".into(), b"manifest".to_vec()),
        Object::Entry("cache".into(), b"note".to_vec()),
    ];
    f.store.put("cache", b"note", b"text").unwrap();
    let info = OwnerInfo {
        pin: Pin::Pinned,
        ..OwnerInfo::default()
    };
    f.store
        .refer_as(&Owner::new("image", "name"), &info, &to)
        .unwrap();
    f.check(&GcPolicy::default(), &["plain"], 100);
    f.store.unrefer(&Owner::new("image", "name")).unwrap();
    assert_eq!(
        f.store.get("cache", b"note").unwrap(),
        None,
        "nothing refers to it any more"
    );
    assert!(
        f.store.get("cache", b"manifest").unwrap().is_some(),
        "an owner stays until it is collected"
    );
    f.check(&GcPolicy::default(), &["manifest"], 0);
}

#[test]
fn recently_used_records_stay() {
    let f = Fixture::new();
    f.owner("old", (50, 1), &["1"]);
    f.owner("new", (47, 1), &["2"]);
    let policy = GcPolicy {
        keep_duration: std::time::Duration::from_secs(48 * 3600),
        ..GcPolicy::default()
    };
    f.check(&policy, &["old"], 100);
    f.store.touch(&Owner::new("cache", "new"));
    let record = f
        .store
        .usage()
        .unwrap()
        .records
        .into_iter()
        .find(|r| r.id == "cache/new")
        .unwrap();
    assert_eq!(record.uses, 2, "a touch counts");
}

#[test]
fn internal_records_go_only_with_all() {
    let f = Fixture::new();
    f.owner("i", (5, 1), &["1"]);
    f.info("i", Pin::Collectable, "internal");
    f.owner("f", (5, 1), &["2"]);
    f.info("f", Pin::Collectable, "frontend");
    f.check(&GcPolicy::default(), &[], 200);
    f.used("i", (6, 1));
    f.check(
        &GcPolicy {
            scope: Scope::All,
            ..GcPolicy::default()
        },
        &["i", "f"],
        0,
    );
}

#[test]
fn filters_choose() {
    let f = Fixture::new();
    f.owner("ctx", (5, 1), &["1"]);
    f.info("ctx", Pin::Collectable, "source.local");
    f.owner("step", (5, 1), &["2"]);
    let filters = vec![
        "type==source.local".parse().unwrap(),
        "id==nothing".parse().unwrap(),
    ];
    f.check(
        &GcPolicy {
            filters,
            ..GcPolicy::default()
        },
        &["ctx"],
        100,
    );
}

#[test]
fn what_is_held_stays_and_the_report_says_how_much_too_much() {
    let f = Fixture::new();
    f.owner("a", (9, 1), &["1"]);
    f.owner("b", (1, 9), &["2"]);
    let lease = f.lease();
    lease.hold(&Owner::new("cache", "a")).unwrap();
    let report = f.check(&cap(50), &["b"], 100);
    assert_eq!((report.used, report.over), (100, 50));
    drop(lease);
    f.check(&cap(50), &["a"], 0);
}

#[test]
fn what_is_made_or_opened_under_a_lease_stays() {
    let f = Fixture::new();
    let before = f.blob("before");
    let idle = f.blob("idle");
    let lease = f.lease();
    f.store.open_blob(&before).unwrap();
    f.blob("made");
    let tree = f.store.new_tree().unwrap().commit("tree", 10).unwrap();
    let other = Store::open(f.store.root()).unwrap();
    let report = other.gc(&GcPolicy::default()).unwrap();
    assert_eq!(
        report.removed.iter().map(|r| r.id.clone()).collect::<Vec<_>>(),
        [idle.to_string()]
    );
    assert!(tree.exists());
    drop(lease);
    assert_eq!(other.gc(&GcPolicy::default()).unwrap().removed.len(), 3);
    assert!(!tree.exists());
    assert!(matches!(
        f.lease().hold_blob(&before),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        f.lease().hold_tree("tree"),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn holds_end_with_the_session() {
    let f = Fixture::new();
    let blob = f.blob("x");
    let other = Store::open(f.store.root()).unwrap();
    let lease = other.lease().unwrap();
    lease.hold_blob(&blob).unwrap();
    f.check(&GcPolicy::default(), &[], 100);
    drop((lease, other));
    f.check(&GcPolicy::default(), &[&blob.to_string()], 0);
}

#[test]
fn prune_removes_incomplete_downloads() {
    let f = Fixture::new();
    let mut partial = f.store.resume(&Digest::of("never")).unwrap();
    std::io::Write::write_all(&mut partial, b"half").unwrap();
    let all = GcPolicy {
        scope: Scope::All,
        ..GcPolicy::default()
    };
    assert_eq!(f.store.prune(&all).unwrap().freed, 0, "it is being written");
    drop(partial);
    assert_eq!(f.store.usage().unwrap().total, 4);
    assert_eq!(
        f.store.prune(&GcPolicy::default()).unwrap().freed,
        0,
        "it is fresh"
    );
    assert_eq!(f.store.prune(&all).unwrap().freed, 4);
}
