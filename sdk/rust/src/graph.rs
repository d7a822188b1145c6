//! The build graph that a frontend returns: the operations of BuildKit's LLB.

pub use crate::bindings::api::kiln::plugin::graph::CacheMount;
pub use crate::bindings::api::kiln::plugin::graph::CacheSharing;
pub use crate::bindings::api::kiln::plugin::graph::CopyAction as Copy;
pub use crate::bindings::api::kiln::plugin::graph::Definition;
pub use crate::bindings::api::kiln::plugin::graph::Exec;
pub use crate::bindings::api::kiln::plugin::graph::FileAct;
pub use crate::bindings::api::kiln::plugin::graph::FileAction;
pub use crate::bindings::api::kiln::plugin::graph::FileInput;
pub use crate::bindings::api::kiln::plugin::graph::Input;
pub use crate::bindings::api::kiln::plugin::graph::Mkdir;
pub use crate::bindings::api::kiln::plugin::graph::Mkfile;
pub use crate::bindings::api::kiln::plugin::graph::Mount;
pub use crate::bindings::api::kiln::plugin::graph::MountKind;
pub use crate::bindings::api::kiln::plugin::graph::Network;
pub use crate::bindings::api::kiln::plugin::graph::Op;
pub use crate::bindings::api::kiln::plugin::graph::Owner;
pub use crate::bindings::api::kiln::plugin::graph::Rm;
pub use crate::bindings::api::kiln::plugin::graph::SecretEnv;
pub use crate::bindings::api::kiln::plugin::graph::SecretMount;
pub use crate::bindings::api::kiln::plugin::graph::Security;
pub use crate::bindings::api::kiln::plugin::graph::Source;
pub use crate::bindings::api::kiln::plugin::graph::Symlink;
pub use crate::bindings::api::kiln::plugin::graph::Ulimit;
pub use crate::bindings::api::kiln::plugin::graph::UserRef;
pub use crate::bindings::api::kiln::plugin::graph::Vertex;
