//! Trees of files, as text that tests compare.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Lists a directory: relative path to `kind mode uid:gid` and, for links, the target. Times and sizes of directories
/// are left out.
///
/// # Panics
/// It cannot be read.
pub fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    walk(root, "", &mut all);
    all
}

fn walk(dir: &Path, prefix: &str, all: &mut BTreeMap<String, String>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot list `{}`: {e}", dir.display()));
    for entry in entries {
        let entry = entry.expect("a directory can be read");
        let meta = entry.path().symlink_metadata().expect("an entry has metadata");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = meta.file_type();
        let mut line = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
        if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).expect("a link has a target");
            line = format!("link {}", target.display());
        } else if kind.is_file() {
            line = format!("{line} {}", meta.len());
        }
        all.insert(name.clone(), line);
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), all);
        }
    }
}
