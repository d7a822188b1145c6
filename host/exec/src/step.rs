//! A build step, complete by itself: everything an executor needs is in here, nothing is looked up elsewhere.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

/// One RUN step, complete by itself.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique among the running steps; becomes part of cgroup and scratch names (`[A-Za-z0-9_.-]`, the rest is replaced).
    pub id: String,
    /// The root file system.
    pub root: RootFs,
    /// Whether the step may write to its root.
    pub root_access: Access,
    /// Mounts on top of the root, in the order in which they are made.
    pub mounts: Vec<StepMount>,
    /// Program and arguments; the program is looked up in the `PATH` of `env` unless it contains a slash.
    pub args: Vec<String>,
    /// The whole environment, in order. Nothing is added.
    pub env: Vec<(String, String)>,
    /// Working directory inside the root; made (mode 0755, owned by `user`) when it is missing, as BuildKit does.
    pub cwd: String,
    /// Who the process runs as.
    pub user: User,
    /// Host name inside the step; BuildKit's is `buildkitsandbox`.
    pub hostname: String,
    /// Additional lines of `/etc/hosts`: host name, address or [`HOST_GATEWAY`].
    pub extra_hosts: Vec<(String, String)>,
    /// What of the network the step sees.
    pub network: Network,
    /// Sandboxed or with everything that the engine itself may do.
    pub security: Security,
    /// Limits of the process, never above the engine's own hard limits.
    pub ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes; 64 MiB when not given.
    pub shm_size: Option<u64>,
    /// Control group limits.
    pub resources: Resources,
    /// Control group below which the step's own is made: from the top (`/x`) or from the engine's (`x`); the
    /// engine's when not given.
    pub cgroup_parent: Option<String>,
    /// Content of `/etc/resolv.conf`; when not given, the machine's own without loopback name servers.
    pub resolv_conf: Option<Vec<u8>>,
}

impl Step {
    /// A sandboxed step as root in `/` with the default network, no mounts and an empty environment.
    pub fn new(id: impl Into<String>, root: RootFs, args: Vec<String>) -> Self {
        Self {
            id: id.into(),
            root,
            root_access: Access::ReadWrite,
            mounts: Vec::new(),
            args,
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: User::default(),
            hostname: DEFAULT_HOSTNAME.to_owned(),
            extra_hosts: Vec::new(),
            network: Network::Default,
            security: Security::Sandbox,
            ulimits: Vec::new(),
            shm_size: None,
            resources: Resources::default(),
            cgroup_parent: None,
            resolv_conf: None,
        }
    }
}

/// The address in [`Step::extra_hosts`] that stands for this machine as the step's network sees it. It is reserved for
/// "no address in particular" (RFC 7600) and never seen in a network.
pub const HOST_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The host name that BuildKit gives its steps.
pub const DEFAULT_HOSTNAME: &str = "buildkitsandbox";

/// Where a step's root file system comes from.
#[derive(Clone, Debug)]
pub enum RootFs {
    /// An overlay that is mounted for the step alone, with `userxattr` for root and rootless alike.
    ///
    /// It is mounted `volatile`: nothing is synced when the step ends. Who keeps `upper` beyond a power failure
    /// syncs it.
    Overlay {
        /// Read-only layers, bottom first; at least one unless `upper` is all there is.
        lowers: Vec<PathBuf>,
        /// Where changes go.
        upper: PathBuf,
        /// Empty directory on the same file system as `upper`.
        work: PathBuf,
    },
    /// A directory that is used in place.
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// Read-only or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Changes are refused.
    ReadOnly,
    /// Changes are possible.
    #[default]
    ReadWrite,
}

/// A mount on top of the root. Targets are resolved inside the root: no symbolic link leads out of it.
#[derive(Clone, Debug)]
pub struct StepMount {
    /// Where it appears; made for the time of the step when it is missing.
    pub target: String,
    /// What appears there.
    pub source: MountSource,
}

/// What is mounted.
#[derive(Clone, Debug)]
pub enum MountSource {
    /// A directory or file of the machine, with everything mounted below it.
    Bind {
        /// The directory or file.
        source: PathBuf,
        /// Whether the step may write to it.
        access: Access,
        /// What its files cannot be used for.
        limits: BindLimits,
    },
    /// A device file of the step's own; where only the machine's file can be shown, that one.
    Device(DeviceNode),
    /// An overlay made for the step, or a directory or file in it.
    Overlay {
        /// Read-only layers, bottom first.
        lowers: Vec<PathBuf>,
        /// Where changes go; without one the mount is read-only.
        changes: Option<Changes>,
        /// Path inside the overlay that is mounted, empty for all of it. Resolved inside the overlay.
        selector: String,
        /// Whether the step may write to it.
        access: Access,
    },
    /// An empty file system in memory, gone with the step.
    Tmpfs {
        /// Limit in bytes; half of the memory when not given.
        size: Option<u64>,
        /// Mode of its root directory.
        mode: u32,
        /// Whether the step may write to it.
        access: Access,
    },
    /// A file in memory, read-only and never written to a disk: a secret.
    File {
        /// Its bytes.
        content: Arc<[u8]>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A listening Unix socket of the machine: an ssh agent.
    Socket {
        /// The socket. Mode and owner are set on it, so it is one made for the step.
        host_path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// What files of a bind mount cannot be used for, besides being devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindLimits {
    /// Programs do not run as their owner.
    pub no_suid: bool,
    /// Programs do not run at all.
    pub no_exec: bool,
}

/// A device file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// The machine's file.
    pub host_path: PathBuf,
    /// What it is.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a device file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A stream of bytes.
    Character,
    /// A disk.
    Block,
    /// A named pipe.
    Pipe,
}

/// Where the changes of an overlay go.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The directory with the changes.
    pub upper: PathBuf,
    /// Empty directory on the same file system.
    pub work: PathBuf,
}

/// Who a process runs as, in numbers; names are looked up by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What of the network a step sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// A private namespace that reaches the outside through address translation.
    #[default]
    Default,
    /// The machine's own.
    Host,
    /// A loopback interface and nothing else.
    None,
}

/// How much a step may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Docker's default capabilities, seccomp profile, masked and read-only paths.
    #[default]
    Sandbox,
    /// Everything that the engine itself may do.
    Insecure,
}

/// A limit of a process, by its name in `setrlimit(2)` (`nofile`, `nproc`, …).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Lower-case name without `RLIMIT_`.
    pub name: String,
    /// Soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// Hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// Control group limits; nothing is limited by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together in bytes, -1 for unlimited swap.
    pub memory_swap: Option<i64>,
    /// Relative weight, 1024 is what everybody has.
    pub cpu_shares: Option<u64>,
    /// Length of a scheduling period in microseconds.
    pub cpu_period: Option<u64>,
    /// CPU time per period in microseconds.
    pub cpu_quota: Option<i64>,
    /// CPUs, as in `0-3,5`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as in `0-1`.
    pub cpuset_mems: Option<String>,
}

impl Resources {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
