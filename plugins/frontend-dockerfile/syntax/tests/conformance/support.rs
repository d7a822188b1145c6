//! Finds and reads the shared tables, and collects what fails.

use serde_json::Value;
use std::fmt::Debug;
use std::path::PathBuf;

/// The conformance folder: `KILN_SHARED`, or `shared` beside the repository.
pub(crate) fn shared() -> PathBuf {
    let root = std::env::var_os("KILN_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared"),
        PathBuf::from,
    );
    let dir = root.join("conformance");
    assert!(
        dir.is_dir(),
        "no conformance data: `{}` is no folder (set KILN_SHARED)",
        dir.display()
    );
    dir
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    let path = shared().join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read `{}`: {e}", path.display()))
}

pub(crate) fn table(path: &str) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|e| panic!("`{path}` is no JSON: {e}"))
}

/// The rows of an array in a table.
pub(crate) fn rows<'a>(table: &'a Value, key: &str) -> &'a [Value] {
    table[key]
        .as_array()
        .unwrap_or_else(|| panic!("the table has no array `{key}`"))
}

pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{key}` in {row}"))
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item.as_str().expect("a string").to_owned())
        .collect()
}

/// Counts rows and keeps the names of those that fail.
#[derive(Default)]
pub(crate) struct Report {
    rows: usize,
    failed: Vec<String>,
}

impl Report {
    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, name: &str, got: &T, expect: &T) {
        self.holds(name, got == expect, &format!("got {got:?}, expected {expect:?}"));
    }

    pub(crate) fn holds(&mut self, name: &str, ok: bool, why: &str) {
        self.rows += 1;
        if !ok {
            self.failed.push(format!("{name}: {why}"));
        }
    }

    #[track_caller]
    pub(crate) fn done(self, rows: usize) {
        assert!(
            self.failed.is_empty(),
            "{} rows failed:\n{}",
            self.failed.len(),
            self.failed.join("\n")
        );
        assert_eq!(self.rows, rows, "number of rows that were run");
    }
}
