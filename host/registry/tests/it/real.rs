//! Debian's `docker-registry`: plain, with a password, with TLS.

use std::sync::Arc;

use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::Manifest;
use kiln_image::MediaType;
use kiln_image::Reference;
use kiln_registry::BlobSource;
use kiln_registry::Client;
use kiln_registry::Config;
use kiln_registry::Login;
use kiln_registry::Pushed;
use kiln_registry::RootCertificate;

use crate::Always;
use crate::blob_of;
use crate::config;
use crate::logged_in;
use crate::noise;
use crate::real_registry::Kind;
use crate::real_registry::RealRegistry;

async fn read(client: &Client, name: &Reference, blob: &Descriptor, from: u64) -> Vec<u8> {
    let mut stream = client.blob(name, blob, from).await.unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = stream.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

/// Pushes an image, looks at it from all sides, and fetches it.
async fn round_trip(client: &Client, host: &str) {
    let name: Reference = format!("{host}/some/image:v1").parse().unwrap();
    let layer = noise(3_000_000);
    let blob = blob_of(&layer);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer");
    std::fs::write(&file, &layer).unwrap();

    assert!(!client.has_blob(&name, &blob).await.unwrap());
    let mut heard = Vec::new();
    let source = BlobSource::File(file);
    let pushed = client
        .push_blob(&name, &blob, source.clone(), None, &mut |sent| heard.push(sent))
        .await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert_eq!(heard.last(), Some(&blob.size), "{heard:?}");
    assert!(client.has_blob(&name, &blob).await.unwrap());
    let again = client
        .push_blob(&name, &blob, source.clone(), None, &mut |_| {})
        .await;
    assert_eq!(again.unwrap(), Pushed::Existed);
    let other: Reference = format!("{host}/other:v1").parse().unwrap();
    let mounted = client
        .push_blob(&other, &blob, source, Some("some/image"), &mut |_| {})
        .await;
    assert_eq!(mounted.unwrap(), Pushed::Mounted);

    let text = br#"{"architecture":"amd64","os":"linux"}"#;
    let text_blob = Descriptor::of(MediaType::OCI_CONFIG, text);
    let source = BlobSource::Bytes(text.to_vec().into());
    client
        .push_blob(&name, &text_blob, source, None, &mut |_| {})
        .await
        .unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: MediaType::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: text_blob,
        layers: vec![Descriptor {
            media_type: MediaType::OCI_LAYER.to_owned(),
            ..blob.clone()
        }],
        subject: None,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let digest = client
        .push_manifest(&name, MediaType::OCI_MANIFEST, bytes.clone().into())
        .await
        .unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    let resolved = client.resolve(&name).await.unwrap();
    assert_eq!(resolved.bytes, bytes);
    assert_eq!(
        resolved.descriptor,
        Descriptor::of(MediaType::OCI_MANIFEST, &bytes)
    );
    assert_eq!(client.manifest(&name, &digest).await.unwrap(), resolved);

    for from in [0, 1, 2_999_999, 3_000_000] {
        let got = read(client, &name, &blob, from).await;
        assert!(
            got == layer[usize::try_from(from).unwrap()..],
            "from {from}: {} bytes",
            got.len()
        );
    }
    let mut fetched = Vec::new();
    let mut sink = |bytes: &[u8]| {
        fetched.extend_from_slice(bytes);
        Ok(())
    };
    client.fetch_blob(&other, &blob, &mut sink).await.unwrap();
    assert!(fetched == layer);
    lists(client, &name, resolved.descriptor).await;
}

/// What can be listed of a repository that has one image.
async fn lists(client: &Client, name: &Reference, image: Descriptor) {
    let digest = image.digest;
    assert_eq!(client.referrers(name, &digest).await.unwrap().manifests, []);
    let index = Index::new(vec![image]);
    let by_digest = name.with_digest(Digest::of(serde_json::to_vec(&index).unwrap()));
    for at in [
        by_digest,
        name.with_tag(&format!("sha256-{}", digest.hex())).unwrap(),
    ] {
        let bytes = serde_json::to_vec(&index).unwrap();
        client
            .push_manifest(&at, MediaType::OCI_INDEX, bytes.into())
            .await
            .unwrap();
    }
    assert_eq!(client.referrers(name, &digest).await.unwrap(), index);
    let mut tags = client.tags(name).await.unwrap();
    tags.sort();
    assert_eq!(tags, [format!("sha256-{}", digest.hex()), "v1".to_owned()]);

    let missing = name.with_tag("missing").unwrap();
    let error = client.resolve(&missing).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{missing}: not found")), "{text}");
    let missing = blob_of(b"missing");
    let error = client.blob(name, &missing, 0).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn a_plain_registry() {
    let registry = RealRegistry::start(Kind::Plain);
    let client = Client::new(config()).unwrap();
    round_trip(&client, &registry.host()).await;

    // A blob whose bytes are not those of its digest is refused by the registry.
    let name: Reference = format!("{}/lie", registry.host()).parse().unwrap();
    let source = BlobSource::Bytes(b"abc".to_vec().into());
    let error = client
        .push_blob(&name, &blob_of(b"xyz"), source.clone(), None, &mut |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    let error = client
        .push_blob(&name, &blob_of(b"long"), source, None, &mut |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("expected 4 bytes, got 3"), "{error}");
}

#[tokio::test]
async fn a_registry_with_a_password() {
    let registry = RealRegistry::start(Kind::Password);
    round_trip(&Client::new(logged_in()).unwrap(), &registry.host()).await;

    let name: Reference = format!("{}/some/image:v1", registry.host()).parse().unwrap();
    let wrong = Login::Basic {
        user: "ann".to_owned(),
        password: "hunter2".to_owned(),
    };
    let wrong = Config {
        credentials: Arc::new(Always(wrong)),
        ..config()
    };
    for config in [config(), wrong] {
        let client = Client::new(config).unwrap();
        let error = client.resolve(&name).await.unwrap_err();
        let text = error.to_string();
        let expect = "pull access denied, repository does not exist or may require authorization: 401 Unauthorized: UNAUTHORIZED: ";
        assert!(error.is_denied() && text.contains(expect), "{text}");
        assert!(
            text.contains(&format!("docker login {}", registry.host())),
            "{text}"
        );
        assert!(!format!("{text} {error:?}").contains("hunter2"), "{error:?}");
        let source = BlobSource::Bytes(b"abc".to_vec().into());
        let push = client
            .push_blob(&name, &blob_of(b"abc"), source, None, &mut |_| {})
            .await;
        let text = push.unwrap_err().to_string();
        assert!(text.contains("push access denied"), "{text}");
    }
}

#[tokio::test]
async fn a_registry_with_tls() {
    let registry = RealRegistry::start(Kind::Tls);
    let host = format!("registry.example:{}", registry.port);
    let address = ([127, 0, 0, 1], registry.port).into();
    let hosts = [("registry.example".to_owned(), address)];
    let stranger = Config {
        hosts: hosts.into(),
        ..config()
    };
    let authority = RootCertificate::File(registry.folder.path().join("ca.crt"));
    let trusting = Config {
        roots: vec![authority],
        ..stranger.clone()
    };
    round_trip(&Client::new(trusting).unwrap(), &host).await;

    let client = Client::new(stranger).unwrap();
    let name: Reference = format!("{host}/some/image:v1").parse().unwrap();
    let text = client.resolve(&name).await.unwrap_err().to_string();
    assert!(
        text.contains("certificate") && text.contains(&format!("--insecure-registry {host}")),
        "{text}"
    );
    client.allowing_insecure(&host).resolve(&name).await.unwrap();
    // Loopback needs no certificate.
    let name: Reference = format!("{}/some/image:v1", registry.host()).parse().unwrap();
    client.resolve(&name).await.unwrap();
}

#[tokio::test]
async fn plain_http_is_for_those_who_are_allowed_to() {
    let registry = RealRegistry::start(Kind::Plain);
    let host = format!("registry.example:{}", registry.port);
    let address = ([127, 0, 0, 1], registry.port).into();
    let client = Client::new(Config {
        hosts: [("registry.example".to_owned(), address)].into(),
        ..config()
    });
    let client = client.unwrap();
    let name: Reference = format!("{host}/image").parse().unwrap();
    let text = client.resolve(&name).await.unwrap_err().to_string();
    let expect = "http: server gave HTTP response to HTTPS client";
    assert!(
        text.contains(expect) && text.contains(&format!("--insecure-registry {host}")),
        "{text}"
    );
    round_trip(&client.allowing_insecure(&host), &host).await;
}

#[test]
fn certificates_are_checked_at_once() {
    for (root, expect) in [
        (
            RootCertificate::File("/nowhere/ca.crt".into()),
            "`/nowhere/ca.crt`: No such file",
        ),
        (
            RootCertificate::Pem("hello".into()),
            "expected `-----BEGIN CERTIFICATE-----`",
        ),
    ] {
        let config = Config {
            roots: vec![root],
            ..config()
        };
        let text = Client::new(config).unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
    }
}
