//! What the host does for plugins of this version. Each function checks what it is given, and asks the session.

use kiln_graph::Limits as GraphLimits;
use kiln_plugin::HostError;
use kiln_plugin::PAGE;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::call::Answer;
use crate::call::CallState;
use crate::call::Question;
use crate::call::handle::BlobHandle;
use crate::call::handle::TreeHandle;
use crate::v0_1::bindings::api::kiln::plugin::build;
use crate::v0_1::bindings::api::kiln::plugin::content;
use crate::v0_1::bindings::api::kiln::plugin::graph;
use crate::v0_1::bindings::api::kiln::plugin::log;
use crate::v0_1::bindings::api::kiln::plugin::lowering;
use crate::v0_1::bindings::api::kiln::plugin::types;
use crate::v0_1::bindings::api::kiln::plugin::types::Error;
use crate::v0_1::convert::Convert;

/// Most bytes of one answer with content.
const READ: u64 = 64 << 20;
/// Most bytes of one read from a blob.
const CHUNK: u32 = 1 << 20;
/// Longest path and longest name, in bytes.
const PATH: usize = 4096;
/// Most things that a plugin may report.
const REPORTS: usize = 10_000;

impl types::Host for CallState {}
impl graph::Host for CallState {}
impl lowering::Host for CallState {}
impl content::Host for CallState {}

impl log::Host for CallState {
    async fn log(&mut self, level: log::Level, message: String) -> Result<()> {
        Ok(CallState::log(self, level.convert(), &message)?)
    }
}

/// Takes the answer of the right kind. Another kind is a fault of this crate and ends the call.
macro_rules! answer {
    ($state:ident, $kind:ident, $question:expr) => {
        match $state.session.answer($question).await? {
            Answer::$kind(answer) => answer,
            other => wasmtime::bail!("the host mixed up its answers: {other:?}"),
        }
    };
}

impl content::HostTree for CallState {
    async fn stat(
        &mut self,
        tree: Resource<TreeHandle>,
        path: String,
    ) -> Result<Result<Option<content::Entry>, Error>> {
        if let Err(error) = check_path(&path) {
            return Ok(Err(error));
        }
        let tree = tree.rep();
        Ok(answer!(self, Entry, Question::Stat { tree, path }).convert())
    }

    async fn glob(
        &mut self,
        tree: Resource<TreeHandle>,
        patterns: Vec<String>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Result<Vec<content::Entry>, Error>> {
        let question = Question::Glob {
            tree: tree.rep(),
            patterns,
            after,
            limit: match limit {
                0 => PAGE,
                limit => PAGE.min(limit as usize),
            },
        };
        Ok(answer!(self, Entries, question).convert())
    }

    async fn open(
        &mut self,
        tree: Resource<TreeHandle>,
        path: String,
    ) -> Result<Result<Resource<BlobHandle>, Error>> {
        if let Err(error) = check_path(&path) {
            return Ok(Err(error));
        }
        let tree = tree.rep();
        let blob = answer!(self, Blob, Question::Open { tree, path });
        Ok(blob
            .map(|(number, _)| Resource::new_own(number))
            .map_err(Convert::convert))
    }

    async fn read(
        &mut self,
        tree: Resource<TreeHandle>,
        path: String,
        limit: u64,
    ) -> Result<Result<Vec<u8>, Error>> {
        if let Err(error) = check_path(&path) {
            return Ok(Err(error));
        }
        let question = Question::Read {
            tree: tree.rep(),
            path,
            limit: limit.min(READ),
        };
        Ok(answer!(self, Bytes, question).map_err(Convert::convert))
    }

    async fn read_many(
        &mut self,
        tree: Resource<TreeHandle>,
        paths: Vec<String>,
        limit: u64,
    ) -> Result<Result<Vec<(String, Vec<u8>)>, Error>> {
        if let Some(error) = paths.iter().find_map(|path| check_path(path).err()) {
            return Ok(Err(error));
        }
        let question = Question::ReadMany {
            tree: tree.rep(),
            paths,
            limit: limit.min(READ),
        };
        Ok(answer!(self, Files, question).map_err(Convert::convert))
    }

    async fn drop(&mut self, tree: Resource<TreeHandle>) -> Result<()> {
        self.session.close_tree(tree.rep());
        Ok(())
    }
}

impl content::HostBlob for CallState {
    async fn digest(&mut self, blob: Resource<BlobHandle>) -> Result<Result<String, Error>> {
        let blob = blob.rep();
        Ok(answer!(self, Text, Question::BlobDigest { blob }).map_err(Convert::convert))
    }

    async fn size(&mut self, blob: Resource<BlobHandle>) -> Result<u64> {
        self.session.count(8)?;
        Ok(self.session.blob_size(blob.rep()))
    }

    async fn read(
        &mut self,
        blob: Resource<BlobHandle>,
        offset: u64,
        len: u32,
    ) -> Result<Result<Vec<u8>, Error>> {
        let question = Question::BlobRead {
            blob: blob.rep(),
            offset,
            len: len.min(CHUNK),
        };
        Ok(answer!(self, Bytes, question).map_err(Convert::convert))
    }

    async fn drop(&mut self, blob: Resource<BlobHandle>) -> Result<()> {
        self.session.close_blob(blob.rep());
        Ok(())
    }
}

impl build::Host for CallState {
    async fn resolve_image(
        &mut self,
        identifier: String,
        platform: Option<types::Platform>,
        mode: String,
        name: String,
    ) -> Result<Result<build::ResolvedImage, Error>> {
        let question = Question::ResolveImage {
            identifier,
            platform: platform.convert(),
            mode,
            name,
        };
        Ok(answer!(self, Image, question).convert())
    }

    async fn resolve_source(
        &mut self,
        source: graph::Source,
        name: String,
    ) -> Result<Result<build::ResolvedSource, Error>> {
        let source = source.convert();
        Ok(answer!(self, Source, Question::ResolveSource { source, name }).convert())
    }

    async fn context(
        &mut self,
        name: String,
        filter: build::Filter,
    ) -> Result<Result<Option<Resource<TreeHandle>>, Error>> {
        let filter = filter.convert();
        let tree = answer!(self, Tree, Question::Context { name, filter });
        Ok(tree
            .map(|tree| tree.map(Resource::new_own))
            .map_err(Convert::convert))
    }

    async fn solve(
        &mut self,
        definition: graph::Definition,
        result: graph::Input,
    ) -> Result<Result<Resource<TreeHandle>, Error>> {
        let definition: Box<kiln_graph::Definition> = Box::new(definition.convert());
        let result: kiln_graph::Input = result.convert();
        if let Err(error) = definition.check(&GraphLimits::default()) {
            return Ok(Err(Error::Invalid(error.to_string())));
        }
        if !super::frontend::is_output(&definition, result) {
            let kiln_graph::Input { vertex, output } = result;
            return Ok(Err(Error::Invalid(format!(
                "there is no output {output} of vertex {vertex}"
            ))));
        }
        let tree = answer!(self, Tree, Question::Solve { definition, result });
        let missing = || HostError::NotFound("nothing was built".into());
        Ok(tree
            .and_then(|tree| tree.ok_or_else(missing))
            .map(Resource::new_own)
            .map_err(Convert::convert))
    }

    async fn call_frontend(
        &mut self,
        name: String,
        request: lowering::Request,
    ) -> Result<Result<lowering::Lowered, lowering::Failure>> {
        let request = Box::new(request.convert());
        let lowered = answer!(self, Lowered, Question::CallFrontend { name, request });
        Ok(lowered.map(|lowered| *lowered).convert())
    }

    async fn report(&mut self, diagnostic: types::Diagnostic) -> Result<()> {
        self.session.count(diagnostic.message.len() as u64)?;
        if self.session.reports.len() < REPORTS {
            let diagnostic: kiln_plugin::Diagnostic = diagnostic.convert();
            self.session.bridge.report(diagnostic.clone());
            self.session.reports.push(diagnostic);
        }
        Ok(())
    }
}

fn check_path(path: &str) -> std::result::Result<(), Error> {
    let clean = |name: &str| !matches!(name, "" | "." | "..");
    let shown = &path[..path.floor_char_boundary(80)];
    match path.len() <= PATH && !path.contains('\0') && path.split('/').all(clean) {
        true => Ok(()),
        false => Err(Error::Invalid(format!("`{shown}` is not a clean relative path"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_relative_paths_pass() {
        let check = |path: &str, expect: bool| assert_eq!(check_path(path).is_ok(), expect, "{path:?}");
        check("a", true);
        check("a/b.c/..d", true);
        check("", false);
        check("/a", false);
        check("a/", false);
        check("a//b", false);
        check("../a", false);
        check("a/./b", false);
        check("a\0b", false);
        check(&"a".repeat(5000), false);
    }
}
