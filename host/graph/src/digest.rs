//! Digests of vertices: what joins equal work while it is in flight. Never a stored cache key.

use kiln_image::Digest;
use serde::Serialize;

use crate::Definition;
use crate::Input;
use crate::Op;

impl Definition {
    /// Returns a digest for each vertex, over what it does and all that it depends on. Names, places and
    /// `ignore_cache` do not count.
    ///
    /// The definition must have passed [`Definition::check`].
    pub fn digests(&self) -> Vec<Digest> {
        #[derive(Serialize)]
        struct Canonical<'a> {
            op: &'a Op,
            platform: &'a Option<kiln_image::Platform>,
            inputs: Vec<(Digest, u32)>,
        }
        let mut digests: Vec<Digest> = Vec::with_capacity(self.vertices.len());
        for vertex in &self.vertices {
            let inputs = vertex.op.inputs();
            let resolved = inputs
                .iter()
                .map(|i| (digests[i.vertex as usize], i.output))
                .collect();
            let op = renumbered(&vertex.op, &inputs);
            let canonical = Canonical {
                op: &op,
                platform: &vertex.platform,
                inputs: resolved,
            };
            let bytes = serde_json::to_vec(&canonical).expect("graph types serialise to JSON");
            digests.push(Digest::of(bytes));
        }
        digests
    }
}

/// Returns `op` with each input replaced by its position among the operation's own inputs, so that equal work in two
/// definitions reads the same.
fn renumbered(op: &Op, inputs: &[Input]) -> Op {
    let mut op = op.clone();
    let place = |input: &mut Input| {
        let at = inputs.iter().position(|i| i == input).unwrap_or_default();
        *input = Input {
            vertex: u32::try_from(at).unwrap_or(u32::MAX),
            output: 0,
        };
    };
    op.for_each_input(place);
    op
}

impl Op {
    /// Calls `visit` on every place where the operation names an input.
    pub fn for_each_input(&mut self, mut visit: impl FnMut(&mut Input)) {
        use crate::FileAct;
        use crate::FileInput;
        match self {
            Self::Source(_) => {}
            Self::Exec(exec) => exec
                .mounts
                .iter_mut()
                .filter_map(|m| m.input.as_mut())
                .for_each(visit),
            Self::Merge(list) => list.iter_mut().for_each(visit),
            Self::Diff { lower, upper } => lower.iter_mut().chain(upper).for_each(visit),
            Self::File(actions) => {
                for action in actions {
                    if let FileInput::Vertex(input) = &mut action.on {
                        visit(input);
                    }
                    if let FileAct::Copy(copy) = &mut action.act
                        && let FileInput::Vertex(input) = &mut copy.from
                    {
                        visit(input);
                    }
                }
            }
        }
    }
}
