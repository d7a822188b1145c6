//! Caches of elsewhere: one machine leaves its cache, another that has nothing uses it.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::root;
use kiln_tests::support::Bucket;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::shared;

const DOCKERFILE: &str = "
FROM busybox AS build
COPY input /input
RUN cat /input > /made && date +%N >> /made
FROM busybox
COPY --from=build /made /made
RUN cat /made > /twice
";

fn project() -> Project {
    Project::new(DOCKERFILE).file("input", "text\n")
}

/// Builds into a layout beside the store and returns it.
#[track_caller]
fn build(kiln: &Kiln, project: &Project, args: &[&str]) -> (Outcome, PathBuf) {
    let busybox = root("busybox");
    let out = kiln.path("out");
    drop(std::fs::remove_dir_all(&out));
    let output = format!("type=oci,tar=false,dest={}", out.display());
    let always = ["--build-context", &busybox, "-o", &output];
    (
        kiln.build(project.path(), &[&always[..], args].concat()).ok(),
        out,
    )
}

fn layers(out: &Path) -> Vec<String> {
    let layout = Layout::open(out);
    let image = layout.image();
    let digests = image.manifest["layers"].as_array().expect("layers").iter();
    digests
        .map(|layer| layer["digest"].as_str().expect("a digest").to_owned())
        .collect()
}

/// Returns how many `RUN` steps ran.
fn runs(outcome: &Outcome) -> usize {
    let names = outcome.stderr.lines().filter(|line| line.contains("] RUN "));
    let numbers = names.filter_map(|line| line.split_once(' ').map(|(number, _)| number));
    let ran = numbers.filter(|number| !outcome.stderr.contains(&format!("{number} CACHED")));
    ran.count()
}

/// Builds on one machine with `to`, and on another with `from`: nothing runs again, and the image is the same.
#[track_caller]
fn travels(to: &str, from: &str, args: &[&str]) {
    let (one, two, project) = (Kiln::new(), Kiln::new(), project());
    let (first, out) = build(&one, &project, &[&["--cache-to", to], args].concat());
    assert_eq!(runs(&first), 2, "{}", first.report());
    let expect = layers(&out);
    let (second, out) = build(&two, &project, &[&["--cache-from", from], args].concat());
    assert_eq!(runs(&second), 0, "{}", second.report());
    assert_eq!(layers(&out), expect, "{}", second.report());
}

#[test]
fn a_directory_brings_everything() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().display();
    travels(
        &format!("type=local,dest={dir}/a,mode=max"),
        &format!("type=local,src={dir}/a"),
        &[],
    );
    travels(
        &format!("type=local,dest={dir}/b,mode=max,image-manifest=false"),
        &format!("type=local,src={dir}/b"),
        &[],
    );
    travels(
        &format!("type=local,dest={dir}/c,mode=max,oci-mediatypes=false,tag=x"),
        &format!("type=local,src={dir}/c,tag=x"),
        &["--build-arg", "SOURCE_DATE_EPOCH=1700000000"],
    );
}

#[test]
fn a_registry_brings_everything() {
    let registry = Registry::open();
    let name = format!("{}/team/cache:main", registry.host());
    travels(&format!("type=registry,ref={name},mode=max"), &name, &[]);
    let other = format!("{}/team/other", registry.host());
    travels(
        &format!("type=registry,ref={other},mode=max,image-manifest=false"),
        &format!("type=registry,ref={other}"),
        &[],
    );
}

/// Builds, exports and imports through a bucket, with right and wrong keys.
#[track_caller]
fn bucket_travels(kind: &str, bucket: &Bucket) {
    let cache = format!("type={kind},{},prefix=team/", bucket.params());
    travels(&format!("{cache},mode=max"), &cache, &[]);
    let named = format!("type={kind},{},name=one;two", bucket.params());
    travels(&format!("{named},mode=max"), &named, &[]);
    let wrong = format!("type={kind},{}", bucket.wrong_params());
    let (outcome, _) = build(&Kiln::new(), &project(), &["--cache-from", &wrong]);
    assert_eq!(runs(&outcome), 2, "{}", outcome.report());
    let outcome = outcome.says(&format!("cannot use cache `{kind}:"));
    let (_, secret) = wrong.split_once("secret_access_key=").expect("it has one");
    assert!(!outcome.all().contains(secret), "{}", outcome.report());
    let (kiln, project, busybox) = (Kiln::new(), project(), root("busybox"));
    let args = [
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
        "--cache-to",
        &wrong,
    ];
    let _failed = kiln
        .build(project.path(), &args)
        .exits(1)
        .says("failed to export cache");
}

#[test]
fn an_s3_bucket_brings_everything() {
    bucket_travels("s3", &Bucket::s3());
}

#[test]
fn an_azure_container_brings_everything() {
    bucket_travels("azblob", &Bucket::azure());
}

/// BuildKit's own cache of `tiny.Dockerfile`, as it lies in a bucket; and a blob of many pieces.
#[test]
fn a_bucket_that_buildkit_wrote_is_used() {
    let bucket = Bucket::s3();
    let capture = shared("reference/captures/tiny-cache-s3");
    for folder in ["blobs", "manifests"] {
        for entry in std::fs::read_dir(capture.join(folder)).expect("the capture") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            bucket.put(&format!("{folder}/{name}"), &path);
        }
    }
    let text = std::fs::read_to_string(shared("reference/captures/tiny.Dockerfile")).expect("the capture");
    let tiny = Project::new(&text).file("hello.txt", "hello\n");
    let kiln = Kiln::new();
    let cache = format!("type=s3,{}", bucket.params());
    let (outcome, out) = build(&kiln, &tiny, &["--cache-from", &cache]);
    let expect = "sha256:f890f5c57160ad1ae438727c2dc1178f10f8407f79e36179182060ddcc16cd4c";
    assert_eq!(layers(&out), [expect], "{}", outcome.report());
    let large = Project::new("FROM busybox\nRUN head -c 30000000 /dev/urandom > /large\n");
    let (_, out) = build(&Kiln::new(), &large, &["--cache-to", &cache]);
    drop(out);
    let (outcome, _) = build(&Kiln::new(), &large, &["--cache-from", &cache]);
    assert_eq!(runs(&outcome), 0, "{}", outcome.report());
}

#[test]
fn the_smallest_cache_has_what_the_image_is_made_of() {
    let place = tempfile::tempdir().expect("a directory");
    let (one, two, project) = (Kiln::new(), Kiln::new(), project());
    let dir = place.path().display();
    let (_, out) = build(&one, &project, &["--cache-to", &format!("type=local,dest={dir}")]);
    let expect = layers(&out);
    let from = format!("type=local,src={dir}");
    let (second, out) = build(&two, &project, &["--cache-from", &from]);
    // The last step is found by keys alone; nothing that leads to it is needed.
    assert_eq!(runs(&second), 0, "{}", second.report());
    assert_eq!(layers(&out), expect);
    project.write("input", b"other\n");
    let (third, _) = build(&Kiln::new(), &project, &["--cache-from", &from]);
    assert_eq!(runs(&third), 2, "{}", third.report());
}

#[test]
fn an_image_brings_its_own_cache() {
    let registry = Registry::open();
    let name = format!("{}/team/app:1", registry.host());
    let (one, two, busybox) = (Kiln::new(), Kiln::new(), root("busybox"));
    let project = Project::new("FROM busybox\nRUN date +%N > /a\nRUN date +%N > /b\n");
    let push = ["--build-context", &busybox, "-t", &name, "--push"];
    let inline = [&push[..], &["--cache-to", "type=inline"]].concat();
    let _pushed = one.build(project.path(), &inline).ok();
    let (second, _) = build(&two, &project, &["--cache-from", &name]);
    assert_eq!(runs(&second), 0, "{}", second.report());
    let by_arg = [&push[..], &["--build-arg", "BUILDKIT_INLINE_CACHE=1"]].concat();
    let _pushed = one.build(project.path(), &by_arg).ok();
    let more = Project::new("FROM busybox\nRUN date +%N > /a\nRUN date +%N > /b\nRUN date +%N > /c\n");
    let (third, _) = build(
        &Kiln::new(),
        &more,
        &["--cache-from", &format!("type=registry,ref={name}")],
    );
    assert_eq!(runs(&third), 1, "{}", third.report());
}

/// BuildKit's own cache of `tiny.Dockerfile`: its layer comes out, byte for byte, which nobody here could make.
#[test]
fn a_cache_that_buildkit_wrote_is_used() {
    let captures = shared("reference/captures");
    let text = std::fs::read_to_string(captures.join("tiny.Dockerfile")).expect("the capture");
    let project = Project::new(&text).file("hello.txt", "hello\n");
    let from = format!("type=local,src={}", captures.join("tiny-cache-local").display());
    let kiln = Kiln::new();
    let (outcome, out) = build(&kiln, &project, &["--cache-from", &from]);
    let expect = "sha256:f890f5c57160ad1ae438727c2dc1178f10f8407f79e36179182060ddcc16cd4c";
    assert_eq!(layers(&out), [expect], "{}", outcome.report());
}

/// Does something to a file.
type Harm = fn(&Path);

/// What can happen to a file of a cache.
const HARM: &[(&str, Harm)] = &[
    ("missing", |file| {
        std::fs::remove_file(file).expect("it can be removed");
    }),
    ("empty", |file| {
        std::fs::write(file, "").expect("it can be written");
    }),
    ("truncated", |file| {
        let bytes = std::fs::read(file).expect("it can be read");
        std::fs::write(file, &bytes[..bytes.len() / 2]).expect("it can be written");
    }),
    ("other bytes", |file| {
        let mut bytes = std::fs::read(file).expect("it can be read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        std::fs::write(file, bytes).expect("it can be written");
    }),
    ("longer", |file| {
        let mut bytes = std::fs::read(file).expect("it can be read");
        bytes.extend_from_slice(&[0; 1000]);
        std::fs::write(file, bytes).expect("it can be written");
    }),
    ("nonsense", |file| {
        std::fs::write(file, "{\"nonsense\":").expect("it can be written");
    }),
];

#[test]
fn a_harmed_cache_costs_its_hits_and_nothing_else() {
    let (one, project) = (Kiln::new(), project());
    let cache = one.path("cache");
    let to = format!("type=local,dest={},mode=max", cache.display());
    let _built = build(&one, &project, &["--cache-to", &to]);
    let blobs = cache.join("blobs/sha256");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&blobs)
        .expect("the cache has blobs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.push(cache.join("index.json"));
    for (name, harm) in HARM {
        for all in [true, false] {
            let two = Kiln::new();
            let copy = two.path("copy");
            kiln_tests::support::tool(
                "cp",
                &["-a", &cache.display().to_string(), &copy.display().to_string()],
            );
            let inside = |file: &PathBuf| copy.join(file.strip_prefix(&cache).expect("it is inside"));
            // Layers only, then the documents as well.
            let is_layer =
                |file: &&PathBuf| std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(&[0x1f, 0x8b]));
            files
                .iter()
                .filter(|file| all || is_layer(file))
                .map(inside)
                .for_each(|file| harm(&file));
            let from = format!("type=local,src={}", copy.display());
            let (outcome, out) = build(&two, &project, &["--cache-from", &from]);
            let layout = Layout::open(&out);
            let made = layout.file(&layout.image(), "twice").expect("the file is there");
            assert!(made.starts_with(b"text\n"), "{name}: {}", outcome.report());
            assert!(runs(&outcome) > 0, "{name}: {}", outcome.report());
            assert!(
                outcome.stderr.contains(&copy.display().to_string()),
                "{name}: {}",
                outcome.report()
            );
        }
    }
}

/// A cache whose layers are whole but not what it says of them.
#[test]
fn a_cache_that_lies_about_its_layers_is_not_believed() {
    let (one, project) = (Kiln::new(), project());
    let cache = one.path("cache");
    let to = format!("type=local,dest={},mode=max", cache.display());
    let _built = build(&one, &project, &["--cache-to", &to]);
    let index_path = cache.join("index.json");
    let read = |path: &Path| -> Value {
        serde_json::from_slice(&std::fs::read(path).expect("a document")).expect("JSON")
    };
    let mut index = read(&index_path);
    let digest = index["manifests"][0]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    let blob = |digest: &str| {
        cache
            .join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"))
    };
    let mut manifest = read(&blob(&digest));
    for layer in manifest["layers"].as_array_mut().expect("layers") {
        let name = layer["digest"].clone();
        layer["annotations"]["containerd.io/uncompressed"] = name;
    }
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let digest = kiln_tests::support::digest_of(&bytes);
    std::fs::write(blob(&digest), &bytes).expect("it can be written");
    index["manifests"][0]["digest"] = digest.into();
    index["manifests"][0]["size"] = bytes.len().into();
    std::fs::write(&index_path, index.to_string()).expect("it can be written");
    let two = Kiln::new();
    let other = Project::new(&format!("{DOCKERFILE}RUN cat /twice > /third\n")).file("input", "text\n");
    let (outcome, out) = build(
        &two,
        &other,
        &["--cache-from", &format!("type=local,src={}", cache.display())],
    );
    let layout = Layout::open(&out);
    let made = layout.file(&layout.image(), "third").expect("the file is there");
    assert!(made.starts_with(b"text\n"), "{}", outcome.report());
}

#[test]
fn caches_that_are_not_there_are_a_warning() {
    let project = project();
    let (outcome, _) = build(
        &Kiln::new(),
        &project,
        &[
            "--cache-from",
            "type=local,src=/nowhere/at/all",
            "--cache-from",
            "type=registry,ref=127.0.0.1:1/none:1,timeout=2s",
        ],
    );
    let said = outcome.says("there is no cache at `/nowhere/at/all:latest`");
    let _said = said.says("127.0.0.1:1/none:1");
}

#[test]
fn an_export_that_fails_fails_the_build_unless_it_may() {
    let (kiln, project, busybox) = (Kiln::new(), project(), root("busybox"));
    project.write("file", b"in the way");
    let to = format!("type=local,dest={}", project.join("file").display());
    let args = ["--build-context", &busybox, "-o", "type=cacheonly", "--cache-to"];
    let _failed = kiln
        .build(project.path(), &[&args[..], &[&to]].concat())
        .exits(1)
        .says("failed to export cache");
    let may = format!("{to},ignore-error=true");
    let _built = kiln.build(project.path(), &[&args[..], &[&may]].concat()).ok();
}

/// A killed export leaves the cache before it or the new one.
#[test]
fn a_killed_export_leaves_a_cache_that_works() {
    let (kiln, project, busybox) = (Kiln::new(), project(), root("busybox"));
    let cache = kiln.path("cache");
    let to = format!("type=local,dest={},mode=max", cache.display());
    let args = [
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
        "--cache-to",
        &to,
    ];
    for round in 0..8_u64 {
        project.write("input", format!("{round}\n").as_bytes());
        let running = kiln.start(&kiln.build_args(project.path(), &args));
        std::thread::sleep(Duration::from_millis(150 * round));
        running.signal(Signal::KILL);
        drop(running.wait(Duration::from_secs(10)));
    }
    project.write("input", b"text\n");
    let _built = kiln.build(project.path(), &args).ok();
    let (outcome, _) = build(
        &Kiln::new(),
        &project,
        &["--cache-from", &format!("type=local,src={}", cache.display())],
    );
    assert_eq!(runs(&outcome), 0, "{}", outcome.report());
}
