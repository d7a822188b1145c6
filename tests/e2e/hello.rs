//! The first build that somebody makes: `examples/hello`.

use std::path::Path;
use std::process::Command;

use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Project;
use kiln_tests::support::repo;
use kiln_tests::support::run;
use kiln_tests::support::tool;

/// Copies the example with the program that it wants beside it.
fn example() -> Project {
    let from = repo().join("examples/hello");
    let read = |name: &str| std::fs::read_to_string(from.join(name)).expect("the example is there");
    Project::new(&read("Dockerfile"))
        .file("hello.sh", &read("hello.sh"))
        .busybox("busybox")
}

#[test]
fn hello_is_accepted_and_runs_elsewhere() {
    let kiln = Kiln::new();
    let archive = kiln.path("hello.tar");
    let dest = format!("type=oci,dest={},name=hello:latest", archive.display());
    let _built = kiln.build(example().path(), &["-o", &dest]).ok();
    let layout = Layout::open(&archive);
    let image = layout.image();
    assert_eq!(image.config["config"]["Cmd"], serde_json::json!(["/hello"]));

    let reference = format!("oci-archive:{}", archive.display());
    let seen = tool("skopeo", &["inspect", &reference]);
    assert!(
        seen.contains(&image.digest),
        "skopeo sees another digest than {}: {seen}",
        image.digest
    );
    let copy = kiln.path("copy");
    let to = format!("dir:{}", copy.display());
    drop(tool(
        "skopeo",
        &["copy", "--all", "--insecure-policy", &reference, &to],
    ));

    let bundle = kiln.path("bundle");
    let tag = format!("{}:latest", layout.dir().display());
    drop(tool(
        "umoci",
        &["unpack", "--image", &tag, &bundle.display().to_string()],
    ));
    assert!(run_bundle(&bundle).contains("hello from an image that kiln built"));
}

/// podman takes the archive as it is and runs it, with whatever of its two runtimes this machine's groups suit.
#[test]
fn podman_runs_hello() {
    let kiln = Kiln::new();
    let archive = kiln.path("hello.tar");
    let dest = format!("type=oci,dest={},name=hello:latest", archive.display());
    let _built = kiln.build(example().path(), &["-o", &dest]).ok();
    let (root, state) = (kiln.path("podman"), kiln.path("podman-run"));
    let podman = |runtime: &str, args: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(&root).arg("--runroot").arg(&state);
        command.args([
            "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs",
            "--runtime",
            runtime,
        ]);
        run({
            command.args(args);
            command
        })
    };
    let image = format!("oci-archive:{}", archive.display());
    // Test machines may not raise limits.
    let limits = ["--ulimit=nofile=1000:1000", "--ulimit=nproc=1000:1000"];
    let args = [&["run", "--rm", "--network=none"], &limits[..], &[&image]].concat();
    let outcomes = ["crun", "runc"].map(|runtime| podman(runtime, &args));
    let said: String = outcomes.iter().map(kiln_tests::support::Outcome::all).collect();
    let _removed = podman("runc", &["unmount", "--all"]);
    assert!(said.contains("hello from an image that kiln built"), "{said}");
}

/// Runs the program of an unpacked image. `crun` refuses hybrid cgroups, so this is `runc`; no terminal is there.
fn run_bundle(bundle: &Path) -> String {
    let spec = bundle.join("config.json");
    let text = std::fs::read_to_string(&spec).expect("umoci writes a config");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("a config is JSON");
    config["process"]["terminal"] = false.into();
    // Raising a limit needs CAP_SYS_RESOURCE, which test machines may not have.
    config["process"]["rlimits"] = serde_json::json!([]);
    std::fs::write(&spec, config.to_string()).expect("a file can be written");
    let state = bundle.with_extension("state");
    let mut command = Command::new("runc");
    command
        .arg("--root")
        .arg(&state)
        .args(["run", "--bundle"])
        .arg(bundle);
    command.arg(format!("kiln-test-{}", std::process::id()));
    run(command).ok().text()
}
