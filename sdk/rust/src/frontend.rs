//! The kind `frontend`: reads a build file and returns a build graph.

pub use crate::bindings::api::kiln::plugin::build::Filter;
pub use crate::bindings::api::kiln::plugin::build::ResolvedImage;
pub use crate::bindings::api::kiln::plugin::build::ResolvedSource;
pub use crate::bindings::api::kiln::plugin::lowering::Answer;
pub use crate::bindings::api::kiln::plugin::lowering::Description;
pub use crate::bindings::api::kiln::plugin::lowering::Failure;
pub use crate::bindings::api::kiln::plugin::lowering::Lowered;
pub use crate::bindings::api::kiln::plugin::lowering::Output;
pub use crate::bindings::api::kiln::plugin::lowering::Request;
pub use crate::bindings::api::kiln::plugin::lowering::Subrequest;
use crate::files::Tree;
pub use crate::graph::Definition;
pub use crate::graph::Input;
pub use crate::graph::Source;
use crate::types::Diagnostic;
use crate::types::Error;
use crate::types::Level;
use crate::types::Platform;
use crate::types::SourceFile;

/// A frontend. Use [`export_frontend!`](crate::export_frontend) to make a plugin of it.
///
/// A pure function of the request and of what the host answers: the host keeps the result and does not call again
/// while all answers are the same.
pub trait Frontend {
    /// Says what the frontend is.
    fn describe() -> Description;

    /// Turns a build file into a graph. `files` holds the build file and what may lie beside it.
    ///
    /// # Errors
    /// Diagnostics with the texts that their spans point into.
    fn lower(host: &dyn Host, request: &Request, files: &dyn Tree) -> Result<Lowered, Failure>;

    /// Answers a question about a build file without building. `id` is one of those that
    /// [`Frontend::describe`] names, such as `frontend.outline`.
    ///
    /// # Errors
    /// Diagnostics; without an implementation of its own, that there is no such question.
    fn subrequest(host: &dyn Host, id: &str, request: &Request, files: &dyn Tree) -> Result<Answer, Failure> {
        let (_, _, _) = (host, request, files);
        Err(Diagnostic::error(format!("unsupported request `{id}`")).into())
    }
}

/// An image to pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageQuery<'a> {
    /// `docker-image://…` or `oci-layout://…`.
    pub identifier: &'a str,
    /// For which platform; none is the build platform.
    pub platform: Option<&'a Platform>,
    /// Where to look: empty (default), `pull` or `local`.
    pub mode: &'a str,
    /// What the user sees while it happens.
    pub name: &'a str,
}

/// What a frontend may ask of the build. All answers are recorded.
pub trait Host {
    /// Pins an image and returns its config.
    ///
    /// # Errors
    /// There is no such image, or it cannot be reached.
    fn resolve_image(&self, query: &ImageQuery<'_>) -> Result<ResolvedImage, Error>;

    /// Pins a git or http source. `name` is what the user sees while it happens.
    ///
    /// # Errors
    /// There is no such source, or it cannot be reached.
    fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, Error>;

    /// Returns a named context's files, or none when there is no such context.
    ///
    /// # Errors
    /// The context cannot be read.
    fn context(&self, name: &str, filter: &Filter) -> Result<Option<Box<dyn Tree>>, Error>;

    /// Builds a part of the graph now and returns it to look into.
    ///
    /// # Errors
    /// The graph is not one, or a step failed.
    fn solve(&self, definition: &Definition, result: Input) -> Result<Box<dyn Tree>, Error>;

    /// Lowers another build file by another frontend.
    ///
    /// # Errors
    /// The other frontend's.
    fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure>;

    /// Tells the user something before the answer is ready.
    fn report(&self, diagnostic: &Diagnostic);

    /// Writes a line to the plugin's log.
    fn log(&self, level: Level, message: &str);
}

impl Request {
    /// Returns a request for a build file with nothing else, built on `linux/amd64`: a start for tests.
    pub fn named(source_name: impl Into<String>) -> Self {
        Self {
            source_name: source_name.into(),
            target: None,
            args: Vec::new(),
            labels: Vec::new(),
            platforms: Vec::new(),
            build_platform: Platform {
                os: "linux".into(),
                architecture: "amd64".into(),
                variant: None,
                os_version: None,
            },
            contexts: Vec::new(),
            options: Vec::new(),
        }
    }
}

impl Failure {
    /// Returns a failure with the texts that its spans point into.
    pub fn new(diagnostics: Vec<Diagnostic>, sources: Vec<SourceFile>) -> Self {
        Self { diagnostics, sources }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::new(vec![diagnostic], Vec::new())
    }
}

/// Makes a frontend plugin of a type that implements `Frontend`. Once in a `cdylib`.
///
/// Natively it only checks the type.
#[macro_export]
macro_rules! export_frontend {
    ($ty:ty) => {
        const _: () = {
            #[allow(dead_code, reason = "exists for its bound")]
            fn is_a_frontend<T: $crate::frontend::Frontend>() {}
            #[allow(dead_code, reason = "exists for its bound")]
            fn check() {
                is_a_frontend::<$ty>();
            }
        };
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]
        mod kiln_frontend_export {
            use super::*;
            type Exported = $crate::guest::FrontendExport<$ty>;
            $crate::bindings::frontend_plugin::export_frontend_plugin!(
                Exported with_types_in $crate::bindings::frontend_plugin
            );
        }
    };
}
