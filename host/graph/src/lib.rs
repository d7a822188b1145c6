//! The build graph: what is to be done, not how. The operations are those of BuildKit's LLB, field by field, so that
//! a graph can be written as LLB and read back, and cache keys can be BuildKit's.
//!
//! Knows nothing of how an operation runs, of caches, or of the component border.

mod check;
mod digest;
mod op;
mod policy;

pub use check::GraphError;
pub use check::Limits;
pub use op::CacheSharing;
pub use op::Copy;
pub use op::Definition;
pub use op::Exec;
pub use op::FileAct;
pub use op::FileAction;
pub use op::FileInput;
pub use op::Input;
pub use op::Mkdir;
pub use op::Mkfile;
pub use op::Mount;
pub use op::MountKind;
pub use op::Network;
pub use op::Op;
pub use op::Owner;
pub use op::Position;
pub use op::Rm;
pub use op::SecretEnv;
pub use op::SecretMount;
pub use op::Security;
pub use op::Source;
pub use op::SourceFile;
pub use op::Span;
pub use op::Symlink;
pub use op::Ulimit;
pub use op::UserRef;
pub use op::Vertex;
pub use policy::PolicyError;
pub use policy::SourcePolicy;
pub use policy::apply_policies;
