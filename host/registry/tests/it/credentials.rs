//! Docker's and podman's credential files, and helpers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use kiln_registry::CredentialError;
use kiln_registry::Credentials as _;
use kiln_registry::DockerConfig;
use kiln_registry::Login;

fn show(login: Result<Option<Login>, CredentialError>) -> String {
    match login {
        Ok(None) => "nobody".to_owned(),
        Ok(Some(Login::Basic { user, password })) => format!("{user} {password}"),
        Ok(Some(Login::IdentityToken(token))) => format!("token {token}"),
        Err(error) => format!("error: {error}"),
    }
}

fn script(folder: &Path, name: &str, text: &str) {
    let path = folder.join(format!("docker-credential-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

/// Looks for the login of `registry` in a file with this text.
async fn check(text: &str, registry: &str, expect: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let asked = r#"read -r server; [ "$1" = get ] || exit 9"#;
    let print = r#"printf '{"ServerURL":"x","Username":"%s","Secret":"%s"}' "#;
    script(path, "echo", &format!("{asked}\n{print} ann \"$server\""));
    script(path, "token", &format!("{asked}\n{print} '<token>' refresh"));
    script(
        path,
        "none",
        "echo credentials not found in native keychain; exit 1",
    );
    script(path, "locked", "echo 'the \x1b[1mkeychain is locked' >&2; exit 1");
    script(path, "garbage", "echo hunter2");
    script(path, "endless", "exec cat /dev/zero");
    script(path, "sleepy", "exec sleep 1000");
    let file = path.join("config.json");
    std::fs::write(&file, text).unwrap();
    let got = match DockerConfig::load(&file) {
        Err(error) => show(Err(error)),
        Ok(config) => {
            let config = config.helpers_in(path).helper_timeout(Duration::from_secs(2));
            assert!(!format!("{config:?}").contains("cGE6"), "{config:?}");
            show(config.get(registry).await)
        }
    };
    if expect.starts_with("error") {
        assert!(
            got.starts_with("error") && got.contains(&expect["error: ".len()..]),
            "{text}: {got}"
        );
        assert!(!got.contains("hunter2") && !got.contains('\u{1b}'), "{got}");
    } else {
        assert_eq!(got, expect, "{text} for {registry}");
    }
}

#[tokio::test]
async fn files_are_read() {
    let auth = r#"{"auths":{"r.example:5000":{"auth":"YW5uOnBhOnNz"}}}"#;
    check(auth, "r.example:5000", "ann pa:ss").await;
    check(auth, "r.example", "nobody").await;
    let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5uOnBhOnNz"}}}"#;
    check(hub, "docker.io", "ann pa:ss").await;
    check(
        r#"{"auths":{"docker.io":{"username":"a","password":"b"}}}"#,
        "docker.io",
        "a b",
    )
    .await;
    check(
        r#"{"auths":{"https://r.example/v2/":{"username":"a","password":"b"}}}"#,
        "r.example",
        "a b",
    )
    .await;
    check(
        r#"{"auths":{"r.example/some":{"username":"a","password":"b"}}}"#,
        "r.example",
        "nobody",
    )
    .await;
    check(
        r#"{"auths":{"r.example":{"identitytoken":"t","auth":"YW5uOg=="}}}"#,
        "r.example",
        "token t",
    )
    .await;
    check(
        r#"{"auths":{"r.example":{}},"HttpHeaders":{"a":"b"}}"#,
        "r.example",
        "nobody",
    )
    .await;
    check("{}", "r.example", "nobody").await;
    let bad = r#"{"auths":{"r.example":{"auth":"hunter2"}}}"#;
    check(bad, "r.example", "error: `auth` of `r.example` is not the base64").await;
    check(r#"{"auths":"hunter2"}"#, "r.example", "error: line 1, column 18").await;
    check("", "r.example", "error: is malformed").await;

    let folder = tempfile::tempdir().unwrap();
    let missing = DockerConfig::load(&folder.path().join("missing")).unwrap();
    assert_eq!(show(missing.get("r.example").await), "nobody");
    let error = DockerConfig::load(folder.path()).unwrap_err();
    assert!(matches!(error, CredentialError::Read { .. }), "{error}");
}

#[tokio::test]
async fn helpers_are_asked() {
    check(r#"{"credsStore":"echo"}"#, "r.example:1", "ann r.example:1").await;
    check(
        r#"{"credsStore":"echo"}"#,
        "docker.io",
        "ann https://index.docker.io/v1/",
    )
    .await;
    check(r#"{"credsStore":"token"}"#, "r.example", "token refresh").await;
    let special = r#"{"credsStore":"locked","credHelpers":{"r.example":"echo"}}"#;
    check(special, "r.example", "ann r.example").await;
    let empty = r#"{"credsStore":"none","auths":{"r.example":{"auth":"YW5uOnBhOnNz"}}}"#;
    check(empty, "r.example", "ann pa:ss").await;
    check(empty, "other.example", "nobody").await;
    check(
        special,
        "other.example",
        "error: failed for `other.example`: the \u{fffd}[1mkeychain is locked",
    )
    .await;
    check(
        r#"{"credsStore":"garbage"}"#,
        "r.example",
        "error: not the JSON it should be",
    )
    .await;
    check(
        r#"{"credsStore":"endless"}"#,
        "r.example",
        "error: `docker-credential-endless`",
    )
    .await;
    check(
        r#"{"credsStore":"sleepy"}"#,
        "r.example",
        "error: gave no answer within 2 s",
    )
    .await;
    check(
        r#"{"credsStore":"absent"}"#,
        "r.example",
        "error: cannot run the credential helper `docker-credential-absent`",
    )
    .await;
    check(
        r#"{"credsStore":"x/../../bin/sh"}"#,
        "r.example",
        "error: a helper's name has no `/`",
    )
    .await;
}
