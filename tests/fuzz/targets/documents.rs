//! Manifests, indexes and configs.

use kiln_image::Digest;
use kiln_image::ImageConfig;
use kiln_image::ManifestOrIndex;
use kiln_image::MediaType;
use kiln_image::Platform;

use crate::engine::Target;
use crate::engine::shape;

pub(crate) fn target() -> Target {
    Target {
        name: "documents",
        run,
        tokens: &[
            b"\"schemaVersion\":2,",
            b"\"mediaType\":",
            b"\"application/vnd.oci.image.manifest.v1+json\"",
            b"\"application/vnd.oci.image.index.v1+json\"",
            b"\"application/vnd.docker.distribution.manifest.v2+json\"",
            b"\"application/vnd.docker.distribution.manifest.list.v2+json\"",
            b"\"layers\":[",
            b"\"manifests\":[",
            b"\"config\":{",
            b"\"digest\":\"sha256:",
            b"\"size\":-1",
            b"\"size\":18446744073709551616",
            b"\"size\":1e9",
            b"\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}",
            b"\"urls\":[\"x\"]",
            b"\"annotations\":{}",
            b"\"subject\":",
            b"\"rootfs\":{\"diff_ids\":[",
            b"\"history\":[",
            b"null",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\"",
            b"\\u0000",
            b"\\ud800",
            b"1e999",
            b"-0",
        ],
        seeds: vec![b"[".repeat(10_000), b"{\"a\":".repeat(10_000)],
    }
}

fn run(bytes: &[u8]) -> String {
    let types = ["", "text/plain", MediaType::OCI_MANIFEST, MediaType::OCI_INDEX];
    let manifests = types.map(|media_type| match ManifestOrIndex::parse(media_type, bytes) {
        Ok(document) => check_manifest(&document),
        Err(error) => shape(&error.to_string()),
    });
    let config = match ImageConfig::parse(bytes) {
        Ok(config) => {
            let again = ImageConfig::parse(&config.to_bytes()).expect("what was written is read");
            assert_eq!(again, config);
            assert_eq!(again.platform(), config.platform());
            format!("ok {}", config.diff_ids().len().min(3))
        }
        Err(error) => shape(&error.to_string()),
    };
    format!("{}|{config}", manifests.join("|"))
}

fn check_manifest(document: &ManifestOrIndex) -> String {
    let (kind, bytes) = match document {
        ManifestOrIndex::Manifest(manifest) => (&manifest.media_type, serde_json::to_vec(manifest)),
        ManifestOrIndex::Index(index) => {
            let wanted = Platform::new("linux", "arm64", None);
            assert!(
                index
                    .select(&wanted)
                    .is_none_or(|found| index.manifests.contains(found))
            );
            (&index.media_type, serde_json::to_vec(index))
        }
    };
    let bytes = bytes.expect("it is JSON");
    let again = ManifestOrIndex::parse(kind, &bytes).expect("what was written is read");
    assert_eq!(&again, document);
    let parts = match document {
        ManifestOrIndex::Manifest(manifest) => manifest.layers.len(),
        ManifestOrIndex::Index(index) => index.manifests.len(),
    };
    format!("{kind} {}", parts.min(3))
}

/// Returns a manifest with one layer that is described by `layer`.
fn manifest(layer: &str) -> String {
    let config = format!(
        r#"{{"mediaType":"{}","digest":"{}","size":2}}"#,
        MediaType::OCI_CONFIG,
        Digest::of(b"{}")
    );
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#)
}

#[test]
fn descriptors_without_usable_digest_or_size_are_refused() {
    let good = Digest::of(b"layer").to_string();
    let cases = [
        (good.as_str(), "5", true),
        (&good, "0", true),
        (&good, "-1", false),
        (&good, "1.5", false),
        (&good, "18446744073709551616", false),
        (&good, "\"5\"", false),
        (&good, "null", false),
        ("", "5", false),
        ("sha256:", "5", false),
        ("sha256:abc", "5", false),
        (&good[..70], "5", false),
        (&good.to_uppercase(), "5", false),
        (&good.replace("sha256:", "md5:"), "5", false),
        (&good.replace("sha256:", "sha256:../../"), "5", false),
        (&good.replace("sha256:", ""), "5", false),
        (&format!("{good}00"), "5", false),
    ];
    for (digest, size, usable) in cases {
        let layer = format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":{size}}}"#,
            MediaType::OCI_LAYER
        );
        let text = manifest(&layer);
        let parsed = ManifestOrIndex::parse(MediaType::OCI_MANIFEST, text.as_bytes());
        assert_eq!(
            parsed.is_ok(),
            usable,
            "digest `{digest}`, size {size}: {parsed:?}"
        );
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
        let parsed = ImageConfig::parse(config.as_bytes());
        assert_eq!(parsed.is_ok(), digest == good, "diff ID `{digest}`: {parsed:?}");
    }
}
