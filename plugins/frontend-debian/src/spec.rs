//! The build file: what an image of Debian packages is made of.

use crate::arch;
use crate::yaml::Fault;
use crate::yaml::Node;
use crate::yaml::Text;

/// A whole build file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spec {
    pub(crate) repositories: Vec<Repository>,
    pub(crate) packages: Vec<Wanted>,
    pub(crate) archs: Vec<Text>,
    pub(crate) variant: Variant,
    pub(crate) recommends: bool,
    pub(crate) scripts: Scripts,
    pub(crate) layers: Option<u32>,
    pub(crate) users: Vec<User>,
    pub(crate) groups: Vec<Group>,
    pub(crate) paths: Vec<PathSpec>,
    pub(crate) files: Vec<FileSpec>,
    pub(crate) image: Image,
}

/// What the image's config says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Image {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) workdir: String,
    pub(crate) user: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) ports: Vec<String>,
    pub(crate) stop_signal: String,
}

/// A repository of packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Repository {
    pub(crate) url: Text,
    pub(crate) suites: Vec<Text>,
    pub(crate) components: Vec<Text>,
    pub(crate) keys: Vec<Text>,
}

/// A package that is asked for: `NAME`, `NAME=VERSION` or `NAME/SUITE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) suite: Option<String>,
    pub(crate) text: Text,
}

/// How much is there without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Variant {
    /// Nothing but `base-files`; what only maintainer scripts need is left out.
    #[default]
    Distroless,
    /// All packages that are essential.
    Minbase,
}

/// What happens with maintainer scripts that are not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scripts {
    #[default]
    Warn,
    Error,
    Ignore,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct User {
    pub(crate) name: Text,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
    pub(crate) comment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    pub(crate) name: Text,
    pub(crate) gid: u32,
    pub(crate) members: Vec<String>,
}

/// Mode and owner of what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owned {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathSpec {
    pub(crate) path: Text,
    pub(crate) kind: PathKind,
    pub(crate) owned: Owned,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathKind {
    Directory,
    EmptyFile,
    Symlink(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSpec {
    pub(crate) to: Text,
    pub(crate) content: Content,
    pub(crate) owned: Owned,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A path of the build's context.
    From(Text),
    /// The text itself.
    Literal(String),
}

/// Reads the keys of a mapping; `read` returns false for one that it does not know.
fn each(
    node: &Node,
    what: &str,
    known: &[&str],
    mut read: impl FnMut(&str, &Node) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for (key, value) in node.map(what)? {
        if !known.contains(&key.text.as_str()) {
            let message = format!("unknown key `{}` in {what}", key.text);
            let help = format!("expected {}", known.join(", "));
            return Err(Fault::at(key.place, message).with_help(help));
        }
        read(&key.text, value)?;
    }
    Ok(())
}

const KEYS: &[&str] = &[
    "repositories",
    "packages",
    "archs",
    "variant",
    "recommends",
    "scripts",
    "layers",
    "users",
    "groups",
    "paths",
    "files",
    "entrypoint",
    "cmd",
    "environment",
    "workdir",
    "user",
    "labels",
    "ports",
    "stop-signal",
];

impl Spec {
    /// Reads a build file.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let root = crate::yaml::read(text)?;
        let mut spec = Self::default();
        each(&root, "the build file", KEYS, |key, node| spec.set(key, node))?;
        if spec.repositories.is_empty() && !spec.packages.is_empty() {
            return Err(Fault::at(
                root.place,
                "`repositories` is missing: it says where packages come from",
            ));
        }
        Ok(spec)
    }

    fn set(&mut self, key: &str, node: &Node) -> Result<(), Fault> {
        let many = |what| node.list(what);
        match key {
            "repositories" => self.repositories = all(many("repositories")?, repository)?,
            "packages" => self.packages = all(many("packages")?, wanted)?,
            "archs" => self.archs = all(many("architectures")?, architecture)?,
            "variant" => {
                self.variant = choice(
                    node,
                    &[("distroless", Variant::Distroless), ("minbase", Variant::Minbase)],
                )?;
            }
            "recommends" => self.recommends = node.bool()?,
            "scripts" => {
                let choices = [
                    ("warn", Scripts::Warn),
                    ("error", Scripts::Error),
                    ("ignore", Scripts::Ignore),
                ];
                self.scripts = choice(node, &choices)?;
            }
            "layers" => {
                let number = node.number("the most layers")?;
                if !(1..=100).contains(&number) {
                    return Err(Fault::at(node.place, "expected 1 to 100 layers"));
                }
                self.layers = Some(number);
            }
            "users" => self.users = all(many("users")?, user)?,
            "groups" => self.groups = all(many("groups")?, group)?,
            "paths" => self.paths = all(many("paths")?, path)?,
            "files" => self.files = all(many("files")?, file)?,
            _ => self.image.set(key, node)?,
        }
        Ok(())
    }
}

impl Image {
    fn set(&mut self, key: &str, node: &Node) -> Result<(), Fault> {
        match key {
            "entrypoint" => self.entrypoint = words(node)?,
            "cmd" => self.cmd = words(node)?,
            "environment" => self.environment = pairs(node, "environment")?,
            "labels" => self.labels = pairs(node, "labels")?,
            "workdir" => self.workdir = absolute(node)?.text,
            "user" => self.user = node.text("a user")?.text,
            "stop-signal" => self.stop_signal = node.text("a signal")?.text,
            _ => {
                let ports = node.texts("ports")?.into_iter();
                self.ports = ports
                    .map(|port| match port.text.contains('/') {
                        true => port.text,
                        false => format!("{}/tcp", port.text),
                    })
                    .collect();
            }
        }
        Ok(())
    }
}

fn all<T>(nodes: Vec<&Node>, read: impl Fn(&Node) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    nodes.into_iter().map(read).collect()
}

fn choice<T: Copy>(node: &Node, choices: &[(&str, T)]) -> Result<T, Fault> {
    let text = node.text("a word")?;
    let found = choices.iter().find(|(name, _)| *name == text.text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Fault::at(
            node.place,
            format!("expected {}, found `{}`", names.join(" or "), text.text),
        )
    })
}

/// Reads a command: a list, or one text that is split at white space.
fn words(node: &Node) -> Result<Vec<String>, Fault> {
    match &node.value {
        crate::yaml::Value::Text(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        _ => Ok(node.texts("words")?.into_iter().map(|word| word.text).collect()),
    }
}

fn pairs(node: &Node, what: &str) -> Result<Vec<(String, String)>, Fault> {
    let map = node.map(what)?.iter();
    map.map(|(key, value)| Ok((key.text.clone(), value.text("a value")?.text)))
        .collect()
}

/// Reads an absolute path without `.` and `..`.
fn absolute(node: &Node) -> Result<Text, Fault> {
    let text = node.text("a path")?;
    let clean = text.text.split('/').skip(1).enumerate().all(|(at, part)| {
        let last = text.text.ends_with('/') && part.is_empty();
        let root = text.text == "/" && at == 0;
        last || root || !matches!(part, "" | "." | "..")
    });
    if !text.text.starts_with('/') || !clean || text.text.contains('\0') {
        return Err(Fault::at(
            text.place,
            format!(
                "expected an absolute path without `.` and `..`, found `{}`",
                text.text
            ),
        ));
    }
    Ok(text)
}

fn architecture(node: &Node) -> Result<Text, Fault> {
    let text = node.text("an architecture")?;
    if arch::platform_of(&text.text).is_none() {
        let known: Vec<&str> = arch::names().collect();
        let message = format!("unknown architecture `{}`", text.text);
        return Err(Fault::at(node.place, message).with_help(format!("expected one of {}", known.join(", "))));
    }
    Ok(text)
}

fn repository(node: &Node) -> Result<Repository, Fault> {
    let mut repository = Repository::default();
    let mut snapshot = None;
    let known = ["url", "suites", "components", "keys", "snapshot"];
    each(node, "a repository", &known, |key, node| {
        match key {
            "url" => repository.url = node.text("a URL")?,
            "suites" => repository.suites = node.texts("suites")?,
            "components" => repository.components = node.texts("components")?,
            "keys" => repository.keys = node.texts("keys")?,
            _ => snapshot = Some(node.text("a date")?),
        }
        Ok(())
    })?;
    let url = repository.url.text.trim_end_matches('/').to_owned();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Fault::at(
            node.place,
            "`url` of the repository is missing or no http URL",
        ));
    }
    repository.url.text = match snapshot {
        None => url,
        Some(date) => snapshot_url(&url, &date)?,
    };
    let missing = [
        ("suites", repository.suites.is_empty()),
        (
            "keys",
            repository.keys.iter().all(|key| key.text.trim().is_empty()),
        ),
    ];
    if let Some((name, _)) = missing.iter().find(|(_, missing)| *missing) {
        return Err(Fault::at(
            node.place,
            format!("`{name}` of the repository is missing"),
        ));
    }
    if repository.components.is_empty() {
        repository.components.push(Text {
            text: "main".into(),
            place: node.place,
        });
    }
    for name in repository.suites.iter().chain(&repository.components) {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['?', '#', '%', ' ']);
        if !name.text.split('/').all(plain) {
            return Err(Fault::at(
                name.place,
                format!("`{}` is no name of a suite or component", name.text),
            ));
        }
    }
    Ok(repository)
}

/// Returns where the archive of a date is: its last part names it among the snapshots.
fn snapshot_url(url: &str, date: &Text) -> Result<String, Fault> {
    let digits = date
        .text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"TZ".contains(&byte));
    if date.text.len() < 8 || !digits {
        let message = format!(
            "expected a date such as `20250520T000000Z`, found `{}`",
            date.text
        );
        return Err(Fault::at(date.place, message));
    }
    let archive = url.rsplit('/').next().unwrap_or_default();
    Ok(format!(
        "http://snapshot.debian.org/archive/{archive}/{}",
        date.text
    ))
}

fn wanted(node: &Node) -> Result<Wanted, Fault> {
    let text = node.text("a package")?;
    let (name, version, suite) = match (text.text.split_once('='), text.text.split_once('/')) {
        (Some((name, version)), _) => (name, Some(version), None),
        (None, Some((name, suite))) => (name, None, Some(suite)),
        (None, None) => (text.text.as_str(), None, None),
    };
    if !is_name(name) || version == Some("") || suite == Some("") {
        let message = format!(
            "expected `NAME`, `NAME=VERSION` or `NAME/SUITE`, found `{}`",
            text.text
        );
        return Err(Fault::at(node.place, message));
    }
    Ok(Wanted {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        suite: suite.map(str::to_owned),
        text,
    })
}

/// Returns true for a name of a package (Debian policy §5.6.1).
pub(crate) fn is_name(name: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    name.len() >= 2
        && name.len() <= 128
        && name.bytes().all(byte)
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_user(text: &Text) -> Result<(), Fault> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
    match !text.text.is_empty() && text.text.bytes().all(fits) {
        true => Ok(()),
        false => Err(Fault::at(
            text.place,
            format!("`{}` is no name of a user or group", text.text),
        )),
    }
}

/// Reads a field of `/etc/passwd`.
fn field(node: &Node) -> Result<String, Fault> {
    let text = node.text("a text")?;
    match text.text.contains([':', '\n']) {
        true => Err(Fault::at(node.place, "a colon or a line break cannot be in it")),
        false => Ok(text.text),
    }
}

fn user(node: &Node) -> Result<User, Fault> {
    let mut user = User {
        home: "/nonexistent".into(),
        shell: "/usr/sbin/nologin".into(),
        ..User::default()
    };
    let (mut uid, mut gid) = (None, None);
    let known = ["name", "uid", "gid", "home", "shell", "comment"];
    each(node, "a user", &known, |key, node| {
        match key {
            "name" => user.name = node.text("a name")?,
            "uid" => uid = Some(node.number("a user's number")?),
            "gid" => gid = Some(node.number("a group's number")?),
            "home" => user.home = field(node)?,
            "shell" => user.shell = field(node)?,
            _ => user.comment = field(node)?,
        }
        Ok(())
    })?;
    let missing = || Fault::at(node.place, "`name` and `uid` of the user are needed");
    user.uid = uid.filter(|_| !user.name.text.is_empty()).ok_or_else(missing)?;
    user.gid = gid.unwrap_or(user.uid);
    is_user(&user.name)?;
    Ok(user)
}

fn group(node: &Node) -> Result<Group, Fault> {
    let mut group = Group::default();
    let mut gid = None;
    each(node, "a group", &["name", "gid", "members"], |key, node| {
        match key {
            "name" => group.name = node.text("a name")?,
            "gid" => gid = Some(node.number("a group's number")?),
            _ => {
                let members = node.texts("members")?;
                members.iter().try_for_each(is_user)?;
                group.members = members.into_iter().map(|member| member.text).collect();
            }
        }
        Ok(())
    })?;
    let missing = || Fault::at(node.place, "`name` and `gid` of the group are needed");
    group.gid = gid.filter(|_| !group.name.text.is_empty()).ok_or_else(missing)?;
    is_user(&group.name)?;
    Ok(group)
}

fn owned(owned: &mut Owned, key: &str, node: &Node) -> Result<(), Fault> {
    match key {
        "mode" => owned.mode = Some(node.mode()?),
        "uid" => owned.uid = node.number("a user's number")?,
        _ => owned.gid = node.number("a group's number")?,
    }
    Ok(())
}

fn path(node: &Node) -> Result<PathSpec, Fault> {
    let (mut place, mut kind, mut target, mut own) = (None, None, None, Owned::default());
    let known = ["path", "type", "target", "mode", "uid", "gid"];
    each(node, "a path", &known, |key, node| {
        match key {
            "path" => place = Some(absolute(node)?),
            "type" => {
                kind = Some(choice(
                    node,
                    &[("directory", 'd'), ("empty-file", 'f'), ("symlink", 'l')],
                )?);
            }
            "target" => target = Some(node.text("a path")?.text),
            _ => owned(&mut own, key, node)?,
        }
        Ok(())
    })?;
    let path = place.ok_or_else(|| Fault::at(node.place, "`path` is missing"))?;
    let kind = match (kind.unwrap_or('d'), target) {
        ('l', Some(target)) => PathKind::Symlink(target),
        ('l', None) => return Err(Fault::at(node.place, "`target` of the symlink is missing")),
        (_, Some(_)) => return Err(Fault::at(node.place, "`target` is for `type: symlink` only")),
        ('f', None) => PathKind::EmptyFile,
        (_, None) => PathKind::Directory,
    };
    Ok(PathSpec {
        path,
        kind,
        owned: own,
    })
}

fn file(node: &Node) -> Result<FileSpec, Fault> {
    let (mut to, mut content, mut own) = (None, None, Owned::default());
    let known = ["to", "from", "content", "mode", "uid", "gid"];
    each(node, "a file", &known, |key, node| {
        match key {
            "to" => to = Some(absolute(node)?),
            "from" => content = Some(Content::From(node.text("a path of the context")?)),
            "content" => content = Some(Content::Literal(node.text("a text")?.text)),
            _ => owned(&mut own, key, node)?,
        }
        Ok(())
    })?;
    match (to, content) {
        (Some(to), Some(content)) => Ok(FileSpec {
            to,
            content,
            owned: own,
        }),
        _ => Err(Fault::at(
            node.place,
            "a file needs `to`, and `from` or `content`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
repositories:
  - url: http://deb.debian.org/debian/
    suites: [bookworm, bookworm-updates]
    keys: debian.asc
packages: [python3-minimal, nginx=1.2-3, openssl/bookworm]
archs: [amd64, arm64]
variant: minbase
users: [{name: app, uid: 1000}]
groups: [{name: www, gid: 50, members: [app]}]
paths:
  - {path: /srv, mode: 0750, uid: 1000}
  - {path: /srv/x, type: symlink, target: ../y}
files:
  - {to: /srv/a.py, from: a.py, mode: 755}
  - {to: /etc/motd, content: hello}
entrypoint: /usr/bin/python3 -I
cmd: [\"/srv/a b.py\"]
environment: {A: b=c}
workdir: /srv
labels: {x: \"1\"}
";

    #[test]
    fn a_whole_file_is_read() {
        let spec = Spec::parse(WHOLE).expect("a build file");
        assert_eq!(spec.repositories[0].url.text, "http://deb.debian.org/debian");
        assert_eq!(spec.repositories[0].components[0].text, "main");
        assert_eq!(spec.packages[1].version.as_deref(), Some("1.2-3"));
        assert_eq!(spec.packages[2].suite.as_deref(), Some("bookworm"));
        assert_eq!(spec.variant, Variant::Minbase);
        assert_eq!(spec.users[0].gid, 1000);
        assert_eq!(spec.paths[0].owned.mode, Some(0o750));
        assert_eq!(spec.files[0].owned.mode, Some(0o755));
        assert_eq!(spec.image.entrypoint, ["/usr/bin/python3", "-I"]);
        assert_eq!(spec.image.cmd, ["/srv/a b.py"]);
        assert_eq!(spec.image.environment, [("A".into(), "b=c".into())]);
    }

    #[test]
    fn faults_name_their_place() {
        let cases = [
            (
                "packages: [aa]\nfoo: 1\n",
                (2, 1),
                "unknown key `foo` in the build file",
            ),
            (
                "packages: [Bad]\n",
                (1, 12),
                "expected `NAME`, `NAME=VERSION` or `NAME/SUITE`, found `Bad`",
            ),
            ("packages: [aa]\n", (1, 1), "`repositories` is missing"),
            (
                "variant: x\n",
                (1, 10),
                "expected distroless or minbase, found `x`",
            ),
            (
                "repositories: [{url: ftp://x, suites: a}]\n",
                (1, 16),
                "missing or no http URL",
            ),
            (
                "repositories: [{url: http://x, suites: a}]\n",
                (1, 16),
                "`keys` of the repository is missing",
            ),
            (
                "repositories:\n - {url: http://x, keys: k, suites: ../a}\n",
                (2, 37),
                "is no name of a suite",
            ),
            ("archs: [vax]\n", (1, 9), "unknown architecture `vax`"),
            ("users: [{name: a}]\n", (1, 9), "`name` and `uid`"),
            (
                "users: [{name: 'a:b', uid: 1}]\n",
                (1, 16),
                "is no name of a user",
            ),
            ("paths: [{path: a/b}]\n", (1, 16), "expected an absolute path"),
            ("paths: [{path: /a/../b}]\n", (1, 16), "expected an absolute path"),
            ("files: [{to: /a}]\n", (1, 9), "a file needs `to`"),
            ("layers: 0\n", (1, 9), "expected 1 to 100 layers"),
            ("paths: [{path: /a, mode: 999}]\n", (1, 26), "octal permissions"),
        ];
        for (text, at, expected) in cases {
            let fault = Spec::parse(text).expect_err(text);
            assert!(fault.message.contains(expected), "{text}: {fault:?}");
            assert_eq!(
                fault.place.map(|place| place.start),
                Some(at),
                "{text}: {fault:?}"
            );
        }
    }

    #[test]
    fn snapshots_are_archives_of_a_date() {
        let text = "repositories: [{url: http://deb.debian.org/debian-security, suites: a, keys: k, snapshot: 20250520T000000Z}]";
        let spec = Spec::parse(text).expect("a build file");
        assert_eq!(
            spec.repositories[0].url.text,
            "http://snapshot.debian.org/archive/debian-security/20250520T000000Z"
        );
    }

    #[test]
    fn the_schema_has_the_same_keys() {
        let schema = include_str!("../../../docs/debian-image.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
        let properties = schema["properties"].as_object().expect("keys");
        let known: std::collections::BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(known, KEYS.iter().copied().collect());
    }
}
