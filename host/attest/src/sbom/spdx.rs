//! SPDX 2.3 as JSON, in the shape that readers of BuildKit's SBOMs know.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use kiln_image::Digest;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::Sbom;
use super::SbomFile;
use super::SbomPackage;
use super::SbomSubject;
use super::license;
use super::purl_kind;

const LICENSE_LIST: &str = "3.28";

/// Writes the document. [`Sbom::tidy`] has been called.
pub fn spdx(sbom: &Sbom) -> Value {
    let root = root_id(sbom);
    let mut extracted = BTreeMap::new();
    let ids: Vec<String> = sbom.packages.iter().map(package_id).collect();
    let mut packages = vec![root_package(sbom, &root)];
    for (package, id) in sbom.packages.iter().zip(&ids) {
        packages.push(self::package(package, id, &mut extracted));
    }
    let creators = std::iter::once("Organization: kiln".to_owned());
    let creators = creators.chain(sbom.tools.iter().map(|tool| format!("Tool: {tool}")));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": sbom.name,
        "documentNamespace": namespace(sbom),
        "creationInfo": {
            "licenseListVersion": LICENSE_LIST,
            "creators": creators.collect::<Vec<_>>(),
            "created": sbom.created,
        },
        "packages": packages,
        "files": sbom.files.iter().map(file).collect::<Vec<_>>(),
        "relationships": relationships(sbom, &ids, &root),
    });
    if !extracted.is_empty() {
        let infos = extracted
            .iter()
            .map(|(id, text)| json!({ "licenseId": id, "name": text, "extractedText": text }));
        document["hasExtractedLicensingInfos"] = infos.collect();
    }
    document
}

/// A name that no other document has: it follows from the image and from what the document says.
fn namespace(sbom: &Sbom) -> String {
    let mut said = String::new();
    for package in &sbom.packages {
        said.push_str(&package.purl);
        said.push('\n');
    }
    for text in sbom.tools.iter().chain([&sbom.name, &sbom.created]) {
        said.push_str(text);
        said.push('\n');
    }
    let short = Digest::of(said).hex();
    format!(
        "https://github.com/kiln-build/kiln/sbom/sha256-{}/{}",
        sbom.subject.digest().hex(),
        &short[..16]
    )
}

/// Only letters, digits, `.` and `-` are allowed.
fn identifier(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    text.chars().map(|c| if plain(c) { c } else { '-' }).collect()
}

fn package_id(package: &SbomPackage) -> String {
    let hex = Digest::of(format!("{}\n{}\n{}", package.purl, package.name, package.version)).hex();
    let kind = match purl_kind(&package.purl) {
        "" => "generic",
        kind => kind,
    };
    format!(
        "SPDXRef-Package-{}-{}-{}",
        identifier(kind),
        identifier(&package.name),
        &hex[..16]
    )
}

fn file_id(path: &str) -> String {
    let hex = Digest::of(path).hex();
    let tail: Vec<&str> = path.rsplit('/').take(3).collect();
    let tail: Vec<String> = tail.iter().rev().map(|part| identifier(part)).collect();
    format!("SPDXRef-File-{}-{}", tail.join("-"), &hex[..16])
}

fn root_id(sbom: &Sbom) -> String {
    let kind = match sbom.subject {
        SbomSubject::Image(_) => "Image",
        SbomSubject::Files(_) => "Directory",
    };
    format!("SPDXRef-DocumentRoot-{kind}-{}", identifier(&sbom.name))
}

fn root_package(sbom: &Sbom, id: &str) -> Value {
    let mut root = json!({
        "name": sbom.name,
        "SPDXID": id,
        "supplier": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    });
    match sbom.subject {
        SbomSubject::Image(manifest) => {
            root["versionInfo"] = manifest.to_string().into();
            root["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": manifest.hex() }]);
            root["primaryPackagePurpose"] = "CONTAINER".into();
        }
        SbomSubject::Files(_) => root["primaryPackagePurpose"] = "FILE".into(),
    }
    root
}

fn package(package: &SbomPackage, id: &str, extracted: &mut BTreeMap<String, String>) -> Value {
    let attr = |key: &str| package.attrs.get(key).map(String::as_str).unwrap_or_default();
    let declared = license::expression(&package.licenses, extracted);
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    set("name", package.name.clone().into());
    set("SPDXID", id.into());
    if !package.version.is_empty() {
        set("versionInfo", package.version.clone().into());
    }
    set("supplier", agent(attr("supplier")).into());
    if !attr("originator").is_empty() {
        set("originator", agent(attr("originator")).into());
    }
    let location = Some(attr("download-location")).filter(|url| is_url(url));
    set("downloadLocation", location.unwrap_or("NOASSERTION").into());
    set("filesAnalyzed", false.into());
    if is_url(attr("homepage")) {
        set("homepage", attr("homepage").into());
    }
    let source = match attr("source-info") {
        "" => "files",
        source => source,
    };
    let places = package.locations.iter().map(|path| format!("/{path}"));
    let places: Vec<String> = places.collect();
    set(
        "sourceInfo",
        format!("acquired package info from {source}: {}", places.join(", ")).into(),
    );
    set("licenseConcluded", "NOASSERTION".into());
    set(
        "licenseDeclared",
        declared.unwrap_or_else(|| "NOASSERTION".to_owned()).into(),
    );
    set("copyrightText", "NOASSERTION".into());
    if !attr("description").is_empty() {
        set("description", attr("description").into());
    }
    let mut references = Vec::new();
    if !attr("cpe").is_empty() {
        references.push(json!({
            "referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": attr("cpe"),
        }));
    }
    if !package.purl.is_empty() {
        references.push(json!({
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl,
        }));
    }
    set("externalRefs", references.into());
    Value::Object(out)
}

/// A name with a mail address is taken for an organisation where it looks like one.
fn agent(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "NOASSERTION".to_owned();
    }
    let (name, mail) = match text.split_once('<') {
        Some((name, mail)) => (name.trim(), mail.trim_end_matches('>').trim()),
        None => (text, ""),
    };
    let name = if name.is_empty() { mail } else { name };
    let words = [
        "team",
        "maintainers",
        "developers",
        "group",
        "project",
        "foundation",
        "inc",
        "debian",
        "list",
    ];
    let lower = name.to_lowercase();
    let is_many = lower
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| words.contains(&word));
    let kind = if is_many { "Organization" } else { "Person" };
    match mail {
        "" => format!("{kind}: {name}"),
        mail if mail == name => format!("{kind}: {name}"),
        mail => format!("{kind}: {name} ({mail})"),
    }
}

fn is_url(text: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ftp://"];
    schemes
        .iter()
        .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
        && !text.contains(char::is_whitespace)
}

fn file(file: &SbomFile) -> Value {
    let mut out = json!({
        "fileName": file.path,
        "SPDXID": file_id(&file.path),
        "checksums": [
            { "algorithm": "SHA1", "checksumValue": file.sha1 },
            { "algorithm": "SHA256", "checksumValue": file.sha256.hex() },
        ],
        "licenseConcluded": "NOASSERTION",
        "licenseInfoInFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
    });
    if let Some(layer) = &file.layer {
        out["comment"] = format!("layerID: {layer}").into();
    }
    out
}

fn relationships(sbom: &Sbom, ids: &[String], root: &str) -> Value {
    let relation = |from: &str, kind: &str, to: &str| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let by_purl: BTreeMap<&str, &String> = sbom
        .packages
        .iter()
        .zip(ids)
        .map(|(package, id)| (package.purl.as_str(), id))
        .collect();
    let known: BTreeSet<&str> = sbom.files.iter().map(|file| file.path.as_str()).collect();
    let mut all = Vec::new();
    for (package, id) in sbom.packages.iter().zip(ids) {
        all.push(relation(root, "CONTAINS", id));
        for path in package
            .locations
            .iter()
            .filter(|path| known.contains(path.as_str()))
        {
            let mut evidence = relation(id, "OTHER", &file_id(path));
            evidence["comment"] =
                "evident-by: indicates the package's existence is evident by the given file".into();
            all.push(evidence);
        }
        for need in &package.needs {
            if let Some(other) = by_purl.get(need.as_str()).filter(|other| **other != id) {
                all.push(relation(other, "DEPENDENCY_OF", id));
            }
        }
    }
    all.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", root));
    all.into()
}
