//! File trees as data: what a layer changes ([`ChangeSet`]), what a stack of layers amounts to ([`Tree`]), the file
//! operations of a build on them ([`ops`]), who is who in them ([`users`]) and their content hashes ([`hash`]).
//!
//! Pure: nothing here opens a file. An entry says where its bytes are ([`Content`]); who writes a layer reads them.

mod change;
pub mod hash;
pub mod ops;
mod path;
mod squash;
mod tree;
pub mod users;

pub use change::ChangeSet;
pub use change::Content;
pub use change::Entry;
pub use change::Metadata;
pub use change::Node;
pub use change::Timestamp;
pub use change::Xattrs;
pub use ops::OpError;
pub use path::PathError;
pub use path::TreePath;
pub use tree::Follow;
pub use tree::Found;
pub use tree::ResolveError;
pub use tree::Tree;
pub use tree::Walk;
