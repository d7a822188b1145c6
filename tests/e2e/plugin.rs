//! Plugins as users choose them: flags, kiln.toml, kiln.lock, policies, registries. And plugins that attack.

use std::process::Command;

use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::Registry;
use kiln_tests::support::digest_of;
use kiln_tests::support::repo;
use kiln_tests::support::run;
use kiln_tests::support::tool;

/// The frontend whose build file names an attack; `well-behaved` builds an image of one file.
fn guest() -> String {
    let path = repo().join("target/plugins/guests.wasm");
    assert!(
        path.is_file(),
        "`{}` is not built: run `cargo xtask plugins guests`",
        path.display()
    );
    path.display().to_string()
}

fn project(attack: &str) -> Project {
    let project = Project::new("FROM scratch\n").file("build.txt", &format!("{attack}\n"));
    std::fs::copy(guest(), project.join("guest.wasm")).expect("the guest can be copied");
    project
}

/// Runs `kiln` in a project's folder.
fn kiln_in(kiln: &Kiln, project: &Project, line: &str) -> Outcome {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command: Command = kiln.command(&words);
    command.current_dir(project.path());
    run(command)
}

/// What is said by a command that fails.
trait Fails {
    fn failed(self) -> String;
}

impl Fails for Outcome {
    #[track_caller]
    fn failed(self) -> String {
        assert!(
            matches!(self.code(), Some(1 | 2)),
            "it did not fail\n{}",
            self.report()
        );
        self.all()
    }
}

const BUILD: &str = "build --progress=plain -f build.txt -o type=cacheonly";

#[test]
fn a_plugin_is_chosen_by_path_name_and_syntax_line() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    project.write("kiln.toml", b"[plugins.guest]\nsource = \"./guest.wasm\"\n");
    let chosen = [
        "--plugin ./guest.wasm",
        "--plugin guest",
        "--plugin path:guest.wasm,name=other",
    ];
    for flag in chosen {
        let _built = kiln_in(&kiln, &project, &format!("{BUILD} {flag} .")).ok();
    }
    project.write("Dockerfile", b"# syntax=./guest.wasm\nFROM scratch\n");
    let said = kiln_in(&kiln, &project, "build --progress=plain -o type=cacheonly .").failed();
    assert!(said.contains("unknown attack `# syntax=./guest.wasm`"), "{said}");
}

#[test]
fn wrong_choices_say_what_is_there() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    project.write("kiln.toml", b"[plugins.guest]\nsource = \"./guest.wasm\"\n");
    project.write("module.wasm", b"\0asm\x01\0\0\0");
    let cases = [
        (
            "missing",
            "there is no plugin of that name (kiln.toml has `guest`)",
        ),
        ("./missing.wasm", "No such file or directory"),
        (
            "./module.wasm",
            "is not a WebAssembly component: found a core WebAssembly module",
        ),
        (
            "builtin:missing",
            "this program has no such plugin (it has `builtin:frontend-dockerfile`, `builtin:cache-http`",
        ),
        ("oci://127.0.0.1:1/a:1", "has no digest: type `kiln plugin lock`"),
        ("https://example.com/x.wasm", "cannot read the plugin reference"),
        ("guest,grant=everything", "unknown grant `everything`"),
        ("guest --locked", "is not in kiln.lock"),
    ];
    for (flag, expect) in cases {
        let said = kiln_in(&kiln, &project, &format!("{BUILD} --plugin {flag} .")).failed();
        assert!(said.contains(expect), "{flag}: {said}");
    }
}

#[test]
fn a_lock_holds_a_plugin_to_its_bytes() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    project.write(
        "kiln.toml",
        b"[plugins.guest]\nsource = \"./guest.wasm\"\ngrants = [\"secret:a\"]\n",
    );
    let _locked = kiln_in(&kiln, &project, "plugin lock").ok();
    let lock = std::fs::read_to_string(project.join("kiln.lock")).expect("a lock");
    assert!(lock.contains("world = \"kiln:plugin/frontend@0.1.0\""), "{lock}");
    assert!(lock.contains("grants = [\"secret:a\"]"), "{lock}");
    let _built = kiln_in(&kiln, &project, &format!("{BUILD} --locked --plugin guest .")).ok();
    let said = kiln_in(
        &kiln,
        &project,
        &format!("{BUILD} --plugin guest,grant=network.host ."),
    )
    .failed();
    assert!(
        said.contains("`network.host` is granted to it and is not in kiln.lock"),
        "{said}"
    );
    let mut bytes = std::fs::read(guest()).expect("the guest");
    bytes.extend([0, 2, 1, b'x']);
    project.write("guest.wasm", &bytes);
    let said = kiln_in(&kiln, &project, &format!("{BUILD} --plugin guest .")).failed();
    assert!(
        said.contains("kiln.lock has sha256:") && said.contains("`kiln plugin lock`"),
        "{said}"
    );
}

#[test]
fn a_policy_cannot_be_widened() {
    let (kiln, project) = (Kiln::new(), project("secret-mount"));
    project.write(
        "kiln.toml",
        b"[plugins.guest]\nsource = \"./guest.wasm\"\ngrants = [\"secret:token\"]\n",
    );
    project.write("secret", b"hidden");
    let build = |policy: &str, flags: &str| {
        project.write("policy.toml", policy.as_bytes());
        kiln_in(
            &kiln,
            &project,
            &format!("{BUILD} --policy policy.toml --secret id=token,src=secret {flags} ."),
        )
    };
    let cases = [
        (
            "[plugins]\nallow = [\"builtin:*\"]\n",
            "--plugin guest",
            "its reference `./guest.wasm` is refused by the policy",
        ),
        (
            "[plugins]\ndigests = []\n",
            "--plugin ./guest.wasm",
            "to `plugins.digests`",
        ),
        (
            "[plugins]\ngrants = []\n",
            "--plugin guest",
            "the secret `token` in steps is refused by the policy",
        ),
        (
            "[plugins]\ngrants = []\n",
            "--plugin ./guest.wasm,grant=secret:token",
            "refused by the policy",
        ),
        (
            "[plugins]\nlimits = { fuel = \"1000\" }\n",
            "--plugin guest --plugin-limit fuel=100000000",
            "limit of fuel",
        ),
        (
            "[plugins]\nunknown = 1\n",
            "--plugin guest",
            "cannot read the policy",
        ),
    ];
    for (policy, flags, expect) in cases {
        let said = build(policy, flags).failed();
        assert!(said.contains(expect), "{policy}: {said}");
    }
    project.write("Dockerfile", b"FROM 127.0.0.1:1/some/image\n");
    project.write("policy.toml", b"[plugins]\negress = [\"docker.io\"]\n");
    let said = kiln_in(&kiln, &project, "build --policy policy.toml .").failed();
    assert!(
        said.contains("fetching from `127.0.0.1:1` is refused by the policy"),
        "{said}"
    );
}

#[test]
fn a_plugin_goes_through_a_registry_and_stays_when_offline() {
    let (registry, kiln, project) = (Registry::open(), Kiln::new(), project("well-behaved"));
    let host = registry.host();
    let push = format!("plugin push ./guest.wasm oci://{host}/team/guest:1");
    let pushed = kiln_in(&kiln, &project, &push).ok().text();
    let again = kiln_in(&kiln, &project, &push).ok().text();
    assert_eq!(pushed, again, "the same component gets the same manifest");
    let pinned = pushed.trim();
    let toml = format!("[plugins.guest]\nsource = \"oci://{host}/team/guest:1\"\n");
    project.write("kiln.toml", toml.as_bytes());
    std::fs::remove_file(project.join("guest.wasm")).expect("it is there");
    let _locked = kiln_in(&kiln, &project, "plugin lock").ok();
    let lock = std::fs::read_to_string(project.join("kiln.lock")).expect("a lock");
    assert!(lock.contains(pinned), "{lock} has not {pinned}");
    let _vendored = kiln_in(&kiln, &project, "plugin vendor").ok();
    let manifest = tool(
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{host}/team/guest:1"),
        ],
    );
    for part in ["application/wasm", "application/vnd.wasm.config.v0+json"] {
        assert!(manifest.contains(part), "{manifest}");
    }
    drop(registry);
    let _built = kiln_in(
        &kiln,
        &project,
        &format!("{BUILD} --locked --offline --plugin guest ."),
    )
    .ok();
    // Another store knows nothing but what the project carries along.
    let other = Kiln::new();
    let _built = kiln_in(
        &other,
        &project,
        &format!("{BUILD} --locked --offline --plugin guest ."),
    )
    .ok();
    std::fs::remove_dir_all(project.join("kiln-plugins")).expect("it was vendored");
    let third = Kiln::new();
    let said = kiln_in(&third, &project, &format!("{BUILD} --offline --plugin guest .")).failed();
    assert!(said.contains("is not here, and `--offline` is given"), "{said}");
}

#[test]
fn signatures_are_asked_for_by_the_policy() {
    let (registry, kiln, project) = (Registry::open(), Kiln::new(), project("well-behaved"));
    let host = registry.host();
    let path = |name: &str| project.join(name).display().to_string();
    drop(tool(
        "openssl",
        &[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            &path("key"),
        ],
    ));
    drop(tool(
        "openssl",
        &["ec", "-in", &path("key"), "-pubout", "-out", &path("key.pub")],
    ));
    let policy =
        format!("[[plugins.signers]]\nname = \"team\"\nreferences = \"oci://{host}/*\"\nkey = \"key.pub\"\n");
    project.write("policy.toml", policy.as_bytes());
    let pushed = kiln_in(
        &kiln,
        &project,
        &format!("plugin push ./guest.wasm oci://{host}/team/guest:1"),
    )
    .ok()
    .text();
    let pinned = pushed.trim().to_owned();
    let build = || {
        kiln_in(
            &kiln,
            &project,
            &format!("{BUILD} --policy policy.toml --plugin {pinned} ."),
        )
    };
    let said = build().failed();
    assert!(
        said.contains("a plugin that `team` did not sign (it has no signature)"),
        "{said}"
    );
    let digest = pinned.rsplit_once('@').expect("a digest").1;
    sign(
        &host,
        &project,
        "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        digest,
    );
    let said = build().failed();
    assert!(said.contains("none of its 1 signatures is by that key"), "{said}");
    sign(&host, &project, digest, digest);
    let _built = build().ok();
}

/// Signs the claim that a manifest has the digest `claimed`, and puts the signature where cosign puts that of `of`.
fn sign(host: &str, project: &Project, claimed: &str, of: &str) {
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{host}/team/guest"}},"image":{{"docker-manifest-digest":"{claimed}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    project.write("payload", payload.as_bytes());
    let path = |name: &str| project.join(name).display().to_string();
    drop(tool(
        "openssl",
        &[
            "dgst",
            "-sha256",
            "-sign",
            &path("key"),
            "-out",
            &path("signature"),
            &path("payload"),
        ],
    ));
    let signature = tool("openssl", &["base64", "-A", "-in", &path("signature")]);
    layout(&project.join("layout"), payload.as_bytes(), signature.trim());
    let tag = of.replace(':', "-");
    drop(tool(
        "skopeo",
        &[
            "copy",
            "--insecure-policy",
            "--dest-tls-verify=false",
            &format!("oci:{}:signature", project.join("layout").display()),
            &format!("docker://{host}/team/guest:{tag}.sig"),
        ],
    ));
}

/// Writes an image layout with one signature, `signature` of `payload`.
fn layout(dir: &std::path::Path, payload: &[u8], signature: &str) {
    let blob = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        let path = dir.join("blobs").join(digest.replace(':', "/"));
        std::fs::create_dir_all(path.parent().expect("a blob has a directory")).expect("a directory");
        std::fs::write(path, bytes).expect("a blob");
        serde_json::json!({"digest": digest, "size": bytes.len()})
    };
    let with = |mut descriptor: serde_json::Value, key: &str, value: serde_json::Value| {
        descriptor[key] = value;
        descriptor
    };
    let config = with(
        blob(b"{}"),
        "mediaType",
        "application/vnd.oci.image.config.v1+json".into(),
    );
    let layer = with(
        blob(payload),
        "mediaType",
        "application/vnd.dev.cosign.simplesigning.v1+json".into(),
    );
    let named = serde_json::json!({"dev.cosignproject.cosign/signature": signature});
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": config,
        "layers": [with(layer, "annotations", named)],
    });
    let entry = with(
        blob(manifest.to_string().as_bytes()),
        "mediaType",
        manifest_type.into(),
    );
    let name = serde_json::json!({"org.opencontainers.image.ref.name": "signature"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [with(entry, "annotations", name)]});
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    std::fs::write(dir.join("index.json"), index.to_string()).expect("a file");
}

#[test]
fn inspect_says_what_is_asked_granted_and_denied() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    let said = kiln_in(&kiln, &project, "plugin inspect ./guest.wasm,grant=secret:a")
        .ok()
        .text();
    for part in [
        "Kind:       frontend",
        "World:      kiln:plugin/frontend@0.1.0",
        "kiln:plugin/build@0.1.0  (resolves images and sources",
        "Asked:      nothing",
        "Granted:    secret:a",
        "Denied:     nothing",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let json = kiln_in(&kiln, &project, "plugin inspect --format json builtin:dockerfile")
        .ok()
        .text();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["world"], "kiln:plugin/frontend@0.1.0");
}

#[test]
fn run_graph_and_test_need_no_build() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    project.write("cases/one/input/build.txt", b"well-behaved\n");
    let said = kiln_in(
        &kiln,
        &project,
        "plugin run ./guest.wasm . --file build.txt --runs 20",
    )
    .ok()
    .text();
    assert!(
        said.contains("graph    sha256:") && said.contains("runs     20"),
        "{said}"
    );
    let dot = kiln_in(
        &kiln,
        &project,
        "plugin graph ./guest.wasm . --file build.txt --format dot",
    )
    .ok()
    .text();
    assert!(dot.contains("v0 -> o0;"), "{dot}");
    let test = "plugin test ./guest.wasm cases --file build.txt";
    let said = kiln_in(&kiln, &project, test).failed();
    assert!(said.contains("FAILED  one"), "{said}");
    let _updated = kiln_in(&kiln, &project, &format!("{test} --update")).ok();
    let _same = kiln_in(&kiln, &project, test).ok();
    project.write("cases/one/expected.txt", b"graph sha256:00\n");
    let said = kiln_in(&kiln, &project, test).failed();
    assert!(said.contains("  - graph sha256:00"), "{said}");
}

#[test]
fn a_new_plugin_has_all_that_its_readme_names() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    for lang in ["rust", "python", "javascript", "c"] {
        let _made = kiln_in(
            &kiln,
            &project,
            &format!("plugin new mine --lang {lang} --folder {lang}"),
        )
        .ok();
        let read = |name: &str| std::fs::read_to_string(project.join(lang).join(name)).expect(name);
        assert!(read("wit/frontend.wit").contains("world frontend-plugin"));
        assert!(read("plugin.toml").contains("name = \"mine\""));
        assert!(!read("README.md").contains("PLUGIN_NAME"));
    }
    let said = kiln_in(&kiln, &project, "plugin new mine --folder rust").failed();
    assert!(said.contains("is there already and is not empty"), "{said}");
    let said = kiln_in(&kiln, &project, "plugin new mine --kind scanner --lang go").failed();
    assert!(
        said.contains("there is no template in Go: its compiler"),
        "{said}"
    );
}

#[test]
fn a_recorded_run_is_played_again_without_its_context() {
    let (kiln, project) = (Kiln::new(), project("well-behaved"));
    let record = "plugin run ./guest.wasm . --file build.txt --record trace.json";
    let _ran = kiln_in(&kiln, &project, record).ok();
    project.write("build.txt", b"unreachable\n");
    let said = kiln_in(&kiln, &project, "plugin replay trace.json").ok().text();
    assert!(said.contains("same outcome as recorded"), "{said}");
    let trace = std::fs::read_to_string(project.join("trace.json")).expect("a trace");
    let other = trace.replace("graph sha256:", "graph sha256:0");
    project.write("other.json", other.as_bytes());
    let said = kiln_in(&kiln, &project, "plugin replay other.json").failed();
    assert!(said.contains("  - graph sha256:0"), "{said}");
    // What is asked now and was not asked then.
    let other = trace
        .replace("build.txt", "missing.txt")
        .replacen("missing.txt", "build.txt", 1);
    project.write("other.json", other.as_bytes());
    let said = kiln_in(&kiln, &project, "plugin replay other.json").failed();
    assert!(said.contains("the trace has no answer to"), "{said}");
    project.write("other.json", b"{}");
    let said = kiln_in(&kiln, &project, "plugin replay other.json").failed();
    assert!(said.contains("`other.json` is not a trace"), "{said}");
}

#[test]
fn a_run_that_traps_is_recorded_too() {
    let (kiln, project) = (Kiln::new(), project("panic"));
    let record = "plugin run ./guest.wasm . --file build.txt --record trace.json";
    let _trapped = kiln_in(&kiln, &project, record).failed();
    let trace = std::fs::read_to_string(project.join("trace.json")).expect("a trace");
    assert!(trace.contains("\"outcome\":\"fault "), "{trace}");
    let _same = kiln_in(&kiln, &project, "plugin replay trace.json").ok();
}
