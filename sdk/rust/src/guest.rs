//! The real host behind the SDK's traits. Only in components.

use std::marker::PhantomData;

use crate::bindings::api::kiln::plugin::build;
use crate::bindings::api::kiln::plugin::content;
use crate::bindings::api::kiln::plugin::log;
use crate::bindings::frontend_plugin::exports::kiln::plugin::frontend as exported;
use crate::files::Blob;
use crate::files::Entry;
use crate::files::Tree;
use crate::frontend::Answer;
use crate::frontend::Definition;
use crate::frontend::Description;
use crate::frontend::Failure;
use crate::frontend::Filter;
use crate::frontend::Frontend;
use crate::frontend::Host;
use crate::frontend::ImageQuery;
use crate::frontend::Input;
use crate::frontend::Lowered;
use crate::frontend::Request;
use crate::frontend::ResolvedImage;
use crate::frontend::ResolvedSource;
use crate::frontend::Source;
use crate::panic::install_hook;
use crate::types::Diagnostic;
use crate::types::Error;
use crate::types::Level;

/// A frontend as the world wants it. The export macro names it.
#[derive(Debug)]
pub struct FrontendExport<T>(PhantomData<T>);

impl<T: Frontend + 'static> exported::Guest for FrontendExport<T> {
    fn describe() -> Description {
        install_hook();
        T::describe()
    }

    fn lower(request: Request, files: &content::Tree) -> Result<Lowered, Failure> {
        install_hook();
        T::lower(&Imports, &request, files)
    }

    fn subrequest(id: String, request: Request, files: &content::Tree) -> Result<Answer, Failure> {
        install_hook();
        T::subrequest(&Imports, &id, &request, files)
    }
}

/// The host that runs this component.
#[derive(Debug, Clone, Copy)]
pub struct Imports;

impl Host for Imports {
    fn resolve_image(&self, query: &ImageQuery<'_>) -> Result<ResolvedImage, Error> {
        build::resolve_image(query.identifier, query.platform, query.mode, query.name)
    }

    fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, Error> {
        build::resolve_source(source, name)
    }

    fn context(&self, name: &str, filter: &Filter) -> Result<Option<Box<dyn Tree>>, Error> {
        Ok(build::context(name, filter)?.map(boxed))
    }

    fn solve(&self, definition: &Definition, result: Input) -> Result<Box<dyn Tree>, Error> {
        build::solve(definition, result).map(boxed)
    }

    fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        build::call_frontend(name, request)
    }

    fn report(&self, diagnostic: &Diagnostic) {
        build::report(diagnostic);
    }

    fn log(&self, level: Level, message: &str) {
        log::log(level, message);
    }
}

fn boxed(tree: content::Tree) -> Box<dyn Tree> {
    Box::new(tree)
}

impl Tree for content::Tree {
    fn stat(&self, path: &str) -> Result<Option<Entry>, Error> {
        content::Tree::stat(self, path)
    }

    fn glob(&self, patterns: &[String], after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Error> {
        content::Tree::glob(self, patterns, after, limit)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Blob>, Error> {
        Ok(Box::new(content::Tree::open(self, path)?))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        content::Tree::read(self, path, limit)
    }

    fn read_many(&self, paths: &[String], limit: u64) -> Result<Vec<(String, Vec<u8>)>, Error> {
        content::Tree::read_many(self, paths, limit)
    }
}

impl Blob for content::Blob {
    fn digest(&self) -> Result<String, Error> {
        content::Blob::digest(self)
    }

    fn size(&self) -> u64 {
        content::Blob::size(self)
    }

    fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Error> {
        content::Blob::read(self, offset, len)
    }
}
