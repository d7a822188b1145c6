//! Plugins that come with the program.

/// A component, with machine code that was made when the program was built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embedded {
    /// What follows `builtin:`, with the kind: `frontend-dockerfile`.
    pub(crate) name: &'static str,
    /// The component.
    pub(crate) component: &'static [u8],
    /// Its machine code, if there is some. The runtime does without when it was made by another version.
    pub(crate) code: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Returns the plugin of that name.
pub(crate) fn find(name: &str) -> Option<&'static Embedded> {
    EMBEDDED.iter().find(|plugin| plugin.name == name)
}

/// Finds what is not installed but only named; asked for with `generator=builtin:cataloger-lock`.
const LOCK: &str = "cataloger-lock";

/// Returns the catalogers that are always asked.
pub(crate) fn catalogers() -> impl Iterator<Item = &'static Embedded> {
    EMBEDDED
        .iter()
        .filter(|plugin| plugin.name.starts_with("cataloger-") && plugin.name != LOCK)
}

/// Returns the names of all of them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|plugin| plugin.name)
}
