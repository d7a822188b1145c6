//! A file tree in memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use kiln_pattern::Patterns;

use crate::files::Blob;
use crate::files::Entry;
use crate::files::Kind;
use crate::files::Tree;
use crate::types::Error;

/// How many symbolic links are followed before they count as a loop, as in Linux.
const MAX_LINKS: usize = 40;
/// Entries of one page when the caller does not say.
const PAGE: usize = 4096;

/// A file tree in memory. Missing parents of what is added are made.
#[derive(Debug, Clone, Default)]
pub struct MockTree {
    entries: BTreeMap<String, Node>,
}

#[derive(Debug, Clone)]
struct Node {
    entry: Entry,
    data: Rc<[u8]>,
}

impl MockTree {
    /// Returns an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file with mode 0644.
    #[must_use]
    pub fn file(self, path: &str, data: impl AsRef<[u8]>) -> Self {
        self.file_with_mode(path, data, 0o644)
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file_with_mode(self, path: &str, data: impl AsRef<[u8]>, mode: u32) -> Self {
        let mut entry = blank(path, Kind::File, mode);
        entry.size = data.as_ref().len() as u64;
        self.add(entry, data.as_ref())
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.add(blank(path, Kind::Directory, 0o755), &[])
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        let mut entry = blank(path, Kind::Symlink, 0o777);
        entry.target = Some(target.to_owned());
        self.add(entry, &[])
    }

    /// Returns the part of the tree that `.dockerignore` patterns let through: what is included (all, when that is
    /// empty) and not excluded.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn filtered(&self, include: &[String], exclude: &[String]) -> Result<Self, Error> {
        let include = patterns(include)?;
        let exclude = patterns(exclude)?;
        let wanted = |path: &str| {
            (include.is_empty() || include.matches_or_parent_matches(path.as_bytes()))
                && !exclude.matches_or_parent_matches(path.as_bytes())
        };
        let nodes = self.entries.iter().filter(|(path, _)| wanted(path));
        let kept = nodes.fold(Self::new(), |tree, (_, node)| {
            tree.add(node.entry.clone(), &node.data)
        });
        Ok(kept)
    }

    fn add(mut self, entry: Entry, data: &[u8]) -> Self {
        let mut parent = entry.path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.entries.entry(above.to_owned()).or_insert_with(|| Node {
                entry: blank(above, Kind::Directory, 0o755),
                data: Rc::from([]),
            });
            parent = above;
        }
        let node = Node {
            data: Rc::from(data),
            entry,
        };
        self.entries.insert(node.entry.path.clone(), node);
        self
    }

    /// Finds what a path leads to, following symbolic links.
    fn follow(&self, path: &str) -> Result<&Node, Error> {
        check(path)?;
        let missing = || Error::NotFound(format!("`{path}`: no such file or directory"));
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        let mut found = None;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            let node = self.entries.get(&at.join("/")).ok_or_else(missing)?;
            found = Some(node);
            if let Some(target) = &node.entry.target {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::Invalid(format!("`{path}`: too many symbolic links")));
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                rest.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        // A path that ended in `..` names what is left of it.
        match self.entries.get(&at.join("/")) {
            Some(node) => Ok(node),
            None => found.ok_or_else(missing),
        }
    }

    fn regular(&self, path: &str) -> Result<&Node, Error> {
        let node = self.follow(path)?;
        match node.entry.kind {
            Kind::File => Ok(node),
            _ => Err(Error::Invalid(format!("`{path}` is not a regular file"))),
        }
    }
}

impl Tree for MockTree {
    fn stat(&self, path: &str) -> Result<Option<Entry>, Error> {
        check(path)?;
        Ok(self.entries.get(path).map(|node| node.entry.clone()))
    }

    fn glob(&self, wanted: &[String], after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Error> {
        let wanted = patterns(wanted)?;
        let limit = if limit == 0 {
            PAGE
        } else {
            (limit as usize).min(PAGE)
        };
        let nodes = self.entries.values();
        let page = nodes
            .filter(|node| after.is_none_or(|after| node.entry.path.as_str() > after))
            .filter(|node| wanted.matches_or_parent_matches(node.entry.path.as_bytes()))
            .take(limit);
        Ok(page.map(|node| node.entry.clone()).collect())
    }

    fn open(&self, path: &str) -> Result<Box<dyn Blob>, Error> {
        Ok(Box::new(MockBlob(Rc::clone(&self.regular(path)?.data))))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let data = &self.regular(path)?.data;
        match data.len() as u64 > limit {
            true => Err(Error::Limit(format!("`{path}` has more than {limit} bytes"))),
            false => Ok(data.to_vec()),
        }
    }

    fn read_many(&self, paths: &[String], limit: u64) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut left = limit;
        let mut files = Vec::new();
        for path in paths {
            check(path)?;
            let Ok(node) = self.regular(path) else { continue };
            match left.checked_sub(node.data.len() as u64) {
                Some(rest) => left = rest,
                None => break,
            }
            files.push((path.clone(), node.data.to_vec()));
        }
        Ok(files)
    }
}

#[derive(Debug)]
struct MockBlob(Rc<[u8]>);

impl Blob for MockBlob {
    /// Not a real digest, but equal for equal content.
    fn digest(&self) -> Result<String, Error> {
        let fold = |seed: u64| {
            let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            self.0.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, step)
        };
        Ok((0..4).fold("sha256:".to_owned(), |text, seed| {
            format!("{text}{:016x}", fold(seed))
        }))
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(len as usize).min(self.0.len());
        Ok(self.0[start..end].to_vec())
    }
}

fn blank(path: &str, kind: Kind, mode: u32) -> Entry {
    Entry {
        path: path.trim_matches('/').to_owned(),
        kind,
        size: 0,
        mode,
        uid: 0,
        gid: 0,
        target: None,
    }
}

fn check(path: &str) -> Result<(), Error> {
    let clean = |name: &str| !matches!(name, "" | "." | "..");
    match path.split('/').all(clean) {
        true => Ok(()),
        false => Err(Error::Invalid(format!("`{path}` is not a clean relative path"))),
    }
}

fn patterns(texts: &[String]) -> Result<Patterns, Error> {
    Patterns::new(texts).map_err(|error| Error::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> MockTree {
        MockTree::new()
            .file("Dockerfile", "FROM scratch\n")
            .file("src/main.rs", "fn main() {}\n")
            .symlink("link", "src/../Dockerfile")
            .symlink("out", "../../Dockerfile")
            .symlink("loop", "loop")
    }

    #[test]
    fn files_are_read_through_links_and_never_above_the_root() {
        let check = |path: &str, expect: Result<&str, &str>| {
            let read = tree().read(path, 100);
            let read = read.as_ref().map(|data| std::str::from_utf8(data).unwrap());
            match (read, expect) {
                (Ok(data), Ok(expect)) => assert_eq!(data, expect, "{path}"),
                (Err(error), Err(expect)) => assert!(error.message().contains(expect), "{path}: {error:?}"),
                (read, expect) => panic!("{path}: got {read:?}, expected {expect:?}"),
            }
        };
        check("Dockerfile", Ok("FROM scratch\n"));
        check("link", Ok("FROM scratch\n"));
        check("out", Ok("FROM scratch\n"));
        check("loop", Err("too many symbolic links"));
        check("src", Err("not a regular file"));
        check("nothing", Err("no such file"));
        check("../Dockerfile", Err("not a clean relative path"));
    }

    #[test]
    fn listings_come_in_pages() {
        let tree = tree();
        let all = vec!["**".to_owned()];
        let first = tree.glob(&all, None, 2).unwrap();
        assert_eq!(first.len(), 2);
        let rest = tree.glob(&all, Some(&first[1].path), 0).unwrap();
        assert_eq!(first.len() + rest.len(), tree.glob_all(&all).unwrap().len());
        assert_eq!(tree.glob_all(&["**/*.rs".to_owned()]).unwrap().len(), 1);
    }

    #[test]
    fn many_files_stop_before_the_limit() {
        let paths = ["Dockerfile", "gone", "src/main.rs"].map(str::to_owned);
        assert_eq!(tree().read_many(&paths, 100).unwrap().len(), 2);
        assert_eq!(tree().read_many(&paths, 20).unwrap().len(), 1);
        assert!(matches!(tree().read("Dockerfile", 3), Err(Error::Limit(_))));
    }

    #[test]
    fn a_filter_keeps_what_it_says() {
        let kept = tree()
            .filtered(&[], &["src".to_owned(), "l*".to_owned()])
            .unwrap();
        let names: Vec<_> = kept.entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["Dockerfile", "out"]);
    }
}
