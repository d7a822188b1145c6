//! Checkouts of git repositories, by running the program `git`.
//!
//! git sees no configuration but ours, runs no hooks, asks no questions and speaks only the protocols that a source
//! may use. URLs reach it as configuration and never as words of a command line. Submodules are fetched here, not by
//! `git submodule`, under the same rules as the repository itself.

mod access;
mod checkout;
mod command;
mod fetch;
mod keep;
mod remote;
mod repository;
mod resolve;
mod source;
mod submodules;

use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use tokio::sync::OnceCell;

use crate::Caller;
use crate::Config;
use crate::FetchError;
use crate::http::Client;
use access::Access;
use checkout::Budget;
pub use repository::Kept;
pub use resolve::Resolved;
pub use source::GitSource;

/// Makes checkouts. Repositories are kept and shared by everybody who uses the directory.
#[derive(Debug)]
pub struct Git {
    config: Config,
    client: Client,
}

/// One use of one source.
struct Job<'j> {
    config: &'j Config,
    source: &'j GitSource,
    access: Access<'j>,
    caller: &'j dyn Caller,
    client: &'j Client,
    /// Where the source's repository has moved to.
    moved: OnceCell<String>,
}

impl Git {
    /// Sets git up; it is not run yet.
    ///
    /// # Errors
    /// When a proxy is no URL.
    pub fn new(config: Config) -> Result<Self, FetchError> {
        let client = Client::new(&config)?;
        Ok(Self { config, client })
    }

    /// Finds out which commit the source means.
    ///
    /// # Errors
    /// When the repository cannot be reached, has no such branch or tag, or another commit than is asked for.
    pub async fn resolve(&self, source: &GitSource, caller: &dyn Caller) -> Result<Resolved, FetchError> {
        self.timed(source, async { self.job(source, caller)?.resolve().await })
            .await
    }

    /// Puts the source's files into `directory`, which is empty. Room for other files is made beside it.
    ///
    /// # Errors
    /// When the commit cannot be had, or is not usable.
    pub async fn checkout(
        &self,
        source: &GitSource,
        resolved: &Resolved,
        directory: &Path,
        caller: &dyn Caller,
    ) -> Result<(), FetchError> {
        self.timed(source, async {
            let job = self.job(source, caller)?;
            let mut budget = Budget::new(&self.config.limits);
            job.checkout(resolved, directory, &mut budget).await
        })
        .await
    }

    /// Returns when the commit was made, in seconds since 1970.
    ///
    /// # Errors
    /// When the commit cannot be had.
    pub async fn commit_time(
        &self,
        source: &GitSource,
        resolved: &Resolved,
        caller: &dyn Caller,
    ) -> Result<i64, FetchError> {
        self.timed(source, async {
            self.job(source, caller)?.commit_time(resolved).await
        })
        .await
    }

    /// Removes repositories that nobody used for `age`.
    ///
    /// # Errors
    /// When one of them cannot be removed.
    pub fn tidy(&self, age: Duration) -> Result<(), FetchError> {
        let before = SystemTime::now()
            .checked_sub(age)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        repository::remove_unused(&self.config.repositories, before)
    }

    /// Returns the repositories that are kept. What cannot be read is left out.
    pub fn kept(&self) -> Vec<Kept> {
        repository::kept(&self.config.repositories)
    }

    fn job<'j>(&'j self, source: &'j GitSource, caller: &'j dyn Caller) -> Result<Job<'j>, FetchError> {
        let access = Access::new(&self.config, source, caller)?;
        let config = &self.config;
        Ok(Job {
            config,
            source,
            access,
            caller,
            client: &self.client,
            moved: OnceCell::new(),
        })
    }

    async fn timed<T>(
        &self,
        source: &GitSource,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let limit = self.config.limits.time;
        // On the heap: the state is large.
        let done = tokio::time::timeout(limit, Box::pin(work)).await;
        done.map_err(|_| FetchError::Time {
            what: source.remote.shown(),
            seconds: limit.as_secs(),
        })?
    }
}
