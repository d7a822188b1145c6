//! Between the types of the WIT package and those of the ports.

use std::collections::BTreeMap;

use kiln_graph as graph;
use kiln_image as image;
use kiln_plugin as port;

use crate::v0_1::bindings::api::kiln::plugin::build;
use crate::v0_1::bindings::api::kiln::plugin::content;
use crate::v0_1::bindings::api::kiln::plugin::graph as wit;
use crate::v0_1::bindings::api::kiln::plugin::http;
use crate::v0_1::bindings::api::kiln::plugin::log;
use crate::v0_1::bindings::api::kiln::plugin::lowering;
use crate::v0_1::bindings::api::kiln::plugin::objects;
use crate::v0_1::bindings::api::kiln::plugin::types;
use crate::v0_1::bindings::cache::exports::kiln::plugin::cache;

/// Turns a value of one side into the same value of the other.
pub(crate) trait Convert<T> {
    /// Returns the same value of the other side.
    fn convert(self) -> T;
}

impl<A: Convert<B>, B> Convert<Vec<B>> for Vec<A> {
    fn convert(self) -> Vec<B> {
        self.into_iter().map(Convert::convert).collect()
    }
}

impl<A: Convert<B>, B> Convert<Option<B>> for Option<A> {
    fn convert(self) -> Option<B> {
        self.map(Convert::convert)
    }
}

impl<A: Convert<B>, B, E: Convert<F>, F> Convert<Result<B, F>> for Result<A, E> {
    fn convert(self) -> Result<B, F> {
        match self {
            Ok(value) => Ok(value.convert()),
            Err(error) => Err(error.convert()),
        }
    }
}

macro_rules! same {
    ($($ty:ty),*) => { $(
        impl Convert<$ty> for $ty {
            fn convert(self) -> $ty { self }
        }
    )* };
}
same!(String, bool, u8, u16, u32, u64, i64);

/// Records with the same fields on both sides.
macro_rules! record {
    ($ours:ident :: $our:ident, $theirs:ident :: $their:ident { $($field:ident),* $(,)? }) => {
        impl Convert<$ours::$our> for $theirs::$their {
            fn convert(self) -> $ours::$our {
                $ours::$our { $($field: self.$field.convert()),* }
            }
        }
        impl Convert<$theirs::$their> for $ours::$our {
            fn convert(self) -> $theirs::$their {
                $theirs::$their { $($field: self.$field.convert()),* }
            }
        }
    };
}

/// Enumerations with the same cases on both sides.
macro_rules! cases {
    ($ours:ident :: $our:ident, $theirs:ident :: $their:ident { $($case:ident),* $(,)? }) => {
        impl Convert<$ours::$our> for $theirs::$their {
            fn convert(self) -> $ours::$our {
                match self { $($theirs::$their::$case => $ours::$our::$case),* }
            }
        }
        impl Convert<$theirs::$their> for $ours::$our {
            fn convert(self) -> $theirs::$their {
                match self { $($ours::$our::$case => $theirs::$their::$case),* }
            }
        }
    };
}

/// Variants whose cases all hold one value.
macro_rules! variants {
    ($ours:ident :: $our:ident, $theirs:ident :: $their:ident { $($case:ident),* $(,)? }) => {
        impl Convert<$ours::$our> for $theirs::$their {
            fn convert(self) -> $ours::$our {
                match self { $($theirs::$their::$case(value) => $ours::$our::$case(value.convert())),* }
            }
        }
        impl Convert<$theirs::$their> for $ours::$our {
            fn convert(self) -> $theirs::$their {
                match self { $($ours::$our::$case(value) => $theirs::$their::$case(value.convert())),* }
            }
        }
    };
}

record!(graph::Position, types::Position { line, column });
record!(graph::Span, types::Span { source, start, end });
record!(graph::SourceFile, types::SourceFile { name, language, data });
record!(graph::Input, wit::Input { vertex, output });
record!(graph::Source, wit::Source { identifier, attrs });
cases!(
    graph::CacheSharing,
    wit::CacheSharing {
        Shared,
        Private,
        Locked
    }
);
record!(
    graph::SecretMount,
    wit::SecretMount {
        id,
        uid,
        gid,
        mode,
        optional
    }
);
record!(
    graph::Mount,
    wit::Mount {
        input,
        selector,
        dest,
        output,
        readonly,
        kind
    }
);
cases!(graph::Network, wit::Network { Sandbox, Host, None });
cases!(graph::Security, wit::Security { Sandbox, Insecure });
record!(graph::Ulimit, wit::Ulimit { name, soft, hard });
record!(graph::SecretEnv, wit::SecretEnv { id, name, optional });
record!(
    graph::Exec,
    wit::Exec {
        args,
        env,
        cwd,
        user,
        proxy_env,
        extra_hosts,
        hostname,
        ulimits,
        cgroup_parent,
        mounts,
        network,
        security,
        secret_env,
        devices,
        attrs,
    }
);
variants!(graph::UserRef, wit::UserRef { Id, Name });
record!(graph::Owner, wit::Owner { user, group });
record!(
    graph::Copy,
    wit::CopyAction {
        from,
        src,
        dest,
        owner,
        mode,
        mode_str,
        follow_symlink,
        dir_copy_contents,
        attempt_unpack,
        create_dest_path,
        allow_wildcard,
        allow_empty_wildcard,
        timestamp,
        include_patterns,
        exclude_patterns,
        always_replace_existing_dest_paths,
        required_paths,
    }
);
record!(
    graph::Mkfile,
    wit::Mkfile {
        path,
        mode,
        data,
        owner,
        timestamp
    }
);
record!(
    graph::Mkdir,
    wit::Mkdir {
        path,
        mode,
        make_parents,
        owner,
        timestamp
    }
);
record!(
    graph::Rm,
    wit::Rm {
        path,
        allow_not_found,
        allow_wildcard
    }
);
record!(
    graph::Symlink,
    wit::Symlink {
        old_path,
        new_path,
        owner,
        timestamp
    }
);
variants!(
    graph::FileAct,
    wit::FileAct {
        Copy,
        Mkfile,
        Mkdir,
        Rm,
        Symlink
    }
);
record!(graph::FileAction, wit::FileAction { on, act, output });
record!(
    graph::Vertex,
    wit::Vertex {
        op,
        platform,
        name,
        spans,
        ignore_cache,
        group
    }
);
record!(graph::Definition, wit::Definition { vertices, sources });

cases!(port::Severity, types::Severity { Error, Warning, Info });
record!(
    port::Diagnostic,
    types::Diagnostic {
        severity,
        code,
        message,
        detail,
        help,
        url,
        spans
    }
);
record!(port::Failure, lowering::Failure { diagnostics, sources });
record!(
    port::LoweredOutput,
    lowering::Output {
        platform,
        result,
        config,
        attrs
    }
);
record!(
    port::Lowered,
    lowering::Lowered {
        definition,
        outputs,
        diagnostics,
        attrs
    }
);
record!(
    port::Request,
    lowering::Request {
        source_name,
        target,
        args,
        labels,
        platforms,
        build_platform,
        contexts,
        options,
    }
);
record!(
    port::Subrequest,
    lowering::Subrequest {
        id,
        version,
        description
    }
);
record!(
    port::Description,
    lowering::Description {
        name,
        version,
        subrequests
    }
);
record!(
    port::Filter,
    build::Filter {
        include,
        exclude,
        follow
    }
);
record!(
    port::ResolvedImage,
    build::ResolvedImage {
        reference,
        digest,
        config
    }
);
record!(port::ResolvedSource, build::ResolvedSource { pinned, attrs });
cases!(
    port::LogLevel,
    log::Level {
        Debug,
        Info,
        Warn,
        Error
    }
);
cases!(
    port::EntryKind,
    content::Kind {
        File,
        Directory,
        Symlink,
        Other
    }
);
record!(
    port::FileEntry,
    content::Entry {
        path,
        kind,
        size,
        mode,
        uid,
        gid,
        target
    }
);
variants!(
    port::HostError,
    types::Error {
        NotFound,
        Denied,
        Invalid,
        Unavailable,
        Limit,
        Other
    }
);

record!(
    port::HttpRequest,
    http::Request {
        method,
        url,
        headers,
        body,
        auth
    }
);
record!(
    port::HttpResponse,
    http::Response {
        status,
        headers,
        body
    }
);
record!(
    port::ObjectInfo,
    objects::ObjectInfo {
        key,
        size,
        modified,
        etag
    }
);
record!(port::BlobRef, cache::BlobRef { digest, size });

impl Convert<port::Condition> for objects::Condition {
    fn convert(self) -> port::Condition {
        match self {
            Self::Always => port::Condition::Always,
            Self::Absent => port::Condition::Absent,
            Self::Matches(etag) => port::Condition::Matches(etag),
        }
    }
}

impl Convert<port::GetPlan> for cache::GetPlan {
    fn convert(self) -> port::GetPlan {
        match self {
            Self::Miss => port::GetPlan::Miss,
            Self::Object(key) => port::GetPlan::Object(key),
            Self::Http(request) => port::GetPlan::Http(request.convert()),
        }
    }
}

impl Convert<port::PutPlan> for cache::PutPlan {
    fn convert(self) -> port::PutPlan {
        match self {
            Self::Present => port::PutPlan::Present,
            Self::Object(key) => port::PutPlan::Object(key),
            Self::Http(request) => port::PutPlan::Http(request.convert()),
            Self::Multipart((part, requests)) => port::PutPlan::Multipart(part, requests.convert()),
        }
    }
}

impl Convert<image::Platform> for types::Platform {
    /// Normalises: the names come from a plugin.
    fn convert(self) -> image::Platform {
        image::Platform {
            os: self.os,
            architecture: self.architecture,
            variant: self.variant,
            os_version: self.os_version,
        }
        .normalised()
    }
}

impl Convert<types::Platform> for image::Platform {
    fn convert(self) -> types::Platform {
        types::Platform {
            os: self.os,
            architecture: self.architecture,
            variant: self.variant,
            os_version: self.os_version,
        }
    }
}

impl Convert<(String, String)> for types::Attr {
    fn convert(self) -> (String, String) {
        (self.key, self.value)
    }
}

impl Convert<types::Attr> for (String, String) {
    fn convert(self) -> types::Attr {
        types::Attr {
            key: self.0,
            value: self.1,
        }
    }
}

impl Convert<BTreeMap<String, String>> for Vec<types::Attr> {
    fn convert(self) -> BTreeMap<String, String> {
        self.into_iter().map(Convert::convert).collect()
    }
}

impl Convert<Vec<types::Attr>> for BTreeMap<String, String> {
    fn convert(self) -> Vec<types::Attr> {
        self.into_iter().map(Convert::convert).collect()
    }
}

impl Convert<graph::FileInput> for wit::FileInput {
    fn convert(self) -> graph::FileInput {
        match self {
            Self::Scratch => graph::FileInput::Scratch,
            Self::Vertex(input) => graph::FileInput::Vertex(input.convert()),
            Self::Action(index) => graph::FileInput::Action(index),
        }
    }
}

impl Convert<wit::FileInput> for graph::FileInput {
    fn convert(self) -> wit::FileInput {
        match self {
            Self::Scratch => wit::FileInput::Scratch,
            Self::Vertex(input) => wit::FileInput::Vertex(input.convert()),
            Self::Action(index) => wit::FileInput::Action(index),
        }
    }
}

impl Convert<graph::MountKind> for wit::MountKind {
    fn convert(self) -> graph::MountKind {
        match self {
            Self::Bind => graph::MountKind::Bind,
            Self::Cache(cache) => graph::MountKind::Cache {
                id: cache.id,
                sharing: cache.sharing.convert(),
            },
            Self::Tmpfs(size) => graph::MountKind::Tmpfs { size },
            Self::Secret(mount) => graph::MountKind::Secret(mount.convert()),
            Self::Ssh(mount) => graph::MountKind::Ssh(mount.convert()),
        }
    }
}

impl Convert<wit::MountKind> for graph::MountKind {
    fn convert(self) -> wit::MountKind {
        match self {
            Self::Bind => wit::MountKind::Bind,
            Self::Cache { id, sharing } => wit::MountKind::Cache(wit::CacheMount {
                id,
                sharing: sharing.convert(),
            }),
            Self::Tmpfs { size } => wit::MountKind::Tmpfs(size),
            Self::Secret(mount) => wit::MountKind::Secret(mount.convert()),
            Self::Ssh(mount) => wit::MountKind::Ssh(mount.convert()),
        }
    }
}

impl Convert<graph::Op> for wit::Op {
    fn convert(self) -> graph::Op {
        match self {
            Self::Source(source) => graph::Op::Source(source.convert()),
            Self::Exec(exec) => graph::Op::Exec(Box::new(exec.convert())),
            Self::File(actions) => graph::Op::File(actions.convert()),
            Self::Merge(inputs) => graph::Op::Merge(inputs.convert()),
            Self::Diff((lower, upper)) => graph::Op::Diff {
                lower: lower.convert(),
                upper: upper.convert(),
            },
        }
    }
}

impl Convert<wit::Op> for graph::Op {
    fn convert(self) -> wit::Op {
        match self {
            Self::Source(source) => wit::Op::Source(source.convert()),
            Self::Exec(exec) => wit::Op::Exec((*exec).convert()),
            Self::File(actions) => wit::Op::File(actions.convert()),
            Self::Merge(inputs) => wit::Op::Merge(inputs.convert()),
            Self::Diff { lower, upper } => wit::Op::Diff((lower.convert(), upper.convert())),
        }
    }
}
