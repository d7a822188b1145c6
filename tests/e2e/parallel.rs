//! Several commands on one store at once.

use std::time::Duration;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Project;

const PATIENCE: Duration = Duration::from_secs(180);

#[track_caller]
fn check(dockerfiles: &[String; 4]) -> Vec<String> {
    let kiln = Kiln::new();
    let busybox = root("busybox");
    let projects: Vec<Project> = dockerfiles
        .iter()
        .map(|text| Project::new(text).file("a", "a"))
        .collect();
    let places: Vec<_> = (0..4).map(|at| kiln.path(&format!("out-{at}"))).collect();
    let start = |at: usize| {
        let output = format!("type=oci,tar=false,dest={}", places[at].display());
        let tag = format!("app{at}:latest");
        let args = [
            "--build-context",
            &busybox,
            "-t",
            &tag,
            "-o",
            "type=image",
            "-o",
            &output,
        ];
        let mut command = kiln.command(&kiln.build_args(projects[at].path(), &args));
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        kiln_tests::support::Running::start(command)
    };
    let running: Vec<_> = (0..4).map(start).collect();
    for build in running {
        let _built = build.wait(PATIENCE).ok();
    }
    let images = kiln.run(&["image", "ls"]).ok().text();
    assert!((0..4).all(|at| images.contains(&format!("app{at}"))), "{images}");
    assert_eq!(kiln.mounts(), Vec::<String>::new(), "mounts are left");
    places
        .iter()
        .map(|place| Layout::open(place).image().digest)
        .collect()
}

#[test]
fn four_builds_of_the_same_file() {
    let text = "FROM busybox\nCOPY a /a\nRUN cat /a /a > /b\nRUN wc -c /b > /c\n".to_owned();
    let digests = check(&[text.clone(), text.clone(), text.clone(), text]);
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn four_builds_of_different_files() {
    let text = |at| format!("FROM busybox\nCOPY a /a\nRUN echo {at} > /b\n");
    let mut digests = check(&[text(0), text(1), text(2), text(3)]);
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 4);
}

#[test]
fn prune_beside_a_build() {
    let kiln = Kiln::new();
    let project = Project::new(
        "FROM busybox\nRUN echo one > /one && sleep 1\nRUN cat /one && sleep 1\nRUN cat /one > /two\n",
    );
    let args = kiln.build_args(
        project.path(),
        &["--build-context", &root("busybox"), "-t", "app:latest"],
    );
    let mut build = kiln.start(&args);
    while !build.ended() {
        let _pruned = kiln.run(&["prune", "--all", "--force"]).ok();
        std::thread::sleep(Duration::from_millis(100));
    }
    let _built = build.wait(PATIENCE).ok();
}
