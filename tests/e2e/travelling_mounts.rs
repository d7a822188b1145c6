//! Cache mounts that travel: what one machine's steps left in theirs, another that has nothing begins with.

use std::collections::BTreeMap;
use std::path::Path;

use crate::root;
use kiln_tests::support::Bucket;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;

/// Fills a cache mount with bytes that cannot be compressed, a link and a directory that is not everybody's.
const FILL: &str = "mkdir -p /c/d && head -c 12000000 /dev/urandom > /c/d/large && echo text > /c/small \
     && ln -s small /c/link && chmod 700 /c/d && sha256sum /c/d/large > /c/sum";
/// Fails unless the cache mount has all of that.
const CHECK: &str = "sha256sum -c /c/sum && test \"$(cat /c/link)\" = text && test $(stat -c %a /c/d) = 700";

fn step(id: &str, script: &str) -> Project {
    Project::new(&format!(
        "FROM busybox\nRUN --mount=type=cache,id={id},target=/c {script}\n"
    ))
}

fn run(kiln: &Kiln, project: &Project, args: &[&str]) -> Outcome {
    let busybox = root("busybox");
    let always = [
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
    ];
    kiln.build(project.path(), &[&always[..], args].concat())
}

/// Fills a cache mount on one machine and looks for it on another.
#[track_caller]
fn travels(cache: &str, from: &str) {
    let to = format!("{cache},mounts=true");
    _ = run(&Kiln::new(), &step("c", FILL), &["--cache-to", &to]).ok();
    let checked = run(&Kiln::new(), &step("c", CHECK), &["--cache-from", from]).ok();
    _ = checked.says("importing cache mount /c from ");
}

#[test]
fn a_directory_brings_cache_mounts() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().display();
    travels(
        &format!("type=local,dest={dir}/a"),
        &format!("type=local,src={dir}/a"),
    );
    let (to, from) = (
        format!("type=local,dest={dir}/b"),
        format!("type=local,src={dir}/b"),
    );
    travels(&format!("{to},mode=max,image-manifest=false,reset=true"), &from);
}

#[test]
fn a_registry_brings_cache_mounts() {
    let registry = Registry::open();
    let name = format!("{}/team/cache:main", registry.host());
    travels(&format!("type=registry,ref={name}"), &name);
}

#[test]
fn an_s3_bucket_brings_cache_mounts() {
    let bucket = Bucket::s3();
    let cache = format!("type=s3,{},prefix=team/,name=one;two", bucket.params());
    travels(&cache, &cache);
}

#[test]
fn an_azure_container_brings_cache_mounts() {
    let bucket = Bucket::azure();
    let cache = format!("type=azblob,{},prefix=team/", bucket.params());
    travels(&cache, &cache);
}

/// Returns the size of every blob of a directory.
fn blobs(dir: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(dir.join("blobs/sha256")).expect("the cache has blobs");
    let named = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let size = entry.metadata().expect("metadata").len();
        (entry.file_name().to_string_lossy().into_owned(), size)
    });
    named.collect()
}

#[test]
fn a_change_moves_little() {
    let kiln = Kiln::new();
    let dir = kiln.path("cache");
    let to = format!("type=local,dest={},mounts=true", dir.display());
    let export = |script: &str| {
        _ = run(&kiln, &step("c", script), &["--cache-to", &to]).ok();
        blobs(&dir)
    };
    let first = export(FILL);
    let total: u64 = first.values().sum();
    assert!(total > 12_000_000, "{total}");
    let second = export("echo more >> /c/small");
    let new = second.iter().filter(|(name, _)| !first.contains_key(*name));
    let moved: u64 = new.map(|(_, size)| size).sum();
    // A chunk has at most 4 MiB; the change is in one, and it may be where two meet.
    assert!(moved < 9_000_000, "{moved} of {total} bytes");
    let chunks = |blobs: &BTreeMap<String, u64>| blobs.values().filter(|size| **size > 200_000).count();
    let (before, after) = (chunks(&first), chunks(&second));
    assert!(after - before <= 2, "{} new chunks", after - before);
    // What did not change moves nothing but what says so.
    let third = export("true");
    assert_eq!(chunks(&third), after);
}

#[test]
fn cache_mounts_of_other_builds_stay() {
    let place = tempfile::tempdir().expect("a directory");
    let to = format!(
        "type=local,dest={},reset=true,mounts=true",
        place.path().display()
    );
    let from = format!("type=local,src={}", place.path().display());
    for id in ["a", "b"] {
        _ = run(
            &Kiln::new(),
            &step(id, &format!("echo {id} > /c/x")),
            &["--cache-to", &to],
        )
        .ok();
    }
    // This one has none, and leaves those of others where they are.
    let plain = Project::new("FROM busybox\nRUN true\n");
    _ = run(&Kiln::new(), &plain, &["--cache-to", &to]).ok();
    for id in ["a", "b"] {
        let check = step(id, &format!("grep {id} /c/x"));
        _ = run(&Kiln::new(), &check, &["--cache-from", &from]).ok();
    }
}

#[test]
fn bounds_are_kept_and_told() {
    let place = tempfile::tempdir().expect("a directory");
    let cache = place.path().display();
    let (to, from) = (
        format!("type=local,dest={cache},mounts=true"),
        format!("type=local,src={cache}"),
    );
    let small = format!("{to},mounts-max-size=1m");
    let told = run(&Kiln::new(), &step("c", FILL), &["--cache-to", &small]).ok();
    _ = told.says("cache mount `/c` not exported: it does not fit into 1048576 bytes");
    let empty = step("c", "test ! -e /c/small");
    _ = run(&Kiln::new(), &empty, &["--cache-from", &from]).ok();
    _ = run(&Kiln::new(), &step("c", FILL), &["--cache-to", &to]).ok();
    let bounded = format!("{from},mounts-max-size=1m");
    let told = run(&Kiln::new(), &empty, &["--cache-from", &bounded]).ok();
    _ = told.says("cache mount `/c` not imported: it has ");
    let refused = format!("{from},mounts=false");
    let silent = run(&Kiln::new(), &empty, &["--cache-from", &refused]).ok();
    assert!(!silent.all().contains("cache mount"), "{}", silent.report());
    _ = run(&Kiln::new(), &empty, &["--cache-from", &from, "--no-cache"]).ok();
    // What a machine has is its own.
    let kiln = Kiln::new();
    _ = run(&kiln, &step("c", "touch /c/own"), &[]).ok();
    let own = step("c", "test -e /c/own && test ! -e /c/small");
    _ = run(&kiln, &own, &["--cache-from", &from]).ok();
}

/// What can happen to a file, and what it is then.
type Harm = (&'static str, fn(Vec<u8>) -> Option<Vec<u8>>);

const HARM: &[Harm] = &[
    ("missing", |_| None),
    ("empty", |_| Some(Vec::new())),
    ("truncated", |bytes| Some(bytes[..bytes.len() / 2].to_vec())),
    ("other bytes", |bytes| {
        Some(bytes.iter().map(|byte| byte ^ 0x55).collect())
    }),
    ("longer", |bytes| Some([bytes, vec![0; 1000]].concat())),
    ("nonsense", |_| Some(b"{\"nonsense\":".to_vec())),
];

#[test]
fn harmed_cache_mounts_begin_empty() {
    let one = Kiln::new();
    let dir = one.path("cache");
    let to = format!("type=local,dest={},mounts=true", dir.display());
    _ = run(&one, &step("c", FILL), &["--cache-to", &to]).ok();
    let from = format!("type=local,src={}", dir.display());
    let empty = step("c", "test ! -e /c/small && test ! -e /c/d");
    let large = |(name, size): (String, u64)| (size > 200_000).then_some(name);
    let chunk = blobs(&dir).into_iter().find_map(large).expect("a chunk");
    let documents = |name: &&String| blobs(&dir)[*name] < 200_000;
    let names: Vec<String> = blobs(&dir).into_keys().collect();
    let documents: Vec<&String> = names.iter().filter(documents).collect();
    for (harm, change) in HARM {
        for harmed in [vec![&chunk], documents.clone()] {
            let files = harmed.iter().map(|name| dir.join("blobs/sha256").join(name));
            let files: Vec<_> = files
                .map(|file| (std::fs::read(&file).expect("it can be read"), file))
                .collect();
            for (bytes, file) in &files {
                match change(bytes.clone()) {
                    Some(changed) => std::fs::write(file, changed).expect("it can be written"),
                    None => std::fs::remove_file(file).expect("it can be removed"),
                }
            }
            let outcome = run(&Kiln::new(), &empty, &["--cache-from", &from]);
            assert!(outcome.code() == Some(0), "{harm}: {}", outcome.report());
            let told = ["not imported: ", "cache mounts not used: "];
            let is_told = told.iter().any(|text| outcome.stderr.contains(text));
            assert!(is_told, "{harm}: {}", outcome.report());
            for (bytes, file) in &files {
                std::fs::write(file, bytes).expect("it can be written");
            }
        }
    }
    _ = run(&Kiln::new(), &step("c", CHECK), &["--cache-from", &from]).ok();
}
