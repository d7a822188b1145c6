//! The OCI executor as root, over the runtimes of Debian.

#![expect(clippy::print_stderr, reason = "says which cases do not apply, and why")]

mod conformance;

use kiln_exec::OciExecutor;

#[track_caller]
fn check(runtime: &str, exempt: conformance::Exempt<'_>) {
    use std::os::unix::fs::MetadataExt as _;
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        eprintln!("skipped: {runtime} needs root here");
        return;
    }
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|dir| format!("{dir}/{runtime}"));
    let path = found.iter().find(|path| std::path::Path::new(path).exists());
    let path = path.unwrap_or_else(|| panic!("install the package `{runtime}`"));
    let scratch = tempfile::tempdir().expect("a temporary directory");
    conformance::run(
        &OciExecutor::new(path, scratch.path()).expect("an executor"),
        exempt,
    );
}

#[test]
fn runc_conforms() {
    check(
        "runc",
        &[
            ("program that is a directory", "runc has other words for it"),
            ("program without format", "runc starts it too late to say so"),
            ("no descriptors of ours", "runc 1.1 leaves one of its own open"),
        ],
    );
}

#[test]
fn crun_conforms() {
    check(
        "crun",
        &[
            ("missing program", "crun has other words for it"),
            ("program without permission", "crun has other words for it"),
            ("program that is a directory", "crun has other words for it"),
            ("program without format", "crun starts it too late to say so"),
            (
                "system calls that are new",
                "crun answers EPERM to calls that it does not know",
            ),
            (
                "system calls of 32-bit x86 that are new",
                "crun answers EPERM to calls that it does not know",
            ),
            (
                "no descriptors of ours",
                "crun 1.8 leaves one of its own open now and then",
            ),
        ],
    );
}
