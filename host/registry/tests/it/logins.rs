//! Token servers, good and bad.

use std::sync::Arc;

use kiln_image::Reference;
use kiln_registry::Client;
use kiln_registry::Config;
use kiln_registry::Login;

use crate::Always;
use crate::config;
use crate::logged_in;
use crate::server::Reply;
use crate::server::Request;
use crate::server::Server;
use crate::server::reply;

const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

/// A registry that wants the token `good` of the token server at `realm`.
async fn registry(realm: String) -> Server {
    Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer good") => reply(200, &[], INDEX),
        _ => {
            let scope = "repository:image:pull";
            let challenge = format!(r#"Bearer realm="{realm}",service="the service",scope="{scope}""#);
            let denied = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            reply(401, &[("WWW-Authenticate", &challenge)], denied)
        }
    })
    .await
}

fn name(server: &Server, repository: &str) -> Reference {
    format!("{}/{repository}:v1", server.host).parse().unwrap()
}

#[tokio::test]
async fn tokens_are_fetched_once_for_each_scope() {
    let tokens = Server::start(|_, _| reply(200, &[], br#"{"token":"good","expires_in":300}"#)).await;
    let registry = registry(format!("http://{}/token?own=1", tokens.host)).await;
    let client = Client::new(logged_in()).unwrap();
    for repository in ["image", "image", "other"] {
        client.resolve(&name(&registry, repository)).await.unwrap();
    }
    let seen = tokens.seen();
    assert_eq!(seen.len(), 2);
    let path = "/token?own=1&service=the+service&scope=repository%3Aimage%3Apull";
    assert_eq!(seen[0].path, path);
    assert!(seen[1].path.contains("scope=repository%3Aother%3Apull"));
    assert_eq!(seen[0].header("authorization"), Some("Basic YW5uOnBhOnNz"));
    let asked = registry.seen();
    assert_eq!(asked.len(), 4);
    assert!(
        asked
            .iter()
            .all(|r| !r.header("authorization").unwrap_or_default().starts_with("Basic"))
    );
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced() {
    let answer = |_: &Request, number| match number {
        0 => reply(200, &[], br#"{"access_token":"stale"}"#),
        _ => reply(200, &[], br#"{"access_token":"good"}"#),
    };
    let tokens = Server::start(answer).await;
    let registry = registry(format!("http://{}/token", tokens.host)).await;
    let client = Client::new(config()).unwrap();
    let error = client.resolve(&name(&registry, "image")).await.unwrap_err();
    assert!(
        error.is_denied()
            && error
                .to_string()
                .contains("UNAUTHORIZED: authentication required"),
        "{error}"
    );
    client.resolve(&name(&registry, "image")).await.unwrap();
    assert_eq!(tokens.seen().len(), 2);
    assert_eq!(tokens.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let tokens = Server::start(|_, _| reply(200, &[], br#"{"access_token":"good"}"#)).await;
    let registry = registry(format!("http://{}/token", tokens.host)).await;
    let config = Config {
        credentials: Arc::new(Always(Login::IdentityToken("refresh+me".to_owned()))),
        ..config()
    };
    Client::new(config)
        .unwrap()
        .resolve(&name(&registry, "image"))
        .await
        .unwrap();
    let asked = &tokens.seen()[0];
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token"));
    let expect = "service=the+service&grant_type=refresh_token&client_id=kiln\
                  &scope=repository%3Aimage%3Apull&refresh_token=refresh%2Bme";
    assert_eq!(form, expect);
    assert!(
        registry
            .seen()
            .iter()
            .all(|r| !format!("{r:?}").contains("refresh"))
    );
}

#[tokio::test]
async fn bad_token_servers_end_in_an_error() {
    type Script = fn() -> Reply;
    let table: [(&str, Script, &str); 7] = [
        (
            "no JSON",
            || reply(200, &[], b"hunter2"),
            "is not the JSON it should be",
        ),
        ("no token", || reply(200, &[], b"{}"), "has no `token`"),
        (
            "a bad token",
            || reply(200, &[], br#"{"token":"hunter2\r\nX: y"}"#),
            "characters that no header may have",
        ),
        (
            "a large answer",
            || reply(200, &[], &vec![b' '; 100_000]),
            "more than 65536 bytes",
        ),
        (
            "refuses",
            || reply(401, &[], br#"{"details":"incorrect username or password"}"#),
            "failed to fetch oauth token: unexpected status from GET request to",
        ),
        (
            "explains",
            || reply(401, &[], br#"{"details":"incorrect username or password"}"#),
            "401 Unauthorized: incorrect username or password",
        ),
        ("is busy", || reply(503, &[], b""), "503"),
    ];
    for (what, script, expect) in table {
        let tokens = Server::start(move |_, _| script()).await;
        let registry = registry(format!("http://{}/token?secret=x", tokens.host)).await;
        let client = Client::new(logged_in()).unwrap();
        let error = client.resolve(&name(&registry, "image")).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expect), "{what}: {text}");
        assert!(
            !text.contains("hunter2") && !text.contains("secret"),
            "{what}: {text}"
        );
    }
}

#[tokio::test]
async fn a_login_goes_to_no_plain_token_server() {
    for realm in [
        "http://evil.example/token",
        "file:///etc/passwd",
        "ftp://evil.example/",
    ] {
        let registry = registry(realm.to_owned()).await;
        let error = Client::new(logged_in())
            .unwrap()
            .resolve(&name(&registry, "image"))
            .await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains("refused to follow"), "{realm}: {text}");
    }
}

#[tokio::test]
async fn a_token_server_may_not_pass_a_login_on() {
    let thief = Server::start(|_, _| reply(200, &[], br#"{"token":"good"}"#)).await;
    let location = format!("http://{}/", thief.host);
    let tokens = Server::start(move |_, _| reply(307, &[("Location", &location)], b"")).await;
    let registry = registry(format!("http://{}/token", tokens.host)).await;
    Client::new(logged_in())
        .unwrap()
        .resolve(&name(&registry, "image"))
        .await
        .unwrap();
    assert!(
        thief
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[tokio::test]
async fn a_token_server_may_not_pass_an_identity_token_on() {
    let thief = Server::start(|_, _| reply(200, &[], br#"{"token":"good"}"#)).await;
    let location = format!("http://{}/", thief.host);
    let tokens = Server::start(move |_, _| reply(307, &[("Location", &location)], b"")).await;
    let registry = registry(format!("http://{}/token", tokens.host)).await;
    let login = Login::IdentityToken("refresh".to_owned());
    let config = Config {
        credentials: Arc::new(Always(login)),
        ..config()
    };
    let error = Client::new(config)
        .unwrap()
        .resolve(&name(&registry, "image"))
        .await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("the request's body is not for another host"),
        "{text}"
    );
    assert_eq!(thief.seen().len(), 0);
}
