//! `COPY --link`: layers that do not depend on what is below.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use kiln_tests::support::Entry;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::LayoutWriter;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::tar_of;

/// Writes a base image with one file.
fn base(at: &Path, content: &str) {
    let entries = [Entry::dir("etc"), Entry::file("etc/release", content.as_bytes())];
    LayoutWriter::of_tar(tar_of(&entries)).write(at);
}

/// Builds on the base and returns the digests of the layers.
fn layers(kiln: &Kiln, project: &Project, base: &Path) -> (Outcome, Vec<String>) {
    let out = kiln.path("image");
    drop(std::fs::remove_dir_all(&out));
    let output = format!("type=oci,tar=false,dest={}", out.display());
    let context = format!("base=oci-layout://{}", base.display());
    let outcome = kiln
        .build(project.path(), &["--build-context", &context, "-o", &output])
        .ok();
    let image = Layout::open(&out).image();
    let digests = image.manifest["layers"].as_array().expect("layers").iter();
    let digests = digests.map(|layer| layer["digest"].as_str().expect("a digest").to_owned());
    (outcome, digests.collect())
}

/// When each blob of the store was written.
fn blobs(kiln: &Kiln) -> BTreeMap<String, SystemTime> {
    let mut all = BTreeMap::new();
    let mut open = vec![kiln.home().join("blobs")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let metadata = entry.metadata().expect("a file has metadata");
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                let name = entry.file_name().to_string_lossy().into_owned();
                all.insert(name, metadata.modified().expect("a file has a time"));
            }
        }
    }
    all
}

#[test]
fn a_changed_base_rewrites_no_linked_layer() {
    let kiln = Kiln::new();
    let (old, new) = (kiln.path("old"), kiln.path("new"));
    base(&old, "1");
    base(&new, "2");
    let project = Project::new(
        "FROM base\nWORKDIR /app\nCOPY --link data /data/\nCOPY --link --chown=5:6 more /etc/more\nCOPY plain /plain\n",
    )
    .file("data/a", "a")
    .file("more", "more")
    .file("plain", "plain");
    let (_, before) = layers(&kiln, &project, &old);
    let written = blobs(&kiln);
    assert!(!written.is_empty(), "the store's blobs are elsewhere");
    let (outcome, after) = layers(&kiln, &project, &new);
    // The base, WORKDIR, two linked layers, and one that is not.
    assert_eq!((before.len(), after.len()), (5, 5));
    assert_ne!(before[0], after[0], "the base is the same");
    assert_eq!(before[2..4], after[2..4], "linked layers were made again");
    for digest in &after[2..4] {
        let hex = digest.trim_start_matches("sha256:");
        let (first, now) = (written.get(hex), blobs(&kiln).get(hex).copied());
        assert!(
            first.is_some() && first.copied() == now,
            "{digest} was written again"
        );
    }
    for step in [
        "COPY --link data /data/",
        "COPY --link --chown=5:6 more /etc/more",
    ] {
        assert!(
            outcome.stderr.contains(&format!("5] {step}")),
            "`{step}` is not shown\n{}",
            outcome.report()
        );
    }
}
