//! File trees as data: what a layer changes ([`ChangeSet`]), what a stack of layers amounts to ([`Tree`]), and the
//! file operations of a build on them.
//!
//! Pure: nothing here opens a file. An entry says where its bytes are ([`Content`]); who writes a layer reads them.

mod change;
mod path;

pub use change::ChangeSet;
pub use change::Content;
pub use change::Entry;
pub use change::Metadata;
pub use change::Node;
pub use change::Timestamp;
pub use path::PathError;
pub use path::TreePath;
