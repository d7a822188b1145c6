//! Checkouts that keep their `.git`.

use std::path::Path;

use super::Job;
use super::command::Call;
use super::remote::Remote;
use super::repository::Repository;
use super::resolve::Resolved;
use crate::FetchError;

/// The name that a commit has on its way.
const PASSING: &str = "refs/kiln/passing";

impl Job<'_> {
    /// Makes a repository with a working tree: one commit, the branch or tag that was asked for, and where it is from.
    pub(super) async fn keep_repository(
        &self,
        repository: &Repository,
        resolved: &Resolved,
        directory: &Path,
    ) -> Result<(), FetchError> {
        let own = directory.join(".git");
        let call = |words: &[&str]| Call::new("checkout remote", words);
        // A submodule's place is there already, as an empty directory.
        std::fs::create_dir_all(&own).map_err(FetchError::file("create", &own))?;
        self.git(&Call {
            work_tree: Some(directory),
            ..call(&["init", "--quiet", "--template="]).at(&own)
        })
        .await?;
        let object = resolved.tag.as_ref().unwrap_or(&resolved.commit);
        self.git(&call(&["update-ref", PASSING, object]).at(&repository.path))
            .await?;
        let from = Remote::Local(repository.path.clone());
        let pair = match &resolved.reference {
            Some(full) => format!("+{PASSING}:{full}"),
            None => PASSING.to_owned(),
        };
        let words = [
            "fetch",
            "--quiet",
            "--update-head-ok",
            "--no-tags",
            "--depth=1",
            "origin",
            &pair,
        ];
        self.git(&call(&words).at(&own).origin(&from)).await?;
        let commit = resolved.commit.as_str();
        self.git(&Call {
            work_tree: Some(directory),
            ..call(&["read-tree", "--reset", "-u", commit]).at(&own)
        })
        .await?;
        self.git(&call(&["update-ref", "--no-deref", "HEAD", commit]).at(&own))
            .await?;
        for (key, value) in [
            ("remote.origin.url", repository.remote.shown()),
            (
                "remote.origin.fetch",
                "+refs/heads/*:refs/remotes/origin/*".to_owned(),
            ),
        ] {
            self.git(&call(&["config", key, &value]).at(&own)).await?;
        }
        for name in ["FETCH_HEAD", "ORIG_HEAD"] {
            let _missing = std::fs::remove_file(own.join(name));
        }
        Ok(())
    }
}
