//! How a call ended when it did not end well: a trap or a limit.

use kiln_plugin::Limit;
use kiln_plugin::Limits;
use kiln_plugin::PluginError;
use wasmtime::Trap;
use wasmtime::WasmBacktrace;

/// Most frames of a backtrace that are worth showing.
const FRAMES: usize = 20;

/// A limit was reached. Host functions and the limiter end a call with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit of {0} reached")]
pub(crate) struct LimitHit(pub(crate) Limit);

/// Returns what became of a call. `panic` is the text that the plugin logged last, if it was a panic's.
pub(crate) fn plugin_error(
    plugin: &str,
    call: &str,
    limits: &Limits,
    error: &wasmtime::Error,
    panic: Option<&str>,
) -> PluginError {
    if let Some(limit) = limit(error) {
        return PluginError::Limit {
            plugin: plugin.to_owned(),
            call: call.to_owned(),
            limit,
            value: limits.value(limit),
        };
    }
    PluginError::Trap {
        plugin: plugin.to_owned(),
        call: call.to_owned(),
        message: panic.map_or_else(|| describe(error), str::to_owned),
        backtrace: backtrace(error),
    }
}

fn limit(error: &wasmtime::Error) -> Option<Limit> {
    if let Some(LimitHit(limit)) = error.downcast_ref::<LimitHit>() {
        return Some(*limit);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Some(Limit::Fuel),
        Some(Trap::StackOverflow) => return Some(Limit::Stack),
        Some(Trap::Interrupt) => return Some(Limit::Wall),
        _ => {}
    }
    // wasmtime has no types for these.
    let text = error.root_cause().to_string();
    let known = [
        ("fuel allocated for hostcalls has been exhausted", Limit::Bytes),
        ("store handle limit exceeded", Limit::Handles),
        ("resource table has no free keys", Limit::Handles),
        ("resource limit exceeded:", Limit::Instances),
    ];
    let found = known.into_iter().find(|(part, _)| text.contains(part));
    let limit = found.map(|(_, limit)| limit)?;
    // Arguments are read while the plugin runs; without one of its frames, it was the answer that was read.
    match limit {
        Limit::Bytes if error.downcast_ref::<WasmBacktrace>().is_none() => Some(Limit::Output),
        limit => Some(limit),
    }
}

fn describe(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!("the plugin exited with code {}", exit.0);
    }
    let text = error.root_cause().to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
}

fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>();
    let text = frames.map(ToString::to_string).unwrap_or_default();
    text.lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .take(FRAMES)
        .map(|line| line.trim().to_owned())
        .collect()
}
