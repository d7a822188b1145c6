//! Tests of what the other tests stand on: a helper that says yes to everything would hide every failure.

use std::process::Command;

use serde_json::Value;

use crate::support::Entry;
use crate::support::Layout;
use crate::support::LayoutWriter;
use crate::support::Registry;
use crate::support::Running;
use crate::support::root_layout;
use crate::support::run;
use crate::support::tar_of;
use crate::support::tool;

#[test]
fn written_layout_is_read_here_and_by_skopeo() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("layout");
    LayoutWriter::of_tar(tar_of(&[Entry::dir("d"), Entry::file("d/a", b"x")])).write(&dir);
    let layout = Layout::open(&dir);
    let image = layout.image();
    assert_eq!(layout.layer_names(&image), [["d", "d/a"]]);
    assert_eq!(layout.file(&image, "d/a").as_deref(), Some(&b"x"[..]));
    let seen: Value =
        serde_json::from_str(&tool("skopeo", &["inspect", &format!("oci:{}", dir.display())])).unwrap();
    assert_eq!(seen["Digest"], image.digest);
}

#[test]
fn wrong_blob_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let mut writer = LayoutWriter::of_tar(tar_of(&[Entry::file("a", b"x")]));
    writer.replaced.push((0, b"other".to_vec()));
    writer.write(place.path());
    let layout = Layout::open(place.path());
    let image = layout.image();
    assert!(std::panic::catch_unwind(|| layout.layers(&image)).is_err());
}

#[track_caller]
fn check_registry(registry: &Registry, flags: &[&str]) -> bool {
    let mut command = Command::new("skopeo");
    command.args(["copy", "--insecure-policy"]).args(flags);
    command.arg(format!("oci:{}", root_layout("busybox").display()));
    command.arg(format!("docker://{}/busybox:1", registry.host()));
    run(command).code() == Some(0)
}

#[test]
fn registries_take_images_from_those_who_may() {
    let open = Registry::open();
    assert!(check_registry(&open, &["--dest-tls-verify=false"]));
    let users = Registry::with_users();
    let auth = users.docker_config().join("config.json").display().to_string();
    assert!(!check_registry(&users, &["--dest-tls-verify=false"]));
    assert!(check_registry(
        &users,
        &["--dest-tls-verify=false", "--authfile", &auth]
    ));
    let tls = Registry::with_tls();
    let ca = tls.ca().parent().unwrap().display().to_string();
    assert!(!check_registry(&tls, &[]));
    assert!(check_registry(&tls, &["--dest-cert-dir", &ca]));
}

#[test]
fn hanging_program_is_killed_with_its_children() {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 54321.25 & wait"]);
    let outcome = Running::start(command).wait(std::time::Duration::from_millis(200));
    assert_eq!(outcome.status, None);
    // Standard output was read to its end: nobody holds it any more.
    assert!(outcome.stdout.is_empty());
}
