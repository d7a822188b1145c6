//! Puts an image together: config, manifest, index. What BuildKit's exporter does with a frontend's config.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kiln_image::ConfigError;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::ImageConfig;
use kiln_image::Index;
use kiln_image::Manifest;
use kiln_image::MediaType;
use kiln_image::Platform;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::AnnotationLevel;
use crate::Format;

/// Comment of a history entry that the frontend did not write.
const COMMENT: &str = "buildkit.exporter.image.v0";

/// One layer of an image.
#[derive(Debug, Clone)]
pub struct LayerPart {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// When it was made.
    pub created: Timestamp,
    /// What made it, for the history where the frontend says nothing.
    pub created_by: String,
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct ImageParts {
    /// The frontend's config; empty for a result that is no image.
    pub config: Vec<u8>,
    /// The base image's config, whose history keeps its times; empty without a base.
    pub base_config: Vec<u8>,
    /// The layers, base first.
    pub layers: Vec<LayerPart>,
    /// The platform, for a config that says none.
    pub platform: Platform,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
}

/// An image that is ready to be written; the layers' blobs are elsewhere.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The manifest's descriptor, with platform and annotations for an index.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
}

/// The image cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The frontend's config is not one.
    #[error("the frontend returned a malformed image config")]
    Config(#[source] ConfigError),
    /// The epoch is not a time.
    #[error(
        "`{0}` is not a time in seconds since 1970 that kiln can write (expected a value of SOURCE_DATE_EPOCH)"
    )]
    Epoch(i64),
    /// Annotations of an index that is not made.
    #[error(
        "index annotations not supported for single platform export (an index is made for more than one `--platform`)"
    )]
    NoIndex,
}

/// Puts one image together.
///
/// # Errors
/// When the config is malformed or the epoch out of range.
pub fn assemble(parts: &ImageParts, format: &Format) -> Result<Assembled, AssembleError> {
    let epoch = parts.epoch.map(created_time).transpose()?;
    let config = config_bytes(parts, epoch)?;
    let oci = format.oci_media_types;
    let config_type = if oci {
        MediaType::OCI_CONFIG
    } else {
        MediaType::DOCKER_CONFIG
    };
    let platform = image_platform(&config, &parts.platform);
    let mut manifest = Manifest {
        schema_version: 2,
        media_type: if oci {
            MediaType::OCI_MANIFEST
        } else {
            MediaType::DOCKER_MANIFEST
        }
        .to_owned(),
        artifact_type: None,
        config: Descriptor::of(config_type, &config),
        layers: parts
            .layers
            .iter()
            .map(|layer| converted(&layer.descriptor, oci))
            .collect(),
        subject: None,
        annotations: annotations(format, AnnotationLevel::Manifest, &platform),
    };
    if !oci {
        manifest.annotations.clear();
    }
    let manifest_bytes = pretty(&manifest);
    let mut descriptor = Descriptor::of(&manifest.media_type, &manifest_bytes);
    descriptor.annotations = annotations(format, AnnotationLevel::ManifestDescriptor, &platform);
    descriptor.platform = Some(platform);
    Ok(Assembled {
        descriptor,
        manifest,
        manifest_bytes,
        config,
    })
}

/// Puts images under one index, with what else it lists behind them. Returns the index's descriptor and bytes.
pub fn assemble_index(images: &[Assembled], more: &[Descriptor], format: &Format) -> (Descriptor, Vec<u8>) {
    let entries = images.iter().map(|image| &image.descriptor).chain(more);
    let mut index = Index::new(entries.cloned().collect());
    if !format.oci_media_types {
        MediaType::DOCKER_INDEX.clone_into(&mut index.media_type);
    }
    let of = |level: AnnotationLevel| {
        let chosen = format.annotations.iter().filter(move |a| a.level == level);
        chosen.map(|a| (a.key.clone(), a.value.clone())).collect()
    };
    index.annotations = of(AnnotationLevel::Index);
    let bytes = pretty(&index);
    let mut descriptor = Descriptor::of(&index.media_type, &bytes);
    descriptor.annotations = of(AnnotationLevel::IndexDescriptor);
    (descriptor, bytes)
}

/// Checks that a result without an index has no annotations for one.
///
/// # Errors
/// In BuildKit's words.
pub fn check_single(format: &Format) -> Result<(), AssembleError> {
    let of_index = [AnnotationLevel::Index, AnnotationLevel::IndexDescriptor];
    match format.annotations.iter().any(|a| of_index.contains(&a.level)) {
        true => Err(AssembleError::NoIndex),
        false => Ok(()),
    }
}

/// Returns the time that an epoch means.
///
/// # Errors
/// When it is out of range.
pub fn created_time(epoch: i64) -> Result<Timestamp, AssembleError> {
    Timestamp::from_second(epoch).map_err(|_| AssembleError::Epoch(epoch))
}

fn annotations(format: &Format, level: AnnotationLevel, platform: &Platform) -> BTreeMap<String, String> {
    let for_us = |p: &Option<Platform>| p.as_ref().is_none_or(|p| p.normalised() == platform.normalised());
    let chosen = format
        .annotations
        .iter()
        .filter(|a| a.level == level && for_us(&a.platform));
    chosen.map(|a| (a.key.clone(), a.value.clone())).collect()
}

/// Gives a layer the media type of the manifest's family.
fn converted(layer: &Descriptor, oci: bool) -> Descriptor {
    let compression = MediaType::layer_compression(&layer.media_type).unwrap_or_default();
    let mut layer = layer.clone();
    MediaType::layer(compression, oci).clone_into(&mut layer.media_type);
    layer
}

/// Writes JSON as Go's `MarshalIndent` with two spaces does.
fn pretty(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(document).expect("manifests serialise to JSON")
}

/// Returns what the index says of an image: the config's platform in its usual form, but the version of the operating
/// system that was asked for.
fn image_platform(config: &[u8], asked: &Platform) -> Platform {
    let mut platform = ImageConfig::parse(config)
        .map_or_else(|_| asked.clone(), |config| config.platform())
        .normalised();
    if asked.os_version.is_some() {
        platform.os_version.clone_from(&asked.os_version);
    }
    platform
}

fn config_bytes(parts: &ImageParts, epoch: Option<Timestamp>) -> Result<Vec<u8>, AssembleError> {
    let mut config = if parts.config.is_empty() {
        ImageConfig::from(plain_config(&parts.platform))
    } else {
        ImageConfig::parse(&parts.config).map_err(AssembleError::Config)?
    };
    let base_history = ImageConfig::parse(&parts.base_config)
        .map(|base| history_of(&base))
        .unwrap_or_default();
    let mut history = history_of(&config);
    complete_history(&mut history, &parts.layers);
    fill_times(&mut history);
    if let Some(epoch) = epoch {
        let kept = history
            .iter()
            .zip(&base_history)
            .take_while(|(ours, base)| same_step(ours, base))
            .count();
        history
            .iter_mut()
            .skip(kept)
            .for_each(|step| clamp(step, "created", epoch));
    }
    let document = config.json_mut();
    let diff_ids: Vec<String> = parts
        .layers
        .iter()
        .map(|layer| layer.diff_id.to_string())
        .collect();
    document.insert(
        "rootfs".to_owned(),
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    if !document.get("created").is_some_and(Value::is_string) {
        let last = history.iter().rev().find_map(|step| step.get("created").cloned());
        document.insert("created".to_owned(), last.unwrap_or(Value::Null));
    }
    if document["created"].is_null() {
        document.remove("created");
    }
    document.insert(
        "history".to_owned(),
        history.into_iter().map(Value::Object).collect(),
    );
    if let Some(epoch) = epoch {
        clamp(document, "created", epoch);
    }
    Ok(config.to_bytes())
}

/// The config of a result whose frontend gave none.
fn plain_config(platform: &Platform) -> Map<String, Value> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut config = Map::new();
    config.insert("architecture".to_owned(), platform.architecture.clone().into());
    config.insert("os".to_owned(), platform.os.clone().into());
    if let Some(variant) = &platform.variant {
        config.insert("variant".to_owned(), variant.clone().into());
    }
    config.insert("config".to_owned(), json!({ "Env": [path], "WorkingDir": "/" }));
    config
}

type Step = Map<String, Value>;

fn history_of(config: &ImageConfig) -> Vec<Step> {
    let steps = config.json().get("history").and_then(Value::as_array);
    steps
        .into_iter()
        .flatten()
        .filter_map(|step| step.as_object().cloned())
        .collect()
}

fn makes_layer(step: &Step) -> bool {
    !step.get("empty_layer").and_then(Value::as_bool).unwrap_or(false)
}

fn same_step(ours: &Step, base: &Step) -> bool {
    ours == base
}

fn text(time: Timestamp) -> Value {
    Value::String(time.to_string())
}

fn clamp(document: &mut Step, key: &str, epoch: Timestamp) {
    let time = document
        .get(key)
        .and_then(Value::as_str)
        .and_then(|t| t.parse::<Timestamp>().ok());
    if time.is_none_or(|time| time > epoch) {
        document.insert(key.to_owned(), text(epoch));
    }
}

/// Makes the history name each layer once: more entries than layers become empty ones from the start, layers without
/// an entry get one at the end.
fn complete_history(history: &mut Vec<Step>, layers: &[LayerPart]) {
    let mut named = 0;
    for step in history.iter_mut().filter(|step| makes_layer(step)) {
        if named == layers.len() {
            step.insert("empty_layer".to_owned(), true.into());
            continue;
        }
        if !step.get("created").is_some_and(Value::is_string) {
            step.insert("created".to_owned(), text(layers[named].created));
        }
        named += 1;
    }
    for layer in &layers[named..] {
        let mut step = Step::new();
        step.insert("created".to_owned(), text(layer.created));
        step.insert("created_by".to_owned(), layer.created_by.clone().into());
        step.insert("comment".to_owned(), COMMENT.into());
        history.push(step);
    }
}

/// Gives entries without a time that of the layer before them, or of the first new layer.
fn fill_times(history: &mut [Step]) {
    let time = |step: &Step| step.get("created").filter(|t| t.is_string()).cloned();
    let mut last = None;
    let mut missing = false;
    for step in history.iter() {
        match time(step) {
            Some(created) => {
                last = Some(created);
                if missing {
                    break;
                }
            }
            None => missing = true,
        }
    }
    let mut missing = false;
    for step in history {
        match (time(step), &last) {
            (Some(created), _) => {
                if missing {
                    last = Some(created);
                }
            }
            (None, Some(created)) => {
                missing = true;
                step.insert("created".to_owned(), created.clone());
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(content: &str, second: i64) -> LayerPart {
        LayerPart {
            descriptor: Descriptor::of(MediaType::OCI_LAYER_GZIP, content.as_bytes()),
            diff_id: Digest::of(content),
            created: Timestamp::from_second(second).unwrap(),
            created_by: format!("made {content}"),
        }
    }

    fn parts(config: &str, layers: Vec<LayerPart>, epoch: Option<i64>) -> ImageParts {
        let platform = Platform::new("linux", "amd64", None);
        ImageParts {
            config: config.into(),
            base_config: Vec::new(),
            layers,
            platform,
            epoch,
        }
    }

    #[track_caller]
    fn check(parts: &ImageParts, expect: &[&str]) {
        let image = assemble(parts, &Format::default()).unwrap();
        let config: Value = serde_json::from_slice(&image.config).unwrap();
        let steps = config["history"].as_array().unwrap().iter().map(|step| {
            let empty = if step["empty_layer"] == true {
                " (empty)"
            } else {
                ""
            };
            format!(
                "{} {}{empty}",
                step["created"].as_str().unwrap_or("-"),
                step["created_by"].as_str().unwrap_or("-")
            )
        });
        let mut got: Vec<String> = steps.collect();
        got.push(format!("created {}", config["created"].as_str().unwrap_or("-")));
        assert_eq!(got, expect);
        assert_eq!(
            config["rootfs"]["diff_ids"].as_array().unwrap().len(),
            parts.layers.len()
        );
    }

    #[test]
    fn history_gets_the_times_of_the_layers() {
        let config = r#"{"architecture":"amd64","os":"linux","history":[
            {"created_by":"ENV a=b","empty_layer":true},{"created_by":"COPY"},{"created_by":"CMD","empty_layer":true}]}"#;
        check(
            &parts(config, vec![layer("a", 5)], None),
            &[
                "1970-01-01T00:00:05Z ENV a=b (empty)",
                "1970-01-01T00:00:05Z COPY",
                "1970-01-01T00:00:05Z CMD (empty)",
                "created 1970-01-01T00:00:05Z",
            ],
        );
    }

    #[test]
    fn layers_and_history_are_brought_together() {
        check(
            &parts("", vec![layer("a", 5), layer("b", 6)], None),
            &[
                "1970-01-01T00:00:05Z made a",
                "1970-01-01T00:00:06Z made b",
                "created 1970-01-01T00:00:06Z",
            ],
        );
        let config = r#"{"history":[{"created_by":"one"},{"created_by":"two"}]}"#;
        check(
            &parts(config, vec![layer("a", 5)], None),
            &[
                "1970-01-01T00:00:05Z one",
                "1970-01-01T00:00:05Z two (empty)",
                "created 1970-01-01T00:00:05Z",
            ],
        );
    }

    #[test]
    fn no_time_is_later_than_the_epoch() {
        let config = r#"{"created":"2030-01-01T00:00:00Z","history":[
            {"created":"1970-01-01T00:00:01Z","created_by":"base"},{"created_by":"RUN"}]}"#;
        let mut parts = parts(config, vec![layer("a", 1), layer("b", 99)], Some(7));
        check(
            &parts,
            &[
                "1970-01-01T00:00:01Z base",
                "1970-01-01T00:00:07Z RUN",
                "created 1970-01-01T00:00:07Z",
            ],
        );
        parts.epoch = Some(0);
        parts.base_config =
            br#"{"history":[{"created":"1970-01-01T00:00:01Z","created_by":"base"}]}"#.to_vec();
        check(
            &parts,
            &[
                "1970-01-01T00:00:01Z base",
                "1970-01-01T00:00:00Z RUN",
                "created 1970-01-01T00:00:00Z",
            ],
        );
    }

    #[test]
    fn media_types_are_of_one_family() {
        let format = Format {
            oci_media_types: false,
            ..Format::default()
        };
        let image = assemble(&parts("", vec![layer("a", 5)], None), &format).unwrap();
        assert_eq!(image.manifest.media_type, MediaType::DOCKER_MANIFEST);
        assert_eq!(image.manifest.layers[0].media_type, MediaType::DOCKER_LAYER_GZIP);
        assert_eq!(image.manifest.config.media_type, MediaType::DOCKER_CONFIG);
    }
}
