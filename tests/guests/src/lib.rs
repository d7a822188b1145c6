//! A frontend that attacks whoever runs it. The first line of the build file names the attack; `well-behaved` is the
//! neighbour that must not notice.

mod calls;
mod graphs;

use kiln_sdk::Tree;
use kiln_sdk::frontend::Answer;
use kiln_sdk::frontend::Definition;
use kiln_sdk::frontend::Description;
use kiln_sdk::frontend::Failure;
use kiln_sdk::frontend::Frontend;
use kiln_sdk::frontend::Host;
use kiln_sdk::frontend::Input;
use kiln_sdk::frontend::Lowered;
use kiln_sdk::frontend::Output;
use kiln_sdk::frontend::Request;
use kiln_sdk::graph::Vertex;
use kiln_sdk::types::Diagnostic;

/// The attacker.
#[derive(Debug)]
pub struct Guest;

kiln_sdk::export_frontend!(Guest);

impl Frontend for Guest {
    fn describe() -> Description {
        Description {
            name: "guest".into(),
            version: "1".into(),
            subrequests: vec![],
        }
    }

    fn lower(host: &dyn Host, request: &Request, files: &dyn Tree) -> Result<Lowered, Failure> {
        let text = files
            .read(&request.source_name, 1 << 20)
            .map_err(Diagnostic::from)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let attack = text.lines().next().unwrap_or_default().trim();
        match calls::attack(attack, host, files) {
            Some(calls::Ending::Said(said)) => {
                Err(Diagnostic::error(format!("the host said: {said}")).into())
            }
            Some(calls::Ending::Lowered(lowered)) => Ok(*lowered),
            None => match graphs::attack(attack) {
                Some(vertices) => Ok(lowered(vertices)),
                None => Err(Diagnostic::error(format!("unknown attack `{attack}`")).into()),
            },
        }
    }

    fn subrequest(_: &dyn Host, id: &str, _: &Request, _: &dyn Tree) -> Result<Answer, Failure> {
        assert!(id.is_empty(), "a trap in subrequest");
        Err(Diagnostic::error("unsupported request").into())
    }
}

/// Returns a graph whose last vertex is exported.
fn lowered(vertices: Vec<Vertex>) -> Lowered {
    let last = u32::try_from(vertices.len()).unwrap_or(u32::MAX).checked_sub(1);
    let output = Output {
        platform: None,
        result: last.map(|vertex| Input { vertex, output: 0 }),
        config: b"{\"architecture\":\"amd64\",\"os\":\"linux\"}".to_vec(),
        attrs: vec![],
    };
    let definition = Definition {
        vertices,
        sources: vec![],
    };
    Lowered {
        definition,
        outputs: vec![output],
        diagnostics: vec![],
        attrs: vec![],
    }
}
