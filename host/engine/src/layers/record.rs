//! What the store knows of a layer.

use std::sync::Arc;

use jiff::Timestamp;
use kiln_image::Descriptor;
use kiln_store::Object;
use kiln_store::Owner;
use kiln_store::StoreError;
use kiln_tree::ChangeSet;
use serde::Deserialize;
use serde::Serialize;

use super::BlobForm;
use super::Layer;
use super::LayerBlob;
use super::LayerId;
use super::Layers;
use super::LayersError;
use super::Origin;
use super::State;
use super::codec;

/// Bucket of the records.
pub(crate) const BUCKET: &str = "layer";
/// Bucket of the change sets.
const INDEX: &str = "layer.index";

/// A layer's record.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    created: Timestamp,
    created_by: String,
    blobs: Vec<(BlobForm, LayerBlob)>,
    dir: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<ImageOrigin>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ImageOrigin {
    blob: Descriptor,
    origin: String,
}

impl LayerId {
    /// Name of the layer's directory among the store's trees.
    pub(super) fn tree_key(self) -> String {
        self.0.hex()
    }
}

impl Layers {
    /// Returns the layer if it can still be had.
    pub(crate) fn load(&self, id: LayerId) -> Result<Option<Arc<Layer>>, StoreError> {
        if let Some(layer) = self.known(id) {
            return Ok(Some(layer));
        }
        let store = &self.shared.store;
        let Some(bytes) = store.get(BUCKET, id.0.as_bytes())? else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
            return Ok(None);
        };
        let dir = if record.dir {
            store.tree(&id.tree_key())?.map(|tree| tree.join("fs"))
        } else {
            None
        };
        let mut blobs = Vec::new();
        for (form, blob) in record.blobs {
            if store.contains(&blob.descriptor.digest)? {
                blobs.push((form, blob));
            }
        }
        let fetch = record
            .image
            .and_then(|i| Some((i.blob, self.shared.fetchers.fetcher(&i.origin)?)));
        let origin = match fetch {
            Some((blob, fetch)) => {
                let form = BlobForm::of_image(&blob);
                if !blobs
                    .iter()
                    .any(|(_, known)| known.descriptor.digest == blob.digest)
                {
                    blobs.push((
                        form,
                        LayerBlob {
                            descriptor: blob.clone(),
                            diff_id: id.0,
                        },
                    ));
                }
                Origin::Image { blob, fetch }
            }
            None if dir.is_none() && blobs.is_empty() => return Ok(None),
            None => Origin::Made,
        };
        self.hold(id, dir.is_some(), &blobs)?;
        let state = State {
            changes: None,
            dir,
            blobs,
        };
        let (created, created_by) = (record.created, record.created_by);
        let (state, making) = (std::sync::Mutex::new(state), tokio::sync::Mutex::default());
        Ok(Some(self.add(Layer {
            id,
            origin,
            created,
            created_by,
            state,
            making,
        })))
    }

    /// Keeps what there is of a layer from being collected while this process lives.
    fn hold(&self, id: LayerId, dir: bool, blobs: &[(BlobForm, LayerBlob)]) -> Result<(), StoreError> {
        let lease = &self.shared.lease;
        if dir {
            lease.hold_tree(&id.tree_key()).map(drop)?;
        }
        blobs
            .iter()
            .try_for_each(|(_, blob)| lease.hold_blob(&blob.descriptor.digest))?;
        lease.hold(&Owner::new(BUCKET, id.0.as_bytes()))
    }

    /// Writes down what there is of a layer.
    pub(super) fn write_record(&self, layer: &Layer) -> Result<(), StoreError> {
        let (dir, blobs) = {
            let state = layer.state();
            (state.dir.is_some(), state.blobs.clone())
        };
        let store = &self.shared.store;
        let image = match &layer.origin {
            Origin::Image { fetch, .. } if fetch.is_cache() => None,
            Origin::Image { blob, fetch } => Some(ImageOrigin {
                blob: blob.clone(),
                origin: fetch.origin(),
            }),
            Origin::Made => None,
        };
        let mut objects = Vec::new();
        let mut stored = Vec::new();
        for (form, blob) in blobs {
            if store.contains(&blob.descriptor.digest)? {
                objects.push(Object::Blob(blob.descriptor.digest));
                stored.push((form, blob));
            }
        }
        if dir {
            objects.push(Object::Tree(layer.id.tree_key()));
        }
        let record = Record {
            created: layer.created,
            created_by: layer.created_by.clone(),
            blobs: stored,
            dir,
            image,
        };
        let bytes = serde_json::to_vec(&record).expect("records serialise to JSON");
        let key = layer.id.0.as_bytes();
        self.hold(layer.id, dir, &record.blobs)?;
        store.put(BUCKET, key, &bytes)?;
        store.refer(&Owner::new(BUCKET, key), &objects)
    }

    /// Reads the layer's change set if it was written down.
    pub(super) fn recorded_changes(&self, layer: &Arc<Layer>) -> Result<Option<ChangeSet>, LayersError> {
        let Some(bytes) = self.shared.store.get(INDEX, layer.id.0.as_bytes())? else {
            return Ok(None);
        };
        let dir = layer.state().dir.clone();
        Ok(codec::decode(&bytes, dir.as_deref()))
    }

    /// Writes the layer's change set down.
    pub(super) fn record_changes(&self, layer: &Layer, changes: &ChangeSet) -> Result<(), StoreError> {
        let dir = layer.state().dir.clone();
        match codec::encode(changes, dir.as_deref()) {
            Some(bytes) => self.shared.store.put(INDEX, layer.id.0.as_bytes(), &bytes),
            None => Ok(()),
        }
    }
}
