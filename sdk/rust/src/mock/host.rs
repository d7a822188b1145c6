//! A host with canned answers.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::files::Tree;
use crate::frontend::Definition;
use crate::frontend::Failure;
use crate::frontend::Filter;
use crate::frontend::Host;
use crate::frontend::ImageQuery;
use crate::frontend::Input;
use crate::frontend::Lowered;
use crate::frontend::Request;
use crate::frontend::ResolvedImage;
use crate::frontend::ResolvedSource;
use crate::frontend::Source;
use crate::mock::MockTree;
use crate::types::Diagnostic;
use crate::types::Error;
use crate::types::Level;
use crate::types::Platform;

/// A host with canned answers that remembers what it was asked and told. Everything that was not given is missing.
#[derive(Debug, Clone, Default)]
pub struct MockHost {
    images: BTreeMap<String, ResolvedImage>,
    sources: BTreeMap<String, ResolvedSource>,
    contexts: BTreeMap<String, MockTree>,
    frontends: BTreeMap<String, Lowered>,
    solved: Option<MockTree>,
    questions: RefCell<Vec<String>>,
    reports: RefCell<Vec<Diagnostic>>,
    logs: RefCell<Vec<(Level, String)>>,
}

impl MockHost {
    /// Returns a host that has nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image for all platforms: its identifier (`docker-image://…`) and its config as JSON.
    #[must_use]
    pub fn image(mut self, identifier: &str, config: &str) -> Self {
        self.images
            .insert(identifier.to_owned(), image(identifier, config));
        self
    }

    /// Adds an image for one platform, which wins over [`MockHost::image`].
    #[must_use]
    pub fn image_for(mut self, identifier: &str, platform: &Platform, config: &str) -> Self {
        let key = format!("{identifier} {platform}");
        self.images.insert(key, image(identifier, config));
        self
    }

    /// Adds a git or http source by its identifier.
    #[must_use]
    pub fn source(mut self, identifier: &str, resolved: ResolvedSource) -> Self {
        self.sources.insert(identifier.to_owned(), resolved);
        self
    }

    /// Adds a named context.
    #[must_use]
    pub fn context(mut self, name: &str, files: MockTree) -> Self {
        self.contexts.insert(name.to_owned(), files);
        self
    }

    /// Adds another frontend that always answers the same.
    #[must_use]
    pub fn frontend(mut self, name: &str, lowered: Lowered) -> Self {
        self.frontends.insert(name.to_owned(), lowered);
        self
    }

    /// Sets what every part of the graph builds to.
    #[must_use]
    pub fn solved(mut self, files: MockTree) -> Self {
        self.solved = Some(files);
        self
    }

    /// Returns the questions in order, such as `resolve-image docker-image://… linux/amd64`.
    pub fn questions(&self) -> Vec<String> {
        self.questions.borrow().clone()
    }

    /// Returns what was reported.
    pub fn reports(&self) -> Vec<Diagnostic> {
        self.reports.borrow().clone()
    }

    /// Returns the lines of the log.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.logs.borrow().clone()
    }

    fn asked(&self, question: String) {
        self.questions.borrow_mut().push(question);
    }
}

impl Host for MockHost {
    fn resolve_image(&self, query: &ImageQuery<'_>) -> Result<ResolvedImage, Error> {
        let id = query.identifier;
        let exact = query.platform.map(|platform| format!("{id} {platform}"));
        self.asked(format!(
            "resolve-image {}",
            exact.clone().unwrap_or_else(|| id.to_owned())
        ));
        let found = exact
            .and_then(|key| self.images.get(&key))
            .or_else(|| self.images.get(id));
        found
            .cloned()
            .ok_or_else(|| Error::NotFound(format!("{id}: not found")))
    }

    fn resolve_source(&self, source: &Source, _name: &str) -> Result<ResolvedSource, Error> {
        self.asked(format!("resolve-source {}", source.identifier));
        let found = self.sources.get(&source.identifier).cloned();
        found.ok_or_else(|| Error::NotFound(format!("{}: not found", source.identifier)))
    }

    fn context(&self, name: &str, filter: &Filter) -> Result<Option<Box<dyn Tree>>, Error> {
        self.asked(format!("context {name}"));
        let Some(files) = self.contexts.get(name) else {
            return Ok(None);
        };
        let mut include = filter.include.clone();
        include.extend(filter.follow.iter().cloned());
        Ok(Some(Box::new(files.filtered(&include, &filter.exclude)?)))
    }

    fn solve(&self, definition: &Definition, result: Input) -> Result<Box<dyn Tree>, Error> {
        let vertex = definition.vertices.get(result.vertex as usize);
        let name = vertex.map_or("", |vertex| vertex.name.as_str());
        self.asked(format!("solve {name}"));
        match &self.solved {
            Some(files) => Ok(Box::new(files.clone())),
            None => Err(Error::NotFound(format!("{name}: nothing was given to build"))),
        }
    }

    fn call_frontend(&self, name: &str, _request: &Request) -> Result<Lowered, Failure> {
        self.asked(format!("call-frontend {name}"));
        let found = self.frontends.get(name).cloned();
        found.ok_or_else(|| Diagnostic::error(format!("unknown frontend `{name}`")).into())
    }

    fn report(&self, diagnostic: &Diagnostic) {
        self.reports.borrow_mut().push(diagnostic.clone());
    }

    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push((level, message.to_owned()));
    }
}

/// Pins an image with a digest that follows from its identifier alone.
fn image(identifier: &str, config: &str) -> ResolvedImage {
    let reference = identifier
        .split_once("://")
        .map_or(identifier, |(_, reference)| reference);
    let sum = reference.bytes().fold(0u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let digest = format!("sha256:{sum:064x}");
    ResolvedImage {
        reference: match reference.contains('@') {
            true => reference.to_owned(),
            false => format!("{reference}@{digest}"),
        },
        digest,
        config: config.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_for_the_platform_wins() {
        let arm = Platform {
            os: "linux".into(),
            architecture: "arm64".into(),
            variant: None,
            os_version: None,
        };
        let host = MockHost::new().image("docker-image://a", "{}").image_for(
            "docker-image://a",
            &arm,
            "{\"arm\":1}",
        );
        let ask = |identifier, platform| {
            host.resolve_image(&ImageQuery {
                identifier,
                platform,
                mode: "",
                name: "",
            })
        };
        assert_eq!(
            ask("docker-image://a", Some(&arm)).unwrap().config,
            b"{\"arm\":1}"
        );
        assert_eq!(ask("docker-image://a", None).unwrap().config, b"{}");
        assert!(matches!(ask("docker-image://b", None), Err(Error::NotFound(_))));
        assert_eq!(
            host.questions(),
            [
                "resolve-image docker-image://a linux/arm64",
                "resolve-image docker-image://a",
                "resolve-image docker-image://b",
            ]
        );
    }
}
