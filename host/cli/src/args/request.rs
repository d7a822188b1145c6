//! `BuildArgs` to `BuildRequest`: every field checked.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use kiln_engine::BuildRequest;
use kiln_engine::Entitlement;
use kiln_engine::NoCache;
use kiln_export::ImageOutput;
use kiln_export::Output;
use kiln_image::Platform;
use kiln_image::Reference;
use tempfile::NamedTempFile;

use super::ArgError;
use super::BuildArgs;
use super::allow;
use super::annotation;
use super::build::ResultArgs;
use super::build::StepArgs;
use super::cache;
use super::context;
use super::pairs::pairs;
use super::policy;
use super::secret;
use super::secret::Ssh;
use super::size::parse_bytes;

/// What the command finds around it.
pub(crate) struct Surroundings {
    /// The current directory.
    pub(crate) directory: PathBuf,
    /// The environment, as far as it is text.
    pub(crate) env: BTreeMap<String, String>,
    /// Where files that live as long as the command are put.
    pub(crate) temporary: PathBuf,
    /// Standard input.
    pub(crate) stdin: Box<dyn Read>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Returns `path` from the current directory, without `.` and doubled slashes.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.join(Path::new(path)).components().collect()
    }
}

/// A request with what must live as long as the build.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The request.
    pub(crate) request: BuildRequest,
    /// Standard input, kept in a file.
    pub(crate) spool: Option<NamedTempFile>,
    /// SSH agents that hold key files.
    pub(crate) agents: Vec<(String, Ssh)>,
}

impl Prepared {
    /// Reads arguments. `platform` is what is built for when they do not say.
    ///
    /// # Errors
    /// When the arguments make no build.
    pub(crate) fn new(
        args: &BuildArgs,
        platform: Option<&Platform>,
        around: &mut Surroundings,
    ) -> Result<Self, ArgError> {
        args.later.refuse()?;
        without_image(args)?;
        let tags = tags(&args.tags)?;
        let build_args = build_args(args, around)?;
        let epoch = epoch(&build_args);
        let outputs = outputs(&args.result, &tags)?;
        let contexts = args
            .build_contexts
            .iter()
            .map(|text| context::named(text, around));
        let contexts = contexts.collect::<Result<_, _>>()?;
        let secrets = args
            .access
            .secrets
            .iter()
            .map(|text| secret::secret(text, around));
        let secrets = secrets.collect::<Result<_, _>>()?;
        let mut ssh = args
            .access
            .ssh
            .iter()
            .map(|text| secret::ssh(text, around))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut entitlements, devices) = allow::parse(&args.access.allow)?;
        let options = options(&args.steps, &mut entitlements)?;
        let platforms = platforms(&args.platforms, platform, around)?;
        let plugins = args.plugins.selections()?;
        let cache_to = cache::to(&args.cache.cache_to, &build_args, &plugins, around)?;
        let cache_from = cache::from(&args.cache.cache_from, &plugins, around)?;
        let adapters = cache::adapters(&cache_to, &cache_from);
        let main = context::main(&args.context, args.file.as_deref(), around)?;
        if args.access.ssh.is_empty() && context::is_ssh(&main.context) {
            // Without an agent the build says what is missing.
            ssh.extend(secret::ssh("default", around).ok());
        }
        let attestations = args.attest.read(around)?;
        super::attest::check_outputs(&attestations, &outputs)?;
        super::attest::check_sidecar(&attestations, &platforms)?;
        let request = BuildRequest {
            context: main.context,
            build_file: main.build_file,
            frontend: args.plugins.frontend(&adapters)?,
            target: args.target.clone().filter(|target| !target.is_empty()),
            args: build_args,
            labels: pairs("--label", &args.labels, |_| Some(String::new()))?,
            platforms,
            contexts,
            options,
            no_cache: no_cache(args),
            cache_from,
            cache_to,
            pull: args.cache.pull,
            outputs,
            tags,
            annotations: BTreeMap::new(),
            entitlements,
            source_policies: policy::sources(&args.access.source_policies, around)?,
            devices,
            secrets,
            ssh: ssh.iter().map(|(id, ssh)| (id.clone(), ssh.socket())).collect(),
            attestations,
            epoch,
            ledger: kiln_plugin::Ledger::default(),
        };
        Ok(Self {
            request,
            spool: main.spool,
            agents: ssh,
        })
    }
}

/// Checks that an image's id is asked for only where there is an image.
fn without_image(args: &BuildArgs) -> Result<(), ArgError> {
    let is_files = |text: &String| {
        let parsed = text.parse::<Output>();
        parsed.is_ok_and(|output| matches!(output, Output::Tar { .. } | Output::Local { .. }))
    };
    if args.result.iidfile.is_some() && args.result.outputs.iter().any(is_files) {
        return Err(ArgError::new(
            "local and tar exporters are incompatible with image ID file",
        ));
    }
    Ok(())
}

fn tags(given: &[String]) -> Result<Vec<Reference>, ArgError> {
    let mut tags: Vec<Reference> = Vec::new();
    for text in given {
        let tag: Reference = text
            .parse()
            .map_err(|e| ArgError::new(format!("invalid tag \"{text}\"")).because(e))?;
        if tag.digest().is_some() {
            return Err(ArgError::value("--tag", text, "a name without a digest"));
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// `SOURCE_DATE_EPOCH` of the environment is a build argument, unless one is given.
fn build_args(args: &BuildArgs, around: &Surroundings) -> Result<Vec<(String, String)>, ArgError> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    let mut pairs = pairs("--build-arg", &args.build_args, |key| {
        around.env.get(key).cloned()
    })?;
    if let Some(value) = around.env.get(EPOCH).filter(|value| !value.is_empty())
        && !pairs.iter().any(|(key, _)| key == EPOCH)
    {
        pairs.push((EPOCH.to_owned(), value.clone()));
    }
    Ok(pairs)
}

/// Returns the time of the build where it is a number. Another value names what has the time, such as `context`: the
/// frontend knows.
fn epoch(args: &[(String, String)]) -> Option<i64> {
    let (_, value) = args.iter().find(|(key, _)| key == "SOURCE_DATE_EPOCH")?;
    value.parse().ok()
}

fn platforms(
    given: &[String],
    default: Option<&Platform>,
    around: &Surroundings,
) -> Result<Vec<Platform>, ArgError> {
    let mut platforms: Vec<Platform> = Vec::new();
    let preset = around
        .env
        .get("DOCKER_DEFAULT_PLATFORM")
        .filter(|_| given.is_empty());
    let preset = preset.iter().flat_map(|text| text.split(','));
    for text in given
        .iter()
        .map(String::as_str)
        .chain(preset)
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let platform = match text {
            "local" => Platform::host(),
            text => text
                .parse()
                .map_err(|e| ArgError::new("invalid value for `--platform`").because(e))?,
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.extend(default.cloned());
    }
    Ok(platforms)
}

fn no_cache(args: &BuildArgs) -> NoCache {
    match (args.cache.no_cache, args.cache.no_cache_filter.as_slice()) {
        (true, _) => NoCache::Always,
        (false, []) => NoCache::Never,
        (false, stages) => NoCache::Stages(stages.to_vec()),
    }
}

/// What becomes of the result: `--output`, `--push` and `--load` together.
fn outputs(args: &ResultArgs, tags: &[Reference]) -> Result<Vec<Output>, ArgError> {
    let parse = |text: &String| {
        text.parse::<Output>()
            .map_err(|e| ArgError::new(format!("invalid output `{text}`")).because(e))
    };
    let mut outputs = args.outputs.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let stored = ImageOutput {
        store: true,
        ..ImageOutput::default()
    };
    if outputs.is_empty() || (args.load && !outputs.iter().any(keeps)) {
        outputs.push(Output::Image(stored));
    }
    if args.push {
        push(&mut outputs);
    }
    let pushed =
        |output: &Output| matches!(output, Output::Image(image) if image.push && image.names.is_empty());
    if tags.is_empty() && outputs.iter().any(pushed) {
        let error = ArgError::new("tag is needed when pushing to registry");
        return Err(error.hint("give the image a name with `--tag`"));
    }
    let mut annotations = Vec::new();
    for text in &args.annotations {
        annotations.extend(annotation::parse(text)?);
    }
    for format in outputs.iter_mut().filter_map(Output::format_mut) {
        format.annotations.extend(annotations.iter().cloned());
    }
    Ok(outputs)
}

/// Tells whether an output puts the image into the local store.
fn keeps(output: &Output) -> bool {
    match output {
        Output::Image(image) => image.store,
        Output::Docker { dest, .. } => dest.is_none(),
        Output::Oci { .. } | Output::Tar { .. } | Output::Local { .. } | Output::CacheOnly => false,
    }
}

fn push(outputs: &mut Vec<Output>) {
    let mut any = false;
    for output in outputs.iter_mut() {
        if let Output::Image(image) = output {
            image.push = true;
            any = true;
        }
    }
    if !any {
        outputs.push(Output::Image(ImageOutput {
            push: true,
            ..ImageOutput::default()
        }));
    }
}

/// What steps run with, by the names of BuildKit's frontend attributes.
fn options(
    args: &StepArgs,
    entitlements: &mut BTreeSet<Entitlement>,
) -> Result<Vec<(String, String)>, ArgError> {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut set = |key: &str, value: String| options.push((key.to_owned(), value));
    match args.network.as_deref() {
        None | Some("" | "default") => {}
        Some("none") => set("force-network-mode", "none".to_owned()),
        Some("host") => {
            // Who types the flag allows it, as in buildx.
            entitlements.insert(Entitlement::NetworkHost);
            set("force-network-mode", "host".to_owned());
        }
        Some(other) => return Err(ArgError::value("--network", other, "default, none or host")),
    }
    if !args.add_hosts.is_empty() {
        let hosts = args
            .add_hosts
            .iter()
            .map(|text| host(text))
            .collect::<Result<Vec<_>, _>>()?;
        set("add-hosts", hosts.join(","));
    }
    if let Some(size) = &args.shm_size {
        set("shm-size", parse_bytes("--shm-size", size)?.to_string());
    }
    if !args.ulimits.is_empty() {
        let limits = args
            .ulimits
            .iter()
            .map(|text| ulimit(text))
            .collect::<Result<Vec<_>, _>>()?;
        set("ulimit", limits.join(","));
    }
    if let Some(memory) = &args.memory {
        set("memory", parse_bytes("--memory", memory)?.to_string());
    }
    match args.memory_swap.as_deref() {
        None => {}
        Some("-1") => set("memswap", "-1".to_owned()),
        Some(swap) => set("memswap", parse_bytes("--memory-swap", swap)?.to_string()),
    }
    let texts = [
        ("cgroup-parent", args.cgroup_parent.clone()),
        ("cpushares", args.cpu_shares.map(|n| n.to_string())),
        ("cpuperiod", args.cpu_period.map(|n| n.to_string())),
        ("cpuquota", args.cpu_quota.map(|n| n.to_string())),
        ("cpusetcpus", args.cpuset_cpus.clone()),
        ("cpusetmems", args.cpuset_mems.clone()),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            set(key, value);
        }
    }
    Ok(options)
}

/// Reads `NAME:IP` or `NAME=IP`.
fn host(text: &str) -> Result<String, ArgError> {
    let error = || ArgError::value("--add-host", text, "`NAME:IP` or `NAME:host-gateway`");
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(error)?;
    let bare = address
        .strip_prefix('[')
        .and_then(|a| a.strip_suffix(']'))
        .unwrap_or(address);
    let address = match bare {
        "host-gateway" => IpAddr::V4(kiln_exec::HOST_GATEWAY),
        _ => bare.parse::<IpAddr>().map_err(|_| error())?,
    };
    if name.is_empty() || name.contains(',') {
        return Err(error());
    }
    Ok(format!("{name}={address}"))
}

/// Checks `NAME=SOFT[:HARD]`.
fn ulimit(text: &str) -> Result<String, ArgError> {
    let error = || ArgError::value("--ulimit", text, "`NAME=SOFT[:HARD]`");
    let (name, values) = text.split_once('=').ok_or_else(error)?;
    let mut numbers = values.split(':').map(str::parse::<i64>);
    let first = numbers
        .next()
        .transpose()
        .map_err(|_| error())?
        .ok_or_else(error)?;
    let second = numbers.next().transpose().map_err(|_| error())?.unwrap_or(first);
    if name.is_empty() || numbers.next().is_some() {
        return Err(error());
    }
    if second != -1 && first > second {
        return Err(ArgError::new(format!(
            "ulimit soft limit must be less than or equal to hard limit: {first} > {second}"
        )));
    }
    Ok(text.to_owned())
}
