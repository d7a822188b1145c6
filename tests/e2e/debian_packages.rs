//! Images of Debian packages without steps: the examples, built from the mirror that this machine's apt uses, and
//! repositories that nobody should trust.

use std::path::PathBuf;

use crate::sbom::installed;
use crate::sbom::predicates;
use crate::unprivileged::User;
use kiln_tests::support::Kiln;
use kiln_tests::support::Layout;
use kiln_tests::support::Outcome;
use kiln_tests::support::Page;
use kiln_tests::support::Project;
use kiln_tests::support::Web;
use kiln_tests::support::repo;
use kiln_tests::support::run;
use kiln_tests::support::tool;

/// Returns the mirror of Debian that apt is configured with; nothing, with a word, when there is none.
pub(crate) fn mirror() -> Option<String> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    let more = std::fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    files.extend(more.map(|entry| entry.path()));
    let texts: Vec<String> = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    let lines = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'));
    let found = words.find(|word| word.starts_with("http") && word.ends_with("/debian"));
    if found.is_none() {
        let said = b"skipped: apt has no mirror of Debian on this machine\n";
        _ = std::io::Write::write_all(&mut std::io::stderr(), said);
    }
    found.map(str::to_owned)
}

/// Copies an example.
fn example(name: &str) -> Project {
    let from = repo().join("examples").join(name);
    let mut project = Project::new("FROM base\n");
    for entry in std::fs::read_dir(from).expect("the example is there").flatten() {
        let data = std::fs::read_to_string(entry.path()).expect("the example can be read");
        project = project.file(&entry.file_name().to_string_lossy(), &data);
    }
    project
}

fn build(kiln: &Kiln, project: &Project, mirror: &str, args: &[&str]) -> Outcome {
    let plugin = format!("builtin:debian,opt.mirror={mirror}");
    let mut all = vec!["--plugin", plugin.as_str(), "-f"];
    let file = project.join("image.yaml").display().to_string();
    all.push(&file);
    all.extend(args);
    kiln.build(project.path(), &all)
}

/// Builds an example and runs a command in its image; returns what was printed, and the image's layout.
fn run_in(name: &str, mirror: &str, command: &str) -> (String, Layout, Kiln) {
    let (kiln, project) = (Kiln::new(), example(name));
    let place = kiln.path("layout");
    let dest = format!("type=oci,tar=false,name=it:latest,dest={}", place.display());
    let _built = build(&kiln, &project, mirror, &["-o", &dest]).ok();
    project.write("Dockerfile", format!("FROM base\nRUN {command}\n").as_bytes());
    let context = format!("base=oci-layout://{}:latest", place.display());
    let ran = kiln
        .build(
            project.path(),
            &["--build-context", &context, "-o", "type=cacheonly"],
        )
        .ok();
    (ran.all(), Layout::open(&place), kiln)
}

#[test]
fn python_runs_as_a_user_without_a_shell_and_dpkg_knows_its_packages() {
    let Some(mirror) = mirror() else { return };
    let (said, layout, kiln) = run_in(
        "debian-python",
        &mirror,
        r#"["/usr/bin/python3", "/srv/hello.py"]"#,
    );
    assert!(said.contains("hello from /usr/bin/python3 as app"), "{said}");
    let image = layout.image();
    assert_eq!(image.config["config"]["User"], "app");
    assert_eq!(layout.layer_names(&image).len(), 4);
    assert!(layout.file(&image, "usr/bin/dash").is_none() && layout.file(&image, "usr/bin/sh").is_none());

    // The database is one that dpkg reads, and every file is what the database says.
    let bundle = kiln.path("bundle");
    let from = format!("{}:latest", layout.dir().display());
    tool(
        "umoci",
        &[
            "unpack",
            "--rootless",
            "--image",
            &from,
            &bundle.display().to_string(),
        ],
    );
    let root = format!("--root={}", bundle.join("rootfs").display());
    let listed = tool("dpkg", &[&root, "-l"]);
    for package in ["python3-minimal", "libc6:amd64", "ca-certificates"] {
        assert!(listed.contains(&format!("ii  {package} ")), "{listed}");
    }
    assert_eq!(tool("dpkg", &[&root, "--audit"]), "");
    assert_eq!(tool("dpkg", &[&root, "--verify"]), "");
    let bundle = layout
        .file(&image, "etc/ssl/certs/ca-certificates.crt")
        .expect("certificates");
    assert!(
        String::from_utf8_lossy(&bundle)
            .matches("BEGIN CERTIFICATE")
            .count()
            > 50
    );
}

#[test]
fn nginx_accepts_its_configuration() {
    let Some(mirror) = mirror() else { return };
    let (said, layout, _kiln) = run_in("debian-nginx", &mirror, r#"["/usr/sbin/nginx", "-t"]"#);
    assert!(
        said.contains("configuration file /etc/nginx/nginx.conf test is successful"),
        "{said}"
    );
    assert_eq!(layout.image().config["config"]["StopSignal"], "SIGQUIT");
}

#[test]
fn java_runs_and_trusts_the_certificates() {
    let Some(mirror) = mirror() else { return };
    let command = r#"["/usr/bin/java", "-version"]"#;
    let (said, layout, _kiln) = run_in("debian-java", &mirror, command);
    assert!(said.contains("OpenJDK Runtime Environment"), "{said}");
    let keystore = layout
        .file(&layout.image(), "etc/ssl/certs/java/cacerts")
        .expect("a keystore");
    assert!(keystore.starts_with(&[0xfe, 0xed, 0xfe, 0xed]));
}

#[test]
fn two_machines_make_the_same_image_and_a_lock_holds_it() {
    let Some(mirror) = mirror() else { return };
    let project = example("debian-python");
    let digest = |kiln: &Kiln, args: &[&str]| {
        let place = kiln.path("layout");
        let dest = format!(
            "type=oci,tar=false,name=it:latest,rewrite-timestamp=true,dest={}",
            place.display()
        );
        let mut all = vec![
            "-o",
            dest.as_str(),
            "--build-arg",
            "SOURCE_DATE_EPOCH=0",
            "--provenance=false",
        ];
        all.extend(args);
        let built = build(kiln, &project, &mirror, &all).ok();
        (Layout::open(&place).image().digest.clone(), built.all())
    };
    let (first, second) = (Kiln::new(), Kiln::new());
    let (one, said) = digest(&first, &[]);
    assert!(said.contains("InRelease"), "{said}");
    assert_eq!(one, digest(&second, &[]).0);

    let refused = format!("builtin:debian,opt.locked=true,opt.mirror={mirror}");
    let file = project.join("image.yaml").display().to_string();
    let locked = ["--plugin", refused.as_str(), "-f", &file, "-o", "type=cacheonly"];
    let said = first.build(project.path(), &locked).exits(1).all();
    assert!(
        said.contains("there is no lock file beside the build file"),
        "{said}"
    );

    let lock = build(&first, &project, &mirror, &["--call=lock"]).ok();
    project.write("image.yaml.lock", lock.text().as_bytes());
    let _built = first.build(project.path(), &locked).ok();
    let (three, said) = digest(&Kiln::new(), &[]);
    assert_eq!(one, three);
    assert!(!said.contains("InRelease"), "a lock needs no index: {said}");
    let same = build(&first, &project, &mirror, &["--call=lock-diff"]).ok();
    assert_eq!(same.text(), "no package changed\n");

    let changed = lock
        .text()
        .replacen("\"version\": \"3.11", "\"version\": \"3.10", 1);
    assert_ne!(changed, lock.text());
    project.write("image.yaml.lock", changed.as_bytes());
    let other = build(&first, &project, &mirror, &["--call=lock-diff"]).ok();
    assert!(other.text().starts_with("up      "), "{}", other.text());
}

#[test]
fn a_user_who_can_make_no_namespace_makes_the_image_of_root() {
    let Some(mirror) = mirror() else { return };
    let project = example("debian-python");
    let digest = |user: Option<User>| {
        let kiln = Kiln::new();
        let place = kiln.path("layout");
        let plugin = format!("builtin:debian,opt.mirror={mirror}");
        let file = project.join("image.yaml").display().to_string();
        let dest = format!("type=oci,tar=false,name=it:latest,dest={}", place.display());
        let epoch = "SOURCE_DATE_EPOCH=0";
        let args = [
            "--plugin",
            &plugin,
            "-f",
            &file,
            "-o",
            &dest,
            "--build-arg",
            epoch,
            "--provenance=false",
        ];
        let args = kiln.build_args(project.path(), &args);
        let _built = match user {
            None => kiln.run(&args).ok(),
            Some(user) => run(user.command(&kiln, &[project.path()], &args)).ok(),
        };
        Layout::open(&place).image().digest.clone()
    };
    assert_eq!(digest(None), digest(Some(User::without_namespaces())));
}

#[test]
fn bills_of_materials_list_exactly_the_packages() {
    let Some(mirror) = mirror() else { return };
    let (kiln, project) = (Kiln::new(), example("debian-python"));
    let lock = build(&kiln, &project, &mirror, &["--call=lock,format=json"]).ok();
    let lock: serde_json::Value = serde_json::from_str(lock.text().trim()).expect("JSON");
    let (_, packages) = lock["packages"]
        .as_object()
        .expect("architectures")
        .iter()
        .next()
        .expect("one");
    let names = packages
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| package["name"].as_str());
    let mut expected: Vec<String> = names.flatten().map(str::to_owned).collect();
    expected.sort();

    let out = kiln.path("out");
    let dest = format!("type=oci,tar=false,name=it:latest,dest={}", out.display());
    let _built = build(
        &kiln,
        &project,
        &mirror,
        &["--sbom=true", "--provenance=false", "-o", &dest],
    )
    .ok();
    let found = predicates(&out);
    let mut names: Vec<&str> = installed(&found[0].1);
    names.sort();
    assert_eq!(names, expected);
}

const UNTRUSTED: &str = "repositories: [{url: URL, suites: stable, keys: key.asc}]\npackages: [hello]\n";

#[test]
fn repositories_are_believed_by_their_signature_only() {
    let fixture = |name: &str| {
        let path = repo().join("plugins/frontend-debian/tests/pgp").join(name);
        std::fs::read_to_string(path).expect("the fixture is there")
    };
    let (kiln, web) = (Kiln::new(), Web::start());
    let signed = fixture("ed.signed");
    let cases = [
        (signed.clone(), "rsa.asc", "none of the keys is that"),
        (
            signed.replace("Origin: Example", "Origin: Evil"),
            "ed.asc",
            "is wrong",
        ),
        ("Origin: Example\n".to_owned(), "ed.asc", "it is no signed text"),
        (signed, "ed.asc", "has no component `main` for amd64"),
    ];
    for (release, key, expected) in cases {
        let project = Project::new("FROM base\n")
            .file("key.asc", &fixture(key))
            .file("image.yaml", &UNTRUSTED.replace("URL", &web.url("/debian")));
        web.page("/debian/dists/stable/InRelease", Page::new(release));
        let file = project.join("image.yaml").display().to_string();
        let args = [
            "--plugin",
            "builtin:debian",
            "-f",
            &file,
            "--platform=linux/amd64",
            "-o",
            "type=cacheonly",
        ];
        let said = kiln.build(project.path(), &args).exits(1).all();
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(said.contains("image.yaml:1"), "{said}");
    }
}

#[test]
fn a_wrong_build_file_is_shown_with_its_line() {
    let kiln = Kiln::new();
    let project = Project::new("FROM base\n").file("image.yaml", "cmd: [a]\npackges: [x]\n");
    let file = project.join("image.yaml").display().to_string();
    let args = ["--plugin", "builtin:debian", "-f", &file, "-o", "type=cacheonly"];
    let said = kiln.build(project.path(), &args).exits(1).all();
    assert!(said.contains("unknown key `packges` in the build file"), "{said}");
    assert!(said.contains("--> image.yaml:2:1"), "{said}");
}
