//! Values that must stay nowhere: secrets, keys, proxies. Everything that a build leaves or says is searched.

use std::path::Path;
use std::process::Command;

use crate::root;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Project;
use kiln_tests::support::run;

const FILE: &str = "value-of-the-file-secret-7f3a";
const ENV: &str = "value-of-the-env-secret-91bc";
const PROXY: &str = "proxy-user:proxy-password-c55d";
const LOWER: &str = "lower-case-proxy-0a77";

const DOCKERFILE: &str = "FROM busybox AS build
ARG GREETING
RUN --mount=type=secret,id=file,required --mount=type=secret,id=token,env=TOKEN,required \\
    test $(wc -c < /run/secrets/file) = 29 && test ${#TOKEN} = 28
RUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo $GREETING > /greeting
RUN test ${#HTTP_PROXY} = 56 && test \"$http_proxy\" = \"$HTTP_PROXY\" && test -n \"$ALL_PROXY\" && touch /had-a-proxy
FROM busybox
COPY --from=build /greeting /had-a-proxy /
RUN true
";

/// Finds `needle` in the files of a tree, and what compressed files hold.
fn find(place: &Path, needle: &str) -> Vec<String> {
    let script = "grep -rlaF -- \"$1\" \"$2\"; find \"$2\" -type f | while read -r f; do \
                  { gzip -dc \"$f\" 2>/dev/null || zstd -dc \"$f\" 2>/dev/null; } | grep -qaF -- \"$1\" && echo \"$f (compressed)\"; done; true";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", needle]).arg(place);
    run(command).ok().text().lines().map(str::to_owned).collect()
}

struct Leaks {
    kiln: Kiln,
    project: Project,
    key: String,
}

impl Leaks {
    fn new() -> Self {
        let kiln = Kiln::new().env("TOKEN", ENV);
        let key = kiln.path("inputs/key");
        std::fs::create_dir_all(kiln.path("inputs")).expect("a directory");
        std::fs::write(kiln.path("inputs/secret"), FILE).expect("a file");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        _ = run(keygen).ok();
        Self {
            key: key.display().to_string(),
            kiln,
            project: Project::new(DOCKERFILE),
        }
    }

    /// Builds with everything that writes something.
    fn build(&self, name: &str, proxy: &str, more: &[&str]) -> Outcome {
        let out = self.kiln.path("outputs").join(name);
        std::fs::create_dir_all(&out).expect("a directory");
        let at = |name: &str| out.join(name).display().to_string();
        let busybox = root("busybox");
        let args = [
            format!(
                "--secret=id=file,src={}",
                self.kiln.path("inputs/secret").display()
            ),
            "--secret=id=token,env=TOKEN".to_owned(),
            format!("--ssh=default={}", self.key),
            format!("--build-arg=HTTP_PROXY=http://{proxy}@proxy.example:3128"),
            format!("--build-arg=all_proxy=http://{LOWER}.example"),
            "--build-arg=GREETING=hello".to_owned(),
            format!("--metadata-file={}", at("metadata.json")),
            format!("--cache-to=type=local,mode=max,dest={}", at("cache")),
            format!("--output=type=oci,tar=false,dest={}", at("layout")),
            format!("--output=type=docker,dest={}", at("docker.tar")),
            format!("--build-context={busybox}"),
            "--provenance=mode=max".to_owned(),
            "--network=none".to_owned(),
        ];
        let mut words: Vec<&str> = more.to_vec();
        words.extend(args.iter().map(String::as_str));
        let outcome = self.kiln.build(self.project.path(), &words);
        std::fs::write(out.join("said"), outcome.all()).expect("a file");
        outcome
    }

    /// Asserts that none of the values is anywhere.
    #[track_caller]
    fn check(&self) {
        let key = std::fs::read_to_string(&self.key).expect("a key");
        let line = key.lines().nth(2).expect("a key has lines").to_owned();
        for value in [FILE, ENV, PROXY, LOWER, &line] {
            let mut found = find(self.kiln.home(), value);
            found.extend(find(&self.kiln.path("outputs"), value));
            assert!(found.is_empty(), "`{value}` is in {found:#?}");
        }
        // The search finds what is there.
        assert!(!find(self.kiln.home(), "hello").is_empty());
        assert!(!find(&self.kiln.path("outputs"), "hello").is_empty());
    }
}

#[test]
fn secrets_keys_and_proxies_are_nowhere() {
    let leaks = Leaks::new();
    _ = leaks.build("plain", PROXY, &[]).ok();
    _ = leaks
        .build("rawjson", PROXY, &["--no-cache", "--progress=rawjson"])
        .ok();
    leaks.check();
}

#[test]
fn proxies_are_in_no_key_and_no_history() {
    let leaks = Leaks::new();
    _ = leaks.build("first", PROXY, &[]).ok();
    let second = leaks.build("second", "other-user:other-password-d66e", &[]).ok();
    let text = second.all();
    let steps = text.lines().filter(|line| line.contains("] RUN ")).count();
    let cached = text.matches(" CACHED").count();
    assert!(cached >= steps, "{text}");
    leaks.check();
}

#[test]
fn failures_tell_no_secret() {
    let mut leaks = Leaks::new();
    leaks.project = Project::new(
        "FROM busybox\nRUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=file echo $TOKEN | wc -c; exit 3\n",
    );
    _ = leaks.build("plain", PROXY, &[]).exits(1);
    _ = leaks
        .build("rawjson", PROXY, &["--progress=rawjson", "--debug"])
        .exits(1);
    let key = std::fs::read_to_string(&leaks.key).expect("a key");
    for value in [FILE, ENV, PROXY, LOWER, key.lines().nth(2).expect("a line")] {
        let found = [
            find(leaks.kiln.home(), value),
            find(&leaks.kiln.path("outputs"), value),
        ]
        .concat();
        assert!(found.is_empty(), "`{value}` is in {found:#?}");
    }
}
