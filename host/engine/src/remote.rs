//! Sources that come from elsewhere: files of http servers, commits of git repositories.
//!
//! A file is fetched when its key is asked for, unless its checksum is given: then the key needs no server. What a
//! server calls a file's version (its ETag) is kept with the file, so that the next build asks instead of fetching.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use kiln_fetch::Caller;
use kiln_fetch::Config;
use kiln_fetch::Download;
use kiln_fetch::FetchError;
use kiln_fetch::Git;
use kiln_fetch::GitSource;
use kiln_fetch::Http;
use kiln_fetch::HttpAnswer;
use kiln_fetch::HttpSource;
use kiln_fetch::Known;
use kiln_fetch::Resolved;
use kiln_giturl::redact;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_plugin::ResolvedSource;
use kiln_progress::Event;
use kiln_progress::Status;
use kiln_progress::Stream;
use kiln_store::Owner;
use kiln_store::OwnerInfo;
use kiln_store::StoreError;
use serde::Deserialize;
use serde::Serialize;

use crate::build::BuildContext;
use crate::build::cell;
use crate::error::EngineError;
use crate::layers::Layer;
use crate::layers::LayerId;
use crate::layers::LayersError;
use crate::layers::Ref;

/// Bucket of the files that servers may say have not changed.
const FILES: &str = "source.http";
/// Most versions of one file that are remembered.
const VERSIONS: usize = 8;
/// Least time between two reports of one download.
const REPORT_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// Who fetches.
#[derive(Debug)]
pub(crate) struct Fetchers {
    pub(crate) http: Http,
    pub(crate) git: Git,
}

impl Fetchers {
    pub(crate) fn new(config: &Config) -> Result<Self, FetchError> {
        Ok(Self {
            http: Http::new(config)?,
            git: Git::new(config.clone())?,
        })
    }
}

/// A file of an http server.
#[derive(Debug, Clone)]
pub(crate) struct HttpFile {
    pub(crate) filename: String,
    pub(crate) digest: String,
    pub(crate) last_modified: Option<String>,
    /// The file; none when its checksum is all that was needed so far.
    layer: Option<Arc<Layer>>,
}

/// A version of a file, as the store remembers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Version {
    etag: String,
    digest: String,
    last_modified: Option<String>,
    layer: Digest,
}

/// Asks for a source in the name of a step.
struct Asking<'b> {
    build: &'b BuildContext,
    vertex: Digest,
    download: Option<Downloading<'b>>,
}

impl Caller for Asking<'_> {
    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        self.build.request.secrets.get(id).map(|secret| secret.0.to_vec())
    }

    fn agent(&self, id: &str) -> Option<PathBuf> {
        self.build.request.ssh.get(id).cloned()
    }

    fn said(&self, line: &str) {
        self.build.sink.emit(Event::Log {
            vertex: self.vertex,
            stream: Stream::Stderr,
            data: format!("{line}\n").into_bytes(),
            at: SystemTime::now(),
        });
    }

    fn progress(&self, current: u64, total: Option<u64>) {
        if let Some(download) = &self.download {
            download.advance(current, total);
        }
    }
}

impl BuildContext {
    /// Returns what a file of an http server is, found out once in a build.
    pub(crate) async fn http_file(
        &self,
        source: &HttpSource,
        vertex: Digest,
    ) -> Result<HttpFile, EngineError> {
        if let Some(checksum) = &source.checksum {
            return Ok(HttpFile {
                filename: source.expected_filename(),
                digest: checksum.clone(),
                last_modified: None,
                layer: None,
            });
        }
        let cell = cell(&self.files, identity(source));
        let fetch = || self.fetch_file(source, vertex);
        Ok(cell.get_or_try_init(fetch).await?.clone())
    }

    /// Returns a file of an http server as a layer.
    pub(crate) async fn http_layer(&self, source: &HttpSource, vertex: Digest) -> Result<Ref, EngineError> {
        let cell = cell(&self.files, identity(source));
        let fetch = || self.fetch_file(source, vertex);
        let file = cell.get_or_try_init(fetch).await?;
        Ok(Ref::new(file.layer.iter().cloned().collect()))
    }

    async fn fetch_file(&self, source: &HttpSource, vertex: Digest) -> Result<HttpFile, EngineError> {
        let key = Digest::of(identity(source));
        // With a checksum the file is fetched only when nobody has it: whatever a server remembers is of no use.
        let versions = if source.checksum.is_some() {
            Vec::new()
        } else {
            self.versions(&key)?
        };
        let known: Vec<Known> = versions
            .iter()
            .map(|(version, _)| Known {
                etag: version.etag.clone(),
            })
            .collect();
        let dir = self.layers.new_dir()?;
        let asking = Asking {
            download: Some(Downloading::new(self, vertex, source)),
            ..self.asking(vertex)
        };
        let upper = dir.upper();
        let fetched = self.fetchers.http.fetch(source, &known, &asking, &upper);
        match fetched.await? {
            HttpAnswer::Known { etag, filename } => {
                let found = versions.into_iter().find(|(version, _)| version.etag == etag);
                let (version, layer) =
                    found.ok_or(EngineError::Panicked("an unknown version is known".to_owned()))?;
                self.layers.store().touch(&Owner::new(FILES, key.as_bytes()));
                Ok(HttpFile {
                    filename,
                    digest: version.digest,
                    last_modified: version.last_modified,
                    layer: Some(layer),
                })
            }
            HttpAnswer::New(download) => {
                if let Some(report) = &asking.download {
                    report.done(download.size);
                }
                let shown = format!("http url {}", redact(source.url.as_str()));
                let owner = (source.uid, source.gid);
                let layer = self.layers.commit_fetched(dir, owner, shown.clone()).await?;
                self.remember(&key, versions, (&download, &layer), shown)?;
                Ok(HttpFile {
                    filename: download.filename,
                    digest: download.digest,
                    last_modified: download.last_modified,
                    layer: Some(layer),
                })
            }
        }
    }

    /// Returns the versions of a file that are still here.
    fn versions(&self, key: &Digest) -> Result<Vec<(Version, Arc<Layer>)>, EngineError> {
        let stored = self
            .layers
            .store()
            .get(FILES, key.as_bytes())
            .map_err(LayersError::from)?;
        let versions: Vec<Version> = stored
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let mut found = Vec::new();
        for version in versions {
            if let Some(layer) = self
                .layers
                .load(LayerId(version.layer))
                .map_err(LayersError::from)?
            {
                found.push((version, layer));
            }
        }
        Ok(found)
    }

    fn remember(
        &self,
        key: &Digest,
        versions: Vec<(Version, Arc<Layer>)>,
        (download, layer): (&Download, &Arc<Layer>),
        description: String,
    ) -> Result<(), EngineError> {
        let Some(etag) = download.etag.clone() else {
            return Ok(());
        };
        let newest = Version {
            etag: etag.clone(),
            digest: download.digest.clone(),
            last_modified: download.last_modified.clone(),
            layer: layer.id().0,
        };
        let older = versions.into_iter().map(|(version, _)| version);
        let all: Vec<Version> = [newest]
            .into_iter()
            .chain(older.filter(|version| version.etag != etag))
            .take(VERSIONS)
            .collect();
        let objects: Vec<_> = all
            .iter()
            .map(|version| LayerId(version.layer).object())
            .collect();
        let bytes = serde_json::to_vec(&all).unwrap_or_default();
        let info = OwnerInfo {
            description,
            ..OwnerInfo::default()
        };
        let owner = Owner::new(FILES, key.as_bytes());
        let write = |entries: &kiln_store::Entries<'_>| {
            entries.put(FILES, key.as_bytes(), &bytes)?;
            entries.refer_as(&owner, &info, &objects)
        };
        match self.layers.store().transaction(write) {
            // Something else made room meanwhile: it is forgotten, and the next build fetches again.
            Err(StoreError::NotFound { .. }) => Ok(()),
            done => Ok(done.map_err(LayersError::from)?),
        }
    }

    /// Returns which commit a source means, found out once in a build.
    pub(crate) async fn commit(&self, source: &GitSource, vertex: Digest) -> Result<Resolved, EngineError> {
        let cell = cell(&self.commits, format!("{source:?}"));
        let resolve = || async {
            let asking = self.asking(vertex);
            let resolved = self.fetchers.git.resolve(source, &asking);
            Ok::<_, EngineError>(resolved.await?)
        };
        Ok(cell.get_or_try_init(resolve).await?.clone())
    }

    /// Returns the files of a commit as a layer.
    pub(crate) async fn checkout(&self, source: &GitSource, vertex: Digest) -> Result<Ref, EngineError> {
        let resolved = self.commit(source, vertex).await?;
        let dir = self.layers.new_dir()?;
        let (asking, upper) = (self.asking(vertex), dir.upper());
        let checkout = self.fetchers.git.checkout(source, &resolved, &upper, &asking);
        checkout.await?;
        let shown = format!("git snapshot for {}#{}", source.shown(), resolved.commit);
        let layer = self.layers.commit_fetched(dir, (0, 0), shown).await?;
        Ok(Ref::new(vec![layer]))
    }

    /// Pins a source and tells what is known of it, by the names of the plugins' contract.
    pub(crate) async fn resolve_source(
        &self,
        source: &Source,
        vertex: Digest,
    ) -> Result<ResolvedSource, EngineError> {
        let mut pinned = source.clone();
        let mut attrs = BTreeMap::new();
        let mut tell = |key: &str, value: Option<String>| {
            attrs.extend(value.map(|value| (key.to_owned(), value)));
        };
        match source.identifier.split_once("://").map(|(scheme, _)| scheme) {
            Some("git") => {
                let git = GitSource::parse(&source.identifier, &source.attrs)?;
                let commit = self.commit(&git, vertex).await?;
                let asking = self.asking(vertex);
                let time = self.fetchers.git.commit_time(&git, &commit, &asking);
                tell("git.commit-time", Some(time.await?.to_string()));
                tell("git.commit", Some(commit.commit.clone()));
                tell("git.tag", commit.tag);
                tell("git.ref", commit.reference);
                pinned.attrs.insert("git.checksum".to_owned(), commit.commit);
            }
            Some("http" | "https") => {
                let mut http = HttpSource::parse(&source.identifier, &source.attrs)?;
                // What the server says of the file is wanted, and the file is needed for that.
                let expected = http.checksum.take();
                let file = self.http_file(&http, vertex).await?;
                if let Some(expected) = expected.filter(|expected| expected.starts_with("sha256:"))
                    && expected != file.digest
                {
                    return Err(FetchError::Digest {
                        url: redact(http.url.as_str()),
                        actual: file.digest,
                        expected,
                    }
                    .into());
                }
                pinned
                    .attrs
                    .insert("http.checksum".to_owned(), file.digest.clone());
                tell("http.checksum", Some(file.digest));
                tell("http.filename", Some(file.filename));
                tell("http.last-modified", file.last_modified);
            }
            _ => return Err(EngineError::UnknownSource(source.identifier.clone())),
        }
        Ok(ResolvedSource { pinned, attrs })
    }

    fn asking(&self, vertex: Digest) -> Asking<'_> {
        Asking {
            build: self,
            vertex,
            download: None,
        }
    }
}

/// Returns what makes two uses of a file the same.
fn identity(source: &HttpSource) -> String {
    format!("{source:?}")
}

/// Reports a download under the step that needs it.
struct Downloading<'b> {
    build: &'b BuildContext,
    vertex: Digest,
    id: String,
    started: SystemTime,
    last: std::sync::Mutex<Option<std::time::Instant>>,
}

impl<'b> Downloading<'b> {
    fn new(build: &'b BuildContext, vertex: Digest, source: &HttpSource) -> Self {
        Self {
            build,
            vertex,
            id: redact(source.url.as_str()),
            started: SystemTime::now(),
            last: std::sync::Mutex::default(),
        }
    }

    fn advance(&self, current: u64, total: Option<u64>) {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            *last = Some(std::time::Instant::now());
            self.emit(current, total.unwrap_or_default(), None);
        }
    }

    fn done(&self, size: u64) {
        self.emit(size, size, Some(SystemTime::now()));
    }

    fn emit(&self, current: u64, total: u64, completed: Option<SystemTime>) {
        self.build.sink.emit(Event::Status(Status {
            vertex: self.vertex,
            id: self.id.clone(),
            action: "downloading",
            current,
            total,
            started: self.started,
            completed,
        }));
    }
}
