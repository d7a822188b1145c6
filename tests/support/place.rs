//! Where the things are that tests need. What is missing fails the test with what to do about it.

use std::path::Path;
use std::path::PathBuf;

/// Returns the repository's root.
pub fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
        .to_owned()
}

/// Returns the binary under test: `KILN_BIN`, else the one of a debug build.
///
/// # Panics
/// There is none.
#[track_caller]
pub fn kiln_bin() -> PathBuf {
    let path = std::env::var_os("KILN_BIN").map_or_else(|| repo().join("target/debug/kiln"), PathBuf::from);
    assert!(
        path.is_file(),
        "no kiln at `{}`: run `cargo xtask test`, or set KILN_BIN",
        path.display()
    );
    path
}

/// Returns the OCI layout of a root file system (`debian` or `busybox`) below `KILN_TEST_ROOTS`.
///
/// # Panics
/// There is none.
#[track_caller]
pub fn root_layout(name: &str) -> PathBuf {
    let roots = std::env::var_os("KILN_TEST_ROOTS").map(PathBuf::from);
    let roots = roots.expect(
        "KILN_TEST_ROOTS is not set: run `cargo xtask test`, or set it to what `cargo xtask roots` prints",
    );
    let path = roots.join(name);
    assert!(
        path.join("index.json").is_file(),
        "no root file system `{}`: run `cargo xtask test`",
        path.display()
    );
    path
}

/// Returns a file or directory of the shared data: `KILN_SHARED`, else `shared` beside the repository.
///
/// # Panics
/// There is none.
#[track_caller]
pub fn shared(name: &str) -> PathBuf {
    let beside = || {
        repo()
            .parent()
            .expect("the repository has a parent")
            .join("shared")
    };
    let path = std::env::var_os("KILN_SHARED")
        .map_or_else(beside, PathBuf::from)
        .join(name);
    assert!(
        path.exists(),
        "no shared data at `{}`: set KILN_SHARED",
        path.display()
    );
    path
}
