//! Images of Debian packages without steps: no container, no root, no apt, no dpkg. Reads a build file in YAML, finds
//! packages by Debian's rules in repositories whose signatures it checks, and returns a graph of files to put together.
//!
//! Fetches and unpacks nothing itself: the host does.

mod arch;
mod choose;
mod effects;
mod frontend;
mod graph;
mod index;
mod lock;
mod package;
mod pgp;
mod plan;
mod relation;
mod repository;
mod resolve;
mod scripts;
mod spec;
mod users;
mod version;
mod yaml;

pub use frontend::Debian;
