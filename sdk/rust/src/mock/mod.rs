//! A host in memory, so that a plugin's logic runs in plain `cargo test`.

mod host;
mod tree;

use std::cell::RefCell;

pub use host::MockHost;
pub use tree::MockTree;

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a warning for [`warnings`].
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn note_warning(line: String) {
    WARNINGS.with_borrow_mut(|warnings| warnings.push(line));
}

/// Returns what was warned of in this thread since it was asked last.
pub fn warnings() -> Vec<String> {
    WARNINGS.take()
}
