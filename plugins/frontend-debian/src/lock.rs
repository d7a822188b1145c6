//! The lock file `BUILDFILE.lock`: which packages an image has, with version, digest and origin. With it a build asks
//! no repository for its indexes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

use kiln_sdk::frontend::Filter;
use kiln_sdk::frontend::Host;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use crate::index::Package;
use crate::spec;
use crate::spec::Spec;
use crate::version;
use crate::yaml::Fault;

/// Largest lock file.
const LIMIT: u64 = 16 << 20;
/// Version of the form.
const VERSION: u32 = 1;

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    version: u32,
    /// Digest of what the build file says of repositories and packages.
    request: String,
    /// Packages of each architecture by Debian's names, sorted by name.
    packages: BTreeMap<String, Vec<Locked>>,
}

/// A package that is held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    name: String,
    version: String,
    architecture: String,
    source: String,
    /// Address of the repository, without a mirror's.
    repository: String,
    suite: String,
    component: String,
    path: String,
    size: u64,
    sha256: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    multi_arch: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    priority: String,
}

/// A package and the address of its repository.
pub(crate) type Placed = (Rc<Package>, String);

/// Returns the digest of everything that decides which packages an image has.
fn request(spec: &Spec) -> String {
    let mut text = format!("{:?} {}\n", spec.variant, spec.recommends);
    for repository in &spec.repositories {
        let names = |list: &[crate::yaml::Text]| -> String {
            list.iter().map(|text| format!(" {:?}", text.text)).collect()
        };
        text.push_str(&format!(
            "{:?}{};{}\n",
            repository.url.text,
            names(&repository.suites),
            names(&repository.components)
        ));
    }
    let packages: BTreeSet<&str> = spec
        .packages
        .iter()
        .map(|wanted| wanted.text.text.as_str())
        .collect();
    text.push_str(&packages.into_iter().collect::<Vec<_>>().join(" "));
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Returns the name of a build file's lock.
pub(crate) fn name(build_file: &str) -> String {
    format!("{build_file}.lock")
}

impl Lock {
    /// Returns a lock without packages.
    pub(crate) fn of(spec: &Spec) -> Self {
        Self {
            version: VERSION,
            request: request(spec),
            packages: BTreeMap::new(),
        }
    }

    /// Reads the lock that lies beside the build file.
    pub(crate) fn read(host: &dyn Host, build_file: &str) -> Result<Option<Self>, Fault> {
        let name = name(build_file);
        let filter = Filter {
            include: vec![name.clone()],
            exclude: Vec::new(),
            follow: Vec::new(),
        };
        let Some(files) = host.context("dockerfile", &filter)? else {
            return Ok(None);
        };
        let Some(data) = files.read_optional(&name, LIMIT)? else {
            return Ok(None);
        };
        let lock: Self = serde_json::from_slice(&data)
            .map_err(|error| Fault::new(format!("cannot read `{name}`: {error}")))?;
        match lock.version {
            VERSION => Ok(Some(lock)),
            other => Err(Fault::new(format!(
                "`{name}` has the version {other} (this frontend reads {VERSION})"
            ))),
        }
    }

    /// Returns true when the lock was made for what the build file says now, on that architecture.
    pub(crate) fn fits(&self, spec: &Spec, arch: &str) -> bool {
        self.request == request(spec) && self.packages.contains_key(arch)
    }

    /// Adds the packages of an architecture.
    pub(crate) fn add(&mut self, arch: &str, packages: &[Placed], origins: &[crate::index::Origin]) {
        let locked = |(package, url): &Placed| {
            let origin = origins.get(package.origin).cloned().unwrap_or_default();
            Locked {
                name: package.name.clone(),
                version: package.version.clone(),
                architecture: package.arch.clone(),
                source: package.source.clone(),
                repository: url.clone(),
                suite: origin.suite,
                component: origin.component,
                path: package.filename.clone(),
                size: package.size,
                sha256: package.sha256.clone(),
                multi_arch: package.multi_arch.clone(),
                priority: package.priority.clone(),
            }
        };
        let mut all: Vec<Locked> = packages.iter().map(locked).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        self.packages.insert(arch.to_owned(), all);
    }

    /// Returns the packages of an architecture.
    pub(crate) fn packages(&self, spec: &Spec, arch: &str) -> Result<Vec<Placed>, Fault> {
        let locked = self.packages.get(arch).map_or(&[][..], Vec::as_slice);
        locked
            .iter()
            .enumerate()
            .map(|(id, locked)| locked.placed(id, spec))
            .collect()
    }

    /// Writes the file.
    pub(crate) fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Says what is other in `new`: a line for each package that went up, down, came or went.
    pub(crate) fn difference(&self, new: &Self) -> String {
        let mut text = String::new();
        let arches: BTreeSet<&String> = self.packages.keys().chain(new.packages.keys()).collect();
        for arch in arches {
            let by_name = |lock: &Self| -> BTreeMap<String, Locked> {
                let packages = lock.packages.get(arch).cloned().unwrap_or_default();
                packages
                    .into_iter()
                    .map(|locked| (locked.name.clone(), locked))
                    .collect()
            };
            let (old, new) = (by_name(self), by_name(new));
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let line = match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) if old.version == new.version => match old.sha256 == new.sha256 {
                        true => continue,
                        false => format!("changed {name} {}: another file", old.version),
                    },
                    (Some(old), Some(new)) => {
                        let word = match version::compare(&old.version, &new.version).is_lt() {
                            true => "up     ",
                            false => "down   ",
                        };
                        format!("{word} {name} {} -> {}", old.version, new.version)
                    }
                    (Some(old), None) => format!("gone    {name} {}", old.version),
                    (None, Some(new)) => format!("new     {name} {}", new.version),
                    (None, None) => continue,
                };
                text.push_str(&format!("{line} ({arch})\n"));
            }
        }
        match text.is_empty() {
            true => "no package changed\n".to_owned(),
            false => text,
        }
    }
}

impl Locked {
    /// Returns the package. Its repository has to be one of the build file.
    fn placed(&self, id: usize, spec: &Spec) -> Result<Placed, Fault> {
        let mut repositories = spec.repositories.iter();
        if !spec::is_name(&self.name) || !repositories.any(|known| known.url.text == self.repository) {
            return Err(Fault::new(format!(
                "the lock's package `{}` is of `{}`, which is no repository of the build file",
                self.name, self.repository
            )));
        }
        let package = Package {
            id,
            name: self.name.clone(),
            version: self.version.clone(),
            arch: self.architecture.clone(),
            multi_arch: self.multi_arch.clone(),
            priority: self.priority.clone(),
            source: self.source.clone(),
            filename: self.path.clone(),
            size: self.size,
            sha256: self.sha256.clone(),
            ..Package::default()
        };
        Ok((Rc::new(package), self.repository.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(packages: &str) -> Spec {
        let text =
            format!("repositories: [{{url: http://x, suites: stable, keys: k}}]\npackages: [{packages}]\n");
        Spec::parse(&text).expect("a build file")
    }

    fn lock(packages: &[(&str, &str)]) -> Lock {
        let placed = |(name, version): &(&str, &str)| {
            let package = Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                ..Package::default()
            };
            (Rc::new(package), "http://x".to_owned())
        };
        let mut lock = Lock::of(&spec("aa, bb"));
        lock.add("amd64", &packages.iter().map(placed).collect::<Vec<_>>(), &[]);
        lock
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let lock = lock(&[("bb", "1"), ("aa", "2")]);
        let read: Lock = serde_json::from_str(&lock.text()).expect("JSON");
        assert_eq!(read, lock);
        let placed = read.packages(&spec("aa, bb"), "amd64").expect("packages");
        let names: Vec<String> = placed.iter().map(|(package, _)| package.shown()).collect();
        assert_eq!(names, ["aa 2", "bb 1"]);
        assert!(lock.fits(&spec("bb, aa"), "amd64"));
        assert!(!lock.fits(&spec("bb, aa"), "arm64"));
        assert!(!lock.fits(&spec("aa"), "amd64"));
        let other =
            Spec::parse("repositories: [{url: http://y, suites: stable, keys: k}]\n").expect("a build file");
        assert!(read.packages(&other, "amd64").is_err());
    }

    #[test]
    fn differences_are_told() {
        let old = lock(&[("aa", "1"), ("bb", "2"), ("cc", "1")]);
        let new = lock(&[("aa", "1.1"), ("bb", "1"), ("dd", "1")]);
        let expected = "up      aa 1 -> 1.1 (amd64)\ndown    bb 2 -> 1 (amd64)\ngone    cc 1 (amd64)\nnew     dd 1 (amd64)\n";
        assert_eq!(old.difference(&new), expected);
        assert_eq!(old.difference(&old), "no package changed\n");
    }
}
