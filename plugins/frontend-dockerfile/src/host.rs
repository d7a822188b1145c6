//! What the frontend asks of the host, behind a trait: the component asks the real one, tests a fake one.

use crate::api::Definition;
use crate::api::Failure;
use crate::api::Input;
use crate::api::Lowered;
use crate::api::Platform;
use crate::api::Request;
use crate::api::ResolvedImage;
use crate::api::ResolvedSource;
use crate::api::Source;
use kiln_sdk::frontend::Filter;
use kiln_sdk::frontend::ImageQuery;

/// Largest Dockerfile, in bytes.
pub(crate) const MAX_BUILD_FILE: u64 = 16 << 20;
/// Largest `.dockerignore`, in bytes.
pub(crate) const MAX_IGNORE_FILE: u64 = 4 << 20;

/// An image to look up.
#[derive(Debug, Clone)]
pub(crate) struct ImageQuestion<'a> {
    /// `docker-image://…` or `oci-layout://…`.
    pub(crate) identifier: &'a str,
    /// For which platform.
    pub(crate) platform: &'a Platform,
    /// Empty, `pull` or `local`.
    pub(crate) mode: &'a str,
    /// What the user sees.
    pub(crate) name: &'a str,
}

/// The host, as far as lowering needs it. Errors are texts for the user.
pub(crate) trait Host {
    /// Returns a file that lies beside the build file; none when it is not there.
    fn build_file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String>;
    /// Returns a file of a named context; none when it, or the context, is not there.
    fn context_file(&self, context: &str, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String>;
    /// Pins an image.
    fn resolve_image(&self, question: &ImageQuestion<'_>) -> Result<ResolvedImage, String>;
    /// Pins a git or http source.
    fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, String>;
    /// Builds a part of the graph and returns the first bytes of a file of it.
    fn solved_head(&self, part: (Definition, Input), path: &str, len: u32) -> Result<Vec<u8>, String>;
    /// Lowers the build file by another frontend.
    fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure>;
}

/// The SDK's host and the tree of the build file.
pub(crate) struct Bridge<'a> {
    pub(crate) host: &'a dyn kiln_sdk::frontend::Host,
    pub(crate) files: &'a dyn kiln_sdk::Tree,
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: kiln_sdk::Error) -> String {
    error.message().to_owned()
}

impl Host for Bridge<'_> {
    fn build_file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        self.files.read_optional(path, limit).map_err(text)
    }

    fn context_file(&self, context: &str, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let filter = Filter {
            include: Vec::new(),
            exclude: Vec::new(),
            follow: vec![path.to_owned()],
        };
        match self.host.context(context, &filter).map_err(text)? {
            Some(tree) => tree.read_optional(path, limit).map_err(text),
            None => Ok(None),
        }
    }

    fn resolve_image(&self, question: &ImageQuestion<'_>) -> Result<ResolvedImage, String> {
        let ImageQuestion {
            identifier,
            platform,
            mode,
            name,
        } = *question;
        let query = ImageQuery {
            identifier,
            platform: Some(platform),
            mode,
            name,
        };
        self.host.resolve_image(&query).map_err(text)
    }

    fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, String> {
        self.host.resolve_source(source, name).map_err(text)
    }

    fn solved_head(&self, part: (Definition, Input), path: &str, len: u32) -> Result<Vec<u8>, String> {
        let tree = self.host.solve(&part.0, part.1).map_err(text)?;
        tree.open(path).and_then(|blob| blob.read(0, len)).map_err(text)
    }

    fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        self.host.call_frontend(name, request)
    }
}
