//! Components as OCI artifacts, in the CNCF's format for WebAssembly: one layer `application/wasm`, and a config that
//! says what the component imports and exports.

use bytes::Bytes;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Manifest;
use kiln_image::MediaType;
use kiln_image::Reference;
use kiln_plugin::Inspection;
use kiln_plugin::PluginError;
use kiln_registry::BlobSource;
use kiln_registry::Client;
use kiln_registry::RegistryError;
use serde_json::json;

use super::LARGEST_COMPONENT;
use super::PluginStore;
use super::unusable;

/// Media type of the component.
const WASM: &str = "application/wasm";
/// Media type of the config.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Longest text of an answer's chain of causes.
const CAUSES: usize = 8;

/// A plugin of a registry.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Digest of its manifest.
    pub(crate) manifest: Digest,
    /// The component.
    pub(crate) component: Vec<u8>,
}

impl Artifact {
    /// Returns it from a layout, if all of it is there.
    pub(crate) fn stored(store: &PluginStore, manifest: &Digest) -> Option<Self> {
        let document = store.blob(manifest)?;
        let layer = component_of(&document).ok()?;
        Some(Self {
            manifest: *manifest,
            component: store.blob(&layer.digest)?,
        })
    }

    /// Fetches it, and keeps it in a layout.
    ///
    /// # Errors
    /// The registry does not have it, or it is no component.
    pub(crate) async fn pull(
        client: &Client,
        reference: &Reference,
        store: &PluginStore,
    ) -> Result<Self, PluginError> {
        let name = format!("oci://{reference}");
        let failed = |error: RegistryError| unusable(&name, chain(&error));
        let found = client.resolve(reference).await.map_err(failed)?;
        let layer = component_of(&found.bytes).map_err(|why| unusable(&name, why))?;
        let mut component = Vec::new();
        let mut sink = |bytes: &[u8]| {
            component.extend_from_slice(bytes);
            Ok(())
        };
        let fetched = client.fetch_blob(reference, &layer, &mut sink).await;
        fetched.map_err(failed)?;
        let manifest = found.descriptor.digest;
        let kept = store.put(&component).and_then(|_| store.put(&found.bytes));
        let named = kept.and_then(|_| store.name(found.descriptor, &pinned(reference, manifest)));
        named.map_err(|error| {
            unusable(
                &name,
                format!("cannot keep it in `{}`: {error}", store.dir().display()),
            )
        })?;
        Ok(Self { manifest, component })
    }
}

/// Returns a reference with a digest in place of its tag.
pub(crate) fn pinned(reference: &Reference, manifest: Digest) -> String {
    format!("{}@{manifest}", reference.name())
}

/// Finds the component in a manifest.
fn component_of(manifest: &[u8]) -> Result<Descriptor, String> {
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest cannot be read: {error}"))?;
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!(
            "its manifest has {} layers (expected one `{WASM}`)",
            manifest.layers.len()
        ));
    };
    if layer.media_type != WASM {
        let found = &layer.media_type;
        return Err(format!(
            "it is `{found}` (expected `{WASM}`): that is an image, not a plugin"
        ));
    }
    if layer.size > LARGEST_COMPONENT {
        return Err(format!(
            "the component has {} bytes, more than 256 MiB",
            layer.size
        ));
    }
    Ok(layer.clone())
}

/// Pushes a component. The same component always gets the same manifest.
///
/// # Errors
/// The registry refuses it.
pub(crate) async fn push(
    client: &Client,
    reference: &Reference,
    component: Vec<u8>,
    seen: &Inspection,
) -> Result<Digest, RegistryError> {
    let layer = Descriptor::of(WASM, &component);
    let (config, annotations) = (config(&layer, seen), annotations(seen));
    let config_descriptor = Descriptor::of(CONFIG, &config);
    let manifest = Manifest {
        schema_version: 2,
        media_type: MediaType::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: config_descriptor.clone(),
        layers: vec![layer.clone()],
        subject: None,
        annotations,
    };
    let bytes = serde_json::to_vec(&manifest).expect("a manifest is written as JSON");
    for (blob, data) in [(&config_descriptor, config), (&layer, component)] {
        let source = BlobSource::Bytes(Bytes::from(data));
        client
            .push_blob(reference, blob, source, None, &mut |_| {})
            .await?;
    }
    client
        .push_manifest(reference, MediaType::OCI_MANIFEST, bytes.into())
        .await
}

fn config(layer: &Descriptor, seen: &Inspection) -> Vec<u8> {
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest.to_string()],
        "component": {
            "imports": seen.imports,
            "exports": seen.exports,
            "target": seen.world(),
        },
    });
    serde_json::to_vec(&config).expect("a config is written as JSON")
}

fn annotations(seen: &Inspection) -> std::collections::BTreeMap<String, String> {
    let Some(manifest) = &seen.manifest else {
        return std::collections::BTreeMap::new();
    };
    let known = [
        ("org.opencontainers.image.title", &manifest.name),
        ("org.opencontainers.image.version", &manifest.version),
        ("org.opencontainers.image.description", &manifest.description),
        ("org.opencontainers.image.licenses", &manifest.license),
    ];
    let said = known.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source()).take(CAUSES);
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
