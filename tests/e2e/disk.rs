//! A disk that is full, and one that cannot be written.

use std::path::Path;
use std::path::PathBuf;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::tool;

/// A small file system in memory, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(place: &Path, size: &str) -> Self {
        std::fs::create_dir_all(place).expect("a directory can be made");
        let options = format!("size={size},mode=755");
        drop(tool(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &options,
                "kiln-test",
                &place.display().to_string(),
            ],
        ));
        Self(place.to_owned())
    }

    fn remount(&self, options: &str) {
        drop(tool(
            "mount",
            &["-o", &format!("remount,{options}"), &self.0.display().to_string()],
        ));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        // Nothing can be done about a failure here; the next mount is at another place.
        let _said = umount.arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn full_disk_is_named_and_the_store_works_when_there_is_room() {
    let outside = Kiln::new();
    let disk = Disk::new(&outside.path("disk"), "24m");
    let home = disk.0.join("store");
    let kiln = Kiln::new().at(&home);
    let project =
        Project::new("FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=40\nRUN ls -l /big\n");
    let args = ["--build-context", &root("busybox"), "-t", "big:latest"];
    let failed = kiln.build(project.path(), &args).exits(1);
    let said = failed.stderr.to_lowercase();
    assert!(said.contains("no space left on"), "{}", failed.report());

    // A file that the store itself writes: here the error is ours.
    let context = Project::new("FROM scratch\nCOPY . /\n");
    let mut noise = 7_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    })
    .take(30 << 20)
    .collect();
    context.write("big", &bytes);
    let failed = kiln.build(context.path(), &["-t", "big:latest"]).exits(1);
    let failed = failed.says("kiln prune");
    let said = failed.stderr.to_lowercase();
    assert!(said.contains("no space left on"), "{}", failed.report());
    assert!(
        failed.stderr.contains(&home.display().to_string()),
        "the path is not named\n{}",
        failed.report()
    );

    disk.remount("size=400m");
    let _built = kiln.build(project.path(), &args).ok();
    let _built = kiln.build(context.path(), &["-t", "big:latest"]).ok();
    let _used = kiln.run(&["du"]).ok();
}

#[test]
fn read_only_store_is_named() {
    let outside = Kiln::new();
    let disk = Disk::new(&outside.path("disk"), "64m");
    let kiln = Kiln::new().at(&disk.0.join("store"));
    let project = Project::new("FROM scratch\nCOPY Dockerfile /\n");
    let _built = kiln.build(project.path(), &["-t", "one:latest"]).ok();
    disk.remount("ro");
    project.write("Dockerfile", b"FROM scratch\nCOPY Dockerfile /other\n");
    let failed = kiln.build(project.path(), &["-t", "one:latest"]);
    assert!(matches!(failed.code(), Some(1 | 2)), "{}", failed.report());
    assert!(
        failed.stderr.contains(&disk.0.display().to_string()),
        "the path is not named\n{}",
        failed.report()
    );
    let said = failed.stderr.to_lowercase();
    assert!(
        said.contains("read-only") || said.contains("readonly"),
        "{}",
        failed.report()
    );
    disk.remount("rw");
    let _built = kiln.build(project.path(), &["-t", "one:latest"]).ok();
}
