//! What the platforms of one request share: the host's answers and the Dockerfile's text.

use crate::api::ResolvedImage;
use crate::api::Span as WitSpan;
use crate::api::graph;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::host::Host;
use crate::host::ImageQuestion;
use crate::host::MAX_IGNORE_FILE;
use crate::lint;
use crate::options::Options;
use crate::platform;
use kiln_dockerfile_syntax::ast::Ast;
use kiln_dockerfile_syntax::span::Span;
use kiln_pattern::Patterns;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::collections::HashMap;

/// Answers by question.
type Images = HashMap<String, Result<ResolvedImage, String>>;

/// One request.
pub(crate) struct Session<'a> {
    /// The host.
    pub(crate) host: &'a dyn Host,
    /// What is asked for.
    pub(crate) options: &'a Options,
    /// Name of the Dockerfile.
    pub(crate) source_name: &'a str,
    lines: Vec<u32>,
    images: RefCell<Images>,
    ignore: OnceCell<Outcome<Vec<String>>>,
    http_is_archive: OnceCell<Outcome<bool>>,
}

impl<'a> Session<'a> {
    /// Starts on a Dockerfile.
    pub(crate) fn new(host: &'a dyn Host, options: &'a Options, source_name: &'a str, text: &[u8]) -> Self {
        let length = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            u32::try_from(line.len()).unwrap_or(u32::MAX)
        };
        Self {
            host,
            options,
            source_name,
            lines: text.split(|b| *b == b'\n').map(length).collect(),
            images: RefCell::default(),
            ignore: OnceCell::new(),
            http_is_archive: OnceCell::new(),
        }
    }

    /// Returns a place in the Dockerfile as the contract counts: columns from 1, whole lines written out.
    pub(crate) fn span(&self, span: Span) -> WitSpan {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (mut start, mut end) = (span.start, span.end);
        start.line = start.line.max(1);
        end.line = end.line.max(start.line);
        if start.column == 0 && end.column == 0 {
            end.column = self.lines.get(end.line - 1).copied().unwrap_or_default() as usize;
        }
        WitSpan {
            source: 0,
            start: position(number(start.line), number(start.column).saturating_add(1)),
            end: position(number(end.line), number(end.column).saturating_add(1)),
        }
    }

    /// Pins an image; asks the host once for each image and platform.
    pub(crate) fn resolve_image(&self, question: &ImageQuestion<'_>) -> Result<ResolvedImage, String> {
        let key = format!("{} {}", question.identifier, platform::format(question.platform));
        if let Some(known) = self.images.borrow().get(&key) {
            return known.clone();
        }
        let answer = self.host.resolve_image(question);
        self.images.borrow_mut().insert(key, answer.clone());
        answer
    }

    /// Returns which rules are on: what `# check=` says, or the build argument in its place.
    pub(crate) fn lint_config(&self, ast: &Ast) -> Outcome<lint::Config> {
        if let Some(text) = &self.options.check {
            return lint::Config::parse(text)
                .map_err(|e| Fault::new(e).wrap("failed to parse BUILDKIT_DOCKERFILE_CHECK"));
        }
        let Some(check) = ast.directives.iter().find(|d| d.name == "check") else {
            return Ok(lint::Config::default());
        };
        lint::Config::parse(check.first_word()).map_err(|e| {
            Fault::new(e)
                .wrap("failed to parse check options")
                .within(Span::lines(check.line, check.line))
        })
    }

    /// Returns the patterns of `<Dockerfile>.dockerignore`, or of `.dockerignore` in the main context.
    pub(crate) fn ignore_patterns(&self) -> Outcome<&[String]> {
        self.ignore
            .get_or_init(|| self.read_ignore())
            .as_deref()
            .map_err(Clone::clone)
    }

    fn read_ignore(&self) -> Outcome<Vec<String>> {
        let own = format!("{}.dockerignore", self.source_name);
        if let Some(text) = self.host.build_file(&own, MAX_IGNORE_FILE)? {
            return check_ignore(&text, &own);
        }
        match self.host.context_file("context", IGNORE_FILE, MAX_IGNORE_FILE)? {
            Some(text) => check_ignore(&text, IGNORE_FILE),
            None => Ok(Vec::new()),
        }
    }

    /// Returns whether what an http context brings is an archive; asks once.
    pub(crate) fn http_is_archive(&self, ask: impl FnOnce() -> Outcome<bool>) -> Outcome<bool> {
        self.http_is_archive.get_or_init(ask).clone()
    }
}

/// The file in a context that says what is not part of it.
pub(crate) const IGNORE_FILE: &str = ".dockerignore";

/// Reads the patterns of an ignore file.
pub(super) fn check_ignore(text: &[u8], name: &str) -> Outcome<Vec<String>> {
    let patterns = kiln_pattern::read_ignore_file(text);
    match Patterns::new(&patterns) {
        Ok(_) => Ok(patterns),
        Err(e) => Err(Fault::new(format!("failed parsing {name}: {e}"))),
    }
}

fn position(line: u32, column: u32) -> crate::api::Position {
    crate::api::Position { line, column }
}

/// Returns an owner as `--chown` and USER write it: numbers are numbers, everything else is a name.
pub(crate) fn owner(text: &str) -> graph::Owner {
    let one = |text: &str| match text {
        "root" => graph::UserRef::Id(0),
        number => number
            .parse::<i32>()
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .map_or_else(|| graph::UserRef::Name(number.to_owned()), graph::UserRef::Id),
    };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    graph::Owner {
        user: Some(one(user)),
        group: group.map(one),
    }
}
