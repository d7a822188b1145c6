//! Outputs that are files: tar and local directories.

use std::collections::HashMap;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use kiln_export::Destination;
use kiln_export::Output;
use kiln_image::Platform;
use kiln_progress::Step;
use kiln_tree::ChangeSet;
use kiln_tree::Entry;
use kiln_tree::Metadata;
use kiln_tree::Node;
use kiln_tree::Timestamp;
use kiln_tree::TreePath;

use super::AnyError;
use super::Built;
use super::Export;
use crate::layers::Ref;

/// Opens the destination and hands it to `write`. A file appears only when it is whole.
pub(crate) fn to_file(
    dest: &Destination,
    write: impl FnOnce(&mut (dyn Write + Send), &Path) -> Result<(), AnyError>,
) -> Result<(), AnyError> {
    let place = super::image::place(dest);
    match dest {
        Destination::Stdout => {
            let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
            write(&mut out, place)?;
            Ok(out.flush()?)
        }
        Destination::Path(path) => {
            let failed = |action: &str, error: io::Error| -> AnyError {
                format!("cannot {action} `{}`: {error}", path.display()).into()
            };
            let parent = path
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            std::fs::create_dir_all(parent).map_err(|error| failed("create the directory of", error))?;
            if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
                // A pipe or a device: written in place.
                let mut out = std::fs::File::options()
                    .write(true)
                    .open(path)
                    .map_err(|e| failed("open", e))?;
                return write(&mut out, place);
            }
            let file = tempfile::Builder::new().prefix(".kiln-").tempfile_in(parent);
            let mut file = file.map_err(|error| failed("write to the directory of", error))?;
            write(file.as_file_mut(), place)?;
            use std::os::unix::fs::PermissionsExt as _;
            let umask = rustix::process::umask(rustix::fs::Mode::empty());
            rustix::process::umask(umask);
            let mode = std::fs::Permissions::from_mode(0o666 & !umask.as_raw_mode());
            file.as_file()
                .set_permissions(mode)
                .map_err(|error| failed("write", error))?;
            file.persist(path).map_err(|error| failed("write", error.error))?;
            Ok(())
        }
    }
}

impl Export<'_> {
    async fn flat(&self, stack: &Ref) -> Result<(ChangeSet, Arc<crate::layers::Contents>), AnyError> {
        let files = self.build.layers.tree(stack).await?.flatten();
        let source = self.build.layers.content_source(&files).await?;
        Ok((files, source))
    }

    pub(super) async fn tar(
        &self,
        step: &Step,
        dest: &Destination,
        epoch: Option<i64>,
    ) -> Result<(), AnyError> {
        let mut all = Vec::new();
        let mut sources = Vec::new();
        for built in self.built {
            let (files, source) = self.flat(&built.stack).await?;
            if self.multi {
                all.extend(below(
                    &files,
                    &directory_name(self.platform(built)),
                    self.build.created.as_second(),
                )?);
            } else {
                all.extend(files.into_entries());
            }
            sources.push(source);
        }
        let part = step.part("sending", "sending tarball", 0);
        let dest = dest.clone();
        let write = move || {
            let files = ChangeSet::new(all);
            let source = crate::layers::Contents::join(&sources);
            to_file(&dest, |out, _| {
                Ok(kiln_export::write_tar(&files, &source, out, epoch)?)
            })
        };
        tokio::task::spawn_blocking(write).await??;
        part.done();
        Ok(())
    }

    pub(super) async fn local(&self, step: &Step, output: &Output) -> Result<(), AnyError> {
        let Output::Local {
            dest,
            platform_split,
            mode,
            epoch,
        } = output
        else {
            return Ok(());
        };
        let (mode, epoch) = (*mode, epoch.or(self.epoch));
        let split = platform_split.unwrap_or(self.multi);
        let part = step.part("copying", "copying files", 0);
        let mut written = HashMap::new();
        for built in self.built {
            let (files, source) = self.flat(&built.stack).await?;
            if !split && self.built.len() > 1 {
                note_files(&mut written, &files, self.platform(built))?;
            }
            let dest = if split {
                dest.join(directory_name(self.platform(built)))
            } else {
                dest.clone()
            };
            let write = move || kiln_export::write_local(&files, &*source, &dest, mode, epoch);
            tokio::task::spawn_blocking(write).await??;
        }
        part.done();
        Ok(())
    }

    fn platform<'a>(&'a self, built: &'a Built) -> &'a Platform {
        built
            .output
            .platform
            .as_ref()
            .unwrap_or(&self.build.config.platform)
    }
}

/// Notes what a platform writes into the directory that all platforms share.
fn note_files(
    written: &mut HashMap<TreePath, Platform>,
    files: &ChangeSet,
    platform: &Platform,
) -> Result<(), AnyError> {
    for entry in files.entries().iter().filter(|entry| !entry.node.is_directory()) {
        if let Some(other) = written.insert(entry.path.clone(), platform.clone()) {
            return Err(format!(
                "cannot overwrite {} from {other} with {platform} when split option is disabled",
                entry.path.to_string().trim_start_matches('/')
            )
            .into());
        }
    }
    Ok(())
}

fn directory_name(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

/// Moves a tree below a directory.
fn below(files: &ChangeSet, directory: &str, seconds: i64) -> Result<Vec<Entry>, AnyError> {
    let root = TreePath::parse(directory)?;
    let meta = Metadata {
        mode: 0o755,
        mtime: Timestamp { seconds, nanos: 0 },
        ..Metadata::default()
    };
    let mut entries = vec![Entry {
        path: root.clone(),
        meta,
        node: Node::Directory { opaque: false },
    }];
    for entry in files.entries() {
        let mut entry = entry.clone();
        entry.path = root.join(&entry.path)?;
        if let Node::Hardlink { target } = &mut entry.node {
            *target = root.join(target)?;
        }
        entries.push(entry);
    }
    Ok(entries)
}
