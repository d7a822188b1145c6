//! Several platforms in one build, annotations of what is made for them, and programs of other machines.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::kiln_bin;
use kiln_tests::support::run;

const SEVERAL: &str = "\
FROM --platform=$BUILDPLATFORM scratch AS tools
ARG BUILDARCH TARGETARCH TARGETVARIANT
COPY file /from-$BUILDARCH-for-$TARGETARCH$TARGETVARIANT
FROM scratch
ARG TARGETPLATFORM BUILDPLATFORM
LABEL target=$TARGETPLATFORM build=$BUILDPLATFORM
COPY --from=tools / /
";

fn project(dockerfile: &str) -> Project {
    Project::new(dockerfile).file("file", "content\n")
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

fn blob(layout: &std::path::Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().expect("a digest");
    json(&layout.join("blobs").join(digest.replace(':', "/")))
}

#[test]
fn platforms_become_one_index() {
    let (kiln, project) = (Kiln::new(), project(SEVERAL));
    let (layout, metadata) = (kiln.path("layout"), kiln.path("metadata.json"));
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let args = [
        "--platform=linux/amd64,linux/arm64",
        "--platform=linux/arm/v7",
        "--provenance=false",
        "-o",
        &output,
        "--metadata-file",
        metadata.to_str().expect("text"),
    ];
    _ = kiln.build(project.path(), &args).ok();
    let top = &json(&layout.join("index.json"))["manifests"][0];
    let metadata = json(&metadata);
    assert_eq!(metadata["containerimage.digest"], top["digest"]);
    assert_eq!(metadata["containerimage.descriptor"]["digest"], top["digest"]);
    assert!(metadata.get("containerimage.config.digest").is_none());
    let index = blob(&layout, top);
    let mut found = Vec::new();
    for manifest in index["manifests"].as_array().expect("manifests") {
        let config = blob(&layout, &blob(&layout, manifest)["config"]);
        assert_eq!(config["architecture"], manifest["platform"]["architecture"]);
        let labels = &config["config"]["Labels"];
        assert!(
            labels["build"]
                .as_str()
                .is_some_and(|build| build.starts_with("linux/"))
        );
        found.push(labels["target"].as_str().expect("a label").to_owned());
    }
    assert_eq!(found, ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
}

#[test]
fn files_of_several_platforms_are_kept_apart() {
    let (kiln, project) = (Kiln::new(), project(SEVERAL));
    let (directory, tar) = (kiln.path("out"), kiln.path("out.tar"));
    let outputs = [
        format!("type=local,dest={}", directory.display()),
        format!("type=tar,dest={}", tar.display()),
    ];
    let args = [
        "--platform=linux/amd64,linux/arm/v7",
        "-o",
        &outputs[0],
        "-o",
        &outputs[1],
    ];
    _ = kiln.build(project.path(), &args).ok();
    let built = std::env::consts::ARCH
        .replace("x86_64", "amd64")
        .replace("aarch64", "arm64");
    let names = [
        format!("linux_amd64/from-{built}-for-amd64"),
        format!("linux_arm_v7/from-{built}-for-armv7"),
    ];
    let listed = run({
        let mut command = Command::new("tar");
        command.arg("tf").arg(&tar);
        command
    });
    for name in &names {
        assert!(directory.join(name).is_file(), "{name}");
        assert!(
            listed.text().lines().any(|line| line == name),
            "{name}: {}",
            listed.text()
        );
    }
    let together = format!(
        "type=local,dest={},platform-split=false",
        kiln.path("one").display()
    );
    let args = ["--platform=linux/amd64,linux/arm/v7", "-o", &together];
    _ = kiln.build(project.path(), &args).ok();
    assert!(kiln.path("one").join(format!("from-{built}-for-amd64")).is_file());
    let same = self::project("FROM scratch\nCOPY file /\n");
    _ = kiln
        .build(same.path(), &args)
        .exits(1)
        .says("cannot overwrite file from linux/amd64 with linux/arm/v7 when split option is disabled");
}

#[test]
fn one_platform_can_be_kept_apart_too() {
    let (kiln, project) = (Kiln::new(), project(SEVERAL));
    let directory = kiln.path("out");
    let output = format!("type=local,dest={}", directory.display());
    let args = [
        "--platform=linux/arm64",
        "--build-arg=BUILDKIT_MULTI_PLATFORM=1",
        "-o",
        &output,
    ];
    _ = kiln.build(project.path(), &args).ok();
    assert!(directory.join("linux_arm64").is_dir());
}

#[test]
fn annotations_are_put_where_they_say() {
    let (kiln, project) = (Kiln::new(), project("FROM scratch\nCOPY file /\n"));
    let layout = kiln.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let levels = [
        "--annotation=plain=1",
        "--annotation=index:i=2",
        "--annotation=index-descriptor:id=3",
        "--annotation=manifest-descriptor:md=4",
        "--annotation=manifest[linux/arm64],index:both=5",
        "--annotation=manifest-descriptor[linux/amd64]:one=a:b=c",
    ];
    let mut args = vec![
        "--platform=linux/amd64,linux/arm64",
        "--provenance=false",
        "-o",
        &output,
    ];
    args.extend(levels);
    _ = kiln.build(project.path(), &args).ok();
    let top = &json(&layout.join("index.json"))["manifests"][0];
    assert_eq!(top["annotations"]["id"], "3");
    let index = blob(&layout, top);
    assert_eq!(index["annotations"], serde_json::json!({"i": "2", "both": "5"}));
    let manifests = &index["manifests"];
    assert_eq!(
        manifests[0]["annotations"],
        serde_json::json!({"md": "4", "one": "a:b=c"})
    );
    assert_eq!(manifests[1]["annotations"], serde_json::json!({"md": "4"}));
    assert_eq!(
        blob(&layout, &manifests[0])["annotations"],
        serde_json::json!({"plain": "1"})
    );
    assert_eq!(
        blob(&layout, &manifests[1])["annotations"],
        serde_json::json!({"plain": "1", "both": "5"})
    );
    _ = kiln
        .build(project.path(), &["-o", &output, "--annotation=index:a=b"])
        .exits(1)
        .says("index annotations not supported for single platform export");
}

#[test]
fn a_program_of_another_machine_needs_an_emulator() {
    let busybox = root("busybox");
    let text = "FROM scratch\nCOPY file /program\nRUN [\"/program\", \"x\"]\n";
    let (kiln, project) = (Kiln::new(), project(text));
    // A machine that nobody has registered an emulator for.
    let args = [
        "--platform=linux/mips64",
        "-o",
        "type=cacheonly",
        "--build-context",
        &busybox,
    ];
    _ = kiln
        .build(project.path(), &args)
        .exits(1)
        .says("cannot run a step for linux/mips64 on linux/")
        .says("install `qemu-user-static`, which registers `qemu-mips64` with binfmt_misc")
        .says("RUN [\"/program\", \"x\"]");
}

/// The head of a program for s390x: all that the kernel looks at before it calls the emulator.
fn s390x_program() -> Vec<u8> {
    let mut program = b"\x7fELF\x02\x02\x01".to_vec();
    program.resize(16, 0);
    program.extend([0, 2, 0, 22]);
    program.resize(128, 0);
    program
}

/// busybox as `echo` is the emulator: it prints the program's path and arguments. It is registered in a user namespace
/// of the test's own.
#[test]
fn a_program_of_another_machine_runs_in_its_emulator() {
    let (kiln, project) = (
        Kiln::new(),
        project("FROM scratch\nCOPY --chmod=755 program /\nRUN [\"/program\", \"said\"]\n").busybox("echo"),
    );
    project.write("program", &s390x_program());
    let echo = project.join("echo");
    std::fs::set_permissions(&echo, PermissionsExt::from_mode(0o755)).expect("permissions");
    let magic = "\\x7fELF\\x02\\x02\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x16";
    let script = format!(
        r#"
        mkfifo "$KILN_HOME/go"
        unshare --user --mount sh -c '
            read go < "$KILN_HOME/go"
            mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 77
            printf "%s" ":fake:M:0:{magic}::{echo}:F" > /proc/sys/fs/binfmt_misc/register || exit 77
            exec "$@"' sh "$@" &
        until test "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/self/ns/user)"; do :; done
        echo 0 0 65536 > /proc/$!/uid_map && echo 0 0 65536 > /proc/$!/gid_map || {{ kill $!; exit 77; }}
        echo go > "$KILN_HOME/go"
        wait $!"#,
        echo = echo.display()
    );
    let args = kiln.build_args(
        project.path(),
        &["--platform=linux/s390x", "--network=none", "-o", "type=cacheonly"],
    );
    std::fs::create_dir_all(kiln.home()).expect("a directory");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(kiln_bin())
        .args(&args)
        .env("KILN_HOME", kiln.home());
    let outcome = run(command);
    if outcome.code() == Some(77) {
        eprintln!(
            "skipped: needs root, and user namespaces with their own binfmt_misc (Linux 6.7): {}",
            outcome.stderr
        );
        return;
    }
    _ = outcome.ok().says("/program said");
}
