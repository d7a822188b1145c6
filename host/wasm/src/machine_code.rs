//! Machine code of components, kept on disk under the component's digest and the engine's compatibility hash.
//!
//! A file is a checksum of the code and the code. It is never taken from outside: the directory is the user's alone, so
//! the checksum is against broken disks and half-written files, not against people.

use std::fs;
use std::hash::Hash;
use std::hash::Hasher;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use kiln_image::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::RuntimeError;

/// Most bytes of code that are kept; some twenty components of interpreters.
const MOST: u64 = 1 << 30;
/// Length of the checksum in front of the code.
const SUM: usize = 4;

/// The machine code that is there.
pub(crate) struct MachineCode {
    dir: Option<PathBuf>,
    compatibility: String,
}

impl MachineCode {
    /// Opens the directory, if there is one, and makes it when it is missing.
    pub(crate) fn open(engine: &Engine, dir: Option<PathBuf>) -> Result<Self, RuntimeError> {
        if let Some(dir) = &dir {
            prepare(dir)?;
        }
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir,
            compatibility: format!("{:016x}", hasher.finish()),
        })
    }

    /// Returns the component of that digest, if its code is there and whole.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let file = fs::read(self.path(digest)?).ok()?;
        let (sum, code) = file.split_at_checked(SUM)?;
        if sum != checksum(code) {
            tracing::warn!(%digest, "machine code of a plugin is damaged and is made again");
            return None;
        }
        deserialize(engine, code)
    }

    /// Returns the component whose code came with this program.
    pub(crate) fn embedded(engine: &Engine, code: &'static [u8]) -> Option<Component> {
        deserialize(engine, code)
    }

    /// Returns the component whose code this program has just made.
    pub(crate) fn made(engine: &Engine, code: &[u8]) -> Option<Component> {
        deserialize(engine, code)
    }

    /// Keeps code. What goes wrong is no error: the code is made again next time.
    pub(crate) fn keep(&self, digest: &Digest, code: &[u8]) {
        let Some(path) = self.path(digest) else { return };
        if let Err(error) = write(&path, code) {
            tracing::warn!(path = %path.display(), %error, "cannot keep machine code of a plugin");
        }
        if let Some(dir) = &self.dir {
            make_room(dir, MOST);
        }
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        let name = format!("{}-{}.cwasm", digest.hex(), self.compatibility);
        self.dir.as_ref().map(|dir| dir.join(name))
    }
}

#[expect(unsafe_code, reason = "wasmtime takes machine code on trust")]
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the code was made by `precompile_component` of this program or an earlier build of it, and is unchanged:
    // it is part of this executable, or came from the compiler of this very program, or was read from a directory that
    // `prepare` found to be this user's alone and agrees with its checksum. wasmtime refuses code of other versions and
    // settings.
    unsafe { Component::deserialize(engine, code) }.ok()
}

fn prepare(dir: &Path) -> Result<(), RuntimeError> {
    let error = |source| RuntimeError::CacheDir {
        path: dir.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(error)?;
    let meta = fs::symlink_metadata(dir).map_err(error)?;
    let user = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != user || meta.mode() & 0o077 != 0 {
        return Err(RuntimeError::CacheDirOpen {
            path: dir.to_owned(),
            found: format!(
                "{} with owner {} and mode {:04o}",
                if meta.is_dir() {
                    "a directory"
                } else {
                    "no directory"
                },
                meta.uid(),
                meta.mode() & 0o7777
            ),
        });
    }
    Ok(())
}

/// Removes what was made longest ago, until `most` bytes are left. Others may do the same at the same time.
fn make_room(dir: &Path, most: u64) {
    let listing = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, u64, PathBuf)> = listing
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some((meta.modified().ok()?, meta.len(), entry.path()))
        })
        .collect();
    files.sort_unstable();
    let mut left: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if left <= most {
            break;
        }
        _ = fs::remove_file(path);
        left -= size;
    }
}

fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&checksum(code))?;
    file.write_all(code)?;
    file.persist(path)?;
    Ok(())
}

/// Returns a CRC-32: a tenth of the time of a digest, which would be most of the time of a start.
fn checksum(code: &[u8]) -> [u8; SUM] {
    crc32fast::hash(code).to_le_bytes()
}

/// A hash that is the same in every run; the standard library promises that for none of its own.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_code_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["b", "a", "c"];
        for (age, name) in names.iter().enumerate() {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_len(10).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            file.set_modified(time).unwrap();
        }
        let left = |most| {
            make_room(dir.path(), most);
            names.map(|name| dir.path().join(name).exists())
        };
        assert_eq!(left(30), [true, true, true]);
        assert_eq!(left(29), [false, true, true]);
        assert_eq!(left(0), [false, false, false]);
    }
}
