//! What frontends may ask of a build.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::FrontendBridge;
use kiln_plugin::FrontendError;
use kiln_plugin::HostError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::PluginError;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;
use kiln_progress::End;
use kiln_progress::Event;
use kiln_progress::Step;
use kiln_progress::Stream;

use crate::build::BuildContext;
use crate::context::Wanted;
use crate::error::EngineError;
use crate::files::RefTree;
use crate::images::ImageError;
use crate::images::ImageId;
use crate::layers::Ref;
use crate::memo::StoreMemo;
use crate::observer::Reporter;

/// Serves one call of a frontend.
pub(crate) struct Bridge {
    pub(crate) build: Arc<BuildContext>,
    pub(crate) session: Arc<kiln_solver::Session<Ref>>,
    pub(crate) reporter: Arc<Reporter>,
    /// The step that the call is shown as.
    pub(crate) step: Digest,
    /// The build file and what lies beside it.
    pub(crate) files: Arc<RefTree>,
    /// Whether this frontend may hand the build file to another.
    pub(crate) forwarding: Forwarding,
}

/// Whether a frontend may hand the build file to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// It decides who reads the build file: nobody named another one.
    Allowed,
    /// It was named by the user, or by a frontend before it.
    Denied,
}

fn other(error: impl std::error::Error) -> HostError {
    HostError::Other(chain(&error))
}

/// Writes an error with its causes on one line, as BuildKit does.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn host_error(error: &EngineError) -> HostError {
    let text = chain(error);
    match error {
        EngineError::Image(ImageError::Resolve { source, .. }) if source.is_not_found() => {
            HostError::NotFound(text)
        }
        EngineError::Image(ImageError::Platform { .. } | ImageError::NoLayout(_)) => {
            HostError::NotFound(text)
        }
        EngineError::Image(ImageError::Resolve { .. }) => HostError::Unavailable(text),
        EngineError::NotYet(_) => HostError::Invalid(text),
        _ => HostError::Other(text),
    }
}

fn plugin_failure(error: &PluginError) -> Failure {
    let mut failure = Failure::of(chain(error));
    failure.diagnostics[0].help = error.hint();
    failure
}

impl Bridge {
    fn step(&self, name: &str) -> Step {
        Step::start(
            &self.build.sink,
            Digest::of(format!("{} {name}", self.build.session)),
            name,
        )
    }

    async fn tree(&self, stack: Ref) -> Result<Arc<dyn FileTree>, HostError> {
        let tree = self.build.layers.tree(&stack).await.map_err(other)?;
        Ok(Arc::new(RefTree::new(self.build.layers.clone(), tree)))
    }
}

#[async_trait]
impl FrontendBridge for Bridge {
    async fn resolve_image(
        &self,
        identifier: &str,
        platform: Option<&Platform>,
        mode: &str,
        name: &str,
    ) -> Result<ResolvedImage, HostError> {
        let asked = Source {
            identifier: identifier.to_owned(),
            ..Source::default()
        };
        let admitted = self.build.admitted(&asked).map_err(other)?;
        let id: ImageId = admitted
            .identifier
            .parse()
            .map_err(|error: ImageError| HostError::Invalid(chain(&error)))?;
        let platform = platform.unwrap_or(&self.build.config.platform);
        let shown = match &id {
            _ if !name.is_empty() => name.to_owned(),
            id => format!("[internal] load metadata for {id}"),
        };
        let step = self.step(&shown);
        match self.build.image(&id, platform, mode, Some(step.digest())).await {
            Ok(image) => {
                step.finish(End::Done);
                let (reference, digest) = (image.pinned.clone(), image.digest.to_string());
                Ok(ResolvedImage {
                    reference,
                    digest,
                    config: image.config.to_vec(),
                })
            }
            Err(error) => {
                step.finish(End::Failed(chain(&error)));
                Err(host_error(&error))
            }
        }
    }

    async fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, HostError> {
        let step = self.step(if name.is_empty() { &source.identifier } else { name });
        let source = &self.build.admitted(source).map_err(other)?;
        match self.build.resolve_source(source, step.digest()).await {
            Ok(resolved) => {
                step.finish(End::Done);
                Ok(resolved)
            }
            Err(error) => {
                step.finish(End::Failed(chain(&error)));
                Err(host_error(&error))
            }
        }
    }

    async fn context(&self, name: &str, filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        if !self.build.has_files(name).await.map_err(other)? {
            return Ok(None);
        }
        let wanted = Wanted {
            include: filter.include.clone(),
            exclude: filter.exclude.clone(),
            follow: filter.follow.clone(),
        };
        let ignore_file = |path: &String| path.ends_with(".dockerignore");
        let step = match filter.follow.as_slice() {
            [one] if ignore_file(one) => Some(self.step("[internal] load .dockerignore")),
            _ => None,
        };
        let local = self
            .build
            .local(name, wanted, step.as_ref().map(Step::digest))
            .await;
        let local = local.map_err(|error| host_error(&error))?;
        if let Some(step) = step {
            step.finish(End::Done);
        }
        Ok(Some(self.tree(Ref::new(vec![local.layer])).await?))
    }

    async fn solve(&self, definition: &Definition, result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        let invalid = |error: kiln_graph::GraphError| HostError::Invalid(error.to_string());
        definition.check_input(result).map_err(invalid)?;
        let mut definition = definition.clone();
        self.build.admit(&mut definition).map_err(other)?;
        self.reporter.learn(&self.build, &definition);
        let graph = crate::ops::graph(&self.build, &definition).map_err(other)?;
        let edge = kiln_solver::Edge {
            vertex: kiln_solver::VertexId(result.vertex),
            output: result.output,
        };
        let solved = self.session.solve(&graph, &[edge]).await.map_err(other)?;
        self.tree(solved.into_iter().next().unwrap_or_default()).await
    }

    async fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        if self.forwarding == Forwarding::Denied {
            return Err(Failure::of(format!(
                "the frontend wants to call the frontend `{name}`, which is not granted"
            )));
        }
        let memo = StoreMemo::for_request(self.build.layers.store(), &self.build.request);
        let opened = self
            .build
            .config
            .frontends
            .open(Some(name), memo, &self.build.request.ledger)
            .await;
        let frontend = opened.map_err(|error| plugin_failure(&error))?;
        let bridge = Arc::new(Self {
            build: self.build.clone(),
            session: self.session.clone(),
            reporter: self.reporter.clone(),
            step: self.step,
            files: self.files.clone(),
            forwarding: Forwarding::Denied,
        });
        match frontend.lower(request, self.files.clone(), bridge).await {
            Ok(lowered) => Ok(lowered),
            Err(FrontendError::Failure(failure)) => Err(failure),
            Err(FrontendError::Plugin(error)) => Err(plugin_failure(&error)),
        }
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.reporter.warn(&self.build.sink, self.step, &diagnostic, &[]);
    }

    fn log(&self, level: LogLevel, message: &str) {
        let data = format!("{level:?}: {message}\n").into_bytes();
        let at = std::time::SystemTime::now();
        self.build.sink.emit(Event::Log {
            vertex: self.step,
            stream: Stream::Stderr,
            data,
            at,
        });
    }
}
