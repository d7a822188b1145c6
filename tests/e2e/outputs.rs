//! Where a result goes, and what is said about it.

use std::path::Path;

use serde_json::Value;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::digest_of;
use kiln_tests::support::tool;

const DOCKERFILE: &str = "FROM scratch\nCOPY a /dir/a\nCOPY b /b\nLABEL who=me\nCMD [\"/b\"]\n";

fn project() -> Project {
    Project::new(DOCKERFILE)
        .file("a", "content of a")
        .file("b", &"content of b\n".repeat(1000))
}

#[track_caller]
fn build(kiln: &Kiln, output: &str) -> Outcome {
    let outcome = kiln.build(project().path(), &["-o", output]).ok();
    assert!(
        outcome.stdout.is_empty(),
        "stdout is for data\n{}",
        outcome.report()
    );
    outcome
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn oci_archive_and_directory_hold_the_same_image() {
    let kiln = Kiln::new();
    let (archive, dir) = (kiln.path("image.tar"), kiln.path("image"));
    drop(build(&kiln, &format!("type=oci,dest={}", show(&archive))));
    drop(build(&kiln, &format!("type=oci,tar=false,dest={}", show(&dir))));
    let (one, two) = (Layout::open(&archive).image(), Layout::open(&dir).image());
    assert_eq!(one.digest, two.digest);
    let layout = Layout::open(&dir);
    assert_eq!(layout.layer_names(&two).len(), 2);
    assert_eq!(layout.file(&two, "dir/a").as_deref(), Some(&b"content of a"[..]));
    drop(tool("skopeo", &["inspect", &format!("oci:{}", show(&dir))]));
}

#[test]
fn docker_archive_is_read_by_skopeo() {
    let kiln = Kiln::new();
    let archive = kiln.path("image.tar");
    drop(build(
        &kiln,
        &format!("type=docker,name=app:1,dest={}", show(&archive)),
    ));
    let reference = format!("docker-archive:{}", show(&archive));
    let seen: Value =
        serde_json::from_str(&tool("skopeo", &["inspect", &reference])).expect("skopeo prints JSON");
    assert_eq!(seen["Labels"]["who"], "me");
    assert_eq!(seen["Layers"].as_array().map(Vec::len), Some(2));
    let config: Value =
        serde_json::from_str(&tool("skopeo", &["inspect", "--config", &reference])).expect("JSON");
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["/b"]));
}

#[test]
fn tar_and_local_hold_the_files() {
    let kiln = Kiln::new();
    let (archive, dir) = (kiln.path("root.tar"), kiln.path("root"));
    drop(build(&kiln, &format!("type=tar,dest={}", show(&archive))));
    drop(build(&kiln, &format!("type=local,dest={}", show(&dir))));
    let names = tool("tar", &["-tf", &show(&archive)]);
    let mut names: Vec<&str> = names
        .lines()
        .map(|name| name.trim_start_matches("./").trim_end_matches('/'))
        .collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    assert_eq!(names, ["b", "dir", "dir/a"]);
    assert_eq!(
        std::fs::read_to_string(dir.join("dir/a")).expect("the file is there"),
        "content of a"
    );
    assert_eq!(
        std::fs::read_dir(&dir).expect("the directory is there").count(),
        2
    );
}

#[test]
fn a_bare_path_is_a_directory_and_a_dash_is_a_tar_on_stdout() {
    let kiln = Kiln::new();
    let dir = kiln.path("root");
    drop(build(&kiln, &show(&dir)));
    assert!(dir.join("b").is_file());
    let outcome = kiln.build(project().path(), &["-o", "-"]).ok();
    let mut archive = tar::Archive::new(outcome.stdout.as_slice());
    let entries = archive.entries().expect("stdout is a tar");
    let names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("stdout is a tar")
                .path()
                .expect("a path")
                .into_owned()
        })
        .collect();
    assert!(names.iter().any(|name| name.ends_with("dir/a")), "{names:?}");
    let outcome = kiln.build(project().path(), &["-o", "type=oci,dest=-"]).ok();
    let file = kiln.path("from-stdout.tar");
    std::fs::write(&file, &outcome.stdout).expect("a file can be written");
    drop(Layout::open(&file).image());
}

#[test]
fn the_local_image_store_keeps_saves_and_forgets_an_image() {
    let kiln = Kiln::new();
    let _built = kiln.build(project().path(), &["-t", "app:1"]).ok();
    assert!(kiln.run(&["image", "ls"]).ok().text().contains("app"));
    let archive = kiln.path("saved.tar");
    let _saved = kiln.run(&["image", "save", "-o", &show(&archive), "app:1"]).ok();
    let oci = kiln.path("image.tar");
    drop(build(&kiln, &format!("type=oci,dest={}", show(&oci))));
    assert_eq!(
        Layout::open(&archive).image().config,
        Layout::open(&oci).image().config
    );
    let _from = kiln
        .build(
            Project::new("FROM app:1\nCOPY Dockerfile /\n").path(),
            &["-t", "app:2"],
        )
        .ok();
    let _removed = kiln.run(&["image", "rm", "app:1", "app:2"]).ok();
    assert!(!kiln.run(&["image", "ls"]).ok().text().contains("app"));
    let _gone = kiln.run(&["image", "rm", "app:1"]).exits(1).says("app:1");
}

#[test]
fn cacheonly_writes_nothing() {
    let kiln = Kiln::new();
    drop(build(&kiln, "type=cacheonly"));
    assert_eq!(kiln.run(&["image", "ls", "-q"]).ok().text(), "");
}

#[test]
fn quiet_files_and_metadata_name_the_same_image() {
    let kiln = Kiln::new();
    let (iid, facts, dir) = (kiln.path("iid"), kiln.path("facts.json"), kiln.path("image"));
    let output = format!("type=oci,tar=false,dest={}", show(&dir));
    let (project, iid_text) = (project(), show(&iid));
    let args = [
        "build",
        "-q",
        "-t",
        "app:1",
        "-o",
        &output,
        "-o",
        "type=image",
        "--iidfile",
        &iid_text,
    ];
    let context = show(project.path());
    let outcome = kiln
        .run(&[&args[..], &["--metadata-file", &show(&facts), &context]].concat())
        .ok();
    let image = Layout::open(&dir).image();
    let facts: Value =
        serde_json::from_slice(&std::fs::read(facts).expect("the file is there")).expect("it is JSON");
    assert_eq!(facts["containerimage.digest"], image.digest);
    assert_eq!(
        facts["containerimage.config.digest"],
        image.manifest["config"]["digest"]
    );
    let iid = std::fs::read_to_string(iid).expect("the file is there");
    assert_eq!(outcome.text().trim(), iid, "-q and --iidfile");
    assert!(
        iid == image.digest || image.manifest["config"]["digest"] == iid,
        "{iid} is no digest of the image"
    );
    assert_eq!(outcome.stderr, "", "-q says nothing");
}

#[test]
fn layers_are_compressed_as_asked() {
    let kiln = Kiln::new();
    let cases = [
        (
            "gzip,compression-level=1",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &[0x1f, 0x8b][..],
        ),
        (
            "gzip,compression-level=9",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &[0x1f, 0x8b],
        ),
        (
            "zstd",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            &[0x28, 0xb5, 0x2f, 0xfd],
        ),
        (
            "zstd,compression-level=19",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            &[0x28, 0xb5, 0x2f, 0xfd],
        ),
        ("uncompressed", "application/vnd.oci.image.layer.v1.tar", b"b\0"),
    ];
    for (at, (compression, media_type, magic)) in cases.into_iter().enumerate() {
        let dir = kiln.path(&format!("image-{at}"));
        let output = format!("type=oci,tar=false,dest={},compression={compression}", show(&dir));
        drop(build(&kiln, &output));
        let layout = Layout::open(&dir);
        let image = layout.image();
        assert_eq!(layout.layers(&image).len(), 2);
        let layer = &image.manifest["layers"][1];
        assert_eq!(layer["mediaType"], media_type, "{compression}");
        let blob = layout.blob(layer["digest"].as_str().expect("a digest"));
        assert!(blob.starts_with(magic), "{compression}: {:?}", &blob[..8]);
    }
}

#[test]
fn docker_media_types_when_oci_ones_are_off() {
    let kiln = Kiln::new();
    let dir = kiln.path("image");
    drop(build(
        &kiln,
        &format!("type=oci,tar=false,oci-mediatypes=false,dest={}", show(&dir)),
    ));
    let image = Layout::open(&dir).image();
    assert_eq!(
        image.manifest["mediaType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    assert_eq!(
        image.manifest["layers"][0]["mediaType"],
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    );
}

#[test]
fn several_outputs_of_one_build() {
    let kiln = Kiln::new();
    let (archive, dir) = (kiln.path("image.tar"), kiln.path("root"));
    let (oci, local) = (
        format!("type=oci,dest={}", show(&archive)),
        format!("type=local,dest={}", show(&dir)),
    );
    let _built = kiln
        .build(
            project().path(),
            &["-t", "app:1", "-o", &oci, "-o", &local, "-o", "type=image"],
        )
        .ok();
    assert!(archive.is_file() && dir.join("b").is_file());
    assert!(kiln.run(&["image", "ls"]).ok().text().contains("app"));
}

#[test]
fn inspect_shows_what_was_built() {
    let kiln = Kiln::new();
    let _built = kiln.build(project().path(), &["-t", "app:1"]).ok();
    let raw = kiln.run(&["inspect", "--raw", "app:1"]).ok();
    let document: Value = serde_json::from_slice(&raw.stdout).expect("it is JSON");
    assert_eq!(document["schemaVersion"], 2);
    let summary = kiln.run(&["inspect", "app:1"]).ok().text();
    assert!(summary.contains(&digest_of(&raw.stdout)), "{summary}");
    let template = "{{.Name}} {{.Image.OS}} {{json .SBOM}}";
    let filled = kiln.run(&["inspect", "--format", template, "app:1"]).ok().text();
    assert_eq!(filled, "app:1 linux {}");
    let wrong = kiln.run(&["inspect", "--format", "{{.Nope}}", "app:1"]).exits(1);
    _ = wrong.says("template: ");
}

#[test]
fn a_step_of_a_base_keeps_its_base_layers() {
    let kiln = Kiln::new();
    let dir = kiln.path("image");
    let output = format!("type=oci,tar=false,dest={}", show(&dir));
    let project = Project::new("FROM busybox\nRUN touch /new\n");
    let _built = kiln
        .build(
            project.path(),
            &["--build-context", &root("busybox"), "-o", &output],
        )
        .ok();
    let layout = Layout::open(&dir);
    let names = layout.layer_names(&layout.image());
    let files: Vec<&String> = names[1].iter().filter(|name| !name.ends_with('/')).collect();
    assert_eq!(files, ["new"]);
}
