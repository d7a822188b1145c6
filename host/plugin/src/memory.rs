//! A file tree in memory: for tests and for build files that come from standard input.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_image::Digest;
use kiln_pattern::Patterns;

use crate::EntryKind;
use crate::FileBlob;
use crate::FileEntry;
use crate::FileTree;
use crate::Filter;
use crate::HostError;

/// Regular files in memory, mode 0644, and the directories above them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    files: BTreeMap<String, Option<Arc<[u8]>>>,
}

impl MemoryTree {
    /// Returns an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file and the directories above it.
    #[must_use]
    pub fn file(mut self, path: &str, data: impl AsRef<[u8]>) -> Self {
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.files.entry(above.to_owned()).or_default();
            parent = above;
        }
        self.files.insert(path.to_owned(), Some(Arc::from(data.as_ref())));
        self
    }

    /// Returns the files that a filter wants, with the directories above them. Links do not occur here, so there is
    /// nothing to follow but the paths themselves.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn filtered(&self, filter: &Filter) -> Result<Self, HostError> {
        let patterns =
            |texts: &[String]| Patterns::new(texts).map_err(|error| HostError::Invalid(error.to_string()));
        let wanted = patterns(&[filter.include.clone(), filter.follow.clone()].concat())?;
        let unwanted = patterns(&filter.exclude)?;
        let all = filter.include.is_empty() && filter.follow.is_empty();
        let mut tree = Self::new();
        for (path, data) in &self.files {
            let (path, Some(data)) = (path.as_str(), data) else {
                continue;
            };
            let is_wanted = all || wanted.matches_or_parent_matches(path.as_bytes());
            if is_wanted && !unwanted.matches_or_parent_matches(path.as_bytes()) {
                tree = tree.file(path, data);
            }
        }
        Ok(tree)
    }
}

fn entry(path: &str, data: Option<&Arc<[u8]>>) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        kind: match data {
            Some(_) => EntryKind::File,
            None => EntryKind::Directory,
        },
        size: data.map_or(0, |data| data.len() as u64),
        mode: if data.is_some() { 0o644 } else { 0o755 },
        uid: 0,
        gid: 0,
        target: None,
    }
}

#[async_trait]
impl FileTree for MemoryTree {
    async fn stat(&self, path: &str) -> Result<Option<FileEntry>, HostError> {
        Ok(self.files.get(path).map(|data| entry(path, data.as_ref())))
    }

    async fn glob(
        &self,
        patterns: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FileEntry>, HostError> {
        let patterns = Patterns::new(patterns).map_err(|e| HostError::Invalid(e.to_string()))?;
        let matching = self
            .files
            .iter()
            .filter(|(path, _)| after.is_none_or(|after| path.as_str() > after))
            .filter(|(path, _)| patterns.matches_or_parent_matches(path.as_bytes()));
        Ok(matching
            .take(limit)
            .map(|(path, data)| entry(path, data.as_ref()))
            .collect())
    }

    async fn open(&self, path: &str) -> Result<Arc<dyn FileBlob>, HostError> {
        match self.files.get(path) {
            Some(Some(data)) => Ok(Arc::new(MemoryBlob(Arc::clone(data)))),
            Some(None) => Err(HostError::Invalid(format!("`{path}` is not a regular file"))),
            None => Err(HostError::NotFound(format!(
                "`{path}`: no such file or directory"
            ))),
        }
    }
}

#[derive(Debug)]
struct MemoryBlob(Arc<[u8]>);

#[async_trait]
impl FileBlob for MemoryBlob {
    async fn digest(&self) -> Result<Digest, HostError> {
        Ok(Digest::of(&self.0))
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(len as usize).min(self.0.len());
        Ok(self.0[start..end].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> MemoryTree {
        MemoryTree::new().file("a", "12345").file("b/c", "678")
    }

    #[tokio::test]
    async fn whole_files_respect_the_limit() {
        assert_eq!(tree().read("a", 5).await.unwrap(), b"12345");
        assert!(matches!(tree().read("a", 4).await, Err(HostError::Limit(_))));
        assert!(matches!(tree().read("b", 4).await, Err(HostError::Invalid(_))));
        assert!(matches!(tree().read("x", 4).await, Err(HostError::NotFound(_))));
    }

    #[tokio::test]
    async fn many_files_leave_out_what_is_missing_and_stop_before_the_limit() {
        let paths = ["a", "b", "x", "b/c"].map(str::to_owned);
        assert_eq!(tree().read_many(&paths, 8).await.unwrap().len(), 2);
        assert_eq!(tree().read_many(&paths, 7).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn listings_are_sorted_and_come_in_pages() {
        let all = ["**".to_owned()];
        let page = tree().glob(&all, None, 2).await.unwrap();
        let names: Vec<_> = page.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let rest = tree().glob(&all, Some("b"), 2).await.unwrap();
        assert_eq!(rest.len(), 1);
    }
}
