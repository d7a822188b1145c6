//! What a solve learned, for whoever wants to tell others: every step with its keys and how it was reached.

use std::collections::HashMap;

use kiln_image::Digest;

use crate::graph::Edge;
use crate::graph::Graph;
use crate::solver::Session;

/// The steps behind some targets.
#[derive(Debug, Clone)]
pub struct Trace<R> {
    /// Inputs first.
    pub steps: Vec<Traced<R>>,
    /// Where the targets are among them.
    pub targets: Vec<usize>,
}

/// One output of a step.
#[derive(Debug, Clone)]
pub struct Traced<R> {
    /// Digests of the operation's keys; none when they mean nothing outside the session.
    pub keys: Vec<Digest>,
    /// Which output.
    pub output: u32,
    /// Its inputs.
    pub inputs: Vec<TracedInput>,
    /// Its result, if there is one.
    pub result: Option<R>,
}

/// One input of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedInput {
    /// Place of the step that it is an output of.
    pub step: usize,
    /// Which part of it is read.
    pub selector: Option<Digest>,
    /// Digest of what is read, if it was computed.
    pub content: Option<Digest>,
}

impl<R: Clone + Send + Sync + 'static> Session<R> {
    /// Returns what solving these targets has taught. Nothing is run; stored results are loaded. Empty when the
    /// targets were not solved.
    pub async fn trace(&self, graph: &Graph<R>, targets: &[Edge]) -> Trace<R> {
        let mut trace = Trace {
            steps: Vec::new(),
            targets: Vec::new(),
        };
        if targets.iter().any(|target| !graph.has(*target)) {
            return trace;
        }
        let steps = self.attach(graph, targets);
        let wanted = wanted(graph, targets);
        let mut places: HashMap<Edge, usize> = HashMap::new();
        for edge in wanted {
            let Some(step) = &steps[edge.vertex.index()] else {
                continue;
            };
            let known = step.tell(edge.output).await;
            let inputs = graph.vertices()[edge.vertex.index()].inputs.iter();
            let inputs = inputs
                .zip(known.inputs)
                .filter_map(|(input, (selector, content))| {
                    let step = *places.get(input)?;
                    Some(TracedInput {
                        step,
                        selector,
                        content,
                    })
                });
            let traced = Traced {
                keys: known.keys,
                output: edge.output,
                inputs: inputs.collect(),
                result: known.result,
            };
            places.insert(edge, trace.steps.len());
            trace.steps.push(traced);
        }
        trace.targets = targets
            .iter()
            .filter_map(|target| places.get(target).copied())
            .collect();
        trace
    }
}

/// Returns the outputs that the targets need, inputs first.
fn wanted<R>(graph: &Graph<R>, targets: &[Edge]) -> Vec<Edge> {
    let vertices = graph.vertices();
    let mut outputs: Vec<Vec<u32>> = vec![Vec::new(); vertices.len()];
    let note = |edge: &Edge, outputs: &mut Vec<Vec<u32>>| {
        let known = &mut outputs[edge.vertex.index()];
        if !known.contains(&edge.output) {
            known.push(edge.output);
        }
    };
    targets.iter().for_each(|target| note(target, &mut outputs));
    for (place, vertex) in vertices.iter().enumerate().rev() {
        if !outputs[place].is_empty() {
            vertex.inputs.iter().for_each(|input| note(input, &mut outputs));
        }
    }
    let mut wanted = Vec::new();
    for (place, outputs) in (0..).zip(outputs) {
        let vertex = crate::graph::VertexId(place);
        wanted.extend(outputs.into_iter().map(|output| Edge { vertex, output }));
    }
    wanted
}
