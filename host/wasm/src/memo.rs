//! Remembered calls. A frontend is a pure function of its request and of what the host answers, so a call is a path
//! through a tree: from the request over each answer to the next question, and at the end the outcome. Each step is
//! kept under the digest of the steps before it, so that calls that differ in an answer share what comes before.

use kiln_image::Digest;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::Lowered;
use kiln_plugin::Memo;
use kiln_plugin::MemoStore;
use kiln_plugin::Request;
use serde::Deserialize;
use serde::Serialize;

use crate::call::Question;
use crate::call::Session;
use crate::call::Trace;

/// Changes when what is kept changes its shape or meaning.
const VERSION: &str = "kiln-memo-2";
/// Longest path that is followed: a store that was tampered with must not lead in circles.
const LONGEST: usize = 512;

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) outcome: Outcome,
    /// What was reported on the way; said again.
    pub(crate) reports: Vec<Diagnostic>,
    /// Instructions that it took.
    pub(crate) fuel: u64,
}

/// What a plugin returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Lowered(Result<Box<Lowered>, Failure>),
    Answer(Result<Vec<(String, Vec<u8>)>, Failure>),
}

#[derive(Serialize, Deserialize)]
enum Step {
    Ask(Question),
    End(Remembered),
}

/// Returns where the path of a call starts.
pub(crate) fn start(component: &Digest, call: &str, request: &Request) -> Digest {
    let request = serde_json::to_vec(request).expect("a request is written as JSON");
    Digest::of(
        [
            VERSION.as_bytes(),
            component.hex().as_bytes(),
            call.as_bytes(),
            b"\0",
            &request,
        ]
        .concat(),
    )
}

/// Asks the questions of a remembered call again. Returns its outcome if all answers are the same, else why there is
/// none.
pub(crate) async fn recall(
    store: &dyn MemoStore,
    start: Digest,
    session: &mut Session,
) -> Result<(Remembered, Trace), Memo> {
    let mut at = start;
    let mut trace = Trace::new();
    for _ in 0..LONGEST {
        let step = store.get(&at.to_string()).await;
        let step = step.and_then(|step| serde_json::from_slice(&step).ok());
        match step {
            Some(Step::Ask(question)) => {
                let answer = session.replay(question.clone()).await;
                at = next(&at, &answer);
                trace.push((question, answer));
            }
            Some(Step::End(remembered)) => return Ok((remembered, trace)),
            None => break,
        }
    }
    Err(match trace.last() {
        Some((question, _)) => Memo::Changed(question.to_string()),
        None => Memo::New,
    })
}

/// Keeps a call.
pub(crate) async fn remember(store: &dyn MemoStore, start: Digest, trace: &Trace, end: Remembered) {
    let mut at = start;
    for (question, answer) in trace {
        put(store, &at, &Step::Ask(question.clone())).await;
        at = next(&at, answer);
    }
    put(store, &at, &Step::End(end)).await;
}

fn next(at: &Digest, answer: &Digest) -> Digest {
    Digest::of(format!("{at} {answer}"))
}

async fn put(store: &dyn MemoStore, at: &Digest, step: &Step) {
    let step = serde_json::to_vec(step).expect("a step is written as JSON");
    store.put(&at.to_string(), &step).await;
}
