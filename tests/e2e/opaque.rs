//! A layer that hides everything below it, root and all.

use kiln_tests::support::Entry;
use kiln_tests::support::Kiln;
use kiln_tests::support::LayoutWriter;
use kiln_tests::support::Project;
use kiln_tests::support::digest_of;
use kiln_tests::support::tar_of;

#[test]
fn a_step_sees_nothing_below_an_opaque_root() {
    let busybox = std::fs::read("/usr/bin/busybox").expect("busybox is there: run `cargo xtask test`");
    let mut program = Entry::file("bin/busybox", &busybox);
    program.mode = 0o755;
    let mut image = LayoutWriter::of_tar(tar_of(&[Entry::dir("etc"), Entry::file("etc/hidden", b"1")]));
    let upper = tar_of(&[Entry::file(".wh..wh..opq", b""), Entry::dir("bin"), program]);
    image.diff_ids.push(digest_of(&upper));
    image
        .layers
        .push(("application/vnd.oci.image.layer.v1.tar".to_owned(), upper));
    let kiln = Kiln::new();
    let layout = kiln.path("image");
    image.write(&layout);
    let project =
        Project::new("FROM image\nRUN [\"/bin/busybox\", \"test\", \"!\", \"-e\", \"/etc/hidden\"]\n");
    let context = format!("image=oci-layout://{}", layout.display());
    let outcome = kiln.build(
        project.path(),
        &["--build-context", &context, "-o", "type=cacheonly"],
    );
    let _ = outcome.ok();
}
