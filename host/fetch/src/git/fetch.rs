//! Bringing commits into the kept repository.

use kiln_image::Digest;

use super::Job;
use super::command::Call;
use super::repository::Repository;
use super::resolve::Resolved;
use crate::FetchError;

impl Job<'_> {
    /// Makes sure that the repository has a commit, with as little as the server can be talked into sending.
    pub(super) async fn fetch(&self, repository: &Repository, wanted: &Resolved) -> Result<(), FetchError> {
        if self.has(repository, wanted).await {
            return Ok(());
        }
        if let Some(full) = &wanted.reference {
            let name = Digest::of(full).hex();
            self.fetch_one(repository, &format!("+{full}:refs/kiln/{name}"))
                .await?;
            if self.has(repository, wanted).await {
                return Ok(());
            }
            // The branch has moved since.
        }
        let object = wanted.tag.as_ref().unwrap_or(&wanted.commit);
        let by_name = self
            .fetch_one(repository, &format!("+{object}:refs/kiln/{object}"))
            .await;
        if by_name.is_ok() && self.has(repository, wanted).await {
            return Ok(());
        }
        // The server gives nothing that no branch names: its history has to come.
        self.fetch_all(repository).await?;
        if self.has(repository, wanted).await {
            return Ok(());
        }
        by_name?;
        Err(FetchError::GitNoRef {
            remote: repository.remote.shown(),
            reference: wanted.commit.clone(),
            output: String::new(),
        })
    }

    async fn has(&self, repository: &Repository, wanted: &Resolved) -> bool {
        let commit = format!("{}^{{commit}}", wanted.commit);
        for object in [Some(commit.as_str()), wanted.tag.as_deref()]
            .into_iter()
            .flatten()
        {
            let quiet = Job {
                config: self.config,
                source: self.source,
                access: super::access::Access::none(self.config, self.source),
                caller: &crate::Nobody,
                client: self.client,
                moved: tokio::sync::OnceCell::new(),
            };
            let call = Call::new("look into", &["cat-file", "-e", object]).at(&repository.path);
            if quiet.git(&call).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Fetches without history. Servers that cannot leave it out send it.
    async fn fetch_one(&self, repository: &Repository, pair: &str) -> Result<(), FetchError> {
        let words = [
            "fetch",
            "--no-write-fetch-head",
            "--no-tags",
            "--force",
            "--depth=1",
            "origin",
            pair,
        ];
        let call = |words: &[&str]| Call::new("fetch remote", words);
        match self
            .git(&call(&words).at(&repository.path).origin(&repository.remote))
            .await
        {
            Err(FetchError::Git { stderr, .. })
                if stderr.contains("shallow") || stderr.contains("--depth") =>
            {
                let words: Vec<&str> = words.into_iter().filter(|word| *word != "--depth=1").collect();
                self.git(&call(&words).at(&repository.path).origin(&repository.remote))
                    .await?;
                Ok(())
            }
            done => done.map(drop),
        }
    }

    async fn fetch_all(&self, repository: &Repository) -> Result<(), FetchError> {
        let mut words = vec!["fetch", "--no-write-fetch-head", "--force"];
        if repository.path.join("shallow").exists() {
            words.push("--unshallow");
        }
        words.extend(["origin", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        let call = Call::new("fetch remote", &words)
            .at(&repository.path)
            .origin(&repository.remote);
        self.git(&call).await.map(drop)
    }

    pub(super) async fn commit_time(&self, wanted: &Resolved) -> Result<i64, FetchError> {
        let repository = self.repository(&self.source.remote).await?;
        self.fetch(&repository, wanted).await?;
        self.time_of(&repository, &wanted.commit).await
    }

    pub(super) async fn time_of(&self, repository: &Repository, commit: &str) -> Result<i64, FetchError> {
        let words = ["show", "--no-patch", "--format=%ct", commit];
        let answer = self
            .git(&Call::new("look into", &words).at(&repository.path))
            .await?;
        let text = String::from_utf8_lossy(&answer);
        text.trim().parse().map_err(|_| FetchError::Git {
            action: "look into",
            remote: self.source.remote.shown(),
            stderr: format!("the commit {commit} has no time"),
            status: "exit status 0".to_owned(),
            hint: String::new(),
        })
    }
}
