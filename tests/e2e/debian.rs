//! A multi-stage build with steps over a Debian root file system.

use serde_json::json;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Project;
use kiln_tests::support::root_layout;
use kiln_tests::support::tool;

const DOCKERFILE: &str = r#"
FROM debian AS build
RUN useradd --create-home builder
USER builder
WORKDIR /home/builder
COPY --chown=builder input.txt .
RUN perl -ne 'print uc' input.txt > output.txt
RUN id -un > who && dpkg -l | grep -c '^ii' > packages

FROM debian
COPY --from=build /home/builder/output.txt /home/builder/who /home/builder/packages /srv/
RUN useradd --uid 4242 app && rm /etc/issue && mkdir -m 2775 /srv/shared && chown app:app /srv/shared
USER app
ENV GREETING="hello there"
EXPOSE 8080
CMD ["cat", "/srv/output.txt"]
"#;

#[test]
fn stages_with_steps_become_an_image_that_umoci_unpacks() {
    let kiln = Kiln::new();
    let project = Project::new(DOCKERFILE).file("input.txt", "made by perl\n");
    let place = kiln.path("layout");
    let dest = format!("type=oci,tar=false,name=app:latest,dest={}", place.display());
    let _built = kiln
        .build(project.path(), &["--build-context", &root("debian"), "-o", &dest])
        .ok();

    let layout = Layout::open(&place);
    let image = layout.image();
    let config = &image.config["config"];
    assert_eq!(config["User"], "app");
    assert_eq!(config["Cmd"], json!(["cat", "/srv/output.txt"]));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}}));
    assert!(
        config["Env"]
            .as_array()
            .expect("Env is a list")
            .contains(&json!("GREETING=hello there"))
    );

    let base = Layout::open(&root_layout("debian")).image();
    let (layers, below) = (&image.manifest["layers"], &base.manifest["layers"]);
    assert_eq!(
        layers[0]["digest"], below[0]["digest"],
        "the base's layer is taken as it is"
    );
    let names = layout.layer_names(&image);
    assert_eq!(names.len(), 3, "base, COPY, RUN: {:?}", &names[1..]);
    let made = &names[2];
    let has = |name: &str| made.iter().any(|found| found.trim_end_matches('/') == name);
    assert!(
        has("etc/passwd") && has("etc/.wh.issue") && has("srv/shared"),
        "{made:?}"
    );
    let unchanged = [
        "usr/bin/perl",
        "bin/sh",
        "etc/hosts",
        "srv/output.txt",
        "proc",
        "etc/resolv.conf",
        "dev/null",
    ];
    assert_eq!(
        unchanged.iter().filter(|name| has(name)).count(),
        0,
        "unchanged files are in the layer: {made:?}"
    );

    let bundle = kiln.path("bundle");
    let tag = format!("{}:latest", place.display());
    drop(tool(
        "umoci",
        &["unpack", "--image", &tag, &bundle.display().to_string()],
    ));
    let read =
        |name: &str| std::fs::read_to_string(bundle.join("rootfs").join(name)).expect("the file is there");
    assert_eq!(read("srv/output.txt"), "MADE BY PERL\n");
    assert_eq!(read("srv/who"), "builder\n");
    assert!(read("srv/packages").trim().parse::<u32>().expect("a number") > 50);
    assert!(read("etc/passwd").contains("app:x:4242:"));
    assert!(
        !read("etc/passwd").contains("builder"),
        "the other stage's user is in the image"
    );
    let shared = tool(
        "stat",
        &[
            "-c",
            "%a %u:%g",
            &bundle.join("rootfs/srv/shared").display().to_string(),
        ],
    );
    assert_eq!(shared.trim(), "2775 4242:4242");
}
