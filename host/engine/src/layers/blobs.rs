//! Layers as blobs.

use std::sync::Arc;

use kiln_image::Compression;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::MediaType;
use kiln_tree::ChangeSet;
use serde::Deserialize;
use serde::Serialize;

use super::Layer;
use super::Layers;
use super::LayersError;
use super::Origin;
use super::Ref;
use super::blocking;

/// How a blob of a layer is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobForm {
    compression: String,
    level: Option<i32>,
    /// `SOURCE_DATE_EPOCH` that file times are clamped to.
    clamp: Option<i64>,
}

impl BlobForm {
    pub(crate) fn new(compression: Compression, level: Option<i32>, clamp: Option<i64>) -> Self {
        Self {
            compression: compression.to_string(),
            level,
            clamp,
        }
    }

    /// The form of a blob that came with an image; nobody knows its level.
    pub(crate) fn of_image(blob: &Descriptor) -> Self {
        let compression = MediaType::layer_compression(&blob.media_type).unwrap_or_default();
        Self {
            compression: format!("{compression} of an image"),
            level: None,
            clamp: None,
        }
    }

    /// The form of a blob that came with a cache: as if it had been made here.
    pub(crate) fn of_cache(blob: &Descriptor) -> Self {
        let compression = MediaType::layer_compression(&blob.media_type).unwrap_or_default();
        Self::new(compression, None, None)
    }

    fn compression(&self) -> Compression {
        match self.compression.as_str() {
            "zstd" => Compression::Zstd,
            "uncompressed" => Compression::None,
            _ => Compression::Gzip,
        }
    }
}

/// A blob of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerBlob {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
}

/// Whether layers of base images are compressed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recompress {
    /// They stay as they are.
    No,
    /// They get the form that is asked for.
    Yes,
}

/// Returns the blob of a layer that came from elsewhere, when it stays as it is.
fn as_it_is(layer: &Layer, form: &BlobForm, recompress: Recompress) -> Option<LayerBlob> {
    let Origin::Image { blob, .. } = &layer.origin else {
        return None;
    };
    let same = MediaType::layer_compression(&blob.media_type) == Some(form.compression());
    let stays = recompress == Recompress::No || same;
    // The times of what a build made are clamped, wherever it was made.
    let clamped = layer.is_made() && form.clamp.is_some();
    (stays && !clamped).then(|| LayerBlob {
        descriptor: blob.clone(),
        diff_id: layer.id.0,
    })
}

impl Layers {
    /// Returns the blob of the layer at `at` of the stack, in the store, in the form that is asked for.
    pub(crate) async fn blob(
        &self,
        stack: &Ref,
        at: usize,
        form: &BlobForm,
        recompress: Recompress,
    ) -> Result<LayerBlob, LayersError> {
        let layer = &stack.layers()[at];
        if as_it_is(layer, form, recompress).is_some() {
            self.fetch(layer).await?;
        }
        self.described_blob(stack, at, form, recompress).await
    }

    /// As [`Layers::blob`], but what lies elsewhere may stay there.
    pub(crate) async fn described_blob(
        &self,
        stack: &Ref,
        at: usize,
        form: &BlobForm,
        recompress: Recompress,
    ) -> Result<LayerBlob, LayersError> {
        let layer = &stack.layers()[at];
        if let Some(blob) = as_it_is(layer, form, recompress) {
            return Ok(blob);
        }
        let known = |layer: &Layer| {
            layer
                .state()
                .blobs
                .iter()
                .find(|(f, _)| f == form)
                .map(|(_, b)| b.clone())
        };
        if let Some(blob) = known(layer) {
            return Ok(blob);
        }
        let changes = self.changes(stack, at).await?;
        let _making = layer.making.lock().await;
        if let Some(blob) = known(layer) {
            return Ok(blob);
        }
        let blob = self.compress(changes, form.clone()).await?;
        layer.state().blobs.push((form.clone(), blob.clone()));
        self.write_record(layer)?;
        Ok(blob)
    }

    async fn compress(&self, changes: Arc<ChangeSet>, form: BlobForm) -> Result<LayerBlob, LayersError> {
        let source = self.content_source(&changes).await?;
        let shared = self.shared.clone();
        blocking(move || {
            let mut ingest = shared.store.ingest_unhashed()?;
            let compression = form.compression();
            let options = kiln_layer::WriteOptions {
                compression,
                level: form.level,
                clamp: form.clamp,
                pool: shared.pool.clone(),
            };
            let sums = kiln_layer::write_layer(&changes, &source, &mut ingest, &options)?;
            ingest.commit_as(&sums.digest)?;
            shared.lease.hold_blob(&sums.digest)?;
            let media_type = MediaType::layer(compression, true);
            let descriptor = Descriptor::new(media_type, sums.digest, sums.size);
            Ok::<_, LayersError>(LayerBlob {
                descriptor,
                diff_id: sums.diff_id,
            })
        })
        .await
    }

    /// Makes sure that an image's layer is in the store.
    pub(super) async fn fetch(&self, layer: &Layer) -> Result<(), LayersError> {
        let Origin::Image { blob, fetch } = &layer.origin else {
            return Ok(());
        };
        if !self.shared.store.contains(&blob.digest)? {
            fetch.fetch(&self.shared.store, blob, &|_| {}).await?;
        }
        self.shared.lease.hold_blob(&blob.digest)?;
        Ok(())
    }
}
