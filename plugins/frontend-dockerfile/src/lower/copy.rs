//! COPY and ADD.

use super::Lowerer;
use super::context::plain_copy;
use super::names::StepText;
use super::names::shown;
use super::session::owner;
use super::stage::Step;
use crate::api::Op;
use crate::api::graph::Copy;
use crate::api::graph::FileAct;
use crate::api::graph::FileAction;
use crate::api::graph::FileInput;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::go;
use crate::graph::Meta;
use crate::image::Layer;
use crate::lint::Rule;
use crate::paths;
use crate::paths::Slash;
use crate::reference;
use kiln_dockerfile_syntax::ast::Node;
use kiln_dockerfile_syntax::chmod;
use kiln_dockerfile_syntax::chmod::Chmod;
use kiln_dockerfile_syntax::instructions::AddCommand;
use kiln_dockerfile_syntax::instructions::Command;
use kiln_dockerfile_syntax::instructions::CopyCommand;
use kiln_dockerfile_syntax::instructions::SourcesAndDest;
use kiln_giturl::GitRef;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use kiln_pattern::Patterns;

/// Permissions of files that are written in the Dockerfile.
const INLINE_MODE: u32 = 0o644;

/// Which of the two instructions it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Copy,
}

/// What COPY and ADD have in common.
#[derive(Debug)]
pub(super) struct CopyJob<'c> {
    kind: Kind,
    sources: &'c SourcesAndDest,
    chown: &'c str,
    chmod: &'c str,
    checksum: &'c str,
    exclude: &'c [String],
    link: bool,
    parents: bool,
    keep_git_dir: Option<bool>,
    unpack: Option<bool>,
}

impl<'c> CopyJob<'c> {
    pub(super) fn of_add(add: &'c AddCommand) -> Self {
        Self {
            kind: Kind::Add,
            sources: &add.sources,
            chown: add.chown.as_deref().unwrap_or_default(),
            chmod: add.chmod.as_deref().unwrap_or_default(),
            checksum: add.checksum.as_deref().unwrap_or_default(),
            exclude: &add.exclude,
            link: add.link,
            parents: false,
            keep_git_dir: add.keep_git_dir,
            unpack: add.unpack,
        }
    }

    pub(super) fn of_copy(copy: &'c CopyCommand) -> Self {
        Self {
            kind: Kind::Copy,
            sources: &copy.sources,
            chown: copy.chown.as_deref().unwrap_or_default(),
            chmod: copy.chmod.as_deref().unwrap_or_default(),
            checksum: "",
            exclude: &copy.exclude,
            link: copy.link,
            parents: copy.parents,
            keep_git_dir: None,
            unpack: None,
        }
    }

    /// Whether URLs are known to be git's.
    fn known(&self) -> Known {
        if self.keep_git_dir.is_some() {
            Known::Git
        } else {
            Known::Unknown
        }
    }

    fn check_checksum(&self) -> Outcome<()> {
        if self.checksum.is_empty() {
            return Ok(());
        }
        if self.kind == Kind::Copy {
            return Err(Fault::new("checksum can't be specified for COPY"));
        }
        let [source] = self.sources.paths.as_slice() else {
            return Err(Fault::new("checksum can't be specified for multiple sources"));
        };
        match kiln_giturl::parse(source, self.known()) {
            GitUrl::Yes(_) => Ok(()),
            _ if is_http(source) => Ok(()),
            _ => Err(Fault::new("checksum requires HTTP(S) or Git sources")),
        }
    }

    /// Returns the line of history.
    fn history(&self) -> String {
        let mut out = if self.kind == Kind::Add {
            "ADD".to_owned()
        } else {
            "COPY".to_owned()
        };
        if self.parents {
            out.push_str(" --parents");
        }
        if !self.chown.is_empty() {
            out.push_str(&format!(" --chown={}", self.chown));
        }
        if !self.chmod.is_empty() {
            out.push_str(&format!(" --chmod={}", self.chmod));
        }
        for path in &self.sources.paths {
            out.push_str(&format!(" {path}"));
        }
        for content in &self.sources.contents {
            out.push_str(&format!(" <<{}", content.path));
        }
        out.push_str(&format!(" {} # buildkit", self.sources.dest));
        out
    }
}

/// What all copies of an instruction share.
struct Site<'s> {
    job: &'s CopyJob<'s>,
    step: &'s Step,
    command: &'s Command,
    os: &'s str,
    dest: &'s str,
    name: &'s str,
}

fn is_http(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

impl Lowerer<'_> {
    pub(super) fn copy(
        &mut self,
        at: usize,
        job: &CopyJob<'_>,
        step: &Step,
        command: &Command,
    ) -> Outcome<()> {
        let os = self.stages[at].os().to_owned();
        let written = paths::drop_drive(&job.sources.dest, &os)?;
        let relative = !paths::is_abs(&written, &os);
        let written = if relative && matches!(written.as_str(), "" | ".") {
            "./"
        } else {
            written.as_str()
        };
        let dest = paths::normalize(&self.stages[at].state.dir, written, &os, Slash::Keep)?;
        let chmod = if job.chmod.is_empty() {
            None
        } else {
            let parsed = chmod::parse(job.chmod);
            Some(parsed.map_err(|e| Fault::from(e).at(command.node.flag("chmod", 0)))?)
        };
        job.check_checksum()
            .map_err(|fault| fault.at(command.node.flag("checksum", 0)))?;
        let env = self.stages[at].state.env.clone();
        let text = shown(command.code(), &self.lex, &|key| env.get(key).map(str::to_owned));
        let name = self.step_name(at, &StepText::new(text.clone(), step.on_build), &env);
        let site = Site {
            job,
            step,
            command,
            os: &os,
            dest: &dest,
            name: &name,
        };
        let mut copies = Vec::new();
        for (number, source) in job.sources.paths.iter().enumerate() {
            let copy = self.one_copy(&site, source);
            copies.push(copy.map_err(|fault| fault.at(command.node.source(number)))?);
        }
        for content in &job.sources.contents {
            let path = paths::drop_drive(&content.path, &os)?;
            let input = self.inline_file(at, &path, content.data.clone().into_bytes(), INLINE_MODE);
            copies.push(plain_copy(
                FileInput::Vertex(input),
                &paths::join("/", &path),
                &dest,
            ));
        }
        for copy in &mut copies {
            copy.create_dest_path = true;
            copy.exclude_patterns = job.exclude.to_vec();
            copy.owner = (!job.chown.is_empty()).then(|| owner(job.chown));
            match &chmod {
                None => {}
                Some(Chmod::Octal(bits)) => copy.mode = Some(*bits),
                Some(Chmod::Symbolic(text)) => copy.mode_str.clone_from(text),
            }
        }
        let meta = self.step_meta(at, name, command.span());
        if job.link && job.chmod.is_empty() {
            let link = StepText::same(format!("LINK {text}"), step.on_build);
            let link = self.step_name(at, &link, &env);
            self.link(at, copies, meta, link);
        } else {
            self.stages[at].state.out = Some(self.file(copies, self.stages[at].state.out, meta));
        }
        self.commit(at, job.history(), Layer::Made);
        Ok(())
    }

    /// Copies onto nothing and stacks the result on the stage: the layer does not depend on what is below.
    fn link(&mut self, at: usize, copies: Vec<Copy>, meta: Meta, link: String) {
        // Both are shown as one, by the name of the copy.
        let group = Some(meta.name.clone());
        let shown = Meta {
            name: link,
            group: group.clone(),
            ..meta.clone()
        };
        let layer = self.file(copies, None, Meta { group, ..meta });
        let out = match self.stages[at].state.out {
            None => layer,
            Some(base) => self.graph.add(Op::Merge(vec![base, layer]), shown),
        };
        self.stages[at].state.out = Some(out);
    }

    /// Adds one file vertex of several copies, each on top of the one before.
    fn file(&mut self, copies: Vec<Copy>, base: Option<crate::api::Input>, meta: Meta) -> crate::api::Input {
        let last = copies.len().saturating_sub(1);
        let mut actions = Vec::with_capacity(copies.len());
        for (number, copy) in copies.into_iter().enumerate() {
            let on = match (number, base) {
                (0, Some(base)) => FileInput::Vertex(base),
                (0, None) => FileInput::Scratch,
                _ => FileInput::Action(u32::try_from(number - 1).unwrap_or(u32::MAX)),
            };
            let output = (number == last).then_some(0);
            actions.push(FileAction {
                on,
                act: FileAct::Copy(copy),
                output,
            });
        }
        self.graph.add(Op::File(actions), meta)
    }

    fn one_copy(&mut self, site: &Site<'_>, source: &str) -> Outcome<Copy> {
        let job = site.job;
        match kiln_giturl::parse(source, job.known()) {
            GitUrl::Bad(message) => return Err(Fault::new(message)),
            GitUrl::Yes(git) if !git.like_local => {
                if job.kind == Kind::Copy {
                    return Err(Fault::new("source can't be a git ref for COPY"));
                }
                let git = wanted(*git, job, &site.command.node)?;
                let spans = vec![self.session.span(site.command.span())];
                let input = self.git_source(&git, site.name, spans);
                return Ok(plain_copy(FileInput::Vertex(input), "/", site.dest));
            }
            GitUrl::Yes(_) | GitUrl::No => {}
        }
        if is_http(source) {
            if job.kind == Kind::Copy {
                return Err(Fault::new("source can't be a URL for COPY"));
            }
            return self.http_copy(site, source);
        }
        self.tree_copy(site, source)
    }

    fn http_copy(&mut self, site: &Site<'_>, url: &str) -> Outcome<Copy> {
        let file = http_filename(url);
        let mut attrs = vec![("http.filename", file.clone())];
        if !site.job.checksum.is_empty() {
            check_digest(site.job.checksum)
                .map_err(|fault| fault.at(site.command.node.flag("checksum", 0)))?;
            attrs.push(("http.checksum", site.job.checksum.to_owned()));
        }
        let meta = Meta {
            name: site.name.to_owned(),
            spans: vec![self.session.span(site.command.span())],
            ..Meta::default()
        };
        let input = self.graph.source(url.to_owned(), &attrs, meta);
        let mut copy = plain_copy(FileInput::Vertex(input), &paths::join("/", &file), site.dest);
        copy.attempt_unpack = site.job.unpack.unwrap_or(false);
        Ok(copy)
    }

    /// Copies from the context, a stage or an image.
    fn tree_copy(&mut self, site: &Site<'_>, source: &str) -> Outcome<Copy> {
        let job = site.job;
        let absolute = |path: &str| paths::normalize("/", path, site.os, Slash::Drop);
        let (mut path, mut include, mut required) = (source, Vec::new(), Vec::new());
        if job.parents {
            let (parent, pattern) = source.split_once("/./").unwrap_or(("/", source));
            let pattern = absolute(pattern)?;
            include.push(pattern.trim_start_matches('/').to_owned());
            if !has_wildcards(parent) && !has_wildcards(&pattern) {
                required.push(absolute(&paths::join(parent, &pattern))?);
            }
            path = parent;
        }
        let from = self.tree(site, source)?;
        let mut copy = plain_copy(from, &absolute(path)?, site.dest);
        copy.follow_symlink = true;
        copy.dir_copy_contents = true;
        copy.allow_wildcard = true;
        copy.allow_empty_wildcard = true;
        copy.include_patterns = include;
        copy.required_paths = required;
        copy.attempt_unpack = job.unpack.unwrap_or(job.kind == Kind::Add);
        Ok(copy)
    }

    /// Returns the tree that is copied from, and notes that the path is read of it.
    fn tree(&mut self, site: &Site<'_>, path: &str) -> Outcome<FileInput> {
        let Some(source) = site.step.sources.first().copied().flatten() else {
            self.check_ignored(path, site.job, site.command)?;
            return Ok(FileInput::Vertex(self.main_context(&[path])?));
        };
        let stage = &self.stages[source];
        self.paths[stage.paths].insert(paths::join("/", path));
        Ok(stage.state.out.map_or(FileInput::Scratch, FileInput::Vertex))
    }

    /// Notes a source that `.dockerignore` leaves out.
    fn check_ignored(&mut self, path: &str, job: &CopyJob<'_>, command: &Command) -> Outcome<()> {
        if !self.main_is_local() {
            return Ok(());
        }
        let patterns = self.session.ignore_patterns()?;
        if patterns.is_empty() {
            return Ok(());
        }
        let Ok(matcher) = Patterns::new(patterns) else {
            return Ok(());
        };
        let path = paths::clean(path);
        if matcher.has_exclusions() {
            return Ok(());
        }
        let root = path == "." || path == "/";
        if root && !patterns.iter().any(|p| matches!(p.as_str(), "*" | "**" | "**/*")) {
            return Ok(());
        }
        if matcher.matches_or_parent_matches(path.trim_start_matches('/').as_bytes()) {
            let verb = if job.kind == Kind::Add { "Add" } else { "Copy" };
            let path = go::quote(&path);
            let message = format!("Attempting to {verb} file {path} that is excluded by .dockerignore");
            self.lint
                .report(Rule::CopyIgnoredFile, command.span(), command.comments(), message);
        }
        Ok(())
    }
}

/// Adds what the flags say to what a git URL says.
fn wanted(mut git: GitRef, job: &CopyJob<'_>, node: &Node) -> Outcome<GitRef> {
    match (job.keep_git_dir, git.keep_git_dir) {
        (Some(flag), Some(query)) if flag != query => {
            let fault = Fault::new("inconsistent keep-git-dir configuration");
            return Err(fault.at(node.flag("keep-git-dir", 0)));
        }
        (flag, query) => git.keep_git_dir = query.or(flag),
    }
    if !job.checksum.is_empty() {
        if !git.checksum.is_empty() && git.checksum != job.checksum {
            let (flag, query) = (go::quote(job.checksum), go::quote(&git.checksum));
            let fault = Fault::new(format!("checksum mismatch {flag} != {query}"));
            return Err(fault.at(node.flag("checksum", 0)));
        }
        job.checksum.clone_into(&mut git.checksum);
    }
    // `mtime` is for contexts: ADD does not pass it on.
    git.mtime.clear();
    Ok(git)
}

/// Returns the name of the file that a URL brings.
pub(super) fn http_filename(url: &str) -> String {
    const UNNAMED: &str = "__unnamed__";
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    match kiln_giturl::unescape(path) {
        Some(path) => match paths::base(&path) {
            "." | "/" => UNNAMED.to_owned(),
            base => base.to_owned(),
        },
        None => UNNAMED.to_owned(),
    }
}

/// Checks a digest of `--checksum`.
pub(super) fn check_digest(text: &str) -> Outcome<()> {
    if reference::is_digest(text) {
        return Ok(());
    }
    let Some((algorithm, hex)) = text.split_once(':') else {
        return Err(Fault::new("invalid checksum digest format"));
    };
    Err(Fault::new(match algorithm {
        "sha256" | "sha384" | "sha512" if hex.bytes().all(|b| b.is_ascii_hexdigit()) && !hex.is_empty() => {
            "invalid checksum digest length"
        }
        "sha256" | "sha384" | "sha512" => "invalid checksum digest format",
        _ => "unsupported digest algorithm",
    }))
}

/// Tells whether a path has wildcards that are not escaped.
fn has_wildcards(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    false
}
