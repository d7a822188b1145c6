//! Definitions, as a plugin's output becomes one.

use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Limits;
use kiln_graph::Op;
use kiln_graph::Vertex;
use serde_json::Value;

use crate::engine::Target;
use crate::engine::shape;

pub(crate) fn target() -> Target {
    Target {
        name: "graph",
        run,
        tokens: &[
            b"{\"vertex\":0,\"output\":0}", b"{\"vertex\":1,\"output\":1}", b"{\"vertex\":4294967295,\"output\":4294967295}",
            b"\"Scratch\"", b"{\"Action\":0}", b"{\"Action\":4294967295}", b"{\"Vertex\":{\"vertex\":0,\"output\":0}}",
            b"\"output\":4294967295", b"\"output\":null", b"\"dest\":\"/\"", b"\"dest\":\"../..\"", b"\\u0000",
            b"\"Merge\":[", b"\"spans\":[{\"source\":9,\"start\":{\"line\":1,\"column\":0},\"end\":{\"line\":1,\"column\":0}}]",
            b"null", b"[]", b"{}", b"{", b"}", b"[", b"]", b",",
        ],
        seeds: (0..=255u8).map(|byte| vec![byte, byte.wrapping_mul(37), byte, 3, 4]).collect(),
    }
}

fn run(bytes: &[u8]) -> String {
    let definition: Definition = match serde_json::from_slice(bytes) {
        Ok(definition) => definition,
        // Text that is no definition says how a good one is changed: most mutations are not even JSON.
        Err(_) => match changed(bytes) {
            Some(definition) => definition,
            None => return "no definition".to_owned(),
        },
    };
    let limits = Limits {
        vertices: 50,
        outputs: 20,
        parts: 20,
        text: 2000,
        sources: 4000,
    };
    if let Err(error) = definition.check(&limits) {
        return shape(&error.to_string());
    }
    let digests = definition.digests();
    assert_eq!(digests.len(), definition.vertices.len());
    let copy: Definition = serde_json::from_slice(&serde_json::to_vec(&definition).expect("it is JSON"))
        .expect("it was written");
    assert_eq!(copy, definition);
    assert_eq!(copy.digests(), digests);
    for (at, vertex) in definition.vertices.iter().enumerate() {
        assert!(vertex.op.outputs() <= limits.outputs, "{vertex:?}");
        for input in vertex.op.inputs() {
            assert!((input.vertex as usize) < at, "{vertex:?} uses a later one");
            assert_eq!(definition.check_input(input), Ok(()));
        }
    }
    assert!(
        definition
            .check_input(Input {
                vertex: u32::MAX,
                output: 0
            })
            .is_err()
    );
    format!("ok {}", definition.vertices.len().min(5))
}

/// Changes values of a good definition: each pair of bytes names a value and what becomes of it.
fn changed(bytes: &[u8]) -> Option<Definition> {
    let good = [
        include_bytes!("../../corpora/graph/exec").as_slice(),
        include_bytes!("../../corpora/graph/file"),
    ];
    let (&first, rest) = bytes.split_first()?;
    let mut value = serde_json::from_slice(good[usize::from(first) % good.len()]).ok()?;
    for pair in rest.chunks_exact(2).take(6) {
        let mut leaf = usize::from(pair[0]);
        change(&mut value, &mut leaf, pair[1]);
    }
    serde_json::from_value(value).ok()
}

/// Changes the value number `leaf`, of those that hold no others, or the list that has it.
fn change(value: &mut Value, leaf: &mut usize, how: u8) {
    let numbers = [0, 1, 2, 7, 21, u64::from(u32::MAX)];
    let texts = ["", "/", "..", "a\0b", "docker-image://a"];
    match value {
        Value::Array(list) => {
            for item in &mut *list {
                change(item, leaf, how);
            }
            if *leaf < 4 && how.is_multiple_of(7) && !list.is_empty() {
                let copies = vec![list.clone(); usize::from(how) % 30].concat();
                list.extend(copies);
            }
        }
        Value::Object(map) => map.values_mut().for_each(|item| change(item, leaf, how)),
        _ => {
            match value {
                Value::Number(number) if *leaf == 0 => *number = numbers[usize::from(how) % 6].into(),
                Value::String(text) if *leaf == 0 && how > 250 => *text = "x".repeat(3000),
                Value::String(text) if *leaf == 0 => texts[usize::from(how) % 5].clone_into(text),
                Value::Bool(on) if *leaf == 0 => *on = !*on,
                _ => {}
            }
            *leaf = leaf.wrapping_sub(1);
        }
    }
}

fn vertex(op: Op) -> Vertex {
    Vertex {
        op,
        platform: None,
        name: "v".to_owned(),
        spans: Vec::new(),
        ignore_cache: false,
        group: None,
    }
}

/// A plugin may send as many inputs as fit into its answer.
#[test]
fn a_vertex_with_millions_of_inputs_is_refused_at_once() {
    let inputs = (0..3_000_000).map(|output| Input { vertex: 0, output }).collect();
    let definition = Definition {
        vertices: vec![vertex(Op::Merge(inputs))],
        sources: Vec::new(),
    };
    let error = definition.check(&Limits::default()).expect_err("it is too large");
    assert!(error.to_string().contains("3000000 inputs of a merge"), "{error}");
}
