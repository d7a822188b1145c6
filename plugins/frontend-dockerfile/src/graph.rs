//! Collects the vertices of the build graph.

use crate::api::Attr;
use crate::api::Definition;
use crate::api::Input;
use crate::api::Op;
use crate::api::Platform;
use crate::api::Source;
use crate::api::SourceFile;
use crate::api::Span;
use crate::api::Vertex;
use crate::api::graph::FileAct;
use crate::api::graph::FileInput;
use crate::platform;
use std::collections::HashMap;

/// What a vertex is besides its operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meta {
    /// Platform that it runs on or brings in.
    pub(crate) platform: Option<Platform>,
    /// What the user sees.
    pub(crate) name: String,
    /// The places that it comes from.
    pub(crate) spans: Vec<Span>,
    /// Run it even when the cache has its result.
    pub(crate) ignore_cache: bool,
    /// Steps that are shown as one.
    pub(crate) group: Option<String>,
}

/// The graph while it is made. A vertex is put in behind everything that it uses.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    vertices: Vec<Vertex>,
    sources: HashMap<String, Input>,
}

impl Graph {
    /// Adds a vertex and returns its first output.
    pub(crate) fn add(&mut self, op: Op, meta: Meta) -> Input {
        let vertex = u32::try_from(self.vertices.len()).unwrap_or(u32::MAX);
        self.vertices.push(Vertex {
            op,
            platform: meta.platform,
            name: meta.name,
            spans: meta.spans,
            ignore_cache: meta.ignore_cache,
            group: meta.group,
        });
        Input { vertex, output: 0 }
    }

    /// Adds a source, or returns the vertex of an equal one.
    pub(crate) fn source(&mut self, identifier: String, attrs: &[(&str, String)], meta: Meta) -> Input {
        let attrs = sorted(attrs);
        let mut key = identifier.clone();
        for attr in &attrs {
            key.push_str(&format!("\n{}={}", attr.key, attr.value));
        }
        if let Some(on) = &meta.platform {
            key.push_str(&format!("\n{}", platform::format(on)));
        }
        if let Some(input) = self.sources.get(&key) {
            return *input;
        }
        let input = self.add(Op::Source(Source { identifier, attrs }), meta);
        self.sources.insert(key, input);
        input
    }

    /// Adds a source whose attributes are known only later: see [`Graph::set_attrs`].
    pub(crate) fn open_source(&mut self, identifier: String, meta: Meta) -> Input {
        self.add(
            Op::Source(Source {
                identifier,
                attrs: Vec::new(),
            }),
            meta,
        )
    }

    /// Sets the attributes of a source.
    pub(crate) fn set_attrs(&mut self, input: Input, attrs: &[(&str, String)]) {
        if let Some(Vertex {
            op: Op::Source(source),
            ..
        }) = self.vertices.get_mut(input.vertex as usize)
        {
            source.attrs = sorted(attrs);
        }
    }

    /// Returns a definition of what `result` needs, and `result` in it.
    pub(crate) fn part(&self, result: Input, sources: Vec<SourceFile>) -> (Definition, Input) {
        let copy = Self {
            vertices: self.vertices.clone(),
            sources: HashMap::new(),
        };
        let mut results = [Some(result)];
        let definition = copy.finish(&mut results, sources);
        (definition, results[0].unwrap_or(result))
    }

    /// Returns the definition without what no result needs; the results are renumbered.
    pub(crate) fn finish(self, results: &mut [Option<Input>], sources: Vec<SourceFile>) -> Definition {
        let mut needed = vec![false; self.vertices.len()];
        for result in results.iter().flatten() {
            needed[result.vertex as usize] = true;
        }
        for at in (0..self.vertices.len()).rev() {
            if needed[at] {
                each_input(&self.vertices[at].op, &mut |input| {
                    needed[input.vertex as usize] = true;
                });
            }
        }
        let mut number = vec![0; needed.len()];
        let mut vertices = Vec::new();
        for (at, mut vertex) in self.vertices.into_iter().enumerate() {
            if needed[at] {
                number[at] = u32::try_from(vertices.len()).unwrap_or(u32::MAX);
                each_input_mut(&mut vertex.op, &mut |input| {
                    input.vertex = number[input.vertex as usize];
                });
                vertices.push(vertex);
            }
        }
        for result in results.iter_mut().flatten() {
            result.vertex = number[result.vertex as usize];
        }
        Definition { vertices, sources }
    }
}

fn sorted(attrs: &[(&str, String)]) -> Vec<Attr> {
    let mut attrs: Vec<Attr> = attrs
        .iter()
        .map(|(key, value)| Attr {
            key: (*key).to_owned(),
            value: value.clone(),
        })
        .collect();
    attrs.sort_by(|a, b| a.key.cmp(&b.key));
    attrs
}

/// Calls `see` for every vertex that an operation uses.
fn each_input(op: &Op, see: &mut dyn FnMut(&Input)) {
    match op {
        Op::Source(_) => {}
        Op::Exec(exec) => exec.mounts.iter().filter_map(|m| m.input.as_ref()).for_each(see),
        Op::Merge(inputs) => inputs.iter().for_each(see),
        Op::Diff((lower, upper)) => [lower, upper].into_iter().flatten().for_each(see),
        Op::File(actions) => {
            for action in actions {
                let from = match &action.act {
                    FileAct::Copy(copy) => Some(&copy.from),
                    _ => None,
                };
                for input in [Some(&action.on), from].into_iter().flatten() {
                    if let FileInput::Vertex(input) = input {
                        see(input);
                    }
                }
            }
        }
    }
}

/// Calls `see` for every vertex that an operation uses, to change it.
fn each_input_mut(op: &mut Op, see: &mut dyn FnMut(&mut Input)) {
    match op {
        Op::Source(_) => {}
        Op::Exec(exec) => exec
            .mounts
            .iter_mut()
            .filter_map(|m| m.input.as_mut())
            .for_each(see),
        Op::Merge(inputs) => inputs.iter_mut().for_each(see),
        Op::Diff((lower, upper)) => [lower, upper].into_iter().flatten().for_each(see),
        Op::File(actions) => {
            for action in actions {
                let from = match &mut action.act {
                    FileAct::Copy(copy) => Some(&mut copy.from),
                    _ => None,
                };
                for input in [Some(&mut action.on), from].into_iter().flatten() {
                    if let FileInput::Vertex(input) = input {
                        see(input);
                    }
                }
            }
        }
    }
}
