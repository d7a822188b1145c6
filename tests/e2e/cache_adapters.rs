//! Caches that plugins keep: one that comes with the program, ones of somebody else, and ones that attack.

use std::path::PathBuf;

use crate::root;
use kiln_tests::support::Bucket;
use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::Page;
use kiln_tests::support::Project;
use kiln_tests::support::Web;
use kiln_tests::support::repo;

fn project() -> Project {
    Project::new("FROM busybox\nCOPY a /a\nRUN cat /a > /b && head -c 300000 /dev/urandom > /c\n")
        .file("a", "a")
}

fn build(kiln: &Kiln, project: &Project, args: &[&str]) -> Outcome {
    let busybox = root("busybox");
    let always = [
        "--network=none",
        "--build-context",
        &busybox,
        "-o",
        "type=cacheonly",
        "--plugin-limit",
        "cache.fuel=2000000000",
    ];
    kiln.build(project.path(), &[&always[..], args].concat())
}

fn built(name: &str) -> PathBuf {
    repo().join(format!("target/plugins/{name}.wasm"))
}

/// Exports on one machine, and imports on another: nothing runs there.
#[track_caller]
fn travels(args: &[&str], to: &str, from: &str) {
    let project = project();
    _ = build(&Kiln::new(), &project, &[args, &["--cache-to", to]].concat()).ok();
    let again = build(&Kiln::new(), &project, &[args, &["--cache-from", from]].concat()).ok();
    let cached = again
        .stderr
        .lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count();
    assert!(cached >= 2, "{}", again.report());
    assert!(!again.all().contains("cache not used"), "{}", again.report());
}

#[test]
fn a_server_with_put_and_get_keeps_caches() {
    let web = Web::start();
    web.keeps("/c/");
    let url = web.url("/c/team");
    travels(
        &[],
        &format!("type=http,url={url},mode=max"),
        &format!("type=http,url={url}"),
    );
    let seen = web.take_seen();
    let puts = seen.iter().filter(|seen| seen.method == "PUT").count();
    assert!(puts >= 3, "{seen:?}");
    // What is there is not sent again.
    let project = project();
    let to = format!("type=http,url={url},mode=max,name=other");
    _ = build(
        &Kiln::new(),
        &project,
        &["--cache-from", &format!("type=http,url={url}"), "--cache-to", &to],
    )
    .ok();
    let seen = web.take_seen();
    let again = seen
        .iter()
        .filter(|seen| seen.method == "PUT" && seen.path.contains("/cas/"));
    assert_eq!(again.count(), 0, "{seen:?}");
}

#[test]
fn a_credential_is_sent_by_the_host() {
    let web = Web::start();
    web.keeps("/c/");
    let kiln = Kiln::new();
    let file = kiln.path("token");
    std::fs::write(&file, "hunter2\n").expect("it can be written");
    let secret = format!("id=cache,src={}", file.display());
    let to = format!("type=http,url={},auth=cache", web.url("/c"));
    _ = build(&kiln, &project(), &["--secret", &secret, "--cache-to", &to])
        .ok()
        .never_says("hunter2");
    let seen = web.take_seen();
    let with = |authorization: &Option<String>| authorization.as_deref() == Some("Bearer hunter2");
    assert!(
        !seen.is_empty() && seen.iter().all(|seen| with(&seen.authorization)),
        "{seen:?}"
    );
    // Without the secret it says what to type.
    _ = build(&Kiln::new(), &project(), &["--cache-from", &to])
        .ok()
        .says("--secret id=cache,src=FILE");
}

#[test]
fn somebody_elses_adapter_needs_grants() {
    let web = Web::start();
    web.keeps("/c/");
    let plugin = built("cache-http").display().to_string();
    let (to, from) = (
        format!("type=mine,url={},mode=max", web.url("/c")),
        format!("type=mine,url={}", web.url("/c")),
    );
    let bare = format!("{plugin},name=mine");
    let refused = build(&Kiln::new(), &project(), &["--plugin", &bare, "--cache-to", &to]).exits(1);
    _ = refused.says(&format!(
        "(grant it with `--plugin mine,grant=http:{}`)",
        web.host()
    ));
    assert!(web.take_seen().is_empty());
    let ignored = format!("{to},ignore-error=true");
    _ = build(
        &Kiln::new(),
        &project(),
        &["--plugin", &bare, "--cache-to", &ignored],
    )
    .ok();
    let granted = format!("{plugin},name=mine,grant=http:{}", web.host());
    travels(&["--plugin", &granted], &to, &from);
}

#[test]
fn somebody_elses_adapter_gets_a_bucket() {
    let bucket = Bucket::s3();
    let plugin = repo().join("tests/corpus/0.1.0/cache-rust.wasm");
    let plugin = format!("{},name=mine", plugin.display());
    let fields = bucket.params().split(',').filter(|field| !field.is_empty());
    let objects: Vec<String> = fields.map(|field| format!("objects.{field}")).collect();
    let objects = format!("objects.type=s3,{}", objects.join(","));
    let to = format!("type=mine,folder=team/kiln,{objects},mode=max");
    travels(&["--plugin", &plugin], &to, &to.replace(",mode=max", ""));
    let wrong = format!("type=mine,directory=x,{objects}");
    let outcome = build(
        &Kiln::new(),
        &project(),
        &["--plugin", &plugin, "--cache-to", &wrong],
    )
    .exits(1);
    _ = outcome.says("unknown parameter `directory`: expected folder");
}

/// An attack, the function of the contract that it goes through, its parameters, what is granted, what must be said.
pub(crate) type Attack = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const DEAD_BUCKET: &str = "objects.type=s3,objects.bucket=b,objects.region=r,objects.endpoint_url=http://127.0.0.1:9,\
                           objects.access_key_id=a,objects.secret_access_key=b,objects.use_path_style=true";

/// Attacks while the adapter is opened. The build goes on with a warning.
pub(crate) const OPENING: &[Attack] = &[
    ("open-loop", "cache.open", "", "", "reached the limit of fuel"),
    ("open-panic", "cache.open", "", "", "a guest's last words"),
    (
        "fetch",
        "http.fetch",
        "url=http://example.com/x",
        "",
        "`example.com`, which is not granted",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://127.0.0.1:1/",
        "http:*",
        "`127.0.0.1` is no public address",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://169.254.169.254/latest",
        "http:*",
        "is no public address",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://[::ffff:a9fe:a9fe]/",
        "http:*",
        "is no public address",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://2852039166/",
        "http:*",
        "is no public address",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://0x7f.1/",
        "http:*",
        "is no public address",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://localhost:1/",
        "http:*",
        "`localhost` leads to",
    ),
    (
        "fetch",
        "http.fetch",
        "url=file:///etc/passwd",
        "http:*",
        "expected an `http` or `https` URL",
    ),
    (
        "fetch",
        "http.fetch",
        "url=http://a:b@127.0.0.1:1/",
        "http:*",
        "credentials do not stand in URLs",
    ),
    (
        "fetch",
        "http.fetch",
        "url={web}/redirect",
        "http:127.0.0.1",
        "`169.254.169.254`, which is not granted",
    ),
    (
        "fetch",
        "http.fetch",
        "url={web}/file",
        "http:127.0.0.1",
        "expected an `http` or `https` URL",
    ),
    (
        "fetch",
        "http.fetch",
        "url={web}/loop",
        "http:127.0.0.1",
        "too many redirects",
    ),
    (
        "fetch-auth",
        "http.fetch",
        "url={web}/x",
        "http:127.0.0.1",
        "the secret `token` in steps, which is not granted",
    ),
    (
        "fetch-own-auth",
        "http.fetch",
        "url={web}/x",
        "http:127.0.0.1",
        "the header `Authorization` is the host's",
    ),
    (
        "fetch-host",
        "http.fetch",
        "url={web}/x",
        "http:127.0.0.1",
        "the header `Host` is the host's",
    ),
    (
        "fetch-smuggle",
        "http.fetch",
        "url={web}/x",
        "http:127.0.0.1",
        "failed to parse header value",
    ),
    (
        "fetch-method",
        "http.fetch",
        "url={web}/x",
        "http:127.0.0.1",
        "`CONNECT` is no method",
    ),
    (
        "fetch-flood",
        "http.fetch",
        "url={web}/x",
        "http:127.0.0.1",
        "reached the limit of host calls",
    ),
    ("bucket-open", "objects.open", "", "", "no bucket is configured"),
    (
        "bucket-head",
        "objects.bucket.head",
        DEAD_BUCKET,
        "",
        "`../other` is no clean key",
    ),
    (
        "bucket-get",
        "objects.bucket.get",
        DEAD_BUCKET,
        "",
        "`/etc/passwd` is no clean key",
    ),
    (
        "bucket-put",
        "objects.bucket.put",
        DEAD_BUCKET,
        "",
        "`a/../../b` is no clean key",
    ),
    (
        "bucket-list",
        "objects.bucket.list",
        DEAD_BUCKET,
        "",
        "a key has at most 1024 bytes",
    ),
    (
        "bucket-delete",
        "objects.bucket.delete",
        DEAD_BUCKET,
        "",
        "`a//b` is no clean key",
    ),
    (
        "bucket-touch",
        "objects.bucket.touch",
        DEAD_BUCKET,
        "",
        "is no clean key",
    ),
    (
        "manifest-nonsense",
        "cache.get-manifest",
        "",
        "",
        "has an invalid cache config",
    ),
    ("manifest-flood", "cache.get-manifest", "", "", "cache not used"),
    (
        "manifest-cycle",
        "cache.get-manifest",
        "",
        "",
        "has an invalid cache config",
    ),
];

/// Attacks on who imports a sound cache. The build goes on with a warning.
pub(crate) const IMPORTING: &[Attack] = &[
    (
        "get-swapped",
        "cache.plan-get",
        "",
        "",
        "of cache `guest:buildkit`",
    ),
    ("get-too-many", "cache.plan-get", "", "", "plans for 1 blobs"),
    ("get-none", "cache.plan-get", "", "", "0 plans for 1 blobs"),
    (
        "get-no-bucket",
        "cache.plan-get",
        "",
        "",
        "no bucket is configured",
    ),
    (
        "get-elsewhere",
        "cache.plan-get",
        "elsewhere=http://169.254.169.254/",
        "",
        "which is not granted",
    ),
    ("get-same", "cache.plan-get", "", "", "of cache `guest:buildkit`"),
];

/// Attacks on who exports. The build says that its cache was not exported.
pub(crate) const EXPORTING: &[Attack] = &[
    (
        "put-parts",
        "cache.plan-put",
        "",
        "",
        "3 parts of 1 bytes for a blob",
    ),
    ("put-body", "cache.plan-put", "", "", "a request with a body"),
    ("put-key", "cache.plan-put", "", "", "a key of 5000 bytes"),
    (
        "manifest-trap",
        "cache.put-manifest",
        "",
        "",
        "a guest's last words",
    ),
    ("commit-refuse", "cache.commit", "", "", "not today"),
];

fn guest(grant: &str) -> String {
    let plugin = format!("{},name=guest", built("guest-cache").display());
    match grant {
        "" => plugin,
        grant => format!("{plugin},grant={grant}"),
    }
}

fn spec(web: &Web, attack: &str, params: &str) -> String {
    let params = params.replace("{web}", &web.url(""));
    let url =
        match params.contains("url=http") && !params.contains("elsewhere=") && !params.contains("objects.") {
            true => String::new(),
            false if params.starts_with("url=") => String::new(),
            false => format!(",url={}", web.url("/c")),
        };
    let spec = format!("type=guest,attack={attack}{url},{params}");
    spec.trim_end_matches(',').to_owned()
}

#[test]
fn attacks_end_in_a_warning_or_an_error() {
    let web = Web::start();
    web.keeps("/c/");
    web.page(
        "/redirect",
        Page::redirect("http://169.254.169.254/latest/meta-data"),
    );
    web.page("/file", Page::redirect("file:///etc/passwd"));
    web.page("/loop", Page::redirect(&web.url("/loop")));
    web.page("/c/same", Page::new("the same for all"));
    let (kiln, project) = (Kiln::new(), project());
    for (attack, _, params, grant, said) in OPENING {
        let (plugin, from) = (guest(grant), spec(&web, attack, params));
        let args = [
            "--plugin",
            &plugin,
            "--cache-from",
            &from,
            "--plugin-limit",
            "cache.host-calls=200",
        ];
        let outcome = build(&kiln, &project, &args);
        assert_eq!(outcome.code(), Some(0), "{attack} {params}\n{}", outcome.report());
        assert!(
            outcome.all().contains(said),
            "{attack} {params}: {said}\n{}",
            outcome.report()
        );
        assert!(!outcome.all().contains("RUST_BACKTRACE"), "{}", outcome.report());
    }
    let plugin = guest("http:127.0.0.1");
    for (attack, _, params, _, said) in EXPORTING {
        let to = format!("{},mode=max", spec(&web, attack, params));
        let outcome = build(&Kiln::new(), &project, &["--plugin", &plugin, "--cache-to", &to]).exits(1);
        assert!(
            outcome.all().contains(said),
            "{attack}: {said}\n{}",
            outcome.report()
        );
    }
    let to = format!("{},mode=max", spec(&web, "none", ""));
    _ = build(&kiln, &project, &["--plugin", &plugin, "--cache-to", &to]).ok();
    for (attack, _, params, _, said) in IMPORTING {
        let from = spec(&web, attack, params);
        let args = ["--plugin", &plugin, "--cache-from", &from];
        let fresh = Kiln::new();
        let output = format!("type=oci,dest={}", fresh.path("out.tar").display());
        let output = ["-o", &output];
        let outcome = build(&fresh, &project, &[&args[..], &output].concat());
        assert_eq!(outcome.code(), Some(0), "{attack}\n{}", outcome.report());
        assert!(
            outcome.all().contains(said),
            "{attack}: {said}\n{}",
            outcome.report()
        );
    }
}

#[test]
fn a_server_that_stalls_costs_its_timeout() {
    let web = Web::start();
    web.page("/x", Page::new("never all of it").stalls());
    let from = format!("{},timeout=2s", spec(&web, "fetch", "url={web}/x"));
    let outcome = build(
        &Kiln::new(),
        &project(),
        &["--plugin", &guest("http:127.0.0.1"), "--cache-from", &from],
    );
    _ = outcome
        .ok()
        .says("cache `guest:buildkit` did not answer within 2 s");
}

#[test]
fn an_adapter_that_lies_costs_the_cache_only() {
    let web = Web::start();
    web.keeps("/c/");
    let (plugin, project) = (guest("http:127.0.0.1"), project());
    let to = format!("{},mode=max", spec(&web, "put-lie", ""));
    _ = build(&Kiln::new(), &project, &["--plugin", &plugin, "--cache-to", &to]).ok();
    let (from, fresh) = (spec(&web, "none", ""), Kiln::new());
    let output = format!("type=oci,dest={}", fresh.path("out.tar").display());
    let args = ["--plugin", &plugin, "--cache-from", &from, "-o", &output];
    _ = build(&fresh, &project, &args).ok().says("its steps run instead");
}
