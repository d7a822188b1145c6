//! Templates and the table, on an index with attestations and on one manifest.

use kiln_engine::Inspected;
use kiln_engine::InspectedImage;
use kiln_engine::InspectedStatement;
use kiln_image::Descriptor;
use kiln_image::ImageConfig;
use serde_json::Value;
use serde_json::json;

use super::table::table;
use super::template::Parsed;

fn digest(byte: char) -> String {
    format!("sha256:{}", byte.to_string().repeat(64))
}

fn descriptor(byte: char, more: &Value) -> Descriptor {
    let mut document = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(byte),
        "size": 10,
    });
    for (key, value) in more.as_object().expect("fields") {
        document[key] = value.clone();
    }
    serde_json::from_value(document).expect("a descriptor")
}

fn image(descriptor: Descriptor, architecture: &str) -> InspectedImage {
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["A=<b>"], "Labels": {"z": "1", "a": "2"}, "Healthcheck": {"Test": ["NONE"]}},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = ImageConfig::parse(config.to_string().as_bytes()).expect("a config");
    InspectedImage {
        descriptor,
        config: Some(config),
        layers: Vec::new(),
    }
}

fn attestation(byte: char, about: char) -> InspectedImage {
    let more = json!({
        "annotations": {"vnd.docker.reference.digest": digest(about), "vnd.docker.reference.type": "attestation-manifest"},
        "platform": {"os": "unknown", "architecture": "unknown"},
    });
    InspectedImage {
        descriptor: descriptor(byte, &more),
        config: None,
        layers: Vec::new(),
    }
}

fn statement(about: char, predicate_type: &str, predicate: Value) -> InspectedStatement {
    InspectedStatement {
        about: digest(about).parse().expect("a digest"),
        predicate_type: predicate_type.to_owned(),
        predicate,
    }
}

fn index(images: Vec<InspectedImage>) -> Inspected {
    let manifests: Vec<Value> = images.iter().map(|image| json!(image.descriptor)).collect();
    let raw = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
    });
    let media_type = json!({"mediaType": "application/vnd.oci.image.index.v1+json"});
    Inspected {
        name: "docker.io/library/app:1".to_owned(),
        descriptor: descriptor('e', &media_type),
        raw: raw.to_string().into_bytes(),
        images,
        statements: vec![
            statement(
                'a',
                "https://slsa.dev/provenance/v0.2",
                json!({"buildType": "old"}),
            ),
            statement(
                'a',
                "https://slsa.dev/provenance/v1",
                json!({"buildType": "new", "b": {"n": 3}}),
            ),
            statement(
                'a',
                "https://spdx.dev/Document",
                json!({"packages": [{"name": "one"}, {"name": "two"}]}),
            ),
            statement('a', "https://spdx.dev/Document", json!({"packages": []})),
        ],
    }
}

fn one() -> Inspected {
    let platform = json!({"platform": {"os": "linux", "architecture": "amd64"}});
    index(vec![
        image(descriptor('a', &platform), "amd64"),
        attestation('c', 'a'),
    ])
}

fn two() -> Inspected {
    let amd64 = json!({"platform": {"os": "linux", "architecture": "amd64"}});
    let arm = json!({"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}});
    index(vec![
        image(descriptor('a', &amd64), "amd64"),
        image(descriptor('b', &arm), "arm"),
        attestation('c', 'a'),
    ])
}

fn fill(template: &str, found: &Inspected) -> String {
    let filled = Parsed::new(template).and_then(|parsed| parsed.fill("app:1", found));
    filled.unwrap_or_else(|failure| failure.report.render(crate::progress::Colour::Off))
}

#[test]
fn one_platform_has_its_values_at_the_top() {
    let check = |template: &str, expect: &str| assert_eq!(fill(template, &one()), expect, "{template}");
    check("{{.Name}}", "app:1");
    check(
        "{{.Manifest.MediaType}} {{.Manifest.Size}}",
        "application/vnd.oci.image.index.v1+json 10",
    );
    check("{{len .Manifest.Manifests}}", "2");
    check(
        "{{range .Manifest.Manifests}}{{.Platform.OS}}/{{.Platform.Architecture}} {{end}}",
        "linux/amd64 unknown/unknown ",
    );
    check(
        "{{.Image.Architecture}} {{index .Image.Config.Env 0}} {{.Image.Config.Labels.a}}",
        "amd64 A=<b> 2",
    );
    check("{{.Provenance.SLSA.buildType}} {{.Provenance.SLSA.b.n}}", "new 3");
    check(
        "{{json .Provenance}}",
        "{\n  \"SLSA\": {\n    \"b\": {\n      \"n\": 3\n    },\n    \"buildType\": \"new\"\n  }\n}",
    );
    check(
        "{{range .SBOM.SPDX.packages}}{{.name}} {{end}}{{len .SBOM.AdditionalSPDXs}}",
        "one two 1",
    );
    check("{{json .Image.Config.Env}}", "[\n  \"A=\\u003cb\\u003e\"\n]");
    check(
        "{{if eq .Image.OS \"linux\"}}{{printf \"%s!\" .Name}}{{else}}no{{end}}",
        "app:1!",
    );
    check("{{with $x := .Image.Architecture}}{{$x}}{{end}}", "amd64");
}

#[test]
fn the_json_of_all_has_name_manifest_and_image() {
    let text = fill("{{json .}}", &one());
    let order: Vec<_> = [
        "\"name\"",
        "\"manifest\"",
        "\"image\"",
        "\"architecture\": \"amd64\"",
        "\"config\"",
        "\"Env\"",
        "\"Labels\"",
        "\"rootfs\"",
    ]
    .iter()
    .map(|key| text.rfind(key).unwrap_or_else(|| panic!("{key} in {text}")))
    .collect();
    assert!(order.is_sorted(), "{text}");
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(parsed.as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(
        parsed["image"]["config"].get("Healthcheck"),
        None,
        "buildx shows OCI's fields"
    );
}

#[test]
fn several_platforms_are_maps() {
    let check = |template: &str, expect: &str| assert_eq!(fill(template, &two()), expect, "{template}");
    check("{{(index .Image \"linux/arm/v7\").Architecture}}", "arm");
    check("{{(index .Provenance \"linux/amd64\").SLSA.buildType}}", "new");
    check("{{len .SBOM}} {{len .Image}}", "1 2");
    check(
        "{{range $platform, $image := .Image}}{{$platform}} {{end}}",
        "linux/amd64 linux/arm/v7 ",
    );
}

#[test]
fn what_is_not_there() {
    let mut found = one();
    found.statements.clear();
    assert_eq!(fill("{{json .Provenance}} {{json .SBOM}}", &found), "{} {}");
    assert!(fill("{{.Nope}}", &one()).starts_with("error: template: "));
    assert!(fill("{{.Name", &one()).starts_with("error: template: "));
    assert!(fill("{{index .Image \"linux/amd64\"}}", &one()).starts_with("error: template: "));
}

#[test]
fn one_manifest_is_a_descriptor() {
    let mut found = one();
    found.images.truncate(1);
    found.descriptor = found.images[0].descriptor.clone();
    let expect = format!(
        "{{\n  \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\",\n  \"digest\": \"{}\",\n  \"size\": 10,\n  \"platform\": {{\n    \"architecture\": \"amd64\",\n    \"os\": \"linux\"\n  }}\n}}",
        digest('a')
    );
    assert_eq!(fill("{{json .Manifest}}", &found), expect);
}

#[test]
fn the_table_is_buildxs() {
    let (a, c, e) = (digest('a'), digest('c'), digest('e'));
    let expect = format!(
        "\
Name:      docker.io/library/app:1
MediaType: application/vnd.oci.image.index.v1+json
Digest:    {e}
           
Manifests: 
  Name:      docker.io/library/app:1@{a}
  MediaType: application/vnd.oci.image.manifest.v1+json
  Platform:  linux/amd64
             
  Name:        docker.io/library/app:1@{c}
  MediaType:   application/vnd.oci.image.manifest.v1+json
  Platform:    unknown/unknown
  Annotations: 
    vnd.docker.reference.digest: {a}
    vnd.docker.reference.type:   attestation-manifest
"
    );
    // The blank row and the rows behind it are one block up to the annotations.
    let expect = expect.replace(
        &format!("  Name:      docker.io/library/app:1@{a}\n  MediaType: application/vnd.oci.image.manifest.v1+json\n  Platform:  linux/amd64\n             \n"),
        &format!("  Name:        docker.io/library/app:1@{a}\n  MediaType:   application/vnd.oci.image.manifest.v1+json\n  Platform:    linux/amd64\n               \n"),
    );
    assert_eq!(table(&one()), expect);
}
