//! The native executor as root.

#![expect(clippy::print_stderr, reason = "says which cases do not apply, and why")]

mod conformance;

use kiln_exec::NativeExecutor;

#[test]
fn conforms() {
    if !is_root() {
        eprintln!("skipped: the native executor needs root here; the rootless test covers other users");
        return;
    }
    conformance::run(&NativeExecutor::new().expect("an executor"), &[]);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
