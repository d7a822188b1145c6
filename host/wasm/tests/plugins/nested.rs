//! A frontend that calls another one.

use std::sync::Arc;

use kiln_plugin::FrontendError;
use kiln_plugin::MemoryTree;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;

use crate::bridge::Bridge;
use crate::bridge::request;
use crate::guest::Guest;

/// Calls another frontend and fails as that one does.
const CALLER: Guest<'_> = Guest {
    imports: r#"(import "kiln:plugin/build@0.1.0" "call-frontend" (func $call (param i32 i32)))"#,
    fields: "",
    describe: "",
    lower: "(call $call (i32.const 8192) (i32.const 1024)) i32.const 1024",
    subrequest: "",
};

async fn call(other: Option<Guest<'_>>) -> Result<(), FrontendError> {
    let config = RuntimeConfig {
        instances: 1,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::open(config).unwrap();
    let caller = runtime.frontend("caller", &CALLER.component(), None).unwrap();
    let other = other.map(|other| runtime.frontend("other", &other.component(), None).unwrap());
    let bridge = Bridge {
        other,
        ..Bridge::default()
    };
    let files = Arc::new(MemoryTree::new());
    caller.lower(&request(), files, Arc::new(bridge)).await.map(drop)
}

#[tokio::test]
async fn plugins_that_wait_for_each_other_need_no_second_place() {
    call(Some(Guest::default())).await.unwrap();
}

#[tokio::test]
async fn what_goes_wrong_in_the_other_one_is_a_typed_error() {
    let trap = Guest {
        lower: "unreachable",
        ..Guest::default()
    };
    let cases = [
        (None, "unknown frontend ``"),
        (
            Some(trap),
            "plugin `other` trapped in `lower`: wasm `unreachable` instruction executed",
        ),
    ];
    for (other, expect) in cases {
        match call(other).await {
            Err(FrontendError::Failure(failure)) => assert_eq!(failure.to_string(), expect),
            other => panic!("expected a failure, got {other:?}"),
        }
    }
}
