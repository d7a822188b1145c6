//! `kiln build`: what can be typed.

use std::path::PathBuf;

use clap::Args;
use kiln_plugin::Selection;

use super::ArgError;
use super::Call;
use super::attest::AttestArgs;
use super::later::LaterArgs;
use crate::progress::Mode;

/// Builds an image from a build file and a context.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildArgs {
    /// Directory with the files of the build, or `-` for a tar archive or a Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: String,
    /// Build file, relative to the current directory, or `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Option<String>,
    /// Name of the image, `[registry/]name[:tag]`; may be given several times
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// Stage to build
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Build argument; without a value it is taken from the environment
    #[arg(long = "build-arg", value_name = "KEY[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Further context: a directory, docker-image://NAME or oci-layout://PATH, with :TAG or @DIGEST
    #[arg(long = "build-context", value_name = "NAME=PATH")]
    pub(crate) build_contexts: Vec<String>,
    /// Label of the image
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Platforms to build for [default: this machine's]
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub(crate) platforms: Vec<String>,
    #[command(flatten)]
    pub(crate) plugins: PluginArgs,
    #[command(flatten)]
    pub(crate) result: ResultArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) steps: StepArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) attest: AttestArgs,
    #[command(flatten)]
    pub(crate) later: LaterArgs,
}

/// Which plugins are used, and what they may do.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Plugins")]
pub(crate) struct PluginArgs {
    /// Plugin to use, REF[,name=NAME][,grant=GRANT][,opt.KEY=VALUE]; REF is a component's path, builtin:NAME,
    /// oci://NAME@DIGEST, or a name in kiln.toml. A frontend reads the build file
    #[arg(long = "plugin", value_name = "SPEC")]
    pub(crate) plugins: Vec<String>,
    /// Bound of a plugin's call, such as memory=256MiB, or of one kind of plugins, such as cataloger.wall=5m
    #[arg(long = "plugin-limit", value_name = "KEY=VALUE")]
    pub(crate) limits: Vec<String>,
    /// Write down what the frontend is asked, asks and is told, build arguments included, for `kiln plugin replay`
    #[arg(long = "plugin-trace", value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Policy that holds beside /etc/kiln/policy.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Use only plugins that kiln.lock has
    #[arg(long)]
    pub(crate) locked: bool,
    /// Fetch nothing: plugins, images and sources must be here already
    #[arg(long)]
    pub(crate) offline: bool,
}

impl PluginArgs {
    /// Reads what is selected.
    ///
    /// # Errors
    /// When a selection cannot be read.
    pub(crate) fn selections(&self) -> Result<Vec<Selection>, ArgError> {
        let read = |text: &String| {
            let selection = text.parse::<Selection>();
            selection.map_err(|e| ArgError::new("invalid value for `--plugin`").because(e))
        };
        self.plugins.iter().map(read).collect()
    }

    /// Returns the reference of the frontend that reads the build file: the selected plugin that has no name of its
    /// own, or the only one, among those that are not `used` for something else.
    ///
    /// # Errors
    /// When several could be meant.
    pub(crate) fn frontend(&self, used: &[String]) -> Result<Option<String>, ArgError> {
        let mut selections = self.selections()?;
        selections.retain(|plugin| {
            let reference = plugin.reference.to_string();
            !used.contains(plugin.name.as_ref().unwrap_or(&reference))
        });
        let mut unnamed = selections.iter().filter(|selection| selection.name.is_none());
        let text = |selection: &Selection| selection.reference.to_string();
        match (selections.as_slice(), unnamed.next(), unnamed.next()) {
            ([], _, _) => Ok(None),
            ([only], _, _) => Ok(Some(text(only))),
            (_, Some(one), None) => Ok(Some(text(one))),
            (_, None, _) => Ok(None),
            (_, Some(_), Some(second)) => {
                let error = ArgError::new(format!(
                    "`--plugin {}` is one frontend too many",
                    second.reference
                ));
                Err(error.hint("give all but one a name, such as `--plugin REF,name=NAME`"))
            }
        }
    }
}

/// What becomes of the result.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct ResultArgs {
    /// Where the result goes: a directory, `-`, or type=image|registry|oci|docker|tar|local|cacheonly[,KEY=VALUE]
    #[arg(short, long = "output", value_name = "SPEC")]
    pub(crate) outputs: Vec<String>,
    /// Push the image under its names
    #[arg(long)]
    pub(crate) push: bool,
    /// Keep the image in the local image store, as it is without `--output`
    #[arg(long)]
    pub(crate) load: bool,
    /// Annotation, `[manifest|index|manifest-descriptor|index-descriptor[PLATFORM]:]KEY=VALUE`
    #[arg(long = "annotation", value_name = "ANNOTATION")]
    pub(crate) annotations: Vec<String>,
    /// Ask instead of building: check, outline, targets or subrequests.describe[,format=json][,ignorestatus=true]
    #[arg(long, value_name = "METHOD", alias = "print", default_value = "build")]
    pub(crate) call: String,
    /// Check the build file: the same as --call=check
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) check: Option<bool>,
    /// Write facts about the result as JSON to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Show nothing but errors and print the image's id
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How the build is shown
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        env = "BUILDKIT_PROGRESS",
        default_value = "auto"
    )]
    pub(crate) progress: Mode,
}

/// What is taken from earlier builds.
impl ResultArgs {
    /// Returns what is asked instead of building; none is to build.
    ///
    /// # Errors
    /// When `--call` cannot be read.
    pub(crate) fn call(&self) -> Result<Option<Call>, ArgError> {
        match self.check {
            Some(true) if matches!(self.call.as_str(), "" | "build") => Call::parse("check"),
            _ => Call::parse(&self.call),
        }
    }
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cache")]
pub(crate) struct CacheArgs {
    /// Do not use results of earlier builds
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Do not use results of earlier builds for these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Look into a cache of elsewhere, type=local|registry|s3|azblob[,KEY=VALUE] or an image name; may be given several times
    #[arg(long, value_name = "SPEC")]
    pub(crate) cache_from: Vec<String>,
    /// Leave the build's cache for others, type=local|registry|inline|s3|azblob[,KEY=VALUE]; may be given several times
    #[arg(long, value_name = "SPEC")]
    pub(crate) cache_to: Vec<String>,
    /// Ask registries for images that are here already
    #[arg(long)]
    pub(crate) pull: bool,
}

/// What steps may reach.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Secret for steps that ask for it, `id=ID[,src=FILE|env=NAME]`
    #[arg(long = "secret", value_name = "SPEC")]
    pub(crate) secrets: Vec<String>,
    /// SSH agent or keys for steps that ask for them, `default` or `ID=SOCKET|KEY[,KEY]`
    #[arg(long, value_name = "SPEC")]
    pub(crate) ssh: Vec<String>,
    /// Allow steps more than the sandbox: network.host, security.insecure or device[=NAME[,alias=NAME]]
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<String>,
    /// Source policy, BuildKit's JSON: which sources are allowed, denied, or replaced by others
    #[arg(long = "source-policy-file", value_name = "FILE")]
    pub(crate) source_policies: Vec<String>,
    /// Registry that may speak plain HTTP or have a certificate that nobody vouches for
    #[arg(long = "insecure-registry", value_name = "HOST")]
    pub(crate) insecure_registries: Vec<String>,
}

/// What steps run with.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Steps")]
pub(crate) struct StepArgs {
    /// Network of steps that do not say: default, none or host
    #[arg(long, value_name = "MODE")]
    pub(crate) network: Option<String>,
    /// Host name and address for steps, `NAME:IP` or `NAME:host-gateway` for this machine
    #[arg(long = "add-host", value_name = "NAME:IP", value_delimiter = ',')]
    pub(crate) add_hosts: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    pub(crate) shm_size: Option<String>,
    /// Limit of processes, `NAME=SOFT[:HARD]`
    #[arg(long = "ulimit", value_name = "LIMIT")]
    pub(crate) ulimits: Vec<String>,
    /// Parent of the steps' cgroups
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
    /// Most memory of a step
    #[arg(short, long, value_name = "BYTES")]
    pub(crate) memory: Option<String>,
    /// Most memory and swap of a step; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Share of processor time, relative to 1024
    #[arg(short, long, value_name = "WEIGHT")]
    pub(crate) cpu_shares: Option<u64>,
    /// Period of the processor quota in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// Processor time in a period in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Processors that steps may use, such as 0-3,5
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that steps may use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
}

/// What of this machine is used.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Machine")]
pub(crate) struct MachineArgs {
    /// Run steps through an OCI runtime: runc, crun or a path
    #[arg(long, value_name = "RUNTIME", env = "KILN_OCI_RUNTIME")]
    pub(crate) oci_runtime: Option<String>,
    /// Most steps that run at a time [default: one a processor]
    #[arg(long, value_name = "COUNT", env = "KILN_MAX_PARALLELISM")]
    pub(crate) max_parallelism: Option<std::num::NonZeroUsize>,
    /// How steps get layers as a file system: auto, overlay or copy
    #[arg(long, value_name = "NAME", env = "KILN_SNAPSHOTTER")]
    pub(crate) snapshotter: Option<String>,
    /// Directory with specifications of devices, instead of /etc/cdi, /var/run/cdi and /etc/buildkit/cdi
    #[arg(
        long = "cdi-spec-dir",
        value_name = "DIR",
        env = "KILN_CDI_SPEC_DIRS",
        value_delimiter = ':'
    )]
    pub(crate) cdi_spec_dirs: Vec<PathBuf>,
}
