//! Packages as they are unpacked: their files, their control files, and what of them the dpkg database holds.

use std::collections::BTreeMap;
use std::rc::Rc;

use kiln_sdk::Tree;
use kiln_sdk::files::Entry;
use kiln_sdk::files::Kind;
use kiln_sdk::frontend::Host;
use md5::Digest;
use md5::Md5;

use crate::graph::Remote;
use crate::graph::fetch;
use crate::index::Package;
use crate::lock::Placed;
use crate::yaml::Fault;

/// Most bytes of control files and configuration files that are looked at.
const READ: u64 = 64 << 20;
/// Directories that are links into `/usr`.
pub(crate) const MERGED: &[&str] = &["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// A package that was unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    pub(crate) package: Rc<Package>,
    pub(crate) remote: Remote,
    /// Its files, by their paths without a slash before.
    pub(crate) files: Vec<Entry>,
    /// Names of its control files.
    pub(crate) control: Vec<String>,
    /// The texts of those that say something.
    pub(crate) texts: BTreeMap<String, String>,
}

/// Control files that are read.
const TEXTS: &[&str] = &["control", "conffiles", "preinst", "postinst", "triggers"];

/// Unpacked packages, and their files to look into.
pub(crate) struct Unpack {
    pub(crate) all: Vec<Unpacked>,
    pub(crate) tree: Option<Box<dyn Tree>>,
}

/// Has the host fetch and unpack packages, each from the repository at that address.
pub(crate) fn unpack(host: &dyn Host, packages: &[Placed]) -> Result<Unpack, Fault> {
    let remote = |(package, url): &Placed| Remote {
        url: format!("{url}/{}", package.filename),
        filename: package.filename.rsplit('/').next().unwrap_or_default().to_owned(),
        sha256: Some(package.sha256.clone()),
        unpack: true,
        name: format!("{} {} ({})", package.name, package.version, package.arch),
    };
    let remotes: Vec<Remote> = packages.iter().map(remote).collect();
    if remotes.is_empty() {
        return Ok(Unpack {
            all: Vec::new(),
            tree: None,
        });
    }
    let tree = fetch(host, &remotes, "[internal] unpack packages")?;
    let mut all: Vec<Unpacked> = packages
        .iter()
        .zip(remotes)
        .map(|((package, _), remote)| Unpacked {
            package: Rc::clone(package),
            remote,
            files: Vec::new(),
            control: Vec::new(),
            texts: BTreeMap::new(),
        })
        .collect();
    list(tree.as_ref(), &mut all)?;
    read_texts(tree.as_ref(), &mut all)?;
    Ok(Unpack {
        all,
        tree: Some(tree),
    })
}

fn list(tree: &dyn Tree, all: &mut [Unpacked]) -> Result<(), Fault> {
    let mut after: Option<String> = None;
    loop {
        let page = tree.glob(&["**".to_owned()], after.as_deref(), 0)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.path.clone());
        for mut entry in page {
            let mut parts = entry.path.splitn(3, '/');
            let (at, place, path) = (parts.next(), parts.next(), parts.next());
            let unpacked = at.and_then(|at| all.get_mut(at.parse::<usize>().ok()?));
            let (Some(unpacked), Some(place), Some(path)) = (unpacked, place, path) else {
                continue;
            };
            match place {
                "data" => {
                    entry.path = path.to_owned();
                    unpacked.files.push(entry);
                }
                "control" if entry.kind == Kind::File && !path.contains('/') => {
                    unpacked.control.push(path.to_owned());
                }
                _ => {}
            }
        }
    }
}

fn read_texts(tree: &dyn Tree, all: &mut [Unpacked]) -> Result<(), Fault> {
    let mut paths = Vec::new();
    for (at, unpacked) in all.iter().enumerate() {
        let known = unpacked
            .control
            .iter()
            .filter(|name| TEXTS.contains(&name.as_str()));
        paths.extend(known.map(|name| format!("{at}/control/{name}")));
    }
    for (path, data) in tree.read_many(&paths, READ)? {
        let mut parts = path.splitn(3, '/');
        let (at, name) = (parts.next(), parts.nth(1));
        let unpacked = at.and_then(|at| all.get_mut(at.parse::<usize>().ok()?));
        if let (Some(unpacked), Some(name)) = (unpacked, name) {
            let text = String::from_utf8_lossy(&data).into_owned();
            unpacked.texts.insert(name.to_owned(), text);
        }
    }
    let missing = all
        .iter()
        .find(|unpacked| !unpacked.texts.contains_key("control"));
    match missing {
        Some(unpacked) => Err(Fault::new(format!(
            "the package `{}` has no control file",
            unpacked.remote.url
        ))),
        None => Ok(()),
    }
}

impl Unpacked {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// Returns the directories of this package that are links into `/usr`.
    pub(crate) fn merged(&self) -> impl Iterator<Item = &'static str> + '_ {
        let has = |name: &&&str| {
            let found = self.files.iter().find(|entry| entry.path == ***name);
            found.is_some_and(|entry| entry.kind == Kind::Directory)
        };
        MERGED.iter().filter(move |name| has(name)).copied()
    }

    /// Returns what the names of this package's files in the database begin with.
    pub(crate) fn stem(&self) -> String {
        match self.package.multi_arch.as_str() {
            "same" => format!("{}:{}", self.package.name, self.package.arch),
            _ => self.package.name.clone(),
        }
    }

    /// Returns the list of its files for the database.
    pub(crate) fn list(&self) -> String {
        let mut text = String::from("/.\n");
        for entry in &self.files {
            text.push('/');
            text.push_str(&entry.path);
            text.push('\n');
        }
        text
    }

    fn conffiles(&self) -> impl Iterator<Item = &str> {
        let lines = self.text("conffiles").lines().map(str::trim);
        lines.filter(|line| line.starts_with('/'))
    }
}

/// Writes dpkg's `status` of all packages.
pub(crate) fn status(unpack: &Unpack) -> Result<String, Fault> {
    let mut paths = Vec::new();
    for (at, unpacked) in unpack.all.iter().enumerate() {
        paths.extend(unpacked.conffiles().map(|path| format!("{at}/data{path}")));
    }
    let contents: BTreeMap<String, Vec<u8>> = match &unpack.tree {
        Some(tree) => tree.read_many(&paths, READ)?.into_iter().collect(),
        None => BTreeMap::new(),
    };
    let mut sorted: Vec<(usize, &Unpacked)> = unpack.all.iter().enumerate().collect();
    sorted.sort_by(|a, b| a.1.package.name.cmp(&b.1.package.name));
    let mut text = String::new();
    for (at, unpacked) in sorted {
        for line in unpacked
            .text("control")
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            text.push_str(line);
            text.push('\n');
            if line.starts_with("Package:") {
                text.push_str("Status: install ok installed\n");
            }
        }
        let mut conffiles = unpacked.conffiles().peekable();
        if conffiles.peek().is_some() {
            text.push_str("Conffiles:\n");
        }
        for path in conffiles {
            let data = contents.get(&format!("{at}/data{path}"));
            let sum = data.map_or_else(|| "newconffile".to_owned(), |data| hex(&Md5::digest(data)));
            text.push_str(&format!(" {path} {sum}\n"));
        }
        text.push('\n');
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
