//! Caches inside image configs: `moby.buildkit.cache.v0`, records whose results are layers of the image itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kiln_image::Digest;
use kiln_image::Manifest;
use serde_json::Value;

use crate::backend::CacheImage;
use crate::backend::LayerInfo;
use crate::config::CacheConfig;
use crate::config::CacheLayer;
use crate::config::CacheRecord;
use crate::config::CacheResult;
use crate::config::CacheResultChain;

/// Field of the image config.
pub const INLINE_KEY: &str = "moby.buildkit.cache.v0";

/// Returns the value of [`INLINE_KEY`] for an image with these layers; none when no result is of use there.
pub fn inline(cache: &CacheImage, image: &[Digest]) -> Option<String> {
    let config = &cache.config;
    let mut useful = false;
    let records = config.records.iter().map(|record| {
        let mut inlined = CacheRecord {
            layers: Vec::new(),
            chains: Vec::new(),
            ..record.clone()
        };
        for result in &record.layers {
            let Some(places) = places(config, result.layer, image) else {
                continue;
            };
            useful = true;
            let created_at = result.created_at;
            if places.iter().copied().eq(0..places.len()) {
                let layer = places.len() - 1;
                inlined.layers.push(CacheResult { layer, created_at });
            } else {
                inlined.chains.push(CacheResultChain {
                    layers: places,
                    created_at,
                });
            }
        }
        inlined
    });
    let records: Vec<CacheRecord> = records.collect();
    let bytes = serde_json::to_vec(&records).expect("records serialise to JSON");
    useful.then(|| STANDARD.encode(bytes))
}

/// Returns where the layers of a stack are in the image, in order.
fn places(config: &CacheConfig, top: usize, image: &[Digest]) -> Option<Vec<usize>> {
    let mut blobs = Vec::new();
    let mut at = Some(top);
    while let Some(place) = at {
        let layer = config.layers.get(place)?;
        blobs.push(layer.blob);
        at = usize::try_from(layer.parent).ok();
    }
    let mut next = 0;
    let mut places = Vec::with_capacity(blobs.len());
    for blob in blobs.iter().rev() {
        let found = image.iter().skip(next).position(|layer| layer == blob)? + next;
        places.push(found);
        next = found + 1;
    }
    (!places.is_empty()).then_some(places)
}

/// Returns the cache inside an image's config; none when there is none.
///
/// # Errors
/// When what is there cannot be read.
pub fn inline_caches(manifest: &Manifest, config: &[u8]) -> Result<Option<CacheImage>, String> {
    let config: Value = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    let Some(encoded) = config.get(INLINE_KEY).and_then(Value::as_str) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(encoded).map_err(|error| error.to_string())?;
    let records: Vec<CacheRecord> = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let diff_ids = config.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    let diff_ids: Vec<Option<Digest>> = diff_ids
        .into_iter()
        .flatten()
        .map(|id| id.as_str().and_then(|id| id.parse().ok()))
        .collect();
    if diff_ids.len() != manifest.layers.len() {
        let (found, expected) = (diff_ids.len(), manifest.layers.len());
        return Err(format!("{found} diff IDs for {expected} layers"));
    }
    let created = layer_times(&config);
    let mut layers = Vec::new();
    let mut facts = BTreeMap::new();
    for (place, (layer, diff_id)) in manifest.layers.iter().zip(diff_ids).enumerate() {
        let parent = i64::try_from(place).unwrap_or_default() - 1;
        layers.push(CacheLayer {
            blob: layer.digest,
            parent,
            annotations: None,
        });
        let Some(diff_id) = diff_id else { continue };
        let info = LayerInfo {
            descriptor: layer.clone(),
            diff_id,
            created: created.get(place).copied().flatten(),
        };
        facts.insert(layer.digest, info);
    }
    let config = CacheConfig {
        layers,
        records,
        ..CacheConfig::default()
    };
    Ok(Some(CacheImage {
        config,
        layers: facts,
    }))
}

/// Returns when each layer was made, by the image's history.
fn layer_times(config: &Value) -> Vec<Option<Timestamp>> {
    let history = config.get("history").and_then(Value::as_array);
    let entries = history.into_iter().flatten();
    let layers = entries.filter(|entry| {
        !entry
            .get("empty_layer")
            .and_then(Value::as_bool)
            .unwrap_or_default()
    });
    layers
        .map(|entry| entry.get("created")?.as_str()?.parse().ok())
        .collect()
}
