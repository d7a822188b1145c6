//! Dockerfiles of the corpus that build from packages of Debian, PyPI and npm: they do, and their images run
//! in a runtime that is not kiln.

use std::path::Path;
use std::process::Command;

use kiln_tests::support::Kiln;
use kiln_tests::support::repo;
use kiln_tests::support::run;
use kiln_tests::support::tool;

use crate::root;

/// Builds `build-NAME` with `args` into an image that is run as its config says; returns what it printed.
#[track_caller]
fn built_and_run(kiln: &Kiln, name: &str, args: &[&str]) -> String {
    let context = repo()
        .join("tests/corpora/dockerfiles")
        .join(format!("build-{name}"));
    let layout = kiln.path(name);
    let dest = format!("type=oci,tar=false,name={name}:latest,dest={}", layout.display());
    let (busybox, debian) = (root("busybox"), root("debian"));
    let ca = "id=ca,src=/etc/ssl/certs/ca-certificates.crt";
    let mut all = vec![
        "-o",
        &dest,
        "--build-context",
        &busybox,
        "--build-context",
        &debian,
        "--secret",
        ca,
    ];
    all.extend(args);
    // Packages come from elsewhere, which may take its time.
    let time = std::time::Duration::from_secs(600);
    let _built = kiln.run_for(&kiln.build_args(&context, &all), time).ok();
    let bundle = kiln.path(&format!("{name}.bundle"));
    let tag = format!("{}:latest", layout.display());
    drop(tool(
        "umoci",
        &["unpack", "--image", &tag, &bundle.display().to_string()],
    ));
    run_bundle(&bundle, name)
}

/// Runs a bundle with runc, in the machine's network, without limits that a test machine may not raise.
#[track_caller]
fn run_bundle(bundle: &Path, name: &str) -> String {
    let spec = bundle.join("config.json");
    let text = std::fs::read_to_string(&spec).expect("umoci writes a config");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("a config is JSON");
    config["process"]["terminal"] = false.into();
    config["process"]["rlimits"] = serde_json::json!([]);
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    // umoci has an empty directory for each volume, where a runtime would keep what the image has there.
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["source"] != "none");
    }
    std::fs::write(&spec, config.to_string()).expect("a file can be written");
    let mut command = Command::new("runc");
    command.arg("--root").arg(bundle.with_extension("state"));
    command.args(["run", "--bundle"]).arg(bundle);
    command.arg(format!("kiln-corpus-{name}-{}", std::process::id()));
    run(command).ok().text()
}

#[test]
fn small_images_run() {
    let kiln = Kiln::new();
    assert_eq!(built_and_run(&kiln, "busybox-httpd", &[]), "<h1>about</h1>\n");
    assert_eq!(
        built_and_run(&kiln, "onbuild", &[]),
        "app --run by onbuild\napp --check by nobody\n"
    );
    assert_eq!(
        built_and_run(&kiln, "perl-cgi", &[]),
        "perl of uid 4000: seeded\n"
    );
}

#[test]
fn a_static_program_from_gcc_runs_alone() {
    let said = built_and_run(&Kiln::new(), "c-static", &["--build-arg", "GREETING=good-day"]);
    assert_eq!(said, "good-day world\n");
}

#[test]
fn a_python_program_with_a_package_runs() {
    let said = built_and_run(&Kiln::new(), "python-pip", &[]);
    assert_eq!(said, "colorama 0.4.6 as app --default\n");
}

#[test]
fn a_node_program_with_a_package_runs() {
    assert_eq!(
        built_and_run(&Kiln::new(), "node-npm", &[]),
        "a day is 86400000 ms\n"
    );
}

/// What needs no image: the frontend's component tells the stages of every Dockerfile of the corpus.
#[test]
fn the_component_reads_the_whole_corpus() {
    let kiln = Kiln::new();
    let dir = repo().join("tests/corpora/dockerfiles");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("the corpus is there") {
        let context = entry.expect("a directory can be read").path();
        let said = kiln.build(&context, &["--call=targets"]).ok().text();
        assert!(!said.is_empty(), "no stages in `{}`", context.display());
        count += 1;
    }
    assert!(count >= 40, "{count} Dockerfiles");
}
