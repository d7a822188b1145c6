//! Which commit a source means.

use super::Job;
use super::command::Call;
use super::repository;
use super::source::GitSource;
use super::source::is_commit;
use crate::FetchError;

/// The commit that a source means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub commit: String,
    /// The annotated tag that names it.
    pub tag: Option<String>,
    /// Full name of the branch or tag; none for a commit that is asked for by its own name.
    pub reference: Option<String>,
}

impl Resolved {
    /// Returns BuildKit's cache key for the source at this commit.
    pub fn key(&self, source: &GitSource) -> String {
        // With `.git` the tag is part of the result.
        let named = self.tag.as_deref().filter(|_| source.keep_git_dir);
        source.key(
            named.unwrap_or(&self.commit),
            self.reference.as_deref().unwrap_or_default(),
        )
    }
}

impl Job<'_> {
    pub(super) async fn resolve(&self) -> Result<Resolved, FetchError> {
        let (reference, checksum) = (self.source.reference.as_str(), self.source.checksum.as_str());
        if is_commit(reference) {
            if !reference.starts_with(checksum) {
                return Err(mismatch(checksum, reference.to_owned()));
            }
            return Ok(Resolved {
                commit: reference.to_owned(),
                tag: None,
                reference: None,
            });
        }
        if self.source.fetch_by_commit && is_commit(checksum) {
            return Ok(Resolved {
                commit: checksum.to_owned(),
                tag: None,
                reference: None,
            });
        }
        let resolved = if matches!(reference, "" | "HEAD") {
            self.resolve_head().await?
        } else {
            self.resolve_name(reference).await?
        };
        let tag = resolved.tag.clone().unwrap_or_default();
        if !resolved.commit.starts_with(checksum) && !tag.starts_with(checksum) {
            let actual = match resolved.tag {
                Some(tag) => format!("{tag} or {}", resolved.commit),
                None => resolved.commit,
            };
            return Err(mismatch(checksum, actual));
        }
        Ok(resolved)
    }

    async fn list(&self, words: &[&str]) -> Result<String, FetchError> {
        repository::create_dir(&self.config.repositories)?;
        let call = Call::new("fetch remote", words).origin(&self.source.remote);
        let answer = self.git(&call).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn resolve_head(&self) -> Result<Resolved, FetchError> {
        let text = self.list(&["ls-remote", "--symref", "origin", "HEAD"]).await?;
        let branch = text
            .lines()
            .find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
        let commit = text
            .lines()
            .find_map(|line| line.strip_suffix("\tHEAD").filter(|id| is_commit(id)));
        let commit = commit.ok_or_else(|| FetchError::GitNoHead(self.source.remote.shown()))?;
        let branch = branch.filter(|name| super::source::check_name(name).is_ok());
        Ok(Resolved {
            commit: commit.to_owned(),
            tag: None,
            reference: branch.map(str::to_owned),
        })
    }

    async fn resolve_name(&self, name: &str) -> Result<Resolved, FetchError> {
        let text = self
            .list(&["ls-remote", "origin", name, &format!("{name}^{{}}")])
            .await?;
        choose(&text, name).ok_or_else(|| FetchError::GitNoRef {
            remote: self.source.remote.shown(),
            reference: name.to_owned(),
            output: text.chars().take(200).collect(),
        })
    }
}

/// Chooses as `git checkout` does: the full name, the branch, the tag.
fn choose(listing: &str, name: &str) -> Option<Resolved> {
    let rows: Vec<(&str, &str)> = listing.lines().filter_map(|line| line.split_once('\t')).collect();
    let find = |wanted: &str| {
        let row = rows.iter().find(|(id, name)| *name == wanted && is_commit(id));
        row.map(|(id, _)| (*id).to_owned())
    };
    let under = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
    for full in [under("refs/"), under("refs/heads/"), under("refs/tags/")] {
        let Some(id) = find(&full) else { continue };
        let peeled = find(&format!("{full}^{{}}"));
        return Some(Resolved {
            tag: peeled.is_some().then(|| id.clone()),
            commit: peeled.unwrap_or(id),
            reference: Some(full),
        });
    }
    None
}

fn mismatch(expected: &str, actual: String) -> FetchError {
    FetchError::GitMismatch {
        expected: expected.to_owned(),
        actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_as_git_does() {
        let id = |digit: &str| digit.repeat(40);
        let listing = format!(
            "{}\trefs/heads/a\n{}\trefs/tags/a\n{}\trefs/tags/b\n{}\trefs/tags/b^{{}}\n{}\trefs/heads/x/b\n",
            id("1"),
            id("2"),
            id("3"),
            id("4"),
            id("5"),
        );
        let check = |name: &str, expect: Option<(&str, Option<&str>, &str)>| {
            let got = choose(&listing, name);
            let got = got.as_ref().map(|one| {
                (
                    one.commit.as_str(),
                    one.tag.as_deref(),
                    one.reference.as_deref().unwrap(),
                )
            });
            assert_eq!(got, expect, "{name}");
        };
        check("a", Some((&id("1"), None, "refs/heads/a")));
        check("refs/tags/a", Some((&id("2"), None, "refs/tags/a")));
        check("heads/a", Some((&id("1"), None, "refs/heads/a")));
        check("b", Some((&id("4"), Some(&id("3")), "refs/tags/b")));
        check("x/b", Some((&id("5"), None, "refs/heads/x/b")));
        check("c", None);
    }
}
