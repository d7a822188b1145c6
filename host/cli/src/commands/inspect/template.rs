//! Go templates: `.Name`, `.Manifest`, `.Image`, `.Provenance` and `.SBOM`, as `docker buildx imagetools inspect` has
//! them.

use std::collections::BTreeMap;
use std::collections::HashMap;

use gtmpl_ng::Context;
use gtmpl_ng::Template;
use gtmpl_ng::Value;
use kiln_engine::Inspected;
use kiln_engine::InspectedImage;
use kiln_engine::InspectedStatement;
use kiln_image::Digest;
use kiln_image::MediaType;
use serde_json::Value as Json;

use super::shape::DESCRIPTOR;
use super::shape::IMAGE;
use super::shape::INDEX;
use super::shape::json;
use super::shape::object;
use super::shape::plain;
use super::shape::shaped;
use crate::exit::Failure;
use crate::report::Report;

const PROVENANCE: &str = "https://slsa.dev/provenance/";
const SPDX: &str = "https://spdx.dev/Document";

/// Tells the template that asks for the table.
pub(super) fn is_table(template: &str) -> bool {
    let inner = template
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim() == ".Manifest")
}

/// A template that was understood.
pub(super) struct Parsed(Template);

impl Parsed {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let mut template = Template::default();
        template.add_func("json", json);
        let parsed = template.parse(text);
        parsed.map_err(|e| Failure::failed(Report::new(format!("template: {e}"))))?;
        Ok(Self(template))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// When it asks for what is not there.
    pub(super) fn fill(&self, name: &str, found: &Inspected) -> Result<String, Failure> {
        let rendered = self.0.render(&Context::from(data(name, found)));
        rendered.map_err(|e| Failure::failed(Report::new(format!("template: {e}"))))
    }
}

/// Returns what a template is filled with.
fn data(name: &str, found: &Inspected) -> Value {
    let images: BTreeMap<String, &InspectedImage> = found
        .images
        .iter()
        .filter(|image| image.about().is_none())
        .filter_map(|image| Some((platform(image)?, image)))
        .collect();
    let of_image = |image: &InspectedImage| match &image.config {
        Some(config) => shaped(IMAGE, &Json::Object(config.json().clone())),
        None => Value::Nil,
    };
    let provenance = |image: &InspectedImage| provenance(found, &image.descriptor.digest);
    let sbom = |image: &InspectedImage| sbom(found, &image.descriptor.digest);
    let (image, provenance, sbom) = match images.values().next() {
        Some(one) if images.len() == 1 => (of_image(one), provenance(one), sbom(one)),
        _ => (
            each(&images, of_image, |value| !matches!(value, Value::Nil)),
            each(&images, provenance, is_stated),
            each(&images, sbom, is_stated),
        ),
    };
    object(vec![
        ("Name", Some("name"), name.into()),
        ("Manifest", Some("manifest"), manifest(found)),
        ("Image", (!matches!(image, Value::Nil)).then_some("image"), image),
        ("Provenance", None, provenance),
        ("SBOM", None, sbom),
    ])
}

/// Makes a map by platform of those that have something.
fn each(
    images: &BTreeMap<String, &InspectedImage>,
    make: impl Fn(&InspectedImage) -> Value,
    keep: impl Fn(&Value) -> bool,
) -> Value {
    let pairs = images
        .iter()
        .map(|(platform, image)| (platform.clone(), make(image)));
    Value::Map(pairs.filter(|(_, value)| keep(value)).collect::<HashMap<_, _>>())
}

fn platform(image: &InspectedImage) -> Option<String> {
    let of_config = || image.config.as_ref().map(kiln_image::ImageConfig::platform);
    let platform = image.descriptor.platform.clone().or_else(of_config)?;
    Some(platform.normalised().to_string())
}

fn manifest(found: &Inspected) -> Value {
    let mut descriptor = serde_json::to_value(&found.descriptor).unwrap_or_default();
    if !MediaType::is_index(&found.descriptor.media_type) {
        return shaped(DESCRIPTOR, &descriptor);
    }
    let mut index: Json = serde_json::from_slice(&found.raw).unwrap_or_default();
    for key in ["digest", "size"] {
        index[key] = descriptor[key].take();
    }
    shaped(INDEX, &index)
}

/// Tells whether one of the fields of a statement is there.
fn is_stated(value: &Value) -> bool {
    let Value::Object(fields) = value else {
        return false;
    };
    ["SLSA", "SPDX"]
        .iter()
        .any(|name| !matches!(fields.get(*name), None | Some(Value::Nil)))
}

fn provenance(found: &Inspected, of: &Digest) -> Value {
    let is_meant = |statement: &&InspectedStatement| {
        statement.about == *of && statement.predicate_type.starts_with(PROVENANCE)
    };
    // The last one counts.
    let slsa = found.statements.iter().rfind(is_meant);
    let value = slsa.map_or(Value::Nil, |statement| plain(&statement.predicate));
    object(vec![("SLSA", slsa.map(|_| "SLSA"), value)])
}

fn sbom(found: &Inspected, of: &Digest) -> Value {
    let statements = found.statements.iter().filter(|statement| statement.about == *of);
    let mut documents = statements
        .filter(|statement| statement.predicate_type == SPDX)
        .map(|statement| plain(&statement.predicate));
    let first = documents.next();
    let more: Vec<Value> = documents.collect();
    object(vec![
        (
            "SPDX",
            first.as_ref().map(|_| "SPDX"),
            first.unwrap_or(Value::Nil),
        ),
        (
            "AdditionalSPDXs",
            (!more.is_empty()).then_some("AdditionalSPDXs"),
            Value::Array(more),
        ),
    ])
}
