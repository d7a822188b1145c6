//! A build without a build: a folder in memory, and images that are whatever they are called. What authors run their
//! plugins on; the same on every machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::MemoryTree;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;

/// Most files of a folder, and most bytes of all of them.
const FILES: usize = 10_000;
const BYTES: u64 = 64 << 20;

/// Answers a frontend's questions from a folder.
#[derive(Debug)]
pub(crate) struct Fixture {
    files: MemoryTree,
    /// What the plugin logged and reported.
    pub(crate) said: Mutex<Vec<String>>,
}

impl Fixture {
    /// Makes a fixture of a folder's files.
    pub(crate) fn new(files: MemoryTree) -> Self {
        Self {
            files,
            said: Mutex::default(),
        }
    }

    fn say(&self, line: String) {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
}

/// Reads a folder. Symbolic links and other special files are left out.
///
/// # Errors
/// It cannot be read, or is too large for a fixture.
pub(crate) fn tree_of(folder: &Path) -> std::io::Result<MemoryTree> {
    let (mut tree, mut files, mut bytes) = (MemoryTree::new(), 0, 0);
    let mut todo = vec![(folder.to_owned(), String::new())];
    while let Some((directory, prefix)) = todo.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            let name =
                name.map_err(|name| std::io::Error::other(format!("{} is not UTF-8", name.display())))?;
            let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
            if kind.is_dir() {
                todo.push((entry.path(), format!("{path}/")));
            } else if kind.is_file() {
                files += 1;
                bytes += entry.metadata()?.len();
                if files > FILES || bytes > BYTES {
                    return Err(std::io::Error::other("more than 10000 files or 64 MiB"));
                }
                tree = tree.file(&path, std::fs::read(entry.path())?);
            }
        }
    }
    Ok(tree)
}

fn nothing(what: &str) -> HostError {
    HostError::Unavailable(format!(
        "{what}: nothing is fetched or built here; `kiln build` does"
    ))
}

#[async_trait]
impl FrontendBridge for Fixture {
    async fn resolve_image(
        &self,
        identifier: &str,
        platform: Option<&Platform>,
        _mode: &str,
        _name: &str,
    ) -> Result<ResolvedImage, HostError> {
        let name = identifier.split_once("://").map_or(identifier, |(_, name)| name);
        let reference: kiln_image::Reference = name
            .parse()
            .map_err(|error: kiln_image::ParseReferenceError| HostError::Invalid(error.to_string()))?;
        let digest = reference
            .digest()
            .copied()
            .unwrap_or_else(|| Digest::of(reference.to_string()));
        let (os, architecture) =
            platform.map_or(("linux", "amd64"), |p| (p.os.as_str(), p.architecture.as_str()));
        let config = serde_json::json!({
            "architecture": architecture,
            "os": os,
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        Ok(ResolvedImage {
            reference: reference.with_digest(digest).to_string(),
            digest: digest.to_string(),
            config: config.to_string().into_bytes(),
        })
    }

    async fn resolve_source(&self, source: &Source, _name: &str) -> Result<ResolvedSource, HostError> {
        Err(nothing(&source.identifier))
    }

    async fn context(&self, name: &str, filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        match name {
            "context" | "dockerfile" => Ok(Some(Arc::new(self.files.filtered(filter)?))),
            _ => Ok(None),
        }
    }

    async fn solve(&self, _definition: &Definition, _result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        Err(nothing("a part of the graph"))
    }

    async fn call_frontend(&self, name: &str, _request: &Request) -> Result<Lowered, Failure> {
        Err(Failure::of(format!(
            "the frontend `{name}` is not called here; `kiln build` does"
        )))
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.say(format!("{:?}: {}", diagnostic.severity, diagnostic.message).to_lowercase());
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.say(format!("log {level:?}: {message}"));
    }
}
