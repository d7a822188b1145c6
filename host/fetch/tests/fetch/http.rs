//! Files over http.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use kiln_fetch::Download;
use kiln_fetch::FetchError;
use kiln_fetch::Http;
use kiln_fetch::HttpAnswer;
use kiln_fetch::HttpSource;
use kiln_fetch::Known;
use kiln_tests::support::Page;
use kiln_tests::support::Web;
use kiln_tests::support::gzip;

use crate::support::Place;
use crate::support::User;
use crate::support::chain;

const SUM: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn source(url: &str, attrs: &[(&str, &str)]) -> HttpSource {
    let attrs: BTreeMap<_, _> = attrs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    HttpSource::parse(url, &attrs).unwrap()
}

async fn ask(
    place: &Place,
    source: &HttpSource,
    known: &[&str],
    user: &User,
) -> Result<HttpAnswer, FetchError> {
    let known: Vec<Known> = known
        .iter()
        .map(|etag| Known {
            etag: (*etag).to_owned(),
        })
        .collect();
    let http = Http::new(&place.config()).unwrap();
    http.fetch(source, &known, user, &place.directory()).await
}

/// Fetches a file; returns what is known of it.
async fn get(place: &Place, url: &str, attrs: &[(&str, &str)]) -> Result<Download, FetchError> {
    match ask(place, &source(url, attrs), &[], &User::default()).await? {
        HttpAnswer::New(download) => Ok(download),
        HttpAnswer::Known { etag, .. } => panic!("{etag} is known"),
    }
}

async fn refused(place: &Place, url: &str, attrs: &[(&str, &str)]) -> String {
    chain(&get(place, url, attrs).await.unwrap_err())
}

#[tokio::test]
async fn files_have_names_times_and_modes() {
    let (web, place) = (Web::start(), Place::new());
    let stamp = "Tue, 14 Nov 2023 22:13:20 GMT";
    web.page("/a/b.txt?x=1", Page::new("hello").header("Last-Modified", stamp));
    web.page("/", Page::new("hello"));
    web.page(
        "/named",
        Page::new("hello").header("Content-Disposition", "attachment; filename=\"../../e vil\""),
    );
    let http = Http::new(&place.config()).unwrap();
    let fetch = async |url: &str, attrs: &[(&str, &str)]| {
        let directory = place.directory();
        let source = source(url, attrs);
        let answer = http
            .fetch(&source, &[], &User::default(), &directory)
            .await
            .unwrap();
        let HttpAnswer::New(download) = answer else {
            panic!("nothing is known");
        };
        let path = directory.join(&download.filename);
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!(download.digest, SUM);
        (download.filename, metadata.mode() & 0o7777, metadata.mtime())
    };
    let check = |got: (String, u32, i64), name: &str, mode: u32, time: i64| {
        assert_eq!(got, (name.to_owned(), mode, time));
    };
    check(
        fetch(&web.url("/a/b.txt?x=1#y"), &[]).await,
        "b.txt",
        0o600,
        1_700_000_000,
    );
    check(fetch(&web.url("/"), &[]).await, "download", 0o600, 0);
    check(fetch(&web.url("/named"), &[]).await, "e vil", 0o600, 0);
    let attrs = [("http.filename", "x"), ("http.perm", "0644")];
    check(fetch(&web.url("/named"), &attrs).await, "x", 0o644, 0);
    let packed = Page::new(gzip(b"hello")).header("Content-Encoding", "gzip");
    web.page("/packed", packed);
    check(fetch(&web.url("/packed"), &[]).await, "packed", 0o600, 0);
}

#[tokio::test]
async fn checksums_are_checked() {
    let (web, place) = (Web::start(), Place::new());
    web.page("/f", Page::new("hello"));
    let url = web.url("/f");
    assert_eq!(
        get(&place, &url, &[("http.checksum", SUM)]).await.unwrap().digest,
        SUM
    );
    let wrong = format!("sha256:{}", "0".repeat(64));
    let text = refused(&place, &url, &[("http.checksum", &wrong)]).await;
    assert!(
        text.contains(&format!("digest mismatch {SUM}: {wrong}")),
        "{text}"
    );
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let text = refused(&place, &url, &[("http.checksum", &sha512)]).await;
    assert!(text.contains("digest mismatch sha512:9b71d224"), "{text}");
}

#[tokio::test]
async fn versions_are_asked_for() {
    let (web, place) = (Web::start(), Place::new());
    web.page("/f", Page::new("hello").header("ETag", "W/\"one\""));
    let source = source(&web.url("/f"), &[]);
    let user = User::default();
    let first = ask(&place, &source, &[], &user).await.unwrap();
    let HttpAnswer::New(download) = first else {
        panic!("nothing is known")
    };
    assert_eq!(download.etag.as_deref(), Some("\"one\""));
    web.take_seen();
    let known = ["\"zero\"", "\"one\""];
    let second = ask(&place, &source, &known, &user).await.unwrap();
    let expect = HttpAnswer::Known {
        etag: "\"one\"".to_owned(),
        filename: "f".to_owned(),
    };
    assert_eq!(second, expect);
    let methods: Vec<_> = web.take_seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["HEAD"], "no body is sent");
    web.page("/f", Page::new("other").header("ETag", "\"two\""));
    let third = ask(&place, &source, &known, &user).await.unwrap();
    assert!(
        matches!(third, HttpAnswer::New(Download { size: 5, .. })),
        "{third:?}"
    );
    web.page("/f", Page::new("").status(304));
    let only = ask(&place, &source, &["\"x\""], &user).await.unwrap();
    assert!(
        matches!(only, HttpAnswer::Known { .. }),
        "a server may leave the name out"
    );
    let text = chain(&ask(&place, &source, &known, &user).await.unwrap_err());
    assert!(text.contains("invalid not-modified ETag"), "{text}");
}

#[tokio::test]
async fn servers_fail() {
    let (web, mut place) = (Web::start(), Place::new());
    web.page("/busy", Page::new("hello").fails(2));
    assert_eq!(get(&place, &web.url("/busy"), &[]).await.unwrap().digest, SUM);
    web.page("/busy", Page::new("hello").fails(3));
    assert!(
        refused(&place, &web.url("/busy"), &[])
            .await
            .contains("invalid response status 503")
    );
    web.page("/cut", Page::new("hello").cut(2));
    assert_eq!(get(&place, &web.url("/cut"), &[]).await.unwrap().digest, SUM);
    let text = refused(&place, &web.url("/missing"), &[]).await;
    assert_eq!(
        text,
        format!(
            "failed to fetch {}: invalid response status 404",
            web.url("/missing")
        )
    );
    place.limits.stall = Duration::from_secs(1);
    place.limits.tries = 1;
    web.page("/stall", Page::new("hello").stalls());
    assert!(
        refused(&place, &web.url("/stall"), &[])
            .await
            .contains("sent nothing for 1 s")
    );
    place.limits.bytes = 4;
    web.page("/large", Page::new("hello"));
    assert!(
        refused(&place, &web.url("/large"), &[])
            .await
            .contains("more than 4 bytes")
    );
    let bomb = Page::new(gzip(&vec![0; 1 << 20])).header("Content-Encoding", "gzip");
    place.limits.bytes = 100_000;
    web.page("/bomb", bomb);
    assert!(
        refused(&place, &web.url("/bomb"), &[])
            .await
            .contains("more than 100000 bytes")
    );
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/x", listener.local_addr().unwrap())
    };
    assert!(refused(&place, &nobody, &[]).await.contains("Connection refused"));
}

#[tokio::test]
async fn secrets_go_to_their_host_only() {
    let (web, place) = (Web::start(), Place::new());
    web.page("/private", Page::new("hello").wants("Bearer s3cret"));
    let fetch = async |url: &str, id: &str| {
        let user = User::with(id, "s3cret\n");
        ask(&place, &source(url, &[]), &[], &user)
            .await
            .map_err(|error| chain(&error))
    };
    let url = web.url("/private");
    assert!(fetch(&url, "HTTP_AUTH_TOKEN_127.0.0.1").await.is_ok());
    let refused = fetch(&url, "HTTP_AUTH_TOKEN_example.com").await.unwrap_err();
    assert!(
        refused.contains(
            "invalid response status 401 (give a token with `--secret id=HTTP_AUTH_TOKEN_127.0.0.1"
        ),
        "{refused}"
    );
    web.page("/header", Page::new("hello").wants("s3cret"));
    assert!(
        fetch(&web.url("/header"), "HTTP_AUTH_HEADER_127.0.0.1")
            .await
            .is_ok()
    );
    // The same origin may see it again, another one never.
    web.page("/moved", Page::redirect("/private"));
    assert!(
        fetch(&web.url("/moved"), "HTTP_AUTH_TOKEN_127.0.0.1")
            .await
            .is_ok()
    );
    web.page("/away", Page::redirect(&web.other_url("/open")));
    web.page("/open", Page::new("hello"));
    web.take_seen();
    assert!(
        fetch(&web.url("/away"), "HTTP_AUTH_TOKEN_127.0.0.1")
            .await
            .is_ok()
    );
    let seen: Vec<_> = web
        .take_seen()
        .into_iter()
        .map(|seen| (seen.path, seen.authorization.is_some()))
        .collect();
    assert_eq!(seen, [("/away".to_owned(), true), ("/open".to_owned(), false)]);
    // Neither may it come back by a detour, nor in a URL.
    web.page("/detour", Page::redirect(&web.other_url("/back")));
    web.page(
        "/back",
        Page::redirect(&format!(
            "http://u:p@{}/open",
            web.host().replace("127.0.0.1", "localhost")
        )),
    );
    assert!(
        fetch(&web.url("/detour"), "HTTP_AUTH_TOKEN_127.0.0.1")
            .await
            .is_ok()
    );
    let last = web.take_seen().pop().unwrap();
    assert_eq!(last.authorization, None, "{last:?}");
    let two_lines = User::with("HTTP_AUTH_TOKEN_127.0.0.1", "a\nb");
    let text = chain(
        &ask(&place, &source(&url, &[]), &[], &two_lines)
            .await
            .unwrap_err(),
    );
    assert!(text.contains("expected one line"), "{text}");
}

#[tokio::test]
async fn redirects_end() {
    let (web, place) = (Web::start(), Place::new());
    web.page("/loop", Page::redirect("/loop"));
    assert!(
        refused(&place, &web.url("/loop"), &[])
            .await
            .contains("too many redirects")
    );
    web.page("/file", Page::redirect("file:///etc/passwd"));
    let text = refused(&place, &web.url("/file"), &[]).await;
    assert!(
        text.contains("refused to follow the redirect to file:///etc/passwd"),
        "{text}"
    );
}

#[test]
fn odd_sources_are_refused() {
    let check = |url: &str, attrs: &[(&str, &str)], expect: &str| {
        let attrs = attrs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let text = chain(&HttpSource::parse(url, &attrs).unwrap_err());
        assert!(text.contains(expect), "{url}: {text}");
    };
    check("https://", &[], "invalid URL");
    check("ftp://h/x", &[], "expected `http://HOST/…`");
    check("https://u:hunter2@[h/", &[], "https://xxxxx:xxxxx@");
    check("https://h/", &[("http.checksum", "sha256:0")], "a digest such as");
    check("https://h/", &[("http.perm", "rwx")], "a number");
    check("https://h/", &[("http.sig.pubkey", "x")], "not verified yet");
}
