//! What is said of images: provenance, where it goes, and that it is found again.

use serde_json::Value;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::tool;

const DOCKERFILE: &str = "
FROM busybox AS build
ARG FOO
ARG NPM_TOKEN
COPY hello.txt /src/hello.txt
RUN --mount=type=secret,id=tok,required=false echo \"$FOO\" > /out.txt
FROM busybox
LABEL org.example=1
COPY --from=build /out.txt /out.txt
";

/// A directory with an OCI layout.
struct Layout(std::path::PathBuf);

impl Layout {
    fn json(&self, digest: &Value) -> Value {
        let name = digest.as_str().expect("a digest").replace(':', "/");
        let bytes = std::fs::read(self.0.join("blobs").join(name)).expect("the blob is there");
        serde_json::from_slice(&bytes).expect("it is JSON")
    }

    fn top(&self) -> Value {
        let bytes = std::fs::read(self.0.join("index.json")).expect("a layout");
        let index: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        self.json(&index["manifests"][0]["digest"])
    }
}

/// Builds and returns the layout.
fn build(kiln: &Kiln, args: &[&str]) -> Layout {
    let project = Project::new(DOCKERFILE).file("hello.txt", "hello\n");
    let (out, busybox) = (kiln.path("out"), root("busybox"));
    let output = format!("type=oci,tar=false,name=example.com/app:1,dest={}", out.display());
    let always = ["--build-context", &busybox, "-o", &output];
    let _built = kiln.build(project.path(), &[&always[..], args].concat()).ok();
    Layout(out)
}

/// Returns the only statement of the only image.
fn statement(layout: &Layout) -> Value {
    let index = layout.top();
    let manifests = index["manifests"].as_array().expect("an index");
    assert_eq!(manifests.len(), 2, "{index:#}");
    let entry = &manifests[1];
    assert_eq!(
        entry["annotations"]["vnd.docker.reference.type"],
        "attestation-manifest"
    );
    assert_eq!(
        entry["annotations"]["vnd.docker.reference.digest"],
        manifests[0]["digest"]
    );
    assert_eq!(entry["platform"]["architecture"], "unknown");
    let manifest = layout.json(&entry["digest"]);
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    let statement = layout.json(&layers[0]["digest"]);
    assert_eq!(
        layers[0]["annotations"]["in-toto.io/predicate-type"],
        statement["predicateType"]
    );
    statement
}

#[test]
fn full_provenance_tells_everything_but_secrets() {
    let kiln = Kiln::new().env("TOKEN_VALUE", "hunter2222");
    let args = [
        "--provenance=mode=max,builder-id=https://ci.example/1",
        "--build-arg=FOO=baz",
        "--build-arg=NPM_TOKEN=correct-horse",
        "--secret=id=tok,env=TOKEN_VALUE",
    ];
    let said = statement(&build(&kiln, &args));
    let text = said.to_string();
    assert!(
        !text.contains("hunter2222") && !text.contains("correct-horse"),
        "{text}"
    );
    assert_eq!(
        said["subject"][0]["name"],
        "pkg:docker/example.com/app@1?platform=linux%2Famd64"
    );
    let (definition, run) = (
        &said["predicate"]["buildDefinition"],
        &said["predicate"]["runDetails"],
    );
    let request = &definition["externalParameters"]["request"];
    assert_eq!(request["frontend"], "dockerfile.v0");
    assert_eq!(request["args"]["build-arg:FOO"], "baz");
    assert_eq!(request["args"]["build-arg:NPM_TOKEN"], "[redacted]");
    assert_eq!(
        request["secrets"],
        serde_json::json!([{"id": "tok", "optional": true}])
    );
    assert_eq!(run["builder"]["id"], "https://ci.example/1");
    assert_eq!(run["metadata"]["buildkit_completeness"]["request"], true);
    let steps = definition["internalParameters"]["buildConfig"]["llbDefinition"]
        .as_array()
        .expect("steps");
    let exec = steps
        .iter()
        .find(|step| step["op"]["Op"]["exec"].is_object())
        .expect("a RUN");
    let meta = &exec["op"]["Op"]["exec"]["meta"];
    assert!(meta["env"].to_string().contains("FOO=baz"), "{meta}");
    let place =
        &run["metadata"]["buildkit_metadata"]["source"]["locations"][exec["id"].as_str().expect("a name")];
    assert_eq!(place["locations"][0]["ranges"][0]["start"]["line"], 6, "{place}");
    let last = steps.last().expect("steps")["inputs"][0]
        .as_str()
        .expect("an input");
    let layers = &run["metadata"]["buildkit_metadata"]["layers"][last];
    assert!(layers[0].as_array().is_some_and(|l| l.len() == 2), "{layers}");
    let used = definition["resolvedDependencies"].as_array().expect("materials");
    let has = |start: &str| {
        used.iter()
            .any(|m| m["uri"].as_str().is_some_and(|uri| uri.starts_with(start)))
    };
    assert!(has("pkg:oci/busybox") && has("kiln:plugin/"), "{used:#?}");
}

#[test]
fn little_provenance_tells_nothing_that_was_typed() {
    let kiln = Kiln::new();
    let args = [
        "--provenance=mode=min,version=v0.2",
        "--build-arg=FOO=baz",
        "--label=team=x",
    ];
    let said = statement(&build(&kiln, &args));
    assert_eq!(said["predicateType"], "https://slsa.dev/provenance/v0.2");
    let text = said.to_string();
    assert!(!text.contains("baz") && !text.contains("team"), "{text}");
    assert_eq!(said["predicate"]["metadata"]["completeness"]["parameters"], false);
    assert_eq!(
        said["predicate"]["buildType"],
        "https://mobyproject.org/buildkit@v1"
    );
}

#[test]
fn provenance_that_nobody_asked_for_makes_no_index() {
    let kiln = Kiln::new();
    let top = build(&kiln, &[]).top();
    assert!(top["layers"].is_array(), "{top:#}");
    let refused = kiln.build(
        Project::new(DOCKERFILE).path(),
        &[
            "--provenance=true",
            "-o",
            "type=oci,dest=-,oci-mediatypes=false",
            "--build-context",
            &root("busybox"),
        ],
    );
    assert_ne!(refused.code(), Some(0));
}

#[test]
fn with_an_epoch_provenance_is_reproducible() {
    let digest = || {
        let kiln = Kiln::new().env("SOURCE_DATE_EPOCH", "1700000000");
        build(&kiln, &["--provenance=mode=max,reproducible=true"]).top()
    };
    assert_eq!(digest(), digest());
}

#[test]
fn statements_are_found_again_in_every_layout() {
    let registry = Registry::open();
    let check = |args: &[&str], expect: bool| {
        let kiln = Kiln::new();
        let name = format!("{}/team/app:{}", registry.host(), args.len());
        let project = Project::new(DOCKERFILE).file("hello.txt", "hello\n");
        let busybox = root("busybox");
        let always = ["--build-context", &busybox, "-t", &name, "--push"];
        let _pushed = kiln.build(project.path(), &[&always[..], args].concat()).ok();
        // From the store that built it, and from the registry by another one.
        for kiln in [&kiln, &Kiln::new()] {
            let said = kiln
                .run(&["inspect", "--format={{json .Provenance}}", &name])
                .ok();
            let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
            let is_there = said["SLSA"]["buildDefinition"].is_object();
            assert_eq!(is_there, expect, "{args:?} {said:#}");
        }
        let reference = format!("docker://{name}");
        drop(tool("skopeo", &["inspect", "--tls-verify=false", &reference]));
    };
    check(&[], true);
    check(&["--provenance=false"], false);
    check(&["--provenance=true", "--attest-layout=index"], true);
    let referrers = ["--provenance=true", "--attest-layout=referrers", "--load"];
    check(&referrers, true);
}
