//! Contexts that come as archives.

use std::fs::File;
use std::path::Path;

use kiln_layer::Devices;
use kiln_layer::LayerError;
use kiln_layer::Owner;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;

/// Unpacks an archive (plain, gzip or zstd) into an empty directory, with the rules for archives that nobody trusts.
pub(crate) fn unpack_context(archive: &Path, into: &Path) -> Result<(), LayerError> {
    let name = archive.display().to_string();
    let file = File::open(archive).map_err(|source| LayerError::Stream {
        layer: name.clone(),
        source,
    })?;
    let read = ReadOptions::new(name);
    let options = UnpackOptions {
        read: read.clone(),
        lowers: Vec::new(),
        devices: Devices::Skip,
        owner: Owner::Own,
    };
    kiln_layer::unpack(kiln_layer::decompress(file, None, &read)?, into, &options)?;
    Ok(())
}
