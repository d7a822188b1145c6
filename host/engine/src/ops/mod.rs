//! The operations: how each kind of vertex gets its cache key and its result.

mod cache_mount;
mod deb;
mod emulator;
mod exec;
mod file;
mod owner;
mod source;
mod ssh;
mod unpack;

pub(crate) use cache_mount::lock_cache_mount;
pub(crate) use emulator::runs_here;
pub(crate) use unpack::is_tar;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Op;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_solver::CacheMap;
use kiln_solver::ContentKey;
use kiln_solver::Dep;
use kiln_solver::Edge;
use kiln_solver::Graph;
use kiln_solver::OpContext;
use kiln_solver::OpError;
use kiln_solver::OpKey;
use kiln_solver::Scope;
use kiln_solver::Slot;
use kiln_solver::Vertex;
use kiln_solver::VertexId;

use crate::build::BuildContext;
use crate::error::EngineError;
use crate::keys;
use crate::layers::Ref;

/// `PATH` of a step whose image has none.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One vertex of a build.
struct VertexOp {
    build: Arc<BuildContext>,
    op: Op,
    platform: Platform,
    /// The distinct inputs, in the order in which the solver hands their results over.
    inputs: Vec<Input>,
    key: Option<keys::OpKey>,
    ignore_cache: bool,
}

/// Makes the solver's graph of a checked definition.
///
/// # Errors
/// When the graph is none; a checked definition always is.
pub(crate) fn graph(
    build: &Arc<BuildContext>,
    definition: &Definition,
) -> Result<Graph<Ref>, kiln_solver::GraphError> {
    let digests = session_digests(build, definition);
    let vertices = definition.vertices.iter().enumerate().map(|(index, vertex)| {
        let platform = keys::platform_of(definition, index, &build.config.platform);
        let inputs = vertex.op.inputs();
        let edges = inputs
            .iter()
            .map(|i| Edge {
                vertex: VertexId(i.vertex),
                output: i.output,
            })
            .collect();
        let key = keys::op_key(&vertex.op, &platform);
        let op = VertexOp {
            build: build.clone(),
            op: vertex.op.clone(),
            platform,
            inputs,
            key,
            ignore_cache: vertex.ignore_cache,
        };
        Vertex {
            digest: digests[index],
            name: vertex.name.clone(),
            inputs: edges,
            outputs: vertex.op.outputs().max(1),
            op: Arc::new(op),
            ignore_cache: vertex.ignore_cache,
        }
    });
    Graph::new(vertices.collect())
}

/// Returns the vertices' digests; local sources count as this build's own, since another build's context is another.
pub(crate) fn session_digests(build: &BuildContext, definition: &Definition) -> Vec<Digest> {
    let mut own = definition.clone();
    for vertex in &mut own.vertices {
        if let Op::Source(source) = &mut vertex.op
            && source.identifier.starts_with("local://")
        {
            source
                .attrs
                .insert("local.session".to_owned(), build.session.clone());
        }
    }
    own.digests()
}

impl VertexOp {
    fn named(&self, inputs: &[Ref]) -> Vec<(Input, Ref)> {
        self.inputs.iter().copied().zip(inputs.iter().cloned()).collect()
    }

    async fn cache_map(&self, ctx: &OpContext) -> Result<CacheMap, EngineError> {
        let (Op::Source(source), None) = (&self.op, &self.key) else {
            let key = self.key.clone().unwrap_or_else(|| keys::OpKey {
                preimage: String::new(),
                dependencies: Vec::new(),
            });
            let deps = key.dependencies.iter().map(|dependency| Dep {
                selector: dependency.selector,
                content: if dependency.content.is_some() {
                    ContentKey::Available
                } else {
                    ContentKey::None
                },
            });
            let deps = deps.collect();
            return Ok(CacheMap {
                keys: vec![OpKey::of(key.preimage)],
                deps,
                scope: Scope::Stored,
            });
        };
        source::cache_map(&self.build, source, &self.platform, ctx.vertex().digest).await
    }

    async fn run(&self, ctx: &OpContext, inputs: &[Ref]) -> Result<Vec<Ref>, EngineError> {
        let named = self.named(inputs);
        match &self.op {
            Op::Source(source) => Ok(vec![source::run(&self.build, ctx, source, &self.platform).await?]),
            Op::Exec(exec) => exec::run(&self.build, ctx, exec, self, &named).await,
            Op::File(actions) => file::run(&self.build, ctx, actions, &named).await,
            Op::Merge(list) => {
                let find = |input: &Input| {
                    named
                        .iter()
                        .find(|(at, _)| at == input)
                        .map(|(_, found)| found.clone())
                };
                let stacks = list.iter().filter_map(find);
                let layers = stacks.flat_map(|stack| stack.layers().to_vec()).collect();
                Ok(vec![Ref::new(layers)])
            }
            Op::Diff { lower, upper } => {
                let find = |input: &Option<Input>| {
                    let found = input.and_then(|i| {
                        named
                            .iter()
                            .find(|(at, _)| *at == i)
                            .map(|(_, found)| found.clone())
                    });
                    found.unwrap_or_default()
                };
                let (lower, upper) = (find(lower), find(upper));
                let ids = |stack: &Ref| stack.layers().iter().map(|layer| layer.id()).collect::<Vec<_>>();
                if !ids(&upper).starts_with(&ids(&lower)) {
                    return Err(EngineError::NotYet(
                        "a diff of trees that do not stand on each other",
                    ));
                }
                Ok(vec![Ref::new(upper.layers()[lower.layers().len()..].to_vec())])
            }
        }
    }
}

#[async_trait]
impl kiln_solver::Op<Ref> for VertexOp {
    async fn cache_map(&self, ctx: &OpContext) -> Result<CacheMap, OpError> {
        Self::cache_map(self, ctx).await.map_err(wrap)
    }

    async fn content_digest(&self, ctx: &OpContext, index: usize, input: &Ref) -> Result<Digest, OpError> {
        let selectors = self
            .key
            .as_ref()
            .and_then(|key| key.dependencies[index].content.as_deref());
        let selectors = selectors.unwrap_or_default();
        file::content_digest(&self.build, ctx, input, selectors)
            .await
            .map_err(wrap)
    }

    async fn run(&self, ctx: &OpContext, inputs: &[Ref]) -> Result<Vec<Ref>, OpError> {
        Self::run(self, ctx, inputs).await.map_err(wrap)
    }

    fn slot(&self) -> Slot {
        match self.op {
            Op::Exec(_) => Slot::Counted,
            _ => Slot::Free,
        }
    }

    fn grace(&self) -> Duration {
        match self.op {
            // The executor ends a cancelled step's processes within milliseconds.
            Op::Exec(_) => Duration::from_secs(10),
            _ => Duration::ZERO,
        }
    }
}

fn wrap(error: EngineError) -> OpError {
    match error {
        EngineError::Cancelled => OpError::Cancelled,
        error => OpError::new(error),
    }
}
