//! The operations.

use std::collections::BTreeMap;
use std::collections::HashSet;

use kiln_image::Platform;
use serde::Deserialize;
use serde::Serialize;

/// A place in a text: line and column in bytes, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in bytes, counted from 1.
    pub column: u32,
}

/// A range in one of a definition's source files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// Index into [`Definition::sources`].
    pub source: u32,
    /// First character.
    pub start: Position,
    /// Just behind the last character.
    pub end: Position,
}

/// A text that spans point into.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceFile {
    /// Name as the user gave it, such as `Dockerfile`.
    pub name: String,
    /// Language, such as `Dockerfile`.
    pub language: String,
    /// The whole text.
    pub data: Vec<u8>,
}

/// One output of an earlier vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Input {
    /// Index of the vertex.
    pub vertex: u32,
    /// Index of its output.
    pub output: u32,
}

/// Brings something in (LLB `SourceOp`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// What to bring: `docker-image://`, `oci-layout://`, `local://`, `git://`, `http://`, `https://`.
    pub identifier: String,
    /// Attributes by BuildKit's keys.
    pub attrs: BTreeMap<String, String>,
}

/// Several writers of one cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum CacheSharing {
    /// All at once.
    #[default]
    Shared,
    /// Each writer gets its own.
    Private,
    /// One after the other.
    Locked,
}

/// A secret or an SSH agent, handed in at run time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecretMount {
    /// Name that the user gave it.
    pub id: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// No error when the user gave none.
    pub optional: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MountKind {
    /// The input's tree; empty without an input.
    #[default]
    Bind,
    /// A named cache directory.
    Cache {
        /// Name of the cache.
        id: String,
        /// What happens when several steps want it.
        sharing: CacheSharing,
    },
    /// Memory.
    Tmpfs {
        /// Largest size in bytes; 0 is no limit of its own.
        size: u64,
    },
    /// A secret as a file.
    Secret(SecretMount),
    /// A socket of an SSH agent.
    Ssh(SecretMount),
}

/// One mount of a step. The one at `/` is the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted; none is an empty tree.
    pub input: Option<Input>,
    /// Path inside the input.
    pub selector: String,
    /// Where it appears.
    pub dest: String,
    /// Which output of the vertex the mount's tree becomes; none throws changes away.
    pub output: Option<u32>,
    /// No writing.
    pub readonly: bool,
    /// What it is.
    pub kind: MountKind,
}

/// Network of a step (LLB `NetMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Network {
    /// One of its own that reaches out.
    #[default]
    Sandbox,
    /// The host's; needs the entitlement `network.host`.
    Host,
    /// A loopback device only.
    None,
}

/// How much a step may do (LLB `SecurityMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Security {
    /// Default capabilities and system calls.
    #[default]
    Sandbox,
    /// All of them; needs the entitlement `security.insecure`.
    Insecure,
}

/// A resource limit of a step's processes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ulimit {
    /// Name without `RLIMIT_`, such as `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// A secret as an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecretEnv {
    /// Name that the user gave the secret.
    pub id: String,
    /// Name of the variable.
    pub name: String,
    /// No error when the user gave none.
    pub optional: bool,
}

/// Runs a process (LLB `ExecOp`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment as `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Proxy variables by name: environment, never part of the cache key.
    pub proxy_env: Vec<(String, String)>,
    /// Names in `/etc/hosts` with their addresses.
    pub extra_hosts: Vec<(String, String)>,
    /// Host name; empty is the default.
    pub hostname: String,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// Parent control group; empty is the default.
    pub cgroup_parent: String,
    /// Mounts; exactly one has the destination `/`.
    pub mounts: Vec<Mount>,
    /// Network.
    pub network: Network,
    /// Privileges.
    pub security: Security,
    /// Secrets as variables.
    pub secret_env: Vec<SecretEnv>,
    /// CDI devices by name; the value is `optional` or empty.
    pub devices: Vec<(String, String)>,
    /// The rest by name (`shm-size`, `memory`, `memory-swap`, `cpu-shares`, `cpu-period`, `cpu-quota`,
    /// `cpuset-cpus`, `cpuset-mems`, `valid-exit-codes`).
    pub attrs: BTreeMap<String, String>,
}

/// What a file action works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FileInput {
    /// An empty tree.
    #[default]
    Scratch,
    /// Output of an earlier vertex.
    Vertex(Input),
    /// Result of an earlier action of the same vertex, by index.
    Action(u32),
}

/// A user or group by number or name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserRef {
    /// Number.
    Id(u32),
    /// Name, looked up in the tree that the action works on.
    Name(String),
}

/// New owner of what an action makes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Owner {
    /// User; none is root.
    pub user: Option<UserRef>,
    /// Group; none follows from the user.
    pub group: Option<UserRef>,
}

/// Copies from another tree (LLB `FileActionCopy`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are LLB's")]
pub struct Copy {
    /// Where the files come from.
    pub from: FileInput,
    /// Path there.
    pub src: String,
    /// Path in the tree that is worked on.
    pub dest: String,
    /// New owner; none keeps the files' own.
    pub owner: Option<Owner>,
    /// New permission bits; none keeps the files' own.
    pub mode: Option<u32>,
    /// New permissions as `chmod` writes them; empty when unused.
    pub mode_str: String,
    /// Follow a symbolic link at the end of `src`.
    pub follow_symlink: bool,
    /// Copy what is in a directory, not the directory.
    pub dir_copy_contents: bool,
    /// Unpack an archive.
    pub attempt_unpack: bool,
    /// Make missing parents of `dest`.
    pub create_dest_path: bool,
    /// `src` has wildcards.
    pub allow_wildcard: bool,
    /// Wildcards may match nothing.
    pub allow_empty_wildcard: bool,
    /// Time of what is made, in seconds since the epoch.
    pub timestamp: Option<i64>,
    /// Copy only what matches.
    pub include_patterns: Vec<String>,
    /// Leave out what matches.
    pub exclude_patterns: Vec<String>,
    /// Replace what is at the destination even if it is of another kind.
    pub always_replace_existing_dest_paths: bool,
    /// Paths that must be there.
    pub required_paths: Vec<String>,
}

/// Writes a file (LLB `FileActionMkFile`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mkfile {
    /// Where.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Vec<u8>,
    /// Owner.
    pub owner: Option<Owner>,
    /// Time in seconds since the epoch.
    pub timestamp: Option<i64>,
}

/// Makes a directory (LLB `FileActionMkDir`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mkdir {
    /// Where.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Make missing parents.
    pub make_parents: bool,
    /// Owner.
    pub owner: Option<Owner>,
    /// Time in seconds since the epoch.
    pub timestamp: Option<i64>,
}

/// Removes a path (LLB `FileActionRm`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rm {
    /// What.
    pub path: String,
    /// No error when it is missing.
    pub allow_not_found: bool,
    /// `path` has wildcards.
    pub allow_wildcard: bool,
}

/// Makes a symbolic link (LLB `FileActionSymlink`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Symlink {
    /// Where it points.
    pub old_path: String,
    /// Where it is.
    pub new_path: String,
    /// Owner.
    pub owner: Option<Owner>,
    /// Time in seconds since the epoch.
    pub timestamp: Option<i64>,
}

/// What a file action does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileAct {
    /// Copies.
    Copy(Copy),
    /// Writes a file.
    Mkfile(Mkfile),
    /// Makes a directory.
    Mkdir(Mkdir),
    /// Removes.
    Rm(Rm),
    /// Makes a symbolic link.
    Symlink(Symlink),
}

/// One action of a file vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAction {
    /// The tree that is worked on.
    pub on: FileInput,
    /// What is done.
    pub act: FileAct,
    /// Which output of the vertex the result becomes.
    pub output: Option<u32>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Brings something in.
    Source(Source),
    /// Runs a process.
    Exec(Box<Exec>),
    /// Changes files.
    File(Vec<FileAction>),
    /// Stacks the layers of several trees.
    Merge(Vec<Input>),
    /// What `upper` has over `lower`; none is an empty tree.
    Diff {
        /// The tree below.
        lower: Option<Input>,
        /// The tree above.
        upper: Option<Input>,
    },
}

/// One step of the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vertex {
    /// What it does.
    pub op: Op,
    /// Platform that it runs on or brings in.
    pub platform: Option<Platform>,
    /// What the user sees.
    pub name: String,
    /// The places that it comes from.
    pub spans: Vec<Span>,
    /// Run it even when the cache has its result.
    pub ignore_cache: bool,
    /// Steps that are shown as one.
    pub group: Option<String>,
}

/// A whole graph, as a frontend returned it. Use [`Definition::check`] before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definition {
    /// The steps; inputs name earlier ones.
    pub vertices: Vec<Vertex>,
    /// The texts that spans point into.
    pub sources: Vec<SourceFile>,
}

impl Op {
    /// Returns the distinct inputs in the order in which they first appear: LLB's `inputs` of the operation.
    pub fn inputs(&self) -> Vec<Input> {
        // A set beside the list: a plugin may name millions.
        let (mut inputs, mut known) = (Vec::new(), HashSet::new());
        let mut add = |input: Option<Input>| {
            if let Some(input) = input
                && known.insert(input)
            {
                inputs.push(input);
            }
        };
        match self {
            Self::Source(_) => {}
            Self::Exec(exec) => exec.mounts.iter().for_each(|mount| add(mount.input)),
            Self::File(actions) => {
                for action in actions {
                    add(action.on.vertex());
                    if let FileAct::Copy(copy) = &action.act {
                        add(copy.from.vertex());
                    }
                }
            }
            Self::Merge(list) => list.iter().for_each(|input| add(Some(*input))),
            Self::Diff { lower, upper } => [lower, upper].into_iter().for_each(|input| add(*input)),
        }
        inputs
    }

    /// Returns how many outputs the operation has.
    pub fn outputs(&self) -> u32 {
        let named: Box<dyn Iterator<Item = Option<u32>> + '_> = match self {
            Self::Source(_) | Self::Merge(_) | Self::Diff { .. } => return 1,
            Self::Exec(exec) => Box::new(exec.mounts.iter().map(|mount| mount.output)),
            Self::File(actions) => Box::new(actions.iter().map(|action| action.output)),
        };
        named.flatten().max().map_or(0, |last| last.saturating_add(1))
    }
}

impl FileInput {
    /// Returns the vertex output that is meant, if one is.
    pub fn vertex(self) -> Option<Input> {
        match self {
            Self::Vertex(input) => Some(input),
            Self::Scratch | Self::Action(_) => None,
        }
    }
}
