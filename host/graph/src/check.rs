//! What every definition must satisfy before anything looks at it. A definition comes from a plugin and is hostile.

use crate::Definition;
use crate::FileAct;
use crate::FileAction;
use crate::FileInput;
use crate::Input;
use crate::Op;
use crate::Vertex;

/// How large a definition may be.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most vertices.
    pub vertices: usize,
    /// Most outputs of one vertex.
    pub outputs: u32,
    /// Most actions or mounts of one vertex.
    pub parts: usize,
    /// Longest path, argument list entry or name, in bytes.
    pub text: usize,
    /// Most bytes of source texts.
    pub sources: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Large Dockerfiles have some hundred vertices; Linux takes at most 128 KiB for one argument.
        Self {
            vertices: 100_000,
            outputs: 1_000,
            parts: 10_000,
            text: 1 << 20,
            sources: 64 << 20,
        }
    }
}

/// A definition is not a build graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An input names itself, a later vertex, or an output that is not there.
    #[error("vertex {vertex} (`{name}`) uses output {} of vertex {} (only outputs of earlier vertices can be used)", input.output, input.vertex)]
    Input {
        /// The vertex that uses it.
        vertex: usize,
        /// Its name.
        name: String,
        /// What it uses.
        input: Input,
    },
    /// An action uses itself or a later one.
    #[error(
        "action {action} of vertex {vertex} (`{name}`) uses action {used} (only earlier ones can be used)"
    )]
    Action {
        /// The vertex.
        vertex: usize,
        /// Its name.
        name: String,
        /// The action.
        action: usize,
        /// The action it uses.
        used: u32,
    },
    /// More than a limit allows.
    #[error("the graph has {found} {what} where at most {limit} are allowed")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// A path or name that cannot be used.
    #[error("vertex {vertex} (`{name}`) has an unusable {what}: `{value}`")]
    Value {
        /// The vertex.
        vertex: usize,
        /// Its name.
        name: String,
        /// Which value.
        what: &'static str,
        /// The value, shortened.
        value: String,
    },
    /// A span points outside the sources.
    #[error("vertex {vertex} (`{name}`) has a span in source {source_index}, of {sources}")]
    Span {
        /// The vertex.
        vertex: usize,
        /// Its name.
        name: String,
        /// The source that it names.
        source_index: u32,
        /// How many there are.
        sources: usize,
    },
}

impl Definition {
    /// Checks the definition: no cycles, no dangling inputs, no unusable paths, within `limits`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, limits: &Limits) -> Result<(), GraphError> {
        limit("vertices", self.vertices.len(), limits.vertices)?;
        let texts = self.sources.iter().map(|s| s.data.len() + s.name.len()).sum();
        limit("bytes of source text", texts, limits.sources)?;
        let outputs: Vec<u32> = self.vertices.iter().map(|v| v.op.outputs()).collect();
        for (index, vertex) in self.vertices.iter().enumerate() {
            // Sizes first: what is too large is not looked at.
            check_op(index, vertex, limits)?;
            limit(
                "outputs of a vertex",
                outputs[index] as usize,
                limits.outputs as usize,
            )?;
            self.check_vertex(index, vertex, &outputs[..index])?;
        }
        Ok(())
    }

    /// Checks that `input` names an output of this definition.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_input(&self, input: Input) -> Result<(), GraphError> {
        let there = self
            .vertices
            .get(input.vertex as usize)
            .is_some_and(|v| input.output < v.op.outputs());
        let name = || "result".to_owned();
        there.then_some(()).ok_or_else(|| GraphError::Input {
            vertex: self.vertices.len(),
            name: name(),
            input,
        })
    }

    fn check_vertex(&self, index: usize, vertex: &Vertex, before: &[u32]) -> Result<(), GraphError> {
        let name = || shorten(&vertex.name);
        let dangling = |input: &Input| {
            before
                .get(input.vertex as usize)
                .is_none_or(|n| input.output >= *n)
        };
        if let Some(input) = vertex.op.inputs().into_iter().find(dangling) {
            return Err(GraphError::Input {
                vertex: index,
                name: name(),
                input,
            });
        }
        let sources = self.sources.len();
        if let Some(span) = vertex.spans.iter().find(|span| span.source as usize >= sources) {
            return Err(GraphError::Span {
                vertex: index,
                name: name(),
                source_index: span.source,
                sources,
            });
        }
        Ok(())
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), GraphError> {
    (found <= limit)
        .then_some(())
        .ok_or(GraphError::Limit { what, found, limit })
}

fn check_op(index: usize, vertex: &Vertex, limits: &Limits) -> Result<(), GraphError> {
    let text = |what: &'static str, value: &str| {
        let error = || GraphError::Value {
            vertex: index,
            name: shorten(&vertex.name),
            what,
            value: shorten(value),
        };
        (value.len() <= limits.text && !value.contains('\0'))
            .then_some(())
            .ok_or_else(error)
    };
    text("name", &vertex.name)?;
    match &vertex.op {
        Op::Source(source) => {
            text("identifier", &source.identifier)?;
            source
                .attrs
                .iter()
                .try_for_each(|(k, v)| text("attribute", k).and_then(|()| text("attribute", v)))
        }
        Op::Exec(exec) => {
            limit("mounts of a step", exec.mounts.len(), limits.parts)?;
            limit(
                "arguments of a step",
                exec.args.len() + exec.env.len(),
                limits.parts,
            )?;
            let roots = exec.mounts.iter().filter(|m| m.dest == "/").count();
            if roots != 1 || exec.args.is_empty() {
                let what = if roots == 1 {
                    "empty argument list"
                } else {
                    "number of root mounts"
                };
                return Err(GraphError::Value {
                    vertex: index,
                    name: shorten(&vertex.name),
                    what,
                    value: roots.to_string(),
                });
            }
            exec.args.iter().try_for_each(|a| text("argument", a))?;
            exec.env.iter().try_for_each(|a| text("variable", a))?;
            [&exec.cwd, &exec.user, &exec.hostname]
                .into_iter()
                .try_for_each(|v| text("setting", v))?;
            exec.mounts
                .iter()
                .try_for_each(|m| text("mount path", &m.dest).and_then(|()| text("mount path", &m.selector)))
        }
        Op::File(actions) => {
            limit("actions of a vertex", actions.len(), limits.parts)?;
            actions
                .iter()
                .enumerate()
                .try_for_each(|(at, action)| check_action(index, vertex, at, action))?;
            actions.iter().try_for_each(|action| match &action.act {
                FileAct::Copy(c) => text("path", &c.src).and_then(|()| text("path", &c.dest)),
                FileAct::Mkfile(m) => text("path", &m.path),
                FileAct::Mkdir(m) => text("path", &m.path),
                FileAct::Rm(r) => text("path", &r.path),
                FileAct::Symlink(s) => text("path", &s.old_path).and_then(|()| text("path", &s.new_path)),
            })
        }
        Op::Merge(inputs) => limit("inputs of a merge", inputs.len(), limits.parts),
        Op::Diff { .. } => Ok(()),
    }
}

fn check_action(index: usize, vertex: &Vertex, at: usize, action: &FileAction) -> Result<(), GraphError> {
    let from = match &action.act {
        FileAct::Copy(copy) => copy.from,
        _ => FileInput::Scratch,
    };
    for used in [action.on, from] {
        if let FileInput::Action(used) = used
            && used as usize >= at
        {
            let name = shorten(&vertex.name);
            return Err(GraphError::Action {
                vertex: index,
                name,
                action: at,
                used,
            });
        }
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exec;
    use crate::Mount;
    use crate::Source;

    fn vertex(op: Op) -> Vertex {
        Vertex {
            op,
            platform: None,
            name: "v".into(),
            spans: Vec::new(),
            ignore_cache: false,
            group: None,
        }
    }

    fn source() -> Vertex {
        vertex(Op::Source(Source {
            identifier: "docker-image://a".into(),
            ..Source::default()
        }))
    }

    fn input(vertex: u32) -> Input {
        Input { vertex, output: 0 }
    }

    #[track_caller]
    fn check(vertices: Vec<Vertex>, expect: &str) {
        let definition = Definition {
            vertices,
            sources: Vec::new(),
        };
        let got = definition
            .check(&Limits::default())
            .map_or_else(|e| e.to_string(), |()| "ok".to_owned());
        assert!(got.contains(expect), "{got}");
    }

    #[test]
    fn hostile_graphs_are_refused() {
        check(vec![source(), vertex(Op::Merge(vec![input(0)]))], "ok");
        check(
            vec![vertex(Op::Merge(vec![input(0)]))],
            "only outputs of earlier vertices",
        );
        check(
            vec![vertex(Op::Merge(vec![input(7)])), source()],
            "uses output 0 of vertex 7",
        );
        check(
            vec![source(), vertex(Op::Merge(vec![Input { vertex: 0, output: 1 }]))],
            "output 1 of vertex 0",
        );
        let root = Mount {
            dest: "/".into(),
            output: Some(u32::MAX),
            ..Mount::default()
        };
        let exec = Exec {
            args: vec!["a".into()],
            mounts: vec![root.clone()],
            ..Exec::default()
        };
        check(
            vec![vertex(Op::Exec(Box::new(exec.clone())))],
            "outputs of a vertex",
        );
        let root = Mount {
            output: Some(0),
            ..root
        };
        let mounts = vec![root.clone(), root];
        check(
            vec![vertex(Op::Exec(Box::new(Exec { mounts, ..exec })))],
            "number of root mounts",
        );
        check(
            vec![vertex(Op::Source(Source {
                identifier: "a\0".into(),
                ..Source::default()
            }))],
            "identifier",
        );
    }

    #[test]
    fn equal_work_has_equal_digests_wherever_it_stands() {
        let merge = |at| vertex(Op::Merge(vec![input(at)]));
        let one = Definition {
            vertices: vec![source(), merge(0)],
            sources: Vec::new(),
        };
        let other = Source {
            identifier: "docker-image://b".into(),
            ..Source::default()
        };
        let two = Definition {
            vertices: vec![vertex(Op::Source(other)), source(), merge(1)],
            sources: Vec::new(),
        };
        assert_eq!(one.digests()[1], two.digests()[2]);
        assert_ne!(one.digests()[0], two.digests()[0]);
    }
}
