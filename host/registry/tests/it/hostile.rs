//! Registries that stall, lie, cut the line and send elsewhere.

use std::io;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::MediaType;
use kiln_image::Reference;
use kiln_registry::BlobSource;
use kiln_registry::Client;
use kiln_registry::Config;
use kiln_registry::Proxies;
use kiln_registry::Pushed;

use crate::blob_of;
use crate::config;
use crate::logged_in;
use crate::noise;
use crate::server::Reply;
use crate::server::Request;
use crate::server::Server;
use crate::server::raw;
use crate::server::reply;

const OCTETS: &str = "application/octet-stream";

fn name(server: &Server) -> Reference {
    format!("{}/image:v1", server.host).parse().unwrap()
}

/// A client that gives up on silence at once.
fn impatient() -> Client {
    Client::new(Config {
        stall: std::time::Duration::from_millis(300),
        ..config()
    })
    .unwrap()
}

async fn fetch(client: &Client, name: &Reference, blob: &Descriptor) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut sink = |bytes: &[u8]| -> io::Result<()> {
        all.extend_from_slice(bytes);
        Ok(())
    };
    let done = sendable(client.fetch_blob(name, blob, &mut sink)).await;
    assert!(all.len() as u64 <= blob.size, "{} bytes", all.len());
    done.map(|()| all).map_err(|error| error.to_string())
}

/// Where `Range: bytes=N-` begins.
fn start(request: &Request) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?;
    range.strip_suffix('-')?.parse().ok()
}

/// Gives what is asked for from there on.
fn ranged(request: &Request, bytes: &[u8]) -> Reply {
    match start(request) {
        None => reply(200, &[], bytes),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            reply(206, &[("Content-Range", &range)], &bytes[from..])
        }
    }
}

type Script = fn(&Request, usize, &[u8]) -> Reply;

/// Fetches a blob of 200,000 bytes from a server that answers by `script`.
async fn check_blob(what: &str, script: Script, expect: Result<(), &str>) {
    let bytes = noise(200_000);
    let blob = blob_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |request, number| script(request, number, &served)).await;
    let got = fetch(&impatient(), &name(&server), &blob).await;
    match (got, expect) {
        (Ok(got), Ok(())) => assert!(got == bytes, "{what}: {} other bytes", got.len()),
        (Err(text), Err(expect)) => assert!(text.contains(expect), "{what}: {text}"),
        (got, _) => panic!("{what}: {:?}", got.map(|got| got.len())),
    }
}

#[tokio::test]
async fn blobs_arrive_over_bad_lines() {
    let cut: Script = |request, number, bytes| match number {
        0 => raw(200, &[], bytes.len(), &bytes[..70_000]),
        1 => {
            assert_eq!(start(request), Some(70_000));
            let range = "bytes 70000-199999/200000";
            raw(206, &[("Content-Range", range)], 130_000, &bytes[70_000..70_001])
        }
        _ => ranged(request, bytes),
    };
    check_blob("cut twice", cut, Ok(())).await;
    let stall: Script = |request, number, bytes| match number {
        0 => raw(200, &[], bytes.len(), &bytes[..100_000]).then_stall(),
        1 => Reply::bytes(b"").then_stall(),
        _ => ranged(request, bytes),
    };
    check_blob("stalls", stall, Ok(())).await;
    let no_ranges: Script = |_, number, bytes| match number {
        0 => raw(200, &[], bytes.len(), &bytes[..100_000]),
        _ => reply(200, &[], bytes),
    };
    check_blob("has no ranges", no_ranges, Ok(())).await;
    let busy: Script = |_, number, bytes| match number {
        0 => reply(429, &[("Retry-After", "86400")], b""),
        1 => reply(503, &[], b""),
        2 => Reply::bytes(b""),
        _ => reply(200, &[], bytes),
    };
    check_blob("is busy", busy, Ok(())).await;
    let chunked: Script = |_, _, bytes| {
        let head = format!(
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            bytes.len()
        );
        Reply::bytes(&[head.as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat())
    };
    check_blob("sends chunks", chunked, Ok(())).await;
}

#[tokio::test]
async fn lies_about_blobs_are_noticed() {
    let other: Script = |_, _, bytes| reply(200, &[], &vec![0; bytes.len()]);
    check_blob("other bytes", other, Err("digest mismatch: expected sha256:")).await;
    let long: Script = |_, _, bytes| reply(200, &[], &[bytes, b"x"].concat());
    check_blob(
        "longer",
        long,
        Err("size mismatch: expected 200000 bytes, got 200001"),
    )
    .await;
    let short: Script = |_, _, bytes| reply(200, &[], &bytes[1..]);
    check_blob("shorter", short, Err("expected 200000 bytes, got 199999")).await;
    let chunked: Script = |_, _, bytes| {
        let length = bytes.len() + 1;
        let head = format!("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
        Reply::bytes(&[head.as_bytes(), bytes, b"x\r\n0\r\n\r\n"].concat())
    };
    check_blob("longer in chunks", chunked, Err("size mismatch")).await;
    let endless: Script = |_, _, bytes| raw(200, &[], bytes.len(), &bytes[..5]);
    check_blob("always cut", endless, Err("failed to do request")).await;
    let silent: Script = |_, _, _| Reply::bytes(b"").then_stall();
    check_blob("silent", silent, Err("sent nothing for 0.3 s")).await;
    let elsewhere: Script = |request, number, bytes| match number {
        0 => raw(200, &[], bytes.len(), &bytes[..100_000]),
        _ => {
            assert_eq!(start(request), Some(100_000));
            reply(
                206,
                &[("Content-Range", "bytes 0-99999/200000")],
                &bytes[..100_000],
            )
        }
    };
    check_blob(
        "another range",
        elsewhere,
        Err("expected `Content-Range: bytes 100000-"),
    )
    .await;
    let page: Script = |_, _, _| reply(204, &[], b"");
    check_blob("nothing", page, Err("204 No Content")).await;
    let garbage: Script = |_, _, _| Reply::bytes(b"SSH-2.0-OpenSSH\r\n");
    check_blob("no HTTP", garbage, Err("failed to do request")).await;
}

/// Resolves at a server that answers by `script`; it must fail with `expect`.
async fn check_resolve(
    what: &str,
    script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    expect: &str,
) {
    let server = Server::start(script).await;
    let (client, name) = (impatient(), name(&server));
    let error = sendable(client.resolve(&name)).await.unwrap_err();
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        text = format!("{text}: {source}");
    }
    assert!(text.contains(expect), "{what}: {text}");
    assert!(
        text.starts_with(&server.host) && text.len() < 1500,
        "{what}: {text}"
    );
    assert!(
        !text.contains('\u{1b}') && !text.contains("secret"),
        "{what}: {text}"
    );
}

#[tokio::test]
async fn bad_manifests_are_refused() {
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    let lie = Digest::of("lie").to_string();
    let text = "digest mismatch";
    check_resolve(
        "lies about the digest",
        move |_, _| reply(200, &[("Docker-Content-Digest", &lie)], index),
        text,
    )
    .await;
    let html = b"<html>Log in to the hotel's network</html>";
    let page = move |_: &Request, _| reply(200, &[("Content-Type", "text/html")], html);
    check_resolve("a page", page, "cannot read the manifest: manifest is malformed").await;
    let renamed =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let kind = [("Content-Type", MediaType::OCI_MANIFEST)];
    check_resolve(
        "renames it",
        move |_, _| reply(200, &kind, renamed),
        "the registry says",
    )
    .await;
    check_resolve(
        "too large",
        |_, _| reply(200, &[], &vec![b' '; 5 << 20]),
        "more than 4194304 bytes",
    )
    .await;
    check_resolve(
        "lies about the length",
        |_, _| raw(200, &[], 1 << 40, b" "),
        "failed to do request",
    )
    .await;
    let own = br#"{"errors":[{"code":"NAME_INVALID","message":"no \u001b[2J such"}]}"#;
    check_resolve(
        "says no",
        |_, _| reply(400, &[], own),
        "400 Bad Request: NAME_INVALID: no \u{fffd}[2J such",
    )
    .await;
    check_resolve(
        "a huge error",
        |_, _| reply(500, &[], &vec![b'x'; 3 << 20]),
        "500 Internal Server Error",
    )
    .await;
    check_resolve(
        "an error that stalls",
        |_, _| raw(404, &[], 9, b"").then_stall(),
        ": not found",
    )
    .await;
    check_resolve(
        "always busy",
        |_, _| reply(429, &[], b"toomanyrequests: slow"),
        "429",
    )
    .await;
    check_resolve("a status of its own", |_, _| reply(599, &[], b""), "599").await;
}

#[tokio::test]
async fn the_digest_of_a_reference_is_checked() {
    let server = Server::start(|_, _| reply(200, &[], br#"{"schemaVersion":2,"manifests":[]}"#)).await;
    let wanted = Digest::of("wanted");
    let error = impatient().manifest(&name(&server), &wanted).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("digest mismatch: expected {wanted}")),
        "{text}"
    );
    assert!(server.seen()[0].path.ends_with(&wanted.to_string()));
}

#[tokio::test]
async fn redirects_are_bounded_and_clean() {
    let to = |to: &'static str| move |_: &Request, _| reply(307, &[("Location", to)], b"");
    check_resolve("a loop", to("/v2/again?token=secret"), "more than 5 redirects").await;
    check_resolve(
        "plain",
        to("http://u:secret@cdn.example/?secret"),
        "plain HTTP is not allowed",
    )
    .await;
    check_resolve("a file", to("file:///etc/passwd"), "expected an `https` URL").await;
    check_resolve(
        "nowhere",
        |_, _| reply(302, &[], b""),
        "without a usable `Location`",
    )
    .await;
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    let bytes = noise(1000);
    let blob = blob_of(&bytes);
    let storage = Server::start(move |_, _| reply(200, &[("Content-Type", OCTETS)], &bytes)).await;
    let location = format!("http://{}/stored?signature=secret", storage.host);
    let registry = Server::start(move |request, _| match request.header("authorization") {
        Some("Basic YW5uOnBhOnNz") => reply(307, &[("Location", &location)], b""),
        Some(other) => panic!("{other}"),
        None => reply(401, &[("WWW-Authenticate", "Basic realm=x")], b""),
    })
    .await;
    let client = Client::new(logged_in()).unwrap();
    fetch(&client, &name(&registry), &blob).await.unwrap();
    fetch(&client, &name(&registry), &blob).await.unwrap();
    let stored = storage.seen();
    assert_eq!(stored.len(), 2);
    assert!(
        stored
            .iter()
            .all(|r| r.header("authorization").is_none() && r.header("referer").is_none())
    );
    assert_eq!(
        registry.seen().len(),
        3,
        "a login that was asked for is sent at once"
    );
}

#[tokio::test]
async fn a_challenge_from_another_host_gets_nothing() {
    let thief = Server::start(|_, _| reply(401, &[("WWW-Authenticate", "Basic realm=x")], b"")).await;
    let location = format!("http://{}/", thief.host);
    let registry = Server::start(move |_, _| reply(307, &[("Location", &location)], b"")).await;
    let client = Client::new(logged_in()).unwrap();
    let error = fetch(&client, &name(&registry), &blob_of(b"x"))
        .await
        .unwrap_err();
    assert!(error.contains("401"), "{error}");
    assert!(
        thief
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[tokio::test]
async fn uploads_begin_again() {
    let bytes = noise(400_000);
    let blob = blob_of(&bytes);
    let digest = blob.digest.to_string().replace(':', "%3A");
    let server = Server::start(move |request, number| match (request.method.as_str(), number) {
        ("HEAD", _) => reply(404, &[], b""),
        ("POST", _) => reply(
            202,
            &[("Location", &format!("/upload/{number}?state=a%20b"))],
            b"",
        ),
        ("PUT", 2) => Reply::bytes(b""),
        ("PUT", 4) => reply(500, &[], b"no"),
        ("PUT", 6) => reply(404, &[], br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
        ("PUT", _) if request.body == noise(400_000) => reply(201, &[], b""),
        _ => reply(400, &[], b"other bytes"),
    })
    .await;
    let client = Client::new(config()).unwrap();
    let mut heard = 0;
    let source = BlobSource::Bytes(bytes.into());
    let pushed = client
        .push_blob(&name(&server), &blob, source, None, &mut |sent| heard = sent)
        .await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert_eq!(heard, 400_000);
    let last = server.seen().pop().unwrap();
    assert_eq!(last.path, format!("/upload/7?state=a%20b&digest={digest}"));
    assert_eq!(last.header("content-length"), Some("400000"));
}

#[tokio::test]
async fn uploads_that_get_no_answer_begin_again() {
    let server = Server::start(|request, number| match (request.method.as_str(), number) {
        ("HEAD", _) => reply(404, &[], b""),
        ("POST", 1) => Reply::bytes(b"").then_stall(),
        ("POST", _) => reply(202, &[("Location", "/u")], b""),
        ("PUT", 3) => Reply::bytes(b"").then_stall(),
        _ => reply(201, &[], b""),
    })
    .await;
    let client = Client::new(Config {
        stall: std::time::Duration::from_millis(100),
        ..config()
    });
    let source = BlobSource::Bytes(b"abc".to_vec().into());
    let (client, name, blob) = (client.unwrap(), name(&server), blob_of(b"abc"));
    let mut progress = |_| {};
    let push = client.push_blob(&name, &blob, source, None, &mut progress);
    assert_eq!(sendable(push).await.unwrap(), Pushed::Uploaded);
    let methods: Vec<String> = server.seen().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["HEAD", "POST", "POST", "PUT", "POST", "PUT"]);
}

/// Work that another thread may go on with.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

#[tokio::test]
async fn a_file_that_shrinks_is_no_endless_upload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, noise(400_000)).unwrap();
    let shrunk = path.clone();
    let server = Server::start(move |request, _| match request.method.as_str() {
        "HEAD" => reply(404, &[], b""),
        "POST" => {
            std::fs::write(&shrunk, b"short").unwrap();
            reply(202, &[("Location", "/u")], b"")
        }
        _ => reply(201, &[], b""),
    })
    .await;
    let client = Client::new(config()).unwrap();
    let blob = blob_of(&noise(400_000));
    let missing = BlobSource::File(folder.path().join("missing"));
    let lost = client
        .push_blob(&name(&server), &blob, missing, None, &mut |_| {})
        .await;
    assert!(
        lost.unwrap_err()
            .to_string()
            .contains("cannot read the blob file")
    );
    let pushed = client
        .push_blob(&name(&server), &blob, BlobSource::File(path), None, &mut |_| {})
        .await;
    let text = pushed.unwrap_err().to_string();
    assert!(text.contains("the file became shorter"), "{text}");
}

#[tokio::test]
async fn uploads_end_in_an_error() {
    for (what, post, put, expect) in [
        (
            "no place",
            reply as fn(u16, &[(&str, &str)], &[u8]) -> Reply,
            201,
            "expected a `Location`",
        ),
        (
            "a place elsewhere",
            |_, _, _| reply(202, &[("Location", "http://evil.example/")], b""),
            201,
            "plain HTTP is not allowed",
        ),
        (
            "refuses",
            |_, _, _| reply(202, &[("Location", "/u")], b""),
            413,
            "unexpected status from PUT request to",
        ),
        (
            "forbids",
            |_, _, _| reply(202, &[("Location", "/u")], b""),
            403,
            "push access denied",
        ),
        (
            "mounts unasked",
            |_, _, _| reply(201, &[("Location", "/u")], b""),
            201,
            "expected status 202",
        ),
    ] {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "HEAD" => reply(404, &[], b""),
            "POST" => post(202, &[], b""),
            _ => reply(put, &[], b""),
        })
        .await;
        let source = BlobSource::Bytes(b"abc".to_vec().into());
        let client = Client::new(config()).unwrap();
        let pushed = client
            .push_blob(&name(&server), &blob_of(b"abc"), source, None, &mut |_| {})
            .await;
        let text = pushed.unwrap_err().to_string();
        assert!(text.contains(expect), "{what}: {text}");
    }
}

#[tokio::test]
async fn lists_have_pages_and_ends() {
    let server = Server::start(|request, number| match request.path.as_str() {
        "/v2/image/tags/list?n=1000" => reply(
            200,
            &[("Link", "</v2/image/tags/list?last=b>; rel=\"next\"")],
            br#"{"tags":["a","b"]}"#,
        ),
        "/v2/image/tags/list?last=b" => reply(200, &[], br#"{"name":"image","tags":null}"#),
        path if path.starts_with("/v2/loop/") => reply(
            200,
            &[("Link", &format!("<?n={number}>; rel=next"))],
            br#"{"tags":[]}"#,
        ),
        _ => reply(
            200,
            &[("Link", "<http://evil.example/>; rel=next")],
            br#"{"tags":[]}"#,
        ),
    })
    .await;
    let client = Client::new(config()).unwrap();
    assert_eq!(client.tags(&name(&server)).await.unwrap(), ["a", "b"]);
    let evil = format!("{}/evil", server.host).parse().unwrap();
    let text = client.tags(&evil).await.unwrap_err().to_string();
    assert!(text.contains("plain HTTP is not allowed"), "{text}");
    let endless = format!("{}/loop", server.host).parse().unwrap();
    let text = client.tags(&endless).await.unwrap_err().to_string();
    assert!(text.contains("more than 1000 pages"), "{text}");
}

#[tokio::test]
async fn nobody_is_there() {
    let reference: Reference = "127.0.0.1:1/image".parse().unwrap();
    let text = impatient().resolve(&reference).await.unwrap_err().to_string();
    assert!(text.contains("Connection refused"), "{text}");
}

#[tokio::test]
async fn proxies_are_asked() {
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    let proxy = Server::start(move |request, _| match request.method.as_str() {
        "GET" => reply(200, &[], index),
        _ => reply(403, &[], b""),
    })
    .await;
    let address = Some(format!("http://{}", proxy.host));
    let proxies = Proxies {
        http: address.clone(),
        https: address,
        except: "direct.example".to_owned(),
    };
    let client = Client::new(Config {
        insecure: vec!["far.example".to_owned()],
        hosts: [("direct.example".to_owned(), ([127, 0, 0, 1], 1).into())].into(),
        proxies,
        ..config()
    })
    .unwrap();
    client
        .resolve(&"far.example/image".parse().unwrap())
        .await
        .unwrap();
    let paths: Vec<String> = proxy.seen().into_iter().map(|request| request.path).collect();
    let image = "http://far.example/v2/image/manifests/latest";
    assert_eq!(paths, ["far.example:443", "http://far.example/v2/", image]);
    // Docker Hub's registry is not at its name.
    let image = "busybox".parse().unwrap();
    client.resolve(&image).await.unwrap_err();
    let last = proxy.seen().pop().unwrap();
    assert_eq!(
        (last.method.as_str(), last.path.as_str()),
        ("CONNECT", "registry-1.docker.io:443")
    );
    for direct in ["127.0.0.1:1/image", "direct.example:1/image"] {
        let error = client.resolve(&direct.parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
    let proxies = Proxies {
        https: Some("http://u:hunter2@[bad".to_owned()),
        ..Proxies::default()
    };
    let text = Client::new(Config { proxies, ..config() })
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("a proxy is no URL") && !text.contains("hunter2"),
        "{text}"
    );
}
