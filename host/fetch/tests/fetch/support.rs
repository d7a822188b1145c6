//! What the tests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use kiln_fetch::Caller;
use kiln_fetch::Config;
use kiln_fetch::FetchError;
use kiln_fetch::Git;
use kiln_fetch::GitSource;
use kiln_fetch::Limits;
use kiln_fetch::Proxies;
use kiln_fetch::Resolved;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use tempfile::TempDir;

/// A caller with secrets, who remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) agent: Option<PathBuf>,
    pub(crate) said: Mutex<Vec<String>>,
}

impl User {
    pub(crate) fn with(id: &str, value: &str) -> Self {
        Self {
            secrets: BTreeMap::from([(id.to_owned(), value.as_bytes().to_vec())]),
            ..Self::default()
        }
    }
}

impl Caller for User {
    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        self.secrets.get(id).cloned()
    }

    fn agent(&self, _: &str) -> Option<PathBuf> {
        self.agent.clone()
    }

    fn said(&self, line: &str) {
        self.said.lock().unwrap().push(line.to_owned());
    }

    fn progress(&self, _: u64, _: Option<u64>) {}
}

/// A setting with its directory.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) limits: Limits,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            limits: Limits {
                stall: Duration::from_secs(5),
                ..Limits::default()
            },
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            user_agent: "kiln/test".to_owned(),
            proxies: Proxies::default(),
            offline: false,
            limits: self.limits.clone(),
            git: "git".into(),
            path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
            repositories: self.dir.path().join("git"),
            known_hosts: Vec::new(),
        }
    }

    pub(crate) fn git(&self) -> Git {
        Git::new(self.config()).unwrap()
    }

    /// Returns a new empty directory with room beside it.
    pub(crate) fn directory(&self) -> PathBuf {
        let parent = tempfile::Builder::new()
            .tempdir_in(self.dir.path())
            .unwrap()
            .keep();
        let directory = parent.join("files");
        std::fs::create_dir(&directory).unwrap();
        directory
    }

    /// Makes a checkout of a URL as people write it.
    pub(crate) async fn checkout(&self, url: &str, user: &User) -> Result<(PathBuf, Resolved), FetchError> {
        let (source, git) = (source(url)?, self.git());
        let resolved = git.resolve(&source, user).await?;
        let directory = self.directory();
        git.checkout(&source, &resolved, &directory, user).await?;
        Ok((directory, resolved))
    }
}

/// Reads a URL as the frontend does.
pub(crate) fn source(url: &str) -> Result<GitSource, FetchError> {
    let git = match kiln_giturl::parse(url, Known::Git) {
        GitUrl::Yes(git) => git,
        other => panic!("{url}: {other:?}"),
    };
    let attrs = git
        .attrs()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    GitSource::parse(&git.identifier(), &attrs.collect())
}

/// Writes an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
