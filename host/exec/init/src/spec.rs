//! A step in the words of system calls: everything is decided, the helper only does it.

use crate::choice;
use crate::codec::Bytes;
use crate::record;

record! {
    /// What the helper does.
    pub struct Spec {
        /// The engine's process id: the helper ends when its parent is not that one.
        pub parent: u32,
        /// The root file system.
        pub root: Source,
        /// Whether the root is made read-only once everything is mounted.
        pub root_readonly: bool,
        /// Mounts on the root, in order.
        pub mounts: Vec<Mount>,
        /// Paths inside the root that are hidden, where they exist.
        pub masked: Vec<String>,
        /// Paths inside the root that become read-only, where they exist.
        pub readonly: Vec<String>,
        /// Whether device files work in what the step can write to.
        pub devices: bool,
        /// Control groups to make and join.
        pub cgroups: Vec<Cgroup>,
        /// Which control groups the step sees under `/sys/fs/cgroup`: `cgroup2`, v1 controllers, or nothing.
        pub cgroup_view: Vec<String>,
        /// The network.
        pub network: Net,
        /// Host name.
        pub hostname: String,
        /// What to run.
        pub process: Process,
        /// An OCI runtime that takes the namespaces and the process over.
        pub runtime: Option<Runtime>,
    }
}

record! {
    /// The process of a step.
    pub struct Process {
        /// Program and arguments.
        pub args: Vec<String>,
        /// `NAME=value`.
        pub env: Vec<Bytes>,
        /// Working directory.
        pub cwd: String,
        /// User.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        /// Supplementary groups.
        pub groups: Vec<u32>,
        /// Limits: number of the resource, soft, hard.
        pub rlimits: Vec<Rlimit>,
        /// Capabilities that may be had at all; all that the helper has when not given.
        pub capabilities: Option<u64>,
        /// Seccomp programs, installed in this order.
        pub seccomp: Vec<Bytes>,
    }
}

record! {
    /// A limit.
    pub struct Rlimit {
        /// Number of the resource.
        pub resource: u32,
        /// Soft limit.
        pub soft: u64,
        /// Hard limit.
        pub hard: u64,
    }
}

record! {
    /// A mount inside the root.
    pub struct Mount {
        /// Where, inside the root.
        pub target: String,
        /// What.
        pub source: Source,
        /// `MOUNT_ATTR_*` bits.
        pub attributes: u64,
        /// Whether it is left out when the machine does not have it.
        pub optional: bool,
    }
}

choice! {
    /// What is mounted.
    pub enum Source {
        /// A new file system.
        0 => FileSystem {
            /// Its type.
            kind: String,
            /// Its options; an empty value is a flag.
            options: Vec<Setting>,
        },
        /// A directory or file of the machine.
        1 => Bind {
            /// Which.
            path: Bytes,
        },
        /// An overlay.
        2 => Overlay {
            /// Bottom first.
            lowers: Vec<Bytes>,
            /// Upper and work directory.
            changes: Option<Changes>,
            /// Path inside.
            selector: String,
        },
        /// A file in memory.
        3 => File {
            /// Its bytes.
            content: Bytes,
            /// Permission bits.
            mode: u32,
            /// Owner.
            uid: u32,
            /// Group.
            gid: u32,
        },
        /// A socket of the machine.
        4 => Socket {
            /// Which.
            path: Bytes,
            /// Permission bits.
            mode: u32,
            /// Owner.
            uid: u32,
            /// Group.
            gid: u32,
        },
        /// The control groups of [`Spec::cgroup_view`].
        5 => Cgroups {},
        /// A device file, made anew where that is possible.
        6 => Device {
            /// The machine's file.
            path: Bytes,
            /// Type and permission bits.
            mode: u32,
            /// Major number.
            major: u32,
            /// Minor number.
            minor: u32,
            /// Owner.
            uid: u32,
            /// Group.
            gid: u32,
        },
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Bind {
            path: Bytes::default(),
        }
    }
}

record! {
    /// Where the changes of an overlay go.
    pub struct Changes {
        /// Upper directory.
        pub upper: Bytes,
        /// Work directory.
        pub work: Bytes,
    }
}

record! {
    /// A control group.
    pub struct Cgroup {
        /// Its directory.
        pub path: Bytes,
        /// What is written to its files.
        pub settings: Vec<Setting>,
        /// The file that counts out-of-memory kills in a line `oom_kill N`, empty for none.
        pub oom_file: String,
    }
}

record! {
    /// A name and a value.
    pub struct Setting {
        /// Name.
        pub name: String,
        /// Value.
        pub value: String,
    }
}

choice! {
    /// The network of a step.
    pub enum Net {
        /// The one that the helper is in.
        0 => Host {},
        /// A new one with loopback.
        1 => Loopback {},
        /// A prepared one.
        2 => Join {
            /// Path of the namespace.
            path: Bytes,
        },
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::Host {}
    }
}

record! {
    /// How an OCI runtime is called once mounts are made.
    pub struct Runtime {
        /// Directory of the machine at which the root is mounted.
        pub rootfs: Bytes,
        /// Empty directory of the machine for what the helper makes in memory.
        pub scratch: Bytes,
        /// Program and arguments.
        pub args: Vec<Bytes>,
        /// The call that removes what is left of the container.
        pub delete: Vec<Bytes>,
        /// Mount points of the machine that are taken away in the runtime's view, where they exist.
        pub hide: Vec<String>,
        /// Mount points that the runtime would make in the root: made, and removed afterwards, by the helper.
        pub stubs: Vec<Stub>,
    }
}

record! {
    /// A mount point.
    pub struct Stub {
        /// Path inside the root.
        pub target: String,
        /// Whether it is a directory.
        pub directory: bool,
    }
}
