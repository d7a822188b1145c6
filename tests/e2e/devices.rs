//! `RUN --device`: devices that specifications of the Container Device Interface describe.

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;

/// Devices of two files; `DIR` stands for a directory of the machine.
const YAML: &str = "
cdiVersion: \"0.6.0\"
kind: vendor1.com/device
annotations:
  org.mobyproject.buildkit.device.class: ours
containerEdits:
  env:
  - COMMON=once
devices:
- name: foo
  containerEdits:
    env:
    - FOO=injected
- name: open
  annotations:
    org.mobyproject.buildkit.device.autoallow: true
  containerEdits:
    env: [OPEN=yes]
- name: node
  containerEdits:
    deviceNodes:
    - path: /dev/ours/zero
      hostPath: /dev/zero
      fileMode: 0640
      gid: 7
      permissions: rw
    additionalGids: [4242]
- name: files
  containerEdits:
    mounts:
    - hostPath: DIR/files
      containerPath: /opt/vendor
      options: [ro, nosuid, nodev, rbind]
- name: hooked
  containerEdits:
    hooks:
    - hookName: createContainer
      path: /usr/bin/vendor-hook
";
const JSON: &str = r#"{"cdiVersion": "0.5.0", "kind": "vendor2.com/gpu", "devices": [
  {"name": "0", "containerEdits": {"env": ["GPU0=yes"]}}, {"name": "1", "containerEdits": {"env": ["GPU1=yes"]}}]}"#;

struct Machine {
    kiln: Kiln,
    dir: String,
}

impl Machine {
    fn new() -> Self {
        let kiln = Kiln::new();
        let dir = kiln.path("cdi");
        std::fs::create_dir_all(dir.join("files")).expect("a directory");
        std::fs::write(dir.join("files/lib"), "vendor's\n").expect("a file");
        let dir = dir.display().to_string();
        std::fs::write(format!("{dir}/one.yaml"), YAML.replace("DIR", &dir)).expect("a file");
        std::fs::write(format!("{dir}/two.json"), JSON).expect("a file");
        std::fs::write(format!("{dir}/broken.yaml"), "kind: [").expect("a file");
        Self { kiln, dir }
    }

    /// Builds `RUN` with `flags` and a command.
    fn run(&self, syntax: &str, flags: &str, command: &str, args: &[&str]) -> Outcome {
        let project = Project::new(&format!("{syntax}FROM busybox\nRUN {flags} {command}\n"));
        let busybox = root("busybox");
        let always = [
            "--no-cache",
            "--network=none",
            "--build-context",
            &busybox,
            "-o",
            "type=cacheonly",
        ];
        let dir = ["--cdi-spec-dir", &self.dir];
        self.kiln.build(project.path(), &[args, &dir, &always].concat())
    }
}

const LABS: &str = "# syntax=docker/dockerfile:1-labs\n";

/// Flags of RUN, the command, flags of the build, what it says.
const GIVEN: &[(&str, &str, &[&str], &str)] = &[
    (
        "--device=vendor1.com/device=foo",
        "echo got $FOO $COMMON",
        &["--allow=device"],
        "got injected once",
    ),
    (
        "--device=vendor1.com/device=foo",
        "echo got $FOO",
        &["--allow=device=vendor1.com/device=foo"],
        "got injected",
    ),
    (
        "--device=vendor1.com/device=foo",
        "echo got $FOO",
        &["--allow", "device=vendor1.com/device"],
        "device vendor1.com/device=foo is",
    ),
    (
        "--device=vendor1.com/device=foo",
        "echo got $FOO",
        &["--allow", "device=vendor1.com/device=*"],
        "got injected",
    ),
    (
        "--device=vendor1.com/device=mine",
        "echo got $FOO",
        &[
            "--allow",
            "device=vendor1.com/device=foo,alias=vendor1.com/device=mine",
        ],
        "got injected",
    ),
    (
        "--device=vendor1.com/device=open",
        "echo got $OPEN",
        &[],
        "got yes",
    ),
    (
        "--device=vendor2.com/gpu",
        "echo got $GPU0-$GPU1",
        &["--allow=device"],
        "got yes-",
    ),
    (
        "--device=vendor2.com/gpu=*",
        "echo got $GPU0-$GPU1",
        &["--allow=device"],
        "got yes-yes",
    ),
    (
        "--device=name=vendor2.com/gpu=1,required",
        "echo got $GPU0-$GPU1",
        &["--allow=device"],
        "got -yes",
    ),
    (
        "--device=vendor1.com/device=node",
        "head -c 2 /dev/ours/zero | od -An -tx1",
        &["--allow=device"],
        "00 00",
    ),
    (
        "--device=vendor1.com/device=node",
        "stat -c 'is %a %u %g %F' /dev/ours/zero",
        &["--allow=device"],
        "is 640 0 7 character special file",
    ),
    (
        "--device=vendor1.com/device=node",
        "id -G",
        &["--allow=device"],
        "4242",
    ),
    (
        "--device=vendor1.com/device=files",
        "cat /opt/vendor/lib && ! touch /opt/vendor/x && echo read-only",
        &["--allow=device"],
        "vendor's",
    ),
    (
        "--device=vendor1.com/device=files",
        "! touch /opt/vendor/x && echo protected",
        &["--allow=device"],
        "protected",
    ),
    (
        "--device=vendor9.com/none=x",
        "echo done without",
        &["--allow=device"],
        "done without",
    ),
];

#[test]
fn devices_come_with_what_their_specification_says() {
    let machine = Machine::new();

    for (flags, command, args, expected) in GIVEN {
        let outcome = machine.run(LABS, flags, command, args);
        let text = outcome.all();
        assert!(
            text.contains(expected),
            "{flags} {args:?}: expected `{expected}`\n{text}"
        );
    }
}

#[test]
fn devices_that_cannot_be_had() {
    let machine = Machine::new();
    let rows: &[(&str, &str, &[&str], &str)] = &[
        (
            LABS,
            "--device=vendor1.com/device=foo",
            &[],
            "device vendor1.com/device=foo is requested by the build but not allowed",
        ),
        (
            LABS,
            "--device=vendor2.com/gpu=*",
            &[],
            "devices vendor2.com/gpu=0, vendor2.com/gpu=1 are requested by the build but not allowed",
        ),
        (
            LABS,
            "--device=vendor2.com/gpu=1",
            &["--allow=device=vendor2.com/gpu=0"],
            "device vendor2.com/gpu=1 is requested by the build but not allowed",
        ),
        (
            LABS,
            "--device=vendor2.com/gpu=7,required",
            &["--allow=device"],
            "required device \"vendor2.com/gpu=7\" is not registered",
        ),
        (
            LABS,
            "--device=vendor2.com/gpu=7,required",
            &["--allow=device"],
            "broken.yaml`: ",
        ),
        (
            LABS,
            "--device=gpu",
            &["--allow=device"],
            "invalid device \"gpu\"",
        ),
        (
            LABS,
            "--device=vendor1.com/device=hooked",
            &["--allow=device"],
            "it has the hook `/usr/bin/vendor-hook` (createContainer)",
        ),
        (
            LABS,
            "--device=vendor1.com/device=foo,size=1",
            &["--allow=device"],
            "unexpected key 'size' in 'size=1'",
        ),
        (
            "",
            "--device=vendor1.com/device=foo",
            &["--allow=device"],
            "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
        ),
    ];
    for (syntax, flags, args, expected) in rows {
        let outcome = machine.run(syntax, flags, "echo not reached", args);
        let text = outcome.all();
        assert!(
            outcome.code() == Some(1) && text.contains(expected),
            "{flags} {args:?}: expected `{expected}`\n{text}"
        );
    }
    _ = machine
        .run(LABS, "", "true", &["--allow=device=x,colour=red"])
        .exits(2)
        .says("unknown device config key \"colour\"");
    _ = machine
        .run(LABS, "", "true", &["--allow=devices"])
        .exits(2)
        .says("unknown entitlement devices");
}

#[test]
fn devices_leave_nothing_in_the_image() {
    let machine = Machine::new();
    let text = format!(
        "{LABS}FROM busybox AS a\nRUN --device=vendor1.com/device=node --device=vendor1.com/device=files true\n\
         FROM scratch\nCOPY --from=a /dev /dev/\nCOPY --from=a /opt* /opt/\n"
    );
    let project = Project::new(&text);
    let out = machine.kiln.path("out");
    let output = format!("type=local,dest={}", out.display());
    let busybox = root("busybox");
    let args = [
        "--allow=device",
        "--cdi-spec-dir",
        &machine.dir,
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        &output,
    ];
    _ = machine.kiln.build(project.path(), &args).ok();
    assert!(!out.join("dev/ours").exists());
    assert!(!out.join("opt/vendor").exists());
}
