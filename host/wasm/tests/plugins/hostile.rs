//! Plugins that loop, eat, flood, trap and lie. Each ends in one error that names the plugin, the call, the limit and
//! what raises it, and a neighbour goes on.

use std::sync::Arc;

use kiln_plugin::Frontend;
use kiln_plugin::FrontendError;
use kiln_plugin::MemoryTree;
use kiln_plugin::PluginError;

use crate::bridge::Bridge;
use crate::bridge::request;
use crate::bridge::runtime;
use crate::guest::Guest;

const LOG: &str = r#"(import "kiln:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const CONTEXT: &str = r#"(import "kiln:plugin/build@0.1.0" "context"
    (func $context (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

async fn lower(frontend: &Arc<dyn Frontend>) -> Result<kiln_plugin::Lowered, FrontendError> {
    let files = Arc::new(MemoryTree::new());
    frontend
        .lower(&request(), files, Arc::new(Bridge::default()))
        .await
}

/// Runs `lower` of a guest and returns how the plugin misbehaved.
async fn misbehaves(limits: &str, guest: Guest<'_>) -> PluginError {
    let runtime = runtime(limits);
    let hostile = runtime.frontend("hostile", &guest.component(), None).unwrap();
    let neighbour = runtime
        .frontend("neighbour", &Guest::default().component(), None)
        .unwrap();
    let (hostile, before) = tokio::join!(lower(&hostile), lower(&neighbour));
    before.expect("a neighbour at the same time is not affected");
    lower(&neighbour)
        .await
        .expect("a neighbour afterwards is not affected");
    match hostile {
        Err(FrontendError::Plugin(error)) => error,
        other => panic!("expected a misbehaving plugin, got {other:?}"),
    }
}

async fn check(limits: &str, guest: Guest<'_>, expect: &str) {
    let error = misbehaves(limits, guest).await;
    assert_eq!(error.to_string(), expect);
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn an_endless_loop_runs_out_of_fuel() {
    let guest = Guest {
        lower: "(loop (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of fuel (instructions) in `lower`: 1000000 \
                  (raise it with `--plugin-limit fuel=…`)";
    check("fuel=1000000", guest, expect).await;
}

#[tokio::test]
async fn an_endless_loop_with_much_fuel_runs_out_of_time() {
    let guest = Guest {
        lower: "(loop (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of wall time in `lower`: 100ms \
                  (raise it with `--plugin-limit wall=…`)";
    check("fuel=1000000000000000,wall=100ms", guest, expect).await;
}

#[tokio::test]
async fn memory_is_limited() {
    let guest = Guest {
        lower: "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of memory in `lower`: 4 MiB \
                  (raise it with `--plugin-limit memory=…`)";
    check("memory=4MiB", guest, expect).await;
}

#[tokio::test]
async fn memory_is_limited_over_all_memories() {
    let guest = Guest {
        fields: "(memory $other 1)",
        lower: "(loop (drop (memory.grow 0 (i32.const 1))) (drop (memory.grow $other (i32.const 1))) (br 0)) unreachable",
        ..Guest::default()
    };
    let error = misbehaves("memory=4MiB", guest).await;
    assert!(error.to_string().contains("limit of memory"), "{error}");
}

#[tokio::test]
async fn tables_are_limited() {
    let guest = Guest {
        fields: "(table $t 1 funcref)",
        lower: "(loop (drop (table.grow $t (ref.null func) (i32.const 1000))) (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of table elements in `lower`: 50000 \
                  (raise it with `--plugin-limit table=…`)";
    check("", guest, expect).await;
}

#[tokio::test]
async fn deep_recursion_ends_at_the_stack() {
    let guest = Guest {
        fields: "(func $deep (param i64) (result i64) (i64.add (call $deep (local.get 0)) (i64.const 1)))",
        lower: "(drop (call $deep (i64.const 1))) unreachable",
        ..Guest::default()
    };
    let error = misbehaves("", guest).await.to_string();
    assert!(
        error.starts_with("plugin `hostile` reached the limit of stack depth in `lower`"),
        "{error}"
    );
}

#[tokio::test]
async fn the_answer_is_limited() {
    // 4000 attributes of empty strings, one behind the other in zeroed memory.
    let guest = Guest {
        lower: "(i32.store (i32.const 1060) (i32.const 2048))
                (i32.store (i32.const 1064) (i32.const 4000))
                i32.const 1024",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of output size in `lower`: 64 KiB \
                  (raise it with `--plugin-limit output=…`)";
    check("output=64K", guest, expect).await;
}

#[tokio::test]
async fn the_log_is_limited() {
    let guest = Guest {
        imports: LOG,
        lower: "(loop (call $log (i32.const 1) (i32.const 0) (i32.const 1000)) (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of log size in `lower`: 1 MiB \
                  (raise it with `--plugin-limit log=…`)";
    check("", guest, expect).await;
}

#[tokio::test]
async fn calls_to_the_host_are_limited() {
    let guest = Guest {
        imports: LOG,
        lower: "(loop (call $log (i32.const 1) (i32.const 0) (i32.const 0)) (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of host calls in `lower`: 1000 \
                  (raise it with `--plugin-limit host-calls=…`)";
    check("host-calls=1000", guest, expect).await;
}

#[tokio::test]
async fn bytes_over_the_border_are_limited() {
    let guest = Guest {
        imports: LOG,
        lower: "(loop (call $log (i32.const 1) (i32.const 0) (i32.const 60000)) (br 0)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of bytes over the border in `lower`: 1 MiB \
                  (raise it with `--plugin-limit bytes=…`)";
    check("bytes=1MiB,log=64MiB", guest, expect).await;
    // One argument that is too much for itself.
    check("bytes=1MiB,log=64MiB,output=16K", guest, expect).await;
}

#[tokio::test]
async fn handles_are_limited() {
    let nine = "(i32.const 0) ".repeat(8);
    let lower = format!("(loop (call $context {nine} (i32.const 2048)) (br 0)) unreachable");
    let guest = Guest {
        imports: CONTEXT,
        lower: &lower,
        ..Guest::default()
    };
    let expect = "plugin `hostile` reached the limit of handles in `lower`: 100 \
                  (raise it with `--plugin-limit handles=…`)";
    check("handles=100", guest, expect).await;
}

#[tokio::test]
async fn instances_are_limited() {
    let guest = Guest::default();
    let expect = "plugin `hostile` reached the limit of instances in `lower`: 0 \
                  (raise it with `--plugin-limit instances=…`)";
    let runtime = runtime("instances=0");
    let hostile = runtime.frontend("hostile", &guest.component(), None).unwrap();
    let error = lower(&hostile).await.unwrap_err();
    assert_eq!(error.to_string(), expect);
}

#[tokio::test]
async fn a_trap_in_any_export_is_told_apart_from_a_limit() {
    let guest = Guest {
        describe: "unreachable",
        lower: "(drop (i32.load (i32.const -4))) unreachable",
        subrequest: "(drop (i32.div_s (i32.const 1) (i32.const 0))) unreachable",
        ..Guest::default()
    };
    let frontend = runtime("").frontend("hostile", &guest.component(), None).unwrap();
    let bridge = || Arc::new(Bridge::default());
    let files = || Arc::new(MemoryTree::new());
    let describe = frontend.describe().await.unwrap_err();
    let lower = frontend.lower(&request(), files(), bridge()).await.unwrap_err();
    let subrequest = frontend
        .subrequest("frontend.outline", &request(), files(), bridge())
        .await
        .unwrap_err();
    assert_eq!(
        describe.to_string(),
        "plugin `hostile` trapped in `describe`: wasm `unreachable` instruction executed"
    );
    assert_eq!(
        lower.to_string(),
        "plugin `hostile` trapped in `lower`: out of bounds memory access"
    );
    assert_eq!(
        subrequest.to_string(),
        "plugin `hostile` trapped in `subrequest`: integer divide by zero"
    );
    let PluginError::Trap { backtrace, .. } = describe else {
        panic!("not a trap: {describe:?}");
    };
    assert!(!backtrace.is_empty());
}

#[tokio::test]
async fn a_panic_brings_its_text() {
    let guest = Guest {
        imports: LOG,
        fields: r#"(data (i32.const 4096) "panicked at src/lib.rs:1:1:\nout of ideas")"#,
        lower: "(call $log (i32.const 3) (i32.const 4096) (i32.const 40)) unreachable",
        ..Guest::default()
    };
    let expect = "plugin `hostile` trapped in `lower`: panicked at src/lib.rs:1:1:\nout of ideas";
    check("", guest, expect).await;
}

#[tokio::test]
async fn garbage_is_not_an_answer() {
    let outside = Guest {
        lower: "i32.const 99999999",
        ..Guest::default()
    };
    let case = Guest {
        lower: "(i32.store8 (i32.const 1024) (i32.const 9)) i32.const 1024",
        ..Guest::default()
    };
    let long = Guest {
        lower: "(i32.store (i32.const 1064) (i32.const -1)) i32.const 1024",
        ..Guest::default()
    };
    let silent = Guest {
        lower: "(i32.store8 (i32.const 1024) (i32.const 1)) i32.const 1024",
        ..Guest::default()
    };
    // One output whose result is vertex 7 of an empty graph.
    let dangling = Guest {
        lower: "(i32.store (i32.const 1044) (i32.const 4096))
                (i32.store (i32.const 1048) (i32.const 1))
                (i32.store (i32.const 4140) (i32.const 1))
                (i32.store (i32.const 4144) (i32.const 7))
                i32.const 1024",
        ..Guest::default()
    };
    let cases = [
        (outside, "trapped in `lower`: "),
        (case, "trapped in `lower`: "),
        (long, "trapped in `lower`: "),
        (
            silent,
            "returned an unusable answer from `lower`: a failure without a diagnostic",
        ),
        (
            dangling,
            "returned an unusable answer from `lower`: an image is output 0 of vertex 7, which is not there",
        ),
    ];
    for (guest, expect) in cases {
        let error = misbehaves("", guest).await.to_string();
        let whole = format!("plugin `hostile` {expect}");
        assert!(error.starts_with(&whole), "{error} instead of {whole}");
    }
}
