//! The WASI that languages with large runtimes drag in: there, but empty and the same every time.

use std::sync::Arc;

use kiln_plugin::FrontendError;
use kiln_plugin::MemoryTree;
use kiln_plugin::Request;

use crate::bridge::Bridge;
use crate::bridge::request;
use crate::bridge::runtime;
use crate::guest::Guest;

/// The part of WASI 0.2 that the guests here use.
const WASI: &str = "
package wasi:io@0.2.6 {
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }
}
package wasi:cli@0.2.6 {
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
    interface stdout {
        use wasi:io/streams@0.2.6.{output-stream};
        get-stdout: func() -> output-stream;
    }
    interface exit { exit: func(status: result); }
}
package wasi:clocks@0.2.6 {
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
}
package wasi:random@0.2.6 {
    interface random { get-random-u64: func() -> u64; }
}
package wasi:filesystem@0.2.6 {
    interface types { resource descriptor; }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }
}
";

fn with_wasi(wit: &str) -> String {
    let world = "world frontend-plugin {";
    let imports = [
        "cli/environment",
        "cli/stdout",
        "cli/exit",
        "clocks/wall-clock",
        "random/random",
        "filesystem/preopens",
    ]
    .map(|name| format!("\n    import wasi:{name}@0.2.6;"))
    .concat();
    wit.replace(world, &format!("{world}{imports}")) + WASI
}

async fn lower(
    guest: Guest<'_>,
    limits: &str,
    request: &Request,
) -> (Result<(), FrontendError>, Vec<String>) {
    let component = guest.component_with(with_wasi);
    let frontend = runtime(limits).frontend("std", &component, None).unwrap();
    let bridge = Arc::new(Bridge::default());
    let result = frontend
        .lower(request, Arc::new(MemoryTree::new()), Arc::clone(&bridge) as _)
        .await;
    let logs = bridge.logs.lock().unwrap().clone();
    (result.map(drop), logs)
}

#[tokio::test]
async fn there_is_nothing_in_it() {
    let guest = Guest {
        imports: r#"
            (import "wasi:cli/environment@0.2.6" "get-environment" (func $env (param i32)))
            (import "wasi:cli/environment@0.2.6" "get-arguments" (func $args (param i32)))
            (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $dirs (param i32)))
            (import "wasi:clocks/wall-clock@0.2.6" "now" (func $now (param i32)))"#,
        lower: "(call $env (i32.const 2048)) (call $args (i32.const 2056)) (call $dirs (i32.const 2064))
                (call $now (i32.const 2072))
                (if (i32.load (i32.const 2052)) (then unreachable))
                (if (i32.load (i32.const 2060)) (then unreachable))
                (if (i32.load (i32.const 2068)) (then unreachable))
                (if (i64.ne (i64.load (i32.const 2072)) (i64.const 0)) (then unreachable))
                i32.const 1024",
        ..Guest::default()
    };
    lower(guest, "", &request()).await.0.unwrap();
}

#[tokio::test]
async fn random_numbers_follow_from_the_request() {
    let guest = Guest {
        imports: r#"
            (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
            (import "kiln:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        // A line as long as the number's last twelve bits say.
        lower: "(call $log (i32.const 1) (i32.const 8192)
                    (i32.wrap_i64 (i64.and (i64.shr_u (call $random) (i64.const 2)) (i64.const 4095))))
                i32.const 1024",
        ..Guest::default()
    };
    let (_, first) = lower(guest, "", &request()).await;
    let (_, again) = lower(guest, "", &request()).await;
    assert_eq!(first[0].len(), again[0].len());
    let mut lengths = Vec::new();
    for target in ["a", "b", "c", "d"] {
        let other = Request {
            target: Some(target.to_owned()),
            ..request()
        };
        lengths.push(lower(guest, "", &other).await.1[0].len());
    }
    lengths.dedup();
    assert!(lengths.len() > 1, "other requests, other numbers");
}

#[tokio::test]
async fn output_goes_to_the_log_within_its_limit() {
    let guest = Guest {
        imports: r#"
            (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
            (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))
            (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $close (param i32)))"#,
        fields: r#"(data (i32.const 4096) "hello\nworld\n") (global $out (mut i32) (i32.const 0))"#,
        lower: "(global.set $out (call $stdout))
                (call $write (global.get $out) (i32.const 4096) (i32.const 12) (i32.const 2048))
                (call $close (global.get $out))
                i32.const 1024",
        ..Guest::default()
    };
    let (result, logs) = lower(guest, "", &request()).await;
    result.unwrap();
    assert_eq!(logs, ["hello", "world"]);
    let (result, _) = lower(guest, "log=11", &request()).await;
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("reached the limit of log size in `lower`"),
        "{error}"
    );
}

#[tokio::test]
async fn an_exit_is_a_trap_with_its_code() {
    let guest = Guest {
        imports: r#"(import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))"#,
        lower: "(call $exit (i32.const 1)) unreachable",
        ..Guest::default()
    };
    let (result, _) = lower(guest, "", &request()).await;
    let error = result.unwrap_err().to_string();
    assert_eq!(
        error,
        "plugin `std` trapped in `lower`: the plugin exited with code 1"
    );
}
