//! Writes a case's directories.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use kiln_tests::support::Entry;
use kiln_tests::support::gzip;
use kiln_tests::support::tar_of;
use tar::EntryType;

use crate::case::Item;
use crate::case::TarItem;

/// Writes `items` below `dir`, over what is there.
pub(crate) fn write(dir: &Path, items: &[Item]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    items.iter().try_for_each(|item| write_one(dir, item))
}

fn write_one(dir: &Path, item: &Item) -> std::io::Result<()> {
    let path = dir.join(&item.path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match item.kind.as_str() {
        "dir" => std::fs::create_dir_all(&path)?,
        "symlink" => return std::os::unix::fs::symlink(&item.target, &path),
        "socket" => drop(UnixListener::bind(&path)?),
        "rename" => return std::fs::rename(dir.join(&item.from), &path),
        "tar" => std::fs::write(&path, archive(item))?,
        _ => std::fs::write(&path, &item.content)?,
    }
    let mode = item
        .mode
        .as_deref()
        .and_then(|mode| u32::from_str_radix(mode, 8).ok());
    mode.map_or(Ok(()), |mode| {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))
    })
}

fn archive(item: &Item) -> Vec<u8> {
    let entries: Vec<Entry> = item.entries.iter().map(entry).collect();
    let tar = tar_of(&entries);
    if item.gzip { gzip(&tar) } else { tar }
}

fn entry(item: &TarItem) -> Entry {
    let kind = match item.kind.as_str() {
        "dir" => EntryType::Directory,
        "symlink" => EntryType::Symlink,
        "hardlink" => EntryType::Link,
        _ => EntryType::Regular,
    };
    Entry {
        name: item.name.clone(),
        kind,
        mode: u32::from_str_radix(&item.mode, 8).unwrap_or(0o644),
        data: item.data.clone().into_bytes(),
        link: item.linkname.clone(),
    }
}
