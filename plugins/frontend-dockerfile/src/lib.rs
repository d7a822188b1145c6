//! The Dockerfile frontend: turns a Dockerfile into a build graph as BuildKit does, cache keys and texts included.
//!
//! Knows the language and what its instructions mean. Everything else (images, files, time) it asks the host.

mod api;
#[cfg(test)]
mod conformance;
mod env;
mod excerpt;
mod fault;
mod frontend;
mod go;
mod graph;
mod host;
mod image;
mod lint;
mod lower;
mod options;
mod outline;
mod paths;
mod platform;
mod reference;
mod subrequest;
mod suggest;
mod syntax;

use host::Bridge;
use kiln_sdk::Tree;
use kiln_sdk::frontend::Answer;
use kiln_sdk::frontend::Description;
use kiln_sdk::frontend::Failure;
use kiln_sdk::frontend::Frontend;
use kiln_sdk::frontend::Host;
use kiln_sdk::frontend::Lowered;
use kiln_sdk::frontend::Request;

/// The frontend `dockerfile`.
#[derive(Debug, Clone, Copy)]
pub struct Dockerfile;

impl Frontend for Dockerfile {
    fn describe() -> Description {
        subrequest::describe()
    }

    fn lower(host: &dyn Host, request: &Request, files: &dyn Tree) -> Result<Lowered, Failure> {
        frontend::lower(&Bridge { host, files }, request)
    }

    fn subrequest(host: &dyn Host, id: &str, request: &Request, files: &dyn Tree) -> Result<Answer, Failure> {
        subrequest::answer(&Bridge { host, files }, id, request)
    }
}

kiln_sdk::export_frontend!(Dockerfile);
