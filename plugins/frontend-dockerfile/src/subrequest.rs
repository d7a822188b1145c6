//! Questions about a Dockerfile that are answered without building.

use crate::api::Failure;
use crate::api::Request;
use crate::host::Host;
use kiln_sdk::frontend::Answer;
use kiln_sdk::frontend::Description;
use kiln_sdk::frontend::Subrequest;

/// Version of the Dockerfile syntax that is read.
const LANGUAGE: &str = "1.26";

/// Id, version and description of each question.
const QUESTIONS: [(&str, &str, &str); 4] = [
    (
        "frontend.subrequests.describe",
        "1.0.0",
        "List available subrequest types",
    ),
    (
        "frontend.outline",
        "1.0.0",
        "List all parameters current build target supports",
    ),
    (
        "frontend.targets",
        "1.0.0",
        "List all targets current build supports",
    ),
    ("frontend.lint", "1.0.0", "Lint a Dockerfile"),
];

/// Says what the frontend is.
pub(crate) fn describe() -> Description {
    let question = |(id, version, description): &(&str, &str, &str)| Subrequest {
        id: (*id).to_owned(),
        version: (*version).to_owned(),
        description: (*description).to_owned(),
    };
    Description {
        name: "dockerfile".to_owned(),
        version: LANGUAGE.to_owned(),
        subrequests: QUESTIONS.iter().map(question).collect(),
    }
}

/// Answers a question.
pub(crate) fn answer(_host: &dyn Host, id: &str, _request: &Request) -> Result<Answer, Failure> {
    Err(kiln_sdk::types::Diagnostic::error(format!("unsupported request {id}")).into())
}
