//! Measures the writer, the reader and unpacking on a real tree:
//! `cargo run --release -p kiln-layer --example throughput -- /usr [gzip|zstd|uncompressed [DEST]]`.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kiln_image::Compression;
use kiln_layer::DiskSource;
use kiln_layer::Owner;
use kiln_layer::Pool;
use kiln_layer::ReadOptions;
use kiln_layer::UnpackOptions;
use kiln_layer::WriteOptions;
use kiln_tree::ChangeSet;
use kiln_tree::Content;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root: Arc<Path> = Path::new(args.first().ok_or("which directory?")?).into();
    let compression = match args.get(1).map(String::as_str) {
        Some("zstd") => Compression::Zstd,
        Some("uncompressed") => Compression::None,
        _ => Compression::Gzip,
    };
    let mut out = io::stdout();
    let start = Instant::now();
    let mut entries = Vec::new();
    walk(&root, &TreePath::root(), &mut entries)?;
    let changes = ChangeSet::new(entries);
    writeln!(
        out,
        "walk: {} entries, {:.2?}",
        changes.entries().len(),
        start.elapsed()
    )?;

    let scratch = std::env::temp_dir().join(format!("kiln-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let blob = scratch.join("blob");
    let options = WriteOptions {
        compression,
        level: None,
        clamp: None,
        pool: Pool::for_this_machine(),
    };
    let start = Instant::now();
    let sums = kiln_layer::write_layer(&changes, &DiskSource::new(), File::create(&blob)?, &options)?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = sums.uncompressed_size as f64 / seconds / 1e6;
    writeln!(
        out,
        "write {compression}: {seconds:.2} s, {rate:.0} MB/s, {sums:?}, {}",
        memory()?
    )?;

    let read = ReadOptions::new(sums.digest.to_string());
    let start = Instant::now();
    let archive = kiln_layer::decompress(File::open(&blob)?, None, &read)?;
    let index = kiln_layer::read_layer(archive, &read)?;
    writeln!(
        out,
        "read: {:.2?}, {} entries",
        start.elapsed(),
        index.changes.entries().len()
    )?;
    if let Some(dest) = args.get(2) {
        std::fs::create_dir_all(dest)?;
        let start = Instant::now();
        let archive = kiln_layer::decompress(File::open(&blob)?, None, &read)?;
        let owner = if rustix::process::geteuid().is_root() {
            Owner::Keep
        } else {
            Owner::Own
        };
        let options = UnpackOptions {
            read,
            owner,
            ..UnpackOptions::default()
        };
        kiln_layer::unpack(archive, Path::new(dest), &options)?;
        writeln!(out, "unpack: {:.2?}, {}", start.elapsed(), memory()?)?;
    }
    Ok(std::fs::remove_dir_all(scratch)?)
}

fn memory() -> io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    Ok(peak.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn walk(root: &Arc<Path>, at: &TreePath, entries: &mut Vec<Entry>) -> Result<(), Box<dyn std::error::Error>> {
    for item in std::fs::read_dir(root.join(at.as_path()))? {
        let item = item?;
        let path = at.join_name(item.file_name().as_bytes())?;
        let stat = item.metadata()?;
        let node = if stat.is_dir() {
            walk(root, &path, entries)?;
            Node::Directory { opaque: false }
        } else if stat.is_symlink() {
            Node::Symlink {
                target: std::fs::read_link(item.path())?.as_os_str().as_bytes().into(),
            }
        } else if stat.is_file() {
            Node::File {
                size: stat.len(),
                content: Content::Disk {
                    root: root.clone(),
                    path: path.clone(),
                },
            }
        } else {
            continue;
        };
        let mtime = Timestamp {
            seconds: stat.mtime(),
            nanos: stat.mtime_nsec() as u32,
        };
        let mode = stat.mode() & 0o7777;
        let meta = Metadata {
            mode,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime,
            xattrs: Vec::new(),
        };
        entries.push(Entry { path, meta, node });
    }
    Ok(())
}
