//! What BuildKit 0.32 wrote is read, written again and compared field by field; manifests are compared byte by byte.

use std::path::PathBuf;

use kiln_attest::ManifestForm;
use kiln_attest::Provenance;
use kiln_attest::ProvenanceVersion;
use kiln_attest::Statement;
use kiln_attest::StatementBlob;
use kiln_attest::attestation_manifest;
use kiln_attest::refers_to;
use kiln_attest::statement_layers;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Index;
use kiln_image::Manifest;
use serde_json::Value;

fn capture(name: &str) -> Vec<u8> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("KILN_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("reference/captures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error} (KILN_SHARED?)", path.display()))
}

fn statement(name: &str) -> Statement {
    Statement::parse("application/vnd.in-toto+json", &capture(name)).expect("a statement")
}

/// Names the first field in which two documents differ.
fn difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            keys.into_iter().find_map(|key| {
                let field = format!("{path}.{key}");
                difference(&field, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b)),
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path}: ours {a}, BuildKit's {b}")),
    }
}

#[test]
fn provenance_reads_and_writes_as_buildkit_does() {
    use ProvenanceVersion::V1;
    use ProvenanceVersion::V02;
    let check = |name: &str, version: ProvenanceVersion| {
        let read = statement(name);
        assert_eq!(read.predicate_type, version.predicate_type());
        let model = Provenance::parse(&read.predicate_type, &read.predicate).unwrap();
        let written = model.predicate(version);
        assert_eq!(difference("", &written, &read.predicate), None, "{name}");
    };
    check("app-v1max-statement3-v1.json", V1);
    check("app-v1min-noname-statement0-v1.json", V1);
    check("app-v02max-statement0-v0.2.json", V02);
    check("app-v02min-legacy-statement0-v0.2.json", V02);
}

#[test]
fn versions_tell_the_same() {
    let read = statement("app-v1max-statement3-v1.json");
    let model = Provenance::parse(&read.predicate_type, &read.predicate).unwrap();
    let old = model.predicate(ProvenanceVersion::V02);
    let again = Provenance::parse(kiln_attest::PROVENANCE_V02, &old).unwrap();
    assert_eq!(again, model);
}

/// The statements' bytes are not in the captures, only their digests and sizes: equal ones are put in their place.
#[test]
fn manifests_are_buildkits_to_the_byte() {
    let check = |name: &str, form: ManifestForm| {
        let theirs = capture(&format!("{name}-attestation-manifest.json"));
        let manifest: Manifest = serde_json::from_slice(&theirs).unwrap();
        let index: Index = serde_json::from_slice(&capture(&format!("{name}-index.json"))).unwrap();
        let entry = &index.manifests[1];
        let image = &index.manifests[0];
        assert_eq!(refers_to(entry), Some(image.digest));
        let layers = statement_layers(&manifest.layers);
        assert_eq!(layers.len(), manifest.layers.len());
        let blobs: Vec<StatementBlob> = layers
            .iter()
            .map(|(layer, predicate)| StatementBlob {
                predicate_type: (*predicate).to_owned(),
                bytes: layer.digest.to_string().into_bytes(),
            })
            .collect();
        let made = attestation_manifest(image, &blobs, form);
        let mut text = String::from_utf8(made.manifest).unwrap();
        for (blob, layer) in blobs.iter().zip(&manifest.layers) {
            let stand_in = Descriptor::of("", &blob.bytes);
            text = text.replace(
                &format!("\"{}\",\n      \"size\": {}", stand_in.digest, stand_in.size),
                &format!("\"{}\",\n      \"size\": {}", layer.digest, layer.size),
            );
        }
        if form == ManifestForm::Image {
            let config = capture(&format!("{name}-attestation-config.json"));
            let mut ours = String::from_utf8(made.config).unwrap();
            text = text.replace(
                &Digest::of(&ours).to_string(),
                &manifest.config.digest.to_string(),
            );
            for (blob, layer) in blobs.iter().zip(&manifest.layers) {
                ours = ours.replace(&Digest::of(&blob.bytes).to_string(), &layer.digest.to_string());
            }
            assert_eq!(ours.as_bytes(), config);
        }
        assert_eq!(text, String::from_utf8(theirs).unwrap(), "{name}");
        assert_eq!(made.descriptor.annotations, entry.annotations);
        assert_eq!(made.descriptor.platform, entry.platform);
        assert_eq!(Descriptor::of("", text.as_bytes()).digest, entry.digest);
    };
    check("app-v1max", ManifestForm::Artifact);
    check("app-v1min-noname", ManifestForm::Artifact);
    check("app-v02max", ManifestForm::Artifact);
    check("app-v02min-legacy", ManifestForm::Image);
}

#[test]
fn statements_are_about_their_image() {
    let read = statement("app-v1max-statement3-v1.json");
    let index: Index = serde_json::from_slice(&capture("app-v1max-index.json")).unwrap();
    let image = index.manifests[0].digest;
    read.check(kiln_attest::PROVENANCE_V1, &image).unwrap();
    let error = read.check(kiln_attest::SPDX, &image).unwrap_err().to_string();
    assert!(
        error.contains("spdx.dev") && error.contains("slsa.dev"),
        "{error}"
    );
    let error = read.check("", &Digest::of("other")).unwrap_err().to_string();
    assert!(error.contains(&image.hex()), "{error}");
}
