//! Images, archives and plugins that lie. Each is one error that names the culprit, and nothing lands outside.

use std::path::Path;

use serde_json::Value;
use tar::EntryType;

use kiln_tests::support::Entry;
use kiln_tests::support::Kiln;
use kiln_tests::support::LayoutWriter;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::digest_of;
use kiln_tests::support::gzip;
use kiln_tests::support::tar_of;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Builds on the image of `layout` and exports the files.
fn build_on(kiln: &Kiln, layout: &Path) -> Outcome {
    let project = Project::new("FROM evil\nCOPY Dockerfile /inside/\n");
    let context = format!("evil=oci-layout://{}", layout.display());
    let output = format!("type=local,dest={}", kiln.path("out").display());
    kiln.build(project.path(), &["--build-context", &context, "-o", &output])
}

/// Asserts that there is one error, which names all of `parts`.
#[track_caller]
fn check(outcome: Outcome, parts: &[&str]) {
    let outcome = outcome.exits(1);
    for part in parts {
        assert!(
            outcome.stderr.contains(part),
            "`{part}` is not named\n{}",
            outcome.report()
        );
    }
    let errors = outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:"))
        .count();
    assert_eq!(errors, 1, "errors\n{}", outcome.report());
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.report());
}

/// Builds on an image with one layer of `entries`, which must fail and name `parts`.
#[track_caller]
fn refused(entries: &[Entry], parts: &[&str]) {
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    LayoutWriter::of_tar(tar_of(entries)).write(&layout);
    check(build_on(&kiln, &layout), parts);
    // The layer's directory is some levels below the place of the test.
    let escaped = ["escaped", "store/escaped", "store/trees/escaped"].map(|name| kiln.path(name));
    assert!(
        escaped.iter().all(|path| !path.exists()),
        "a file was written outside"
    );
}

#[test]
fn parent_directories_in_names() {
    refused(&[Entry::file("../escaped", b"x")], &["../escaped"]);
    refused(
        &[Entry::dir("a"), Entry::file("a/../../../../escaped", b"x")],
        &["a/../../../../escaped"],
    );
}

#[test]
fn links_that_leave_the_tree_lead_nowhere() {
    let kiln = Kiln::new();
    let outside = kiln.path("outside");
    std::fs::create_dir(&outside).expect("a directory can be made");
    let target = outside.display().to_string();
    let up = format!("../../../../../../../../../..{target}");
    for (at, target) in [target, up].iter().enumerate() {
        let layout = kiln.path(&format!("evil-{at}"));
        let entries = [Entry::symlink("link", target), Entry::file("link/escaped", b"x")];
        LayoutWriter::of_tar(tar_of(&entries)).write(&layout);
        let outcome = build_on(&kiln, &layout);
        assert!(matches!(outcome.code(), Some(0 | 1)), "{}", outcome.report());
        assert_eq!(
            std::fs::read_dir(&outside).expect("it is there").count(),
            0,
            "a file was written outside"
        );
    }
}

#[test]
fn copy_does_not_follow_links_out_of_a_context_or_an_image() {
    let kiln = Kiln::new();
    let secret = kiln.path("secret");
    std::fs::write(&secret, "the machine's own").expect("a file can be written");
    let project = Project::new("FROM scratch\nCOPY link/secret /\n");
    std::os::unix::fs::symlink(kiln.path(""), project.join("link")).expect("a link can be made");
    let output = format!("type=local,dest={}", kiln.path("out").display());
    let outcome = kiln.build(project.path(), &["-o", &output]).exits(1);
    assert!(!outcome.all().contains("the machine's own"));
    let target = kiln.path("target");
    std::fs::create_dir(&target).expect("a directory can be made");
    let project = Project::new("FROM scratch\nCOPY link /link\nCOPY Dockerfile /link/escaped\n");
    std::os::unix::fs::symlink(&target, project.join("link")).expect("a link can be made");
    let _either = kiln.build(project.path(), &["-o", "type=cacheonly"]);
    assert_eq!(
        std::fs::read_dir(&target).expect("it is there").count(),
        0,
        "a file was written outside"
    );
}

#[test]
fn hard_links_out_of_the_tree() {
    refused(
        &[Entry::hardlink("passwd", "../../../../../../../../etc/passwd")],
        &["passwd"],
    );
    let through = [
        Entry::symlink("etc", "/etc"),
        Entry::hardlink("stolen", "etc/hostname"),
    ];
    refused(&through, &["stolen"]);
}

#[test]
fn hard_link_to_nothing() {
    refused(&[Entry::hardlink("lost", "not/there")], &["lost"]);
}

#[test]
fn device_nodes() {
    let device = Entry {
        kind: EntryType::Char,
        ..Entry::file("dev/mem", b"")
    };
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    LayoutWriter::of_tar(tar_of(&[Entry::dir("dev"), device])).write(&layout);
    let outcome = build_on(&kiln, &layout);
    // Images with devices exist: as root they may be unpacked, but never handed out by a local export unseen.
    if outcome.code() != Some(0) {
        check(outcome, &["dev/mem"]);
    }
}

#[test]
fn archive_that_ends_early() {
    let mut tar = tar_of(&[Entry::file("whole", &[7; 4096])]);
    tar.truncate(1024);
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    LayoutWriter::of_tar(tar.clone()).write(&layout);
    check(build_on(&kiln, &layout), &[&digest_of(&tar)]);
}

#[test]
fn size_in_a_header_that_is_not_there() {
    let mut tar = tar_of(&[Entry::file("huge", b"small")]);
    // GNU's base-256 form: more than any disk has.
    tar[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    LayoutWriter::of_tar(tar.clone()).write(&layout);
    check(build_on(&kiln, &layout), &[&digest_of(&tar)]);
}

#[test]
fn blob_with_another_content_or_length() {
    let tar = tar_of(&[Entry::file("a", b"a")]);
    let digest = digest_of(&tar);
    let mut same_length = tar.clone();
    same_length[0] = b'b';
    for other in [same_length, tar[..512].to_vec(), [&tar[..], &[0; 512]].concat()] {
        let kiln = Kiln::new();
        let layout = kiln.path("evil");
        let mut writer = LayoutWriter::of_tar(tar.clone());
        writer.replaced.push((0, other));
        writer.write(&layout);
        check(build_on(&kiln, &layout), &[&digest]);
    }
}

/// Builds on an image whose manifest was changed, which must fail and name the image.
#[track_caller]
fn lying(change: fn(&mut Value)) {
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    let mut writer = LayoutWriter::of_tar(tar_of(&[Entry::file("a", b"a")]));
    writer.manifest = change;
    writer.write(&layout);
    let outcome = build_on(&kiln, &layout);
    let culprit = outcome.stderr.contains("evil") || outcome.stderr.contains("sha256:");
    assert!(
        culprit,
        "neither the image nor the blob is named\n{}",
        outcome.report()
    );
    check(outcome, &[]);
}

#[test]
fn manifest_with_a_wrong_size() {
    lying(|manifest| manifest["layers"][0]["size"] = 1_000_000.into());
}

#[test]
fn manifest_with_a_negative_size() {
    lying(|manifest| manifest["layers"][0]["size"] = (-1).into());
}

#[test]
fn manifest_with_a_path_for_a_digest() {
    lying(|manifest| manifest["layers"][0]["digest"] = "sha256:../../../../etc/passwd".into());
}

#[test]
fn manifest_with_fewer_layers_than_the_config() {
    lying(|manifest| manifest["layers"] = Value::Array(Vec::new()));
}

#[test]
fn diff_id_that_is_another() {
    let tar = tar_of(&[Entry::file("a", b"a")]);
    let (blob, wrong) = (gzip(&tar), digest_of(b"another"));
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    LayoutWriter::of_blob(GZIP, blob, wrong.clone()).write(&layout);
    check(build_on(&kiln, &layout), &[&wrong]);
}

#[test]
fn layer_that_is_no_archive() {
    for (media_type, blob) in [
        (TAR, b"no tar at all".repeat(100)),
        (GZIP, b"no gzip".to_vec()),
        ("text/plain", b"?".to_vec()),
    ] {
        let kiln = Kiln::new();
        let layout = kiln.path("evil");
        let diff_id = digest_of(&blob);
        LayoutWriter::of_blob(media_type, blob, diff_id).write(&layout);
        check(build_on(&kiln, &layout), &[]);
    }
}

#[test]
fn compressed_bomb_does_not_fill_the_memory() {
    // 256 MiB of headers for empty names, 250 KiB compressed: no tar has that between its entries.
    let blob = gzip(&vec![0_u8; 256 << 20]);
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    LayoutWriter::of_blob(GZIP, blob, digest_of(b"never")).write(&layout);
    check(build_on(&kiln, &layout), &[]);
}

#[test]
fn layout_that_is_none() {
    let kiln = Kiln::new();
    let layout = kiln.path("evil");
    std::fs::create_dir(&layout).expect("a directory can be made");
    check(build_on(&kiln, &layout), &["evil"]);
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("a file can be written");
    std::fs::write(layout.join("index.json"), "{ not json").expect("a file can be written");
    check(build_on(&kiln, &layout), &["evil", "malformed"]);
}

#[test]
fn plugin_that_is_no_component() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY Dockerfile /\n");
    for (name, bytes) in [
        ("text.wasm", &b"I am no component"[..]),
        ("empty.wasm", b""),
        ("module.wasm", b"\0asm\x01\0\0\0"),
    ] {
        let path = kiln.path(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        let plugin = path.display().to_string();
        let outcome = kiln.build(project.path(), &["--plugin", &plugin, "-o", "type=cacheonly"]);
        assert!(matches!(outcome.code(), Some(1 | 2)), "{}", outcome.report());
        assert!(
            outcome.stderr.contains(name),
            "the plugin is not named\n{}",
            outcome.report()
        );
    }
    let missing = kiln.path("missing.wasm").display().to_string();
    let outcome = kiln.build(project.path(), &["--plugin", &missing, "-o", "type=cacheonly"]);
    assert!(outcome.stderr.contains("missing.wasm"), "{}", outcome.report());
}

#[test]
fn plugin_that_is_too_much_to_compile() {
    let kiln = Kiln::new();
    let project = Project::new("FROM scratch\nCOPY Dockerfile /\n");
    let plugin = kiln_tests::support::repo().join("target/plugins/frontend-dockerfile.wasm");
    let plugin = plugin.display().to_string();
    let build = |more: &[&str]| {
        let args = [&["--plugin", &plugin, "-o", "type=cacheonly"], more].concat();
        kiln.build(project.path(), &args)
    };
    let outcome = build(&["--plugin-limit", "compile-memory=64MiB"]);
    check(
        outcome,
        &[
            "frontend-dockerfile.wasm",
            "64 MiB",
            "--plugin-limit compile-memory=",
        ],
    );
    let _ = build(&[]).ok();
}

#[test]
fn context_archive_that_escapes() {
    let kiln = Kiln::new();
    let mut command = kiln.command(&["build", "--progress=plain", "-o", "type=cacheonly", "-"]);
    let entries = [
        Entry::file("Dockerfile", b"FROM scratch\nCOPY . /\n"),
        Entry::file("../../escaped", b"x"),
    ];
    let path = kiln.path("context.tar");
    std::fs::write(&path, tar_of(&entries)).expect("a file can be written");
    command.stdin(std::fs::File::open(path).expect("a file can be opened"));
    let outcome = kiln_tests::support::Running::start(command).wait(std::time::Duration::from_secs(60));
    check(outcome, &["escaped"]);
    assert!(!kiln.path("escaped").exists() && !kiln.path("store/escaped").exists());
}
