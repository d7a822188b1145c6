//! A directory to unpack into, with things around it that must stay as they are.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use tempfile::TempDir;

const SECRET: &[u8] = b"nobody may touch this";
/// Where archives with absolute names would write.
pub(crate) const ABSOLUTE: &str = "/kiln-fuzz-canary";

/// `dest` beside `canary`, in a directory of their own.
pub(crate) struct Sandbox {
    root: TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        // Thousands of them are made: in memory, where there is such a place.
        let memory = Path::new("/dev/shm");
        let root = match TempDir::with_prefix_in("kiln-fuzz-", memory) {
            Ok(root) => root,
            Err(_) => TempDir::with_prefix("kiln-fuzz-").expect("a temporary directory can be made"),
        };
        std::fs::create_dir(root.path().join("dest")).expect("an empty directory takes entries");
        std::fs::create_dir(root.path().join("canary")).expect("an empty directory takes entries");
        std::fs::write(root.path().join("canary/file"), SECRET).expect("an empty directory takes entries");
        let before = state(root.path());
        Self { root, before }
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.root.path().join("dest")
    }

    pub(crate) fn canary(&self) -> PathBuf {
        self.root.path().join("canary")
    }

    /// # Panics
    /// When something outside `dest` has changed.
    pub(crate) fn check(&self) {
        assert_eq!(
            state(self.root.path()),
            self.before,
            "something outside was changed"
        );
        assert!(!Path::new(ABSOLUTE).exists(), "`{ABSOLUTE}` was made");
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // An archive may have made directories that their owner may not enter.
        open(&self.dest());
    }
}

/// Returns all around `dest`: names, kinds, owners, times, contents.
fn state(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut state = BTreeMap::new();
    for path in ["", "canary", "canary/file"].map(|name| root.join(name)) {
        let meta = std::fs::symlink_metadata(&path).expect("it was there before");
        let times = if path == root {
            (0, 0)
        } else {
            (meta.mtime(), meta.mtime_nsec())
        };
        let names: Vec<_> = match std::fs::read_dir(&path) {
            Ok(names) => names.flatten().map(|entry| entry.file_name()).collect(),
            Err(_) => Vec::new(),
        };
        let content = std::fs::read(&path).unwrap_or_default();
        let mut names: Vec<_> = names
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        let (mode, owner, links) = (meta.mode(), (meta.uid(), meta.gid()), meta.nlink());
        let text = format!(
            "{mode:o} {owner:?} {links} {times:?} {names:?} {}",
            content.escape_ascii()
        );
        state.insert(path, text);
    }
    state
}

fn open(dir: &Path) {
    let Ok(meta) = std::fs::symlink_metadata(dir) else {
        return;
    };
    if !meta.is_dir() {
        return;
    }
    drop(std::fs::set_permissions(
        dir,
        std::fs::Permissions::from_mode(0o700),
    ));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        open(&entry.path());
    }
}
