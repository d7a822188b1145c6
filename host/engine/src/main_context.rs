//! Main contexts and build files that come from elsewhere: a repository, an archive or a build file of an http server.
//!
//! The build file is in them, so they are fetched before the frontend is called. The frontend then names the same
//! sources in its graph, and what was fetched is found again.

use std::collections::BTreeMap;

use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use kiln_giturl::redact;
use kiln_graph::Copy;
use kiln_graph::Definition;
use kiln_graph::FileAct;
use kiln_graph::FileAction;
use kiln_graph::FileInput;
use kiln_graph::Input;
use kiln_graph::Op;
use kiln_graph::Source;
use kiln_graph::Vertex;
use kiln_solver::Edge;
use kiln_solver::VertexId;
use kiln_tree::TreePath;

use crate::engine::Run;
use crate::error::BuildError;
use crate::error::EngineError;
use crate::files::RefTree;
use crate::layers::Ref;
use crate::request::BuildFile;
use crate::request::Context;

/// What BuildKit calls the file of an http server that is a context.
const CONTEXT: &str = "context";
/// Name of a build file that has none.
const BUILD_FILE: &str = "Dockerfile";
/// The build argument that keeps `.git` in a context.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
/// Bytes that tell an archive.
const HEAD: usize = 1024;

/// A build file, and the name that it has.
pub(crate) type RemoteFile = (RefTree, String);

impl Run {
    /// Returns the build file when it comes from elsewhere.
    pub(crate) async fn remote_build_file(&self) -> Result<Option<RemoteFile>, BuildError> {
        let request = &self.build.request;
        match (&request.build_file, &request.context) {
            (BuildFile::Remote(url), _) => {
                let name = format!("[internal] load {}", redact(url));
                let tree = self.fetch(vec![http(url, BUILD_FILE, name)]).await?;
                Ok(Some((tree, BUILD_FILE.to_owned())))
            }
            (BuildFile::InContext { name }, Context::Remote(url)) => {
                match kiln_giturl::parse(url, Known::Unknown) {
                    GitUrl::Bad(message) => Err(BuildError::Usage(format!(
                        "invalid context `{}`: {message}",
                        redact(url)
                    ))),
                    GitUrl::Yes(mut git) => {
                        if self.keeps_git_dir() {
                            git.keep_git_dir = Some(true);
                        }
                        let attrs = git
                            .attrs()
                            .into_iter()
                            .map(|(key, value)| (key.to_owned(), value));
                        let source = Source {
                            identifier: git.identifier(),
                            attrs: attrs.collect(),
                        };
                        let shown = format!("[internal] load git source {}", redact(url));
                        let tree = self.fetch(vec![vertex(Op::Source(source), shown)]).await?;
                        Ok(Some((tree, name.clone())))
                    }
                    GitUrl::No => self.http_context(url, name).await.map(Some),
                }
            }
            _ => Ok(None),
        }
    }

    fn keeps_git_dir(&self) -> bool {
        let found = self
            .build
            .request
            .args
            .iter()
            .rfind(|(key, _)| key == KEEP_GIT_DIR);
        found.is_some_and(|(_, value)| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }

    /// Fetches a file that is an archive with the build file in it, or the build file.
    async fn http_context(&self, url: &str, name: &str) -> Result<RemoteFile, BuildError> {
        let file = http(url, CONTEXT, "[internal] load remote build context".to_owned());
        let tree = self.fetch(vec![file.clone()]).await?;
        let head = tree.head(CONTEXT, HEAD).await.map_err(EngineError::from)?;
        if !is_archive(&head) {
            return Ok((tree, CONTEXT.to_owned()));
        }
        let copy = Copy {
            from: FileInput::Vertex(Input { vertex: 0, output: 0 }),
            src: format!("/{CONTEXT}"),
            dest: "/".to_owned(),
            attempt_unpack: true,
            ..Copy::default()
        };
        let unpack = Op::File(vec![FileAction {
            on: FileInput::Scratch,
            act: FileAct::Copy(copy),
            output: Some(0),
        }]);
        let unpack = vertex(unpack, "[internal] load build context".to_owned());
        Ok((self.fetch(vec![file, unpack]).await?, name.to_owned()))
    }

    /// Runs a small graph and returns the tree of its last vertex.
    async fn fetch(&self, vertices: Vec<Vertex>) -> Result<RefTree, BuildError> {
        let last = u32::try_from(vertices.len()).unwrap_or(1) - 1;
        let mut definition = Definition {
            vertices,
            sources: Vec::new(),
        };
        self.build.admit(&mut definition)?;
        self.reporter.learn(&self.build, &definition);
        let graph = crate::ops::graph(&self.build, &definition)
            .map_err(|error| BuildError::Usage(format!("internal error: {error}")))?;
        let edge = Edge {
            vertex: VertexId(last),
            output: 0,
        };
        let solved = self.session.solve(&graph, &[edge]).await;
        let solved = solved.map_err(|error| self.failed(error, &definition))?;
        let stack: Ref = solved.into_iter().next().unwrap_or_default();
        let tree = self.build.layers.tree(&stack).await.map_err(EngineError::from)?;
        Ok(RefTree::new(self.build.layers.clone(), tree))
    }
}

fn vertex(op: Op, name: String) -> Vertex {
    Vertex {
        op,
        platform: None,
        name,
        spans: Vec::new(),
        ignore_cache: false,
        group: None,
    }
}

fn http(url: &str, filename: &str, name: String) -> Vertex {
    let attrs = BTreeMap::from([("http.filename".to_owned(), filename.to_owned())]);
    let source = Source {
        identifier: url.to_owned(),
        attrs,
    };
    vertex(Op::Source(source), name)
}

/// Tells an archive as BuildKit does: by how it begins.
fn is_archive(head: &[u8]) -> bool {
    const MAGIC: [&[u8]; 3] = [b"BZh", &[0x1f, 0x8b, 0x08], &[0xfd, b'7', b'z', b'X', b'Z', 0]];
    MAGIC.iter().any(|magic| head.starts_with(magic)) || crate::ops::is_tar(head)
}

impl RefTree {
    /// Returns the first bytes of a file; none of one that is not there.
    async fn head(&self, path: &str, length: usize) -> Result<Vec<u8>, crate::layers::LayersError> {
        let Ok(path) = TreePath::clean(path) else {
            return Ok(Vec::new());
        };
        self.read_head(&path, length).await
    }
}
