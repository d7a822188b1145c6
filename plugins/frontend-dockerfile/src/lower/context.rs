//! Where files come from: the main context, named contexts, and which of their paths are wanted.

use super::Lowerer;
use super::resolve::pin;
use super::session::IGNORE_FILE;
use super::session::check_ignore;
use super::stage::NamedContext;
use super::stage::Paths;
use super::stage::State;
use super::stage::follow_paths;
use crate::api::Input;
use crate::api::Op;
use crate::api::Platform;
use crate::api::graph::FileAct;
use crate::api::graph::FileAction;
use crate::api::graph::FileInput;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::go;
use crate::graph::Meta;
use crate::host::ImageQuestion;
use crate::host::MAX_IGNORE_FILE;
use crate::image::Image;
use crate::platform;
use crate::reference::Reference;
use kiln_giturl::GitRef;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;

/// Directories of the user, to be narrowed once it is known what is read of them.
#[derive(Debug, Default)]
pub(super) struct Locals {
    main: Option<Input>,
    main_is_local: bool,
    main_paths: Paths,
    named: Vec<NamedLocal>,
}

#[derive(Debug)]
struct NamedLocal {
    input: Input,
    key: String,
    excludes: Vec<String>,
    paths: usize,
}

/// What a named context brings.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) image: Option<(Image, Vec<u8>)>,
}

/// How many bytes tell an archive.
const ARCHIVE_HEAD: u32 = 1024;

impl Lowerer<'_> {
    /// Finds a named context; a name with platform wins.
    pub(super) fn named_context(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Outcome<Option<NamedContext>> {
        if self.options().contexts.is_empty()
            || name.eq_ignore_ascii_case("scratch")
            || name.eq_ignore_ascii_case("context")
        {
            return Ok(None);
        }
        let reference = Reference::parse(name).map_err(|e| format!("invalid context name {name}: {e}"))?;
        let familiar = reference.familiar();
        let familiar = familiar.strip_suffix(":latest").unwrap_or(&familiar);
        let on = platform::format(platform.unwrap_or(&self.target));
        let contexts = &self.options().contexts;
        let found = [format!("{familiar}::{on}"), familiar.to_owned()]
            .into_iter()
            .find_map(|key| contexts.get(&key));
        Ok(found.cloned())
    }

    /// Reads a named context. `paths` is the set of paths that are read of it.
    pub(super) fn load_context(
        &mut self,
        context: &NamedContext,
        on: &Platform,
        paths: usize,
    ) -> Outcome<Loaded> {
        let NamedContext { key, value } = context;
        let (scheme, rest) = value
            .split_once(':')
            .ok_or_else(|| Fault::new(format!("invalid context specifier {value} for {key}")))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let scheme = if scheme.starts_with("git@") { "git" } else { scheme };
        let plain = |out| Loaded {
            state: State {
                out,
                ..State::default()
            },
            image: None,
        };
        match scheme {
            "docker-image" if rest == "scratch" => Ok(plain(None)),
            "docker-image" => self.load_image(key, rest, on),
            "oci-layout" => self.load_layout(key, rest, on),
            "local" => Ok(plain(Some(self.load_local(key, rest, paths)?))),
            "git" | "ssh" | "http" | "https" => match kiln_giturl::parse(value, Known::Unknown) {
                GitUrl::Yes(git) => Ok(plain(Some(self.git_source(
                    &git,
                    &format!("[internal] load git source {}", kiln_giturl::redact(value)),
                    Vec::new(),
                )))),
                GitUrl::Bad(message) => Err(Fault::new(message)),
                GitUrl::No if scheme.starts_with("http") => {
                    let meta = Meta {
                        name: format!("[context {key}] {}", kiln_giturl::redact(value)),
                        ..Meta::default()
                    };
                    let attrs = [("http.filename", "context".to_owned())];
                    Ok(plain(Some(self.graph.source(value.clone(), &attrs, meta))))
                }
                GitUrl::No => Err(Fault::new(format!("invalid git context {value}"))),
            },
            "input" => Err(Fault::new(format!("invalid input {rest} for {key}"))
                .help("results of other builds as inputs are not supported; use an image or an OCI layout")),
            _ => Err(Fault::new(format!(
                "unsupported context source {scheme} for {key}"
            ))),
        }
    }

    fn load_image(&mut self, key: &str, name: &str, on: &Platform) -> Outcome<Loaded> {
        let reference = Reference::parse(name)?.with_default_tag();
        let question = ImageQuestion {
            identifier: &format!("docker-image://{reference}"),
            platform: on,
            mode: self.options().resolve_mode.name(),
            name: &format!("[context {key}] load metadata for {reference}"),
        };
        let answer = self.session.resolve_image(&question)?;
        let pinned = pin(reference, &answer)?;
        let meta = Meta {
            platform: Some(on.clone()),
            name: format!("[context {key}] {pinned}"),
            ..Meta::default()
        };
        let out = self.graph.source(format!("docker-image://{pinned}"), &[], meta);
        with_config(out, answer.config)
    }

    fn load_layout(&mut self, key: &str, name: &str, on: &Platform) -> Outcome<Loaded> {
        if !name
            .split_once('@')
            .is_some_and(|(_, digest)| crate::reference::is_digest(digest))
        {
            return Err(Fault::new(format!(
                "oci-layout reference {} has no digest",
                go::quote(name)
            )));
        }
        let identifier = format!("oci-layout://{name}");
        let question = ImageQuestion {
            identifier: &identifier,
            platform: on,
            mode: "",
            name: &format!("[context {key}] load metadata for {name}"),
        };
        let answer = self.session.resolve_image(&question)?;
        let meta = Meta {
            platform: Some(on.clone()),
            name: format!("[context {key}] OCI load from client"),
            ..Meta::default()
        };
        let out = self.graph.source(identifier, &[], meta);
        with_config(out, answer.config)
    }

    fn load_local(&mut self, key: &str, name: &str, paths: usize) -> Outcome<Input> {
        let excludes = match self
            .session
            .host
            .context_file(key, IGNORE_FILE, MAX_IGNORE_FILE)?
        {
            Some(text) => check_ignore(&text, IGNORE_FILE)?,
            None => Vec::new(),
        };
        let meta = Meta {
            name: format!("[context {key}] load from client"),
            ..Meta::default()
        };
        let input = self.graph.open_source(format!("local://{name}"), meta);
        self.locals.named.push(NamedLocal {
            input,
            key: key.to_owned(),
            excludes,
            paths,
        });
        Ok(input)
    }

    /// Adds a git repository.
    pub(super) fn git_source(&mut self, git: &GitRef, name: &str, spans: Vec<crate::api::Span>) -> Input {
        let meta = Meta {
            name: name.to_owned(),
            spans,
            ..Meta::default()
        };
        self.graph.source(git.identifier(), &git.attrs(), meta)
    }

    /// Returns the main context; `paths` are read of it.
    pub(super) fn main_context(&mut self, paths: &[&str]) -> Outcome<Input> {
        for path in paths {
            self.locals.main_paths.insert(crate::paths::join("/", path));
        }
        if let Some(input) = self.locals.main {
            return Ok(input);
        }
        let given = self
            .options()
            .main_context
            .clone()
            .unwrap_or_else(|| "local:context".to_owned());
        let input = match given.strip_prefix("local:") {
            Some(name) => {
                self.locals.main_is_local = true;
                let name = name.strip_prefix("//").unwrap_or(name);
                let name = if name.is_empty() { "context" } else { name };
                let meta = Meta {
                    name: "[internal] load build context".to_owned(),
                    ..Meta::default()
                };
                self.graph.open_source(format!("local://{name}"), meta)
            }
            None => self.remote_context(&given)?,
        };
        self.locals.main = Some(input);
        Ok(input)
    }

    /// Tells whether the main context is a directory of the user.
    pub(super) fn main_is_local(&self) -> bool {
        self.options()
            .main_context
            .as_ref()
            .is_none_or(|given| given.starts_with("local:"))
    }

    fn remote_context(&mut self, url: &str) -> Outcome<Input> {
        let input = match kiln_giturl::parse(url, Known::Unknown) {
            GitUrl::Bad(message) => return Err(Fault::new(message)),
            GitUrl::Yes(mut git) => {
                if self.options().keep_git_dir == Some(true) {
                    git.keep_git_dir = Some(true);
                }
                self.git_source(
                    &git,
                    &format!("[internal] load git source {}", kiln_giturl::redact(url)),
                    Vec::new(),
                )
            }
            GitUrl::No if url.starts_with("http://") || url.starts_with("https://") => {
                self.http_context(url)?
            }
            GitUrl::No => {
                return Err(Fault::new(format!(
                    "unsupported context source {url} for context"
                )));
            }
        };
        let Some(dir) = self.options().context_subdir.clone() else {
            return Ok(input);
        };
        let mut copy = plain_copy(FileInput::Vertex(input), &crate::paths::join("/", &dir), "/");
        copy.dir_copy_contents = true;
        Ok(self.graph.add(file_op(copy), internal("load build context")))
    }

    fn http_context(&mut self, url: &str) -> Outcome<Input> {
        let meta = Meta {
            name: "[internal] load remote build context".to_owned(),
            ..Meta::default()
        };
        let attrs = [("http.filename", "context".to_owned())];
        let input = self.graph.source(url.to_owned(), &attrs, meta);
        let (session, graph) = (self.session, &self.graph);
        let archive = session.http_is_archive(|| {
            let head = session
                .host
                .solved_head(graph.part(input, Vec::new()), "context", ARCHIVE_HEAD)
                .map_err(|e| Fault::new(e).wrap("failed to read downloaded context"))?;
            Ok(is_archive(&head))
        })?;
        if !archive {
            return Ok(input);
        }
        let mut copy = plain_copy(FileInput::Vertex(input), "/context", "/");
        copy.attempt_unpack = true;
        Ok(self.graph.add(file_op(copy), internal("load build context")))
    }

    /// Tells the directories of the user what is read of them, and what is never sent.
    pub(super) fn finish_locals(&mut self) -> Outcome<()> {
        if let (Some(input), true) = (self.locals.main, self.locals.main_is_local) {
            let excludes = self.session.ignore_patterns()?;
            let attrs = local_attrs("context".to_owned(), excludes, &self.locals.main_paths);
            self.graph.set_attrs(input, &attrs);
        }
        for local in &self.locals.named {
            let attrs = local_attrs(
                format!("context:{}-", local.key),
                &local.excludes,
                &self.paths[local.paths],
            );
            self.graph.set_attrs(local.input, &attrs);
        }
        Ok(())
    }
}

/// Takes over what an image's config says of environment, directory and user.
fn with_config(out: Input, config: Vec<u8>) -> Outcome<Loaded> {
    let image =
        Image::parse(&config).map_err(|e| Fault::new(format!("failed to parse image config: {e}")))?;
    let mut state = State {
        out: (!image.is_empty()).then_some(out),
        ..State::default()
    };
    for entry in &image.config.env {
        let (key, value) = crate::env::split(entry);
        state.env.set(key, value);
    }
    state.dir.clone_from(&image.config.working_dir);
    state.user.clone_from(&image.config.user);
    Ok(Loaded {
        state,
        image: Some((image, config)),
    })
}

fn local_attrs(hint: String, excludes: &[String], paths: &Paths) -> Vec<(&'static str, String)> {
    let mut attrs = vec![("local.sharedkeyhint", hint)];
    if !excludes.is_empty() {
        attrs.push(("local.excludepatterns", json_list(excludes)));
    }
    let follow = follow_paths(paths);
    if !follow.is_empty() {
        attrs.push(("local.followpaths", json_list(&follow)));
    }
    attrs
}

/// Writes texts as a JSON array, as Go does: `<`, `>` and `&` escaped.
fn json_list(texts: &[String]) -> String {
    let text = serde_json::to_string(texts).unwrap_or_default();
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// A copy that does nothing special.
pub(super) fn plain_copy(from: FileInput, src: &str, dest: &str) -> crate::api::graph::Copy {
    crate::api::graph::Copy {
        from,
        src: src.to_owned(),
        dest: dest.to_owned(),
        owner: None,
        mode: None,
        mode_str: String::new(),
        follow_symlink: false,
        dir_copy_contents: false,
        attempt_unpack: false,
        create_dest_path: false,
        allow_wildcard: false,
        allow_empty_wildcard: false,
        timestamp: None,
        include_patterns: Vec::new(),
        exclude_patterns: Vec::new(),
        always_replace_existing_dest_paths: false,
        required_paths: Vec::new(),
    }
}

/// A file vertex of one copy onto nothing.
fn file_op(copy: crate::api::graph::Copy) -> Op {
    Op::File(vec![FileAction {
        on: FileInput::Scratch,
        act: FileAct::Copy(copy),
        output: Some(0),
    }])
}

/// What a vertex is that people did not write.
fn internal(name: &str) -> Meta {
    Meta {
        name: format!("[internal] {name}"),
        ..Meta::default()
    }
}

/// Tells whether bytes are the start of an archive that is unpacked.
fn is_archive(head: &[u8]) -> bool {
    const MAGIC: [&[u8]; 3] = [b"BZh", &[0x1f, 0x8b, 0x08], &[0xfd, b'7', b'z', b'X', b'Z', 0]];
    MAGIC.iter().any(|magic| head.starts_with(magic)) || is_tar(head)
}

/// Tells whether a block of 512 bytes is a tar header: its checksum is right.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else {
        return false;
    };
    let field = &block[148..156];
    let text: String = field
        .iter()
        .map(|b| char::from(*b))
        .filter(|c| *c != '\0')
        .collect();
    let Ok(stored) = u32::from_str_radix(text.trim(), 8) else {
        return false;
    };
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                u32::from(b' ')
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    sum == stored
}
