//! How steps get their file systems: overlays, or copies where the kernel gives none.

use std::process::Command;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::run;

/// Makes, changes, replaces and deletes what is below, and mounts trees in every way.
const DOCKERFILE: &str = "FROM busybox AS a0
RUN mkdir /seed && echo seed > /seed/kept
FROM busybox AS a
RUN mkdir /d && echo 1 > /d/x && ln -s /d/x /l && ln /d/x /d/hard && chmod 700 /d && mkdir -p /e/f/g
RUN rm -rf /d && mkdir /d && echo 2 > /d/y && rm /bin/awk && chmod 4755 /l 2>/dev/null; chown 5:6 /e/f
RUN --mount=from=busybox,source=/bin,target=/m ls /m/sh && ! touch /m/new
RUN --mount=target=/ctx,rw touch /ctx/new && ls /ctx/link
RUN --mount=target=/ctx,source=link ! test -e /ctx/new && test \"$(cat /ctx/f)\" = deep
RUN --mount=type=cache,target=/cache,from=a0,source=/seed cat /cache/kept && echo more >> /cache/kept
FROM busybox
COPY --from=a /d /d
COPY --from=a /e /e
RUN test -f /d/y && ! test -e /d/x && test \"$(stat -c %u:%g /e/f)\" = 5:6 && rm -r /e/f/g && chown 7:8 /d/y
";

fn project() -> Project {
    let project = Project::new(DOCKERFILE).file("sub/f", "deep\n");
    std::os::unix::fs::symlink("sub", project.join("link")).expect("a link");
    project
}

fn args(kiln: &Kiln, project: &Project, more: &[&str]) -> (Vec<String>, std::path::PathBuf) {
    let id = kiln.path("id");
    let busybox = root("busybox");
    let file = id.display().to_string();
    let always = ["--network=none", "--build-context", &busybox, "--iidfile", &file];
    (kiln.build_args(project.path(), &[more, &always].concat()), id)
}

#[test]
fn copies_give_the_same_image_as_overlays() {
    let project = project();
    let ids = ["overlay", "copy", "auto"].map(|name| {
        let kiln = Kiln::new()
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .env("KILN_SNAPSHOTTER", name);
        let (args, id) = args(&kiln, &project, &[]);
        _ = kiln.run(&args).ok();
        std::fs::read_to_string(id).expect("an id")
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
}

#[test]
fn where_no_overlay_can_be_mounted_layers_are_copied() {
    let kiln = Kiln::new();
    let project = project();
    // A file system without extended attributes can be no overlay's upper one. It is mounted for the command alone.
    let home = kiln.home().display().to_string();
    std::fs::create_dir_all(kiln.home()).expect("a directory");
    let inside = |args: &[String]| {
        let inner = kiln.command(args);
        let mut command = Command::new("unshare");
        command.args([
            "-m",
            "sh",
            "-c",
            "mount -t overlay -o lowerdir=$1/l,upperdir=$1/u,workdir=$1/w none $2 && shift 2 && exec \"$@\"",
            "sh",
        ]);
        command
            .arg(kiln.path("outer"))
            .arg(&home)
            .arg(inner.get_program())
            .args(inner.get_args());
        command
            .env_clear()
            .envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
        run(command)
    };
    for dir in ["l", "u", "w"] {
        std::fs::create_dir_all(kiln.path("outer").join(dir)).expect("a directory");
    }
    let (arguments, _) = args(&kiln, &project, &[]);
    _ = inside(&arguments).ok();
    let text = inside(&["doctor".to_owned()]).text();
    assert!(text.contains("snapshots: overlayfs does not work in"), "{text}");
    let (arguments, _) = args(&kiln, &project, &["--snapshotter=overlay", "--no-cache"]);
    _ = inside(&arguments).exits(1).says("overlay");
    _ = kiln
        .run(&["build", "--snapshotter=zfs", "."])
        .exits(2)
        .says("expected auto, overlay or copy");
}
