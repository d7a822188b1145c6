//! Images go to a registry and come back.

use serde_json::Value;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::tool;

fn project() -> Project {
    Project::new("FROM busybox\nRUN echo made > /made\nCMD [\"cat\", \"/made\"]\n")
}

/// Pushes an image and returns the digest that kiln says it has.
#[track_caller]
fn push(kiln: &Kiln, name: &str, args: &[&str]) -> String {
    let (project, facts, busybox) = (project(), kiln.path("facts.json"), root("busybox"));
    let facts_text = facts.display().to_string();
    let always = [
        "--build-context",
        &busybox,
        "-t",
        name,
        "--push",
        "--metadata-file",
        &facts_text,
    ];
    let _pushed = kiln.build(project.path(), &[&always[..], args].concat()).ok();
    let facts: Value =
        serde_json::from_slice(&std::fs::read(facts).expect("the file is there")).expect("it is JSON");
    facts["containerimage.digest"]
        .as_str()
        .expect("a digest")
        .to_owned()
}

/// Builds on an image of a registry in a store that does not have it.
#[track_caller]
fn pull(kiln: &Kiln, name: &str, args: &[&str]) {
    let project = Project::new(&format!(
        "FROM {name}\nRUN grep made /made\nCOPY --from={name} /made /again\n"
    ));
    let out = kiln.path("pulled");
    let output = format!("type=local,dest={}", out.display());
    let _pulled = kiln
        .build(project.path(), &[&["-o", &output], args].concat())
        .ok();
    assert_eq!(
        std::fs::read_to_string(out.join("again")).expect("the file is there"),
        "made\n"
    );
}

#[test]
fn pushed_image_is_what_skopeo_sees_and_another_store_pulls() {
    let registry = Registry::open();
    let name = format!("{}/team/app:1", registry.host());
    let (one, two) = (Kiln::new(), Kiln::new());
    let digest = push(&one, &name, &[]);
    let seen: Value = serde_json::from_str(&tool(
        "skopeo",
        &["inspect", "--tls-verify=false", &format!("docker://{name}")],
    ))
    .expect("skopeo prints JSON");
    assert_eq!(seen["Digest"], digest);
    let copy = one.path("copy");
    let to = format!("oci:{}:copy", copy.display());
    let from = format!("docker://{name}");
    drop(tool(
        "skopeo",
        &[
            "copy",
            "--all",
            "--insecure-policy",
            "--src-tls-verify=false",
            &from,
            &to,
        ],
    ));
    let layout = Layout::open(&copy);
    let image = layout.image();
    assert_eq!(image.digest, digest);
    assert_eq!(layout.file(&image, "made").as_deref(), Some(&b"made\n"[..]));
    pull(&two, &name, &[]);
    let by_digest = format!("{}/team/app@{digest}", registry.host());
    pull(&Kiln::new(), &by_digest, &[]);
    let raw = two.run(&["inspect", "--raw", &name]).ok();
    assert_eq!(kiln_tests::support::digest_of(&raw.stdout), digest);
}

#[test]
fn image_of_skopeo_is_pulled() {
    let registry = Registry::open();
    let name = format!("{}/base:1", registry.host());
    let from = root("busybox").replace("busybox=oci-layout://", "oci:");
    let to = format!("docker://{name}");
    drop(tool(
        "skopeo",
        &["copy", "--insecure-policy", "--dest-tls-verify=false", &from, &to],
    ));
    let project = Project::new(&format!("FROM {name}\nRUN echo works\n"));
    let _built = Kiln::new().build(project.path(), &["-o", "type=cacheonly"]).ok();
}

#[test]
fn stored_image_is_pushed_later() {
    let registry = Registry::open();
    let name = format!("{}/later:1", registry.host());
    let kiln = Kiln::new();
    let _built = kiln
        .build(
            project().path(),
            &["--build-context", &root("busybox"), "-t", &name],
        )
        .ok();
    let _pushed = kiln.run(&["image", "push", &name]).ok();
    pull(&Kiln::new(), &name, &[]);
}

#[test]
fn users_come_from_docker_credentials() {
    let registry = Registry::with_users();
    let name = format!("{}/private:1", registry.host());
    let config = registry.docker_config().display().to_string();
    let _pushed = push(&Kiln::new().env("DOCKER_CONFIG", &config), &name, &[]);
    pull(&Kiln::new().env("DOCKER_CONFIG", &config), &name, &[]);
    let stranger = Kiln::new();
    let refused = stranger
        .build(
            Project::new(&format!("FROM {name}\n")).path(),
            &["-o", "type=cacheonly"],
        )
        .exits(1);
    assert!(refused.stderr.contains(&registry.host()), "{}", refused.report());
    let refused = refused.stderr.to_lowercase();
    assert!(
        refused.contains("401") || refused.contains("unauthorized") || refused.contains("authenti"),
        "{refused}"
    );
    assert!(!refused.contains("correct horse"));
}

/// Docker asks no registry on a loopback address for a certificate that somebody vouches for. That others are asked is
/// tested where a name can be given to the test's registry: in `host/registry`.
#[test]
fn a_registry_with_tls_is_used() {
    let registry = Registry::with_tls();
    let name = format!("{}/secure:1", registry.host());
    let trusting = Kiln::new().env("SSL_CERT_FILE", &registry.ca().display().to_string());
    let _pushed = push(&trusting, &name, &[]);
    pull(&trusting, &name, &[]);
    pull(&Kiln::new(), &name, &[]);
}

#[test]
fn registry_that_is_down_is_named() {
    let registry = Registry::open();
    let host = registry.host();
    drop(registry);
    let kiln = Kiln::new();
    let tag = format!("{host}/app:1");
    let failed = kiln.build(
        project().path(),
        &["--build-context", &root("busybox"), "-t", &tag, "--push"],
    );
    let _named = failed.exits(1).says(&host);
}
