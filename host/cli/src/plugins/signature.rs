//! Signatures in cosign's format: a payload that names a manifest's digest, signed with ECDSA on P-256, as an artifact
//! beside the plugin: at the tag `sha256-….sig` or among the referrers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Manifest;
use kiln_image::Reference;
use kiln_registry::Client;
use ring::signature::ECDSA_P256_SHA256_ASN1;
use ring::signature::UnparsedPublicKey;
use serde::Deserialize;

/// Media type of what is signed.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Annotation with the signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What stands before the point in a P-256 key in SPKI form.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Largest payload, in bytes, and most signatures that are tried.
const LARGEST: u64 = 64 << 10;
const MOST: usize = 64;

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// A public key.
#[derive(Debug, Clone)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Reads a PEM file's text.
    ///
    /// # Errors
    /// It is not a public key on P-256.
    pub(super) fn parse(pem: &str) -> Result<Self, String> {
        let expected = "expected a public key on P-256 in PEM form, as `cosign generate-key-pair` makes";
        let inner = pem
            .split_once("-----BEGIN PUBLIC KEY-----")
            .and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"));
        let (body, _) = inner.ok_or(expected)?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| expected)?;
        let point = der.strip_prefix(&P256[..]).filter(|point| point.len() == 65);
        Ok(Self(point.ok_or(expected)?.to_vec()))
    }

    /// Tells whether `signature` of `payload` is this key's and the payload names `manifest`.
    fn vouches(&self, payload: &[u8], signature: &str, manifest: &Digest) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0);
        let named = serde_json::from_slice::<Payload>(payload).map(|payload| payload.critical.image.digest);
        key.verify(payload, &signature).is_ok() && named.is_ok_and(|named| named == *manifest)
    }
}

/// Looks for a signature of `manifest` by `key` in the registry.
///
/// # Errors
/// Says what was found instead.
pub(super) async fn verify(
    client: &Client,
    reference: &Reference,
    manifest: &Digest,
    key: &Key,
) -> Result<(), String> {
    let mut tried = 0;
    for layer in layers(client, reference, manifest).await.into_iter().take(MOST) {
        let Some(signature) = layer.annotations.get(SIGNATURE) else {
            continue;
        };
        if layer.media_type != PAYLOAD || layer.size > LARGEST {
            continue;
        }
        tried += 1;
        let mut payload = Vec::new();
        let mut sink = |bytes: &[u8]| {
            payload.extend_from_slice(bytes);
            Ok(())
        };
        let fetched = client.fetch_blob(reference, &layer, &mut sink).await;
        if fetched.is_ok() && key.vouches(&payload, signature, manifest) {
            return Ok(());
        }
    }
    Err(match tried {
        0 => "it has no signature".to_owned(),
        tried => format!("none of its {tried} signatures is by that key"),
    })
}

/// Returns the layers of all signature artifacts. What cannot be fetched counts as not there.
async fn layers(client: &Client, reference: &Reference, manifest: &Digest) -> Vec<Descriptor> {
    let mut documents = Vec::new();
    if let Ok(tagged) = reference.with_tag(&format!("sha256-{}.sig", manifest.hex()))
        && let Ok(found) = client.resolve(&tagged).await
    {
        documents.push(found.bytes);
    }
    let referrers = client.referrers(reference, manifest).await;
    for referrer in referrers
        .map(|index| index.manifests)
        .unwrap_or_default()
        .into_iter()
        .take(MOST)
    {
        if let Ok(found) = client.manifest(reference, &referrer.digest).await {
            documents.push(found.bytes);
        }
    }
    let manifests = documents
        .iter()
        .filter_map(|bytes| serde_json::from_slice::<Manifest>(bytes).ok());
    manifests.flat_map(|manifest| manifest.layers).collect()
}
