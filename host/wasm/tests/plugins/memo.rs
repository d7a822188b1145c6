//! Remembered calls.

use std::sync::Arc;

use kiln_plugin::Frontend;
use kiln_plugin::FrontendError;
use kiln_plugin::MemoryTree;
use kiln_wasm::Runtime;
use kiln_wasm::RuntimeConfig;

use crate::bridge::Bridge;
use crate::bridge::Memory;
use crate::bridge::request;
use crate::guest::Guest;

/// Reads `Dockerfile` and asks for a context; traps when the file is empty.
const READS: Guest<'_> = Guest {
    imports: r#"
        (import "kiln:plugin/content@0.1.0" "[method]tree.read"
            (func $read (param i32 i32 i32 i64 i32)))
        (import "kiln:plugin/build@0.1.0" "context"
            (func $context (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
    fields: r#"(data (i32.const 4096) "Dockerfile")"#,
    describe: "",
    lower: "(call $read (i32.load offset=100 (local.get 0)) (i32.const 4096) (i32.const 10)
                (i64.const 1000) (i32.const 2048))
            (if (i32.eqz (i32.load (i32.const 2056))) (then unreachable))
            (call $context (i32.const 4096) (i32.const 10) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3072))
            i32.const 1024",
    subrequest: "",
};

struct Bench {
    frontend: Arc<dyn Frontend>,
    bridge: Arc<Bridge>,
    memory: Arc<Memory>,
}

fn bench() -> Bench {
    let memory = Arc::new(Memory::default());
    let config = RuntimeConfig {
        memo: Some(Arc::clone(&memory) as _),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::open(config).unwrap();
    Bench {
        frontend: runtime.frontend("reader", &READS.component(), None).unwrap(),
        bridge: Arc::new(Bridge::default()),
        memory,
    }
}

impl Bench {
    /// Lowers a file and tells whether the answer was remembered.
    async fn lower(&self, dockerfile: &str) -> Result<bool, FrontendError> {
        let files = Arc::new(MemoryTree::new().file("Dockerfile", dockerfile));
        let bridge = Arc::clone(&self.bridge);
        self.frontend.lower(&request(), files, bridge).await?;
        Ok(self.frontend.usage().memo_hit)
    }
}

#[tokio::test]
async fn equal_answers_are_remembered_side_by_side() {
    let bench = bench();
    assert!(!bench.lower("a").await.unwrap());
    assert!(bench.lower("a").await.unwrap());
    assert!(!bench.lower("b").await.unwrap(), "another file, another answer");
    assert!(bench.lower("a").await.unwrap());
    assert!(bench.lower("b").await.unwrap());
    assert_eq!(
        *bench.bridge.contexts.lock().unwrap(),
        5,
        "each call asks once, replayed or not"
    );
}

#[tokio::test]
async fn a_trap_is_not_remembered() {
    let bench = bench();
    bench.lower("").await.unwrap_err();
    assert!(bench.memory.0.lock().unwrap().is_empty());
    bench.lower("").await.unwrap_err();
}

#[tokio::test]
async fn a_damaged_memory_is_no_memory() {
    let bench = bench();
    assert!(!bench.lower("a").await.unwrap());
    for value in bench.memory.0.lock().unwrap().values_mut() {
        value.truncate(5);
    }
    assert!(!bench.lower("a").await.unwrap());
    assert!(bench.lower("a").await.unwrap());
}

#[tokio::test]
async fn usage_is_counted() {
    let bench = bench();
    bench.lower("a").await.unwrap();
    let usage = bench.frontend.usage();
    assert_eq!(usage.host_calls, 2);
    assert!(usage.fuel > 0);
    assert!(usage.peak_memory >= 2 * 65536);
    assert!(usage.bytes > 0);
}
