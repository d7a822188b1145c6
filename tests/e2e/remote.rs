//! What comes from elsewhere: files of http servers, git repositories, as sources of ADD and as contexts.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use kiln_tests::support::Entry;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Page;
use kiln_tests::support::Project;
use kiln_tests::support::Repositories;
use kiln_tests::support::Sshd;
use kiln_tests::support::Web;
use kiln_tests::support::gzip;
use kiln_tests::support::tar_of;

const STAMP: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const STAMP_SECONDS: i64 = 1_700_000_000;
const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A store and where results go.
struct Place {
    kiln: Kiln,
    web: Web,
}

impl Place {
    fn new() -> Self {
        Self {
            kiln: Kiln::new(),
            web: Web::start(),
        }
    }

    /// Builds a Dockerfile into a new directory.
    fn build(&self, dockerfile: &str, args: &[&str]) -> (Outcome, PathBuf) {
        let project = Project::new(dockerfile);
        self.build_at(&project.path().display().to_string(), args)
    }

    /// Builds a context, which may be a URL.
    fn build_at(&self, context: &str, args: &[&str]) -> (Outcome, PathBuf) {
        let dest = self.kiln.path("out");
        let _old = std::fs::remove_dir_all(&dest);
        let output = format!("type=local,dest={}", dest.display());
        let words = [&["build", "--progress=plain", "-o", &output], args, &[context]].concat();
        (self.kiln.run(&words), dest)
    }

    /// Builds a context that must work, and returns what is in it.
    #[track_caller]
    fn made(&self, context: &str, args: &[&str]) -> PathBuf {
        let (outcome, dest) = self.build_at(context, args);
        let _ok = outcome.ok();
        dest
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// A repository with two commits: `v1` and what is newest.
fn repositories() -> Repositories {
    let all = Repositories::new();
    let main = all
        .repository("main")
        .file("file", "one\n")
        .file("sub/Dockerfile", "FROM scratch\nCOPY . /\n");
    main.commit("one");
    main.git(&["tag", "-a", "v1", "-m", "one"]);
    let main = main
        .file("file", "two\n")
        .file("Dockerfile", "FROM scratch\nCOPY file /copied\nADD . /all/\n");
    main.commit("two");
    main.publish();
    all
}

#[test]
fn files_are_added_and_asked_for_again() {
    let place = Place::new();
    let page = |body: &str, etag: &str| {
        Page::new(body)
            .header("Last-Modified", STAMP)
            .header("ETag", etag)
    };
    place.web.page("/dir/hello.txt?x=1", page("hello", "\"1\""));
    let url = place.web.url("/dir/hello.txt?x=1");
    let dockerfile = format!(
        "FROM scratch\nADD {url} /a/\nADD --chmod=640 --chown=3:4 {url} /b\nADD --checksum={HELLO} {url} /c/d/\n"
    );
    let (outcome, out) = place.build(&dockerfile, &[]);
    let _added = outcome.ok();
    for (name, mode) in [("a/hello.txt", 0o600), ("b", 0o640), ("c/d/hello.txt", 0o600)] {
        let metadata = std::fs::metadata(out.join(name)).expect("the file is there");
        let got = (read(&out.join(name)), metadata.mode() & 0o7777);
        assert_eq!(got, ("hello".to_owned(), mode), "{name}");
    }
    let metadata = std::fs::metadata(out.join("a/hello.txt")).expect("the file is there");
    assert_eq!(metadata.mtime(), STAMP_SECONDS);
    place.web.take_seen();
    let (outcome, _) = place.build(&dockerfile, &[]);
    let _cached = outcome.ok().says("CACHED");
    let seen: Vec<_> = place
        .web
        .take_seen()
        .into_iter()
        .map(|seen| (seen.method, seen.status))
        .collect();
    assert_eq!(seen, [("HEAD".to_owned(), 304)], "one question, no body");
    place.web.page("/dir/hello.txt?x=1", page("other", "\"2\""));
    let (outcome, _) = place.build(&dockerfile, &[]);
    let mismatch =
        "digest mismatch sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa: ";
    // The file with the checksum is in the cache and not asked for.
    let _rebuilt = outcome.ok().never_says(mismatch);
    let fresh = Place::new();
    let (outcome, _) = fresh.build(&format!("FROM scratch\nADD --checksum={HELLO} {url} /x\n"), &[]);
    let _refused = outcome.exits(1).says(mismatch).says(HELLO).says("Dockerfile:2");
}

#[test]
fn servers_that_fail() {
    let place = Place::new();
    let url = place.web.url("/missing");
    let (outcome, _) = place.build(&format!("FROM scratch\nADD {url} /x\n"), &[]);
    let _missing = outcome
        .exits(1)
        .says("failed to load cache key: ")
        .says(&format!("failed to fetch {url}: invalid response status 404"))
        .says("Dockerfile:2");
    place.web.page("/busy", Page::new("hello").fails(1).cut(2));
    let (outcome, out) = place.build(&format!("FROM scratch\nADD {} /x\n", place.web.url("/busy")), &[]);
    let _busy = outcome.ok();
    assert_eq!(read(&out.join("x")), "hello");
    let (outcome, _) = place.build("FROM scratch\nCOPY http://example.com/x /x\n", &[]);
    let _copy = outcome.exits(1).says("source can't be a URL for COPY");
    let (outcome, _) = place.build("FROM scratch\nCOPY https://example.com/x.git /x\n", &[]);
    let _copy = outcome.exits(1).says("source can't be a git ref for COPY");
}

fn archive() -> Vec<u8> {
    let entry = |name: &str, text: &str| Entry::file(name, text.as_bytes());
    gzip(&tar_of(&[
        entry("Dockerfile", "FROM scratch\nCOPY file /copied\n"),
        entry("file", "packed\n"),
        entry("other.df", "FROM scratch\nCOPY file /other\n"),
    ]))
}

#[test]
fn archives_are_unpacked_when_asked() {
    let place = Place::new();
    place.web.page("/x.tar.gz", Page::new(archive()));
    let url = place.web.url("/x.tar.gz");
    let (outcome, out) = place.build(
        &format!("FROM scratch\nADD {url} /p/\nADD --unpack=true {url} /u/\n"),
        &[],
    );
    let _added = outcome.ok();
    assert!(out.join("p/x.tar.gz").is_file());
    assert_eq!(read(&out.join("u/file")), "packed\n");
}

#[test]
fn repositories_are_added() {
    let (place, all) = (Place::new(), repositories());
    place.web.repositories("git", all.path());
    let url = place.web.url("/git/main.git");
    let v1 = all.repository("main").git(&["rev-parse", "v1^{commit}"]);
    let dockerfile = format!(
        "FROM scratch\nADD {url} /new\nADD {url}#v1 /old\nADD {url}?tag=v1&subdir=sub /sub/\n\
         ADD --keep-git-dir=true --checksum={v1} {url}#v1 /kept\nADD --chmod=700 {url}?commit={v1} /pinned\n"
    );
    let (outcome, out) = place.build(&dockerfile, &[]);
    let _added = outcome.ok();
    assert_eq!(
        (read(&out.join("new/file")), read(&out.join("old/file"))),
        ("two\n".into(), "one\n".into())
    );
    assert!(out.join("sub/Dockerfile").is_file());
    assert!(!out.join("new/.git").exists());
    assert_eq!(read(&out.join("kept/.git/HEAD")), format!("{v1}\n"));
    assert_eq!(
        std::fs::metadata(out.join("pinned/file")).expect("a file").mode() & 0o777,
        0o700
    );
    let (outcome, _) = place.build(&dockerfile, &[]);
    let again = outcome.ok();
    assert!(
        !again
            .stderr
            .lines()
            .any(|line| line.contains("ADD") && line.contains("DONE")),
        "{}",
        again.report()
    );
    for (rest, expect) in [
        ("#missing", "repository does not contain ref missing"),
        ("?checksum=0123456", "expected checksum to match 0123456, got "),
        ("#v1:file", "contains non-directory \"file\""),
        ("#--upload-pack=x", "invalid git ref `--upload-pack=x`"),
        ("?tag=a&branch=b", "branch conflicts with tag"),
    ] {
        let (outcome, _) = place.build(&format!("FROM scratch\nADD {url}{rest} /x\n"), &[]);
        let _refused = outcome.exits(1).says(expect).says("Dockerfile:2");
    }
}

#[test]
fn contexts_come_from_repositories() {
    let (place, all) = (Place::new(), repositories());
    place.web.repositories("git", all.path());
    let url = place.web.url("/git/main.git");
    let out = place.made(&url, &[]);
    assert_eq!(read(&out.join("copied")), "two\n");
    assert!(!out.join("all/.git").exists());
    let out = place.made(&url, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]);
    assert!(out.join("all/.git/HEAD").is_file());
    let out = place.made(&format!("{url}#v1:sub"), &[]);
    assert!(out.join("Dockerfile").is_file());
    let out = place.made(&format!("{url}#v1"), &["-f", "sub/Dockerfile"]);
    assert_eq!(read(&out.join("file")), "one\n");
    let (outcome, _) = place.build_at(&format!("{url}#v1"), &[]);
    let _none = outcome
        .exits(1)
        .says("failed to read dockerfile: open Dockerfile: no such file or directory");
    let bare = all.path().join("main.git").display().to_string();
    for context in [bare.clone(), format!("{bare}#master"), format!("file://{bare}")] {
        assert_eq!(
            read(&place.made(&context, &[]).join("copied")),
            "two\n",
            "{context}"
        );
    }
    assert!(
        place
            .made(&format!("{bare}#v1:sub"), &[])
            .join("Dockerfile")
            .is_file()
    );
    let out = place.made(&url, &["--build-arg", "SOURCE_DATE_EPOCH=context"]);
    let time = std::fs::metadata(out.join("copied")).expect("a file").mtime();
    assert_eq!(time, STAMP_SECONDS);
}

#[test]
fn contexts_come_from_http_servers() {
    let place = Place::new();
    place.web.page("/x.tar.gz", Page::new(archive()));
    place
        .web
        .page("/one", Page::new("FROM scratch\nCOPY context /made\n"));
    let url = place.web.url("/x.tar.gz");
    assert_eq!(read(&place.made(&url, &[]).join("copied")), "packed\n");
    assert!(place.made(&url, &["-f", "other.df"]).join("other").is_file());
    assert!(place.made(&place.web.url("/one"), &[]).join("made").is_file());
    let here = Project::new("FROM scratch\n").file("context", "here\n");
    let one = place.web.url("/one");
    let out = place.made(&here.path().display().to_string(), &["-f", &one]);
    assert_eq!(read(&out.join("made")), "here\n");
    let (outcome, _) = place.build_at(&place.web.url("/missing"), &[]);
    let _missing = outcome.exits(1).says("invalid response status 404");
}

#[test]
fn named_contexts_come_from_elsewhere() {
    let (place, all) = (Place::new(), repositories());
    place.web.repositories("git", all.path());
    place.web.page("/one", Page::new("served\n"));
    let dockerfile = "FROM scratch\nCOPY --from=repo /file /a\nCOPY --from=web /context /b\nCOPY --from=bare /Dockerfile /c\n";
    let (repo, web) = (place.web.url("/git/main.git#v1"), place.web.url("/one"));
    let contexts = [
        format!("repo={repo}"),
        format!("web={web}"),
        format!("bare={}#v1:sub", all.path().join("main.git").display()),
    ];
    let args: Vec<&str> = contexts
        .iter()
        .flat_map(|context| ["--build-context", context])
        .collect();
    let (outcome, out) = place.build(dockerfile, &args);
    let _made = outcome.ok();
    assert_eq!(
        (read(&out.join("a")), read(&out.join("b"))),
        ("one\n".into(), "served\n".into())
    );
    assert!(out.join("c").is_file());
}

#[test]
fn secrets_open_sources_and_stay_out_of_the_store() {
    let (place, all) = (Place::new(), repositories());
    // base64 of `x-access-token:s3cret-value`
    let encoded = "eC1hY2Nlc3MtdG9rZW46czNjcmV0LXZhbHVl";
    place
        .web
        .private_repositories("git", all.path(), &format!("basic {encoded}"));
    place
        .web
        .page("/private", Page::new("hello").wants("Bearer s3cret-value"));
    let secret = place.kiln.path("secret");
    std::fs::write(&secret, "s3cret-value\n").expect("a file can be written");
    let give = |id: &str| format!("id={id},src={}", secret.display());
    let (git, http) = (give("GIT_AUTH_TOKEN"), give("HTTP_AUTH_TOKEN_127.0.0.1"));
    let url = place.web.url("/git/main.git");
    let dockerfile = format!(
        "FROM scratch\nADD {url} /git\nADD {} /file\n",
        place.web.url("/private")
    );
    let (outcome, _) = place.build(&dockerfile, &[]);
    let _refused = outcome.exits(1).says("--secret id=");
    let (outcome, out) = place.build(&dockerfile, &["--secret", &git, "--secret", &http]);
    let opened = outcome.ok();
    assert_eq!(read(&out.join("file")), "hello");
    let _context = place.made(&url, &["--secret", &git]);
    for text in ["s3cret-value", encoded] {
        assert!(!opened.all().contains(text));
        let mut search = std::process::Command::new("grep");
        search
            .args(["--recursive", "--binary-files=text", "--files-with-matches", text])
            .arg(place.kiln.home());
        let _none = kiln_tests::support::run(search).exits(1);
    }
    // A password in a URL is used, and shown nowhere.
    let basic = "Basic dXNlcjpodW50ZXIy";
    place.web.private_repositories("basic", all.path(), basic);
    let url = place
        .web
        .url("/basic/main.git")
        .replace("http://", "http://user:hunter2@");
    let (outcome, _) = place.build_at(&url, &[]);
    let shown = outcome.ok();
    assert!(!shown.all().contains("hunter2"), "{}", shown.report());
    let (outcome, _) = place.build_at(&format!("{url}#missing"), &[]);
    let shown = outcome.exits(1);
    assert!(!shown.all().contains("hunter2"), "{}", shown.report());
}

#[test]
fn contexts_come_over_ssh() {
    let (place, all, sshd) = (Place::new(), repositories(), Sshd::start());
    let url = sshd.url(&all.path().join("main.git"));
    let (outcome, _) = place.build_at(&url, &[]);
    let _no_agent = outcome
        .exits(1)
        .says("no SSH key \"default\" forwarded from the client")
        .says("--ssh default");
    let agent = format!("default={}", sshd.agent().display());
    assert_eq!(
        read(&place.made(&url, &["--ssh", &agent]).join("copied")),
        "two\n"
    );
    let kiln = Kiln::new().env("SSH_AUTH_SOCK", &sshd.agent().display().to_string());
    let lent = Place {
        kiln,
        web: Web::start(),
    };
    assert_eq!(read(&lent.made(&url, &[]).join("copied")), "two\n");
    let dockerfile = format!("FROM scratch\nADD {url}#v1 /x\n");
    let (outcome, out) = place.build(&dockerfile, &["--ssh", &agent]);
    let _added = outcome.ok();
    assert_eq!(read(&out.join("x/file")), "one\n");
}

#[test]
fn the_hosts_proxies_are_used_and_its_exceptions_kept() {
    let (proxy, place) = (Web::start(), Place::new());
    proxy.page("http://files.example/hello.txt", Page::new("through the proxy"));
    place.web.page("/direct.txt", Page::new("direct"));
    let address = proxy.url("");
    let place = Place {
        kiln: place
            .kiln
            .env("HTTP_PROXY", &address)
            .env("HTTPS_PROXY", &address)
            .env("NO_PROXY", "localhost,127.0.0.1"),
        ..place
    };
    let direct = place.web.url("/direct.txt");
    let dockerfile = format!("FROM scratch\nADD http://files.example/hello.txt {direct} /\n");
    let (outcome, out) = place.build(&dockerfile, &[]);
    let _ok = outcome.ok();
    assert_eq!(read(&out.join("hello.txt")), "through the proxy");
    assert_eq!(read(&out.join("direct.txt")), "direct");
    let seen: Vec<String> = proxy.take_seen().into_iter().map(|seen| seen.path).collect();
    assert!(
        !seen.is_empty() && seen.iter().all(|path| path == "http://files.example/hello.txt"),
        "{seen:?}"
    );
    // The proxy does not let anybody through to https.
    let (outcome, _) = place.build("FROM scratch\nADD https://files.example/secret /\n", &[]);
    let _named = outcome.exits(1).says("https://files.example/secret");
    let seen = proxy.take_seen();
    assert!(
        seen.iter()
            .any(|seen| seen.method == "CONNECT" && seen.path == "files.example:443"),
        "{seen:?}"
    );
}

#[test]
fn repositories_that_are_kept_are_listed_and_removed() {
    let (place, all) = (Place::new(), repositories());
    place.web.repositories("git", all.path());
    let url = place.web.url("/git/main.git");
    let _out = place.made(&url, &[]);
    let listed = place.kiln.run(&["du"]).ok().text();
    let line = listed
        .lines()
        .find(|line| line.contains("source.git.checkout"))
        .unwrap_or_else(|| panic!("no repository in\n{listed}"));
    assert!(
        line.contains(&format!("git repository {url}")) && line.contains("true"),
        "{line}"
    );
    let _pruned = place.kiln.run(&["prune", "--all", "--force"]).ok();
    let listed = place.kiln.run(&["du"]).ok().text();
    assert!(!listed.contains("source.git.checkout"), "{listed}");
}
