//! `--cache-to …,mounts=true`: what steps left in their cache mounts, for other machines.
//!
//! Cache mounts that the place has and this build did not use stay there; of the others only new pieces are sent.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;
use kiln_cache::Backend;
use kiln_cache::CacheError;
use kiln_cache::CacheImage;
use kiln_cache::CacheTo;
use kiln_cache::MountSnapshot;
use kiln_cache::MountsTo;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_progress::Step;

use super::export::UPLOADS;
use super::warn_text;
use crate::build::BuildContext;
use crate::export::AnyError;
use crate::layers::PackedMount;

/// A cache mount of this machine.
struct Own {
    mount: MountSnapshot,
    packed: PackedMount,
}

/// Leaves the cache mounts that the build has used beside the cache.
pub(super) async fn export(build: &Arc<BuildContext>, to: &CacheTo, step: &Step) -> Result<(), AnyError> {
    let (Some(limit), Some(location)) = (to.mounts, to.location.of_mounts()) else {
        return Ok(());
    };
    if build.mounts.used().is_empty() {
        return Ok(());
    }
    let Some(backend) = super::Places::new(&build.config, &build.request)
        .open(&location, to.form)
        .await?
    else {
        return Ok(());
    };
    let part = step.part("exporting", "preparing cache mounts for export", 0);
    let mut room = limit;
    let mut own = Vec::new();
    for (id, path) in build.mounts.used() {
        own.extend(pack(build, step, (&id, path), &mut room).await?);
    }
    let mut others = others(&*backend, &own).await?;
    others.retain(|mount| take(&mut room, mount.size()));
    part.done();
    upload(&*backend, step, &own, &mut others).await?;
    let part = step.part("exporting", "writing cache mount manifest", 0);
    let mounts = own.iter().map(|own| own.mount.clone()).chain(others).collect();
    backend.commit(&CacheImage::of_mounts(mounts)).await?;
    part.done();
    Ok(())
}

/// Returns whether so many bytes still fit; if they do, there are fewer left.
fn take(room: &mut MountsTo, bytes: u64) -> bool {
    let left = room.max_size.checked_sub(bytes);
    room.max_size = left.unwrap_or(room.max_size);
    left.is_some()
}

/// Returns the cache mount in pieces; none when it is in use, not there, or too large.
async fn pack(
    build: &BuildContext,
    step: &Step,
    (id, path): (&str, PathBuf),
    room: &mut MountsTo,
) -> Result<Option<Own>, AnyError> {
    let left_out = |why: &str| {
        let text = format!("cache mount `{id}` not exported: {why}");
        warn_text(&build.sink, step.digest(), text);
        Ok(None)
    };
    let Some(_lock) = crate::ops::lock_cache_mount(&path).await? else {
        return left_out("another build uses it");
    };
    if !path.exists() {
        return Ok(None);
    }
    let too_large = format!("it does not fit into {} bytes (`mounts-max-size`)", room.max_size);
    let Some(packed) = build.layers.pack_mount(path, room.max_size).await? else {
        return left_out(&too_large);
    };
    let mount = MountSnapshot {
        id: id.to_owned(),
        platform: Platform::host().to_string(),
        mode: packed.root.mode,
        uid: packed.root.uid,
        gid: packed.root.gid,
        chunks: packed.chunks.clone(),
    };
    match take(room, mount.size()) {
        true => Ok(Some(Own { mount, packed })),
        false => left_out(&too_large),
    }
}

/// Returns what the place has of other cache mounts. What makes no sense is replaced.
async fn others(backend: &dyn Backend, own: &[Own]) -> Result<Vec<MountSnapshot>, AnyError> {
    let known = match super::mounts::read(backend).await {
        Err(CacheError::Invalid { .. } | CacheError::Corrupt { .. } | CacheError::NoBlob { .. }) => {
            Vec::new()
        }
        known => known?,
    };
    let is_other = |mount: &MountSnapshot| {
        let is_own = |own: &Own| own.mount.id == mount.id && own.mount.platform == mount.platform;
        !own.iter().any(is_own)
    };
    Ok(known.into_iter().filter(is_other).collect())
}

/// Sends the pieces that are not there. Cache mounts of others that lost one are forgotten.
async fn upload(
    backend: &dyn Backend,
    step: &Step,
    own: &[Own],
    others: &mut Vec<MountSnapshot>,
) -> Result<(), AnyError> {
    let mounts = own.iter().map(|own| &own.mount).chain(others.iter());
    let blobs: BTreeMap<Digest, Descriptor> = mounts
        .flat_map(MountSnapshot::blobs)
        .map(|blob| (blob.digest, blob))
        .collect();
    let blobs: Vec<Descriptor> = blobs.into_values().collect();
    let absent: BTreeSet<Digest> = backend.absent(&blobs).await?.into_iter().collect();
    let mut files = BTreeMap::new();
    for own in own {
        let missing = own
            .mount
            .chunks
            .iter()
            .filter(|chunk| absent.contains(&chunk.digest));
        files.extend(missing.map(|chunk| (chunk.digest, (chunk.blob(), own.packed.file(chunk)))));
    }
    let is_gone = |blob: Descriptor| absent.contains(&blob.digest) && !files.contains_key(&blob.digest);
    others.retain(|mount| !mount.blobs().any(is_gone));
    if files.is_empty() {
        return Ok(());
    }
    let bytes = files.values().map(|(blob, _)| blob.size).sum();
    let part = step.part(
        "exporting",
        format!("writing {} chunks of cache mounts", files.len()),
        bytes,
    );
    let sends = files.values().map(|(blob, file)| backend.put(blob, file));
    stream::iter(sends.collect::<Vec<_>>())
        .buffer_unordered(UPLOADS)
        .try_collect::<Vec<()>>()
        .await?;
    part.done();
    Ok(())
}
