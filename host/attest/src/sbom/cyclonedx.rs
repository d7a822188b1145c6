//! CycloneDX 1.6 as JSON.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use kiln_image::Digest;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::Sbom;
use super::SbomPackage;
use super::SbomSubject;
use super::license;
use super::purl_kind;

/// Writes the document. [`Sbom::tidy`] has been called.
pub fn cyclonedx(sbom: &Sbom) -> Value {
    let root = root(sbom);
    let layers: BTreeMap<&str, String> = sbom
        .files
        .iter()
        .filter_map(|file| Some((file.path.as_str(), file.layer?.to_string())))
        .collect();
    let known: BTreeSet<&str> = sbom
        .packages
        .iter()
        .map(|package| package.purl.as_str())
        .collect();
    let components = sbom.packages.iter().map(|package| component(package, &layers));
    let tools = sbom
        .tools
        .iter()
        .map(|tool| json!({ "type": "application", "name": tool }));
    let dependencies = sbom.packages.iter().map(|package| {
        let needs = package.needs.iter().filter(|need| known.contains(need.as_str()));
        json!({ "ref": reference(package), "dependsOn": needs.collect::<Vec<_>>() })
    });
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(sbom),
        "version": 1,
        "metadata": {
            "timestamp": sbom.created,
            "tools": { "components": tools.collect::<Vec<_>>() },
            "component": root,
        },
        "components": components.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

fn root(sbom: &Sbom) -> Value {
    let digest = sbom.subject.digest().to_string();
    match sbom.subject {
        SbomSubject::Image(_) => {
            json!({ "bom-ref": digest, "type": "container", "name": sbom.name, "version": digest })
        }
        SbomSubject::Files(_) => json!({ "bom-ref": digest, "type": "file", "name": sbom.name }),
    }
}

fn reference(package: &SbomPackage) -> String {
    match package.purl.as_str() {
        "" => Digest::of(format!("{}\n{}", package.name, package.version)).hex(),
        purl => purl.to_owned(),
    }
}

/// A UUID of version 8 that follows from the image and the time.
fn serial(sbom: &Sbom) -> String {
    let hex = Digest::of(format!(
        "{}\n{}\n{}",
        sbom.subject.digest(),
        sbom.name,
        sbom.created
    ))
    .hex();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30]
    )
}

fn component(package: &SbomPackage, layers: &BTreeMap<&str, String>) -> Value {
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    let attr = |key: &str| package.attrs.get(key).filter(|value| !value.is_empty());
    set("bom-ref", reference(package).into());
    set("type", "library".into());
    set("name", package.name.clone().into());
    set("version", package.version.clone().into());
    if let Some(description) = attr("description") {
        set("description", description.clone().into());
    }
    if let Some(supplier) = attr("supplier") {
        set("supplier", json!({ "name": supplier }));
    }
    let mut extracted = BTreeMap::new();
    match license::expression(&package.licenses, &mut extracted) {
        Some(expression) if extracted.is_empty() => {
            set("licenses", json!([{ "expression": expression }]));
        }
        Some(_) => {
            let named = package.licenses.iter().map(|text| match license::known(text) {
                Some(id) if !id.contains(' ') => json!({ "license": { "id": id } }),
                _ => json!({ "license": { "name": text } }),
            });
            set("licenses", named.collect());
        }
        None => {}
    }
    if let Some(cpe) = attr("cpe") {
        set("cpe", cpe.clone().into());
    }
    if !package.purl.is_empty() {
        set("purl", package.purl.clone().into());
    }
    let property = |name: &str, value: &str| json!({ "name": name, "value": value });
    let mut properties = vec![property("kiln:package:type", purl_kind(&package.purl))];
    for path in &package.locations {
        properties.push(property("kiln:location:path", &format!("/{path}")));
        if let Some(layer) = layers.get(path.as_str()) {
            properties.push(property("kiln:location:layerID", layer));
        }
    }
    set("properties", properties.into());
    Value::Object(out)
}
