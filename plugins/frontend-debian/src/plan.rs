//! The graph of an image: each package as a tree of its own, put together in few layers, and what the packages'
//! scripts would have done.

use kiln_sdk::files::Kind;
use kiln_sdk::frontend::Input;
use kiln_sdk::graph::FileAct;

use crate::effects;
use crate::graph::Graph;
use crate::graph::copy;
use crate::graph::copy_owned;
use crate::graph::mkdir;
use crate::graph::mkfile;
use crate::graph::remove;
use crate::graph::symlink;
use crate::package::MERGED;
use crate::package::Unpack;
use crate::package::Unpacked;
use crate::package::status;
use crate::spec::Content;
use crate::spec::Owned;
use crate::spec::PathKind;
use crate::spec::Spec;
use crate::users;
use crate::yaml::Fault;

/// Most layers without a word of the build file: base, runtime, application, configuration.
const LAYERS: u32 = 4;
const INFO: &str = "/var/lib/dpkg/info";

pub(crate) const ROOT: Owned = Owned {
    mode: None,
    uid: 0,
    gid: 0,
};

pub(crate) fn with_mode(mode: u32) -> Owned {
    Owned {
        mode: Some(mode),
        ..ROOT
    }
}

/// Adds the steps that make an image's root file system.
pub(crate) fn image(graph: &mut Graph, spec: &Spec, unpack: &Unpack) -> Result<Option<Input>, Fault> {
    let mut root = None;
    if !unpack.all.is_empty() {
        let acts = base(unpack);
        let mut pending = acts;
        for (name, packages) in groups(unpack, spec) {
            for unpacked in packages {
                let tree = package(graph, unpacked);
                pending.push(copy(tree, "/", "/", &[]));
            }
            root = Some(graph.files(root, std::mem::take(&mut pending), format!("[{name}] packages")));
        }
    }
    let mut acts = Vec::new();
    if !unpack.all.is_empty() {
        acts.extend(database(unpack)?);
        acts.extend(effects::certificates(unpack)?);
        acts.extend(effects::alternatives(unpack));
        acts.extend(effects::others(unpack));
    }
    acts.extend(accounts(spec, unpack)?);
    acts.extend(application(graph, spec));
    match acts.is_empty() {
        true => Ok(root),
        false => Ok(Some(graph.files(root, acts, "[configuration] files".to_owned()))),
    }
}

/// Directories that the links into `/usr` need, and the links.
fn base(unpack: &Unpack) -> Vec<FileAct> {
    let is_used = |name: &str| {
        let usr = format!("usr/{name}");
        let mut files = unpack.all.iter().flat_map(|unpacked| &unpacked.files);
        files.any(|entry| entry.path == name || entry.path == usr)
    };
    let mut acts = vec![mkdir("/usr", ROOT)];
    for name in MERGED {
        if !["bin", "lib", "sbin"].contains(name) && !is_used(name) {
            continue;
        }
        acts.push(mkdir(&format!("/usr/{name}"), ROOT));
        acts.push(symlink(&format!("/{name}"), &format!("usr/{name}")));
    }
    acts
}

/// Returns true when a package has a file, or link, at an absolute path.
pub(crate) fn has(unpack: &Unpack, path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let unmerged = path.strip_prefix("usr/").unwrap_or(path);
    let mut files = unpack.all.iter().flat_map(|unpacked| &unpacked.files);
    files.any(|entry| {
        let same =
            entry.path == path || entry.path == unmerged || entry.path.strip_prefix("usr/") == Some(path);
        same && entry.kind != Kind::Directory
    })
}

type Groups<'u> = Vec<(&'static str, Vec<&'u Unpacked>)>;

/// Shares out the packages to layers: those that many images have and that change rarely come first.
fn groups<'u>(unpack: &'u Unpack, spec: &Spec) -> Groups<'u> {
    let of = |unpacked: &&'u Unpacked| -> usize {
        let package = &unpacked.package;
        let is_base =
            package.rank() <= 1 || ["libc6", "base-files", "zlib1g"].contains(&package.name.as_str());
        match (
            is_base,
            spec.packages.iter().any(|wanted| wanted.name == package.name),
        ) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    };
    // One layer is for what is not of packages.
    let most = spec.layers.unwrap_or(LAYERS).saturating_sub(1).clamp(1, 3) as usize;
    let names: &[&'static str] = match most {
        1 => &["base"],
        2 => &["base", "application"],
        _ => &["base", "runtime", "application"],
    };
    let mut groups: Groups<'u> = names.iter().map(|name| (*name, Vec::new())).collect();
    for unpacked in &unpack.all {
        let at = match most {
            2 => of(&unpacked).div_ceil(2),
            _ => of(&unpacked),
        };
        groups[at.min(most - 1)].1.push(unpacked);
    }
    groups.retain(|(_, packages)| !packages.is_empty());
    groups
}

/// Adds a package's tree: its files where they belong, and its part of the database.
fn package(graph: &mut Graph, unpacked: &Unpacked) -> Input {
    let source = graph.remote(&unpacked.remote);
    let merged: Vec<&str> = unpacked.merged().collect();
    let exclude: Vec<String> = MERGED.iter().map(|name| (*name).to_owned()).collect();
    let mut acts = vec![mkdir("/usr", ROOT)];
    if !unpacked.files.is_empty() {
        acts.push(copy(source, "/data", "/", &exclude));
    }
    for name in merged {
        acts.push(mkdir(&format!("/usr/{name}"), ROOT));
        acts.push(copy(
            source,
            &format!("/data/{name}"),
            &format!("/usr/{name}"),
            &[],
        ));
    }
    acts.push(mkdir(INFO, ROOT));
    let stem = unpacked.stem();
    for name in unpacked.control.iter().filter(|name| *name != "control") {
        acts.push(copy(
            source,
            &format!("/control/{name}"),
            &format!("{INFO}/{stem}.{name}"),
            &[],
        ));
    }
    acts.push(mkfile(&format!("{INFO}/{stem}.list"), unpacked.list(), ROOT));
    graph.files(None, acts, format!("unpack {}", unpacked.package.shown()))
}

/// What dpkg knows of all packages.
fn database(unpack: &Unpack) -> Result<Vec<FileAct>, Fault> {
    let mut acts = vec![
        mkdir("/var/lib/dpkg/updates", ROOT),
        mkfile("/var/lib/dpkg/info/format", "1\n", ROOT),
        mkfile("/var/lib/dpkg/status", status(unpack)?, ROOT),
        mkfile("/var/lib/dpkg/available", "", ROOT),
        mkfile("/var/lib/dpkg/diversions", "", ROOT),
        mkfile("/var/lib/dpkg/statoverride", "", ROOT),
        // What the scripts of `base-files` would have made.
        mkdir("/tmp", with_mode(0o1777)),
        mkdir("/var/tmp", with_mode(0o1777)),
        mkdir("/root", with_mode(0o700)),
        mkdir("/run/lock", with_mode(0o1777)),
        mkfile("/etc/nsswitch.conf", NSSWITCH, ROOT),
    ];
    for (link, target) in [("/var/run", "/run"), ("/var/lock", "/run/lock")] {
        let below = format!("{}/", &link[1..]);
        let mut files = unpack.all.iter().flat_map(|unpacked| &unpacked.files);
        // The package has a directory there, which its script replaces.
        if !has(unpack, link) && !files.any(|entry| entry.path.starts_with(&below)) {
            acts.push(remove(link));
            acts.push(symlink(link, target));
        }
    }
    Ok(acts)
}

const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n";

/// Users and groups.
fn accounts(spec: &Spec, unpack: &Unpack) -> Result<Vec<FileAct>, Fault> {
    if unpack.all.is_empty() && spec.users.is_empty() && spec.groups.is_empty() {
        return Ok(Vec::new());
    }
    let found = unpack
        .all
        .iter()
        .position(|unpacked| unpacked.package.name == "base-passwd");
    let mut masters = None;
    if let (Some(at), Some(tree)) = (found, &unpack.tree) {
        let read = |name: &str| {
            let data = tree.read(&format!("{at}/data/usr/share/base-passwd/{name}.master"), 1 << 20)?;
            Ok::<_, Fault>(String::from_utf8_lossy(&data).into_owned())
        };
        masters = Some((read("passwd")?, read("group")?));
    }
    let (passwd, group) = users::files(spec, masters)?;
    let mut acts = vec![
        mkdir("/etc", ROOT),
        mkfile("/etc/passwd", passwd, ROOT),
        mkfile("/etc/group", group, ROOT),
    ];
    for user in spec
        .users
        .iter()
        .filter(|user| user.home != "/nonexistent" && user.home.starts_with("/home/"))
    {
        let owned = Owned {
            mode: Some(0o755),
            uid: user.uid,
            gid: user.gid,
        };
        acts.push(mkdir("/home", ROOT));
        acts.push(mkdir(&user.home, owned));
    }
    Ok(acts)
}

/// What the build file itself adds.
fn application(graph: &mut Graph, spec: &Spec) -> Vec<FileAct> {
    let mut acts = Vec::new();
    for path in &spec.paths {
        let at = path.path.text.trim_end_matches('/');
        parent(&mut acts, at);
        acts.push(match &path.kind {
            PathKind::Directory => mkdir(at, path.owned),
            PathKind::EmptyFile => mkfile(at, "", path.owned),
            PathKind::Symlink(target) => symlink(at, target),
        });
    }
    let from: Vec<String> = spec
        .files
        .iter()
        .filter_map(|file| match &file.content {
            Content::From(path) => Some(path.text.trim_start_matches("./").trim_matches('/').to_owned()),
            Content::Literal(_) => None,
        })
        .collect();
    let context = (!from.is_empty()).then(|| graph.context(&from));
    let mut from = from.into_iter();
    for file in &spec.files {
        parent(&mut acts, file.to.text.trim_end_matches('/'));
        match (&file.content, context) {
            (Content::From(_), Some(context)) => {
                let path = from.next().unwrap_or_default();
                acts.push(copy_owned(
                    context,
                    &format!("/{path}"),
                    &file.to.text,
                    file.owned,
                ));
            }
            (Content::Literal(text), _) => acts.push(mkfile(&file.to.text, text.as_str(), file.owned)),
            (Content::From(_), None) => {}
        }
    }
    acts
}

fn parent(acts: &mut Vec<FileAct>, path: &str) {
    if let Some((above, _)) = path.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
        acts.push(mkdir(above, ROOT));
    }
}
