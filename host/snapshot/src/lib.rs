//! Root file systems for steps: a stack of layer directories is prepared so that a step can change it, and what it
//! changed comes back as a change set and a layer directory.
//!
//! [`Overlay`] is data only: whoever runs the step mounts it, in a mount namespace of its own. [`struct@Copy`] is for where
//! overlayfs cannot be mounted. Knows no image, blob or store.

#[cfg(test)]
mod conformance;
mod copy;
mod error;
mod normalise;
mod overlay;
mod scan;
mod snapshotter;

pub use copy::Copy;
pub use error::SnapshotError;
pub use normalise::Lookup;
pub use normalise::normalise;
pub use overlay::Overlay;
pub use overlay::Unsupported;
pub use overlay::supported;
pub use scan::scan_tree;
pub use scan::scan_upper;
pub use snapshotter::Committed;
pub use snapshotter::Prepared;
pub use snapshotter::RootMount;
pub use snapshotter::Snapshotter;
