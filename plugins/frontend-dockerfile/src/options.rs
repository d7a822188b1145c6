//! What the request asks for, checked: BuildKit's frontend attributes in types.

use crate::api::Attr;
use crate::api::Platform;
use crate::api::Request;
use crate::api::graph::Network;
use crate::api::graph::Ulimit;
use crate::fault::Fault;
use crate::fault::Outcome;
use crate::go;
use crate::lower::NamedContext;
use crate::platform;
use crate::reference::Reference;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;

/// Attributes of a step that do not change its result, by the names of the options and of the graph.
const RESOURCES: [(&str, &str); 8] = [
    ("memory", "memory"),
    ("memswap", "memory-swap"),
    ("memory-swap", "memory-swap"),
    ("cpushares", "cpu-shares"),
    ("cpuperiod", "cpu-period"),
    ("cpuquota", "cpu-quota"),
    ("cpusetcpus", "cpuset-cpus"),
    ("cpusetmems", "cpuset-mems"),
];

/// Options that mean something to the host or to another answer, not to the graph.
const IGNORED: [&str; 14] = [
    "filename",
    "source",
    "cmdline",
    "requestid",
    "frontend.caps",
    "cache-from",
    "cache-imports",
    "target",
    "platform",
    "dockerfilekey",
    "contextkey",
    "build-arg",
    "label",
    "git-advice",
];

/// How a base image is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ResolveMode {
    /// As the host likes.
    #[default]
    Default,
    /// Ask the registry.
    Pull,
    /// Take a local one if there is one.
    Local,
}

impl ResolveMode {
    /// Returns the name in attributes; empty for the default.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Pull => "pull",
            Self::Local => "local",
        }
    }
}

/// Which stages are run although the cache has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum NoCache {
    /// None.
    #[default]
    Nothing,
    /// All.
    Everything,
    /// Those of these names.
    Stages(Vec<String>),
}

impl NoCache {
    /// Tells whether a stage is meant.
    pub(crate) fn covers(&self, stage: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Stages(names) => names.iter().any(|name| name.eq_ignore_ascii_case(stage)),
        }
    }
}

/// A request, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) target: Option<String>,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) build_platform: Option<Platform>,
    /// Named contexts by name in its usual form.
    pub(crate) contexts: HashMap<String, NamedContext>,
    /// The main context, where it is not the default directory.
    pub(crate) main_context: Option<String>,
    pub(crate) no_cache: NoCache,
    pub(crate) extra_hosts: Vec<Attr>,
    pub(crate) hostname: String,
    pub(crate) cgroup_parent: String,
    pub(crate) shm_size: u64,
    pub(crate) ulimits: Vec<Ulimit>,
    pub(crate) resources: Vec<Attr>,
    pub(crate) network: Option<Network>,
    pub(crate) resolve_mode: ResolveMode,
    pub(crate) cache_namespace: String,
    pub(crate) multi_platform: bool,
    pub(crate) keep_git_dir: Option<bool>,
    pub(crate) context_subdir: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) devices: Vec<Attr>,
    /// Another frontend sent the file here.
    pub(crate) forwarded: bool,
}

impl Options {
    /// Checks a request.
    ///
    /// # Errors
    /// A value that means nothing, or an option that is not known.
    pub(crate) fn new(request: &Request) -> Outcome<Self> {
        let pairs = |attrs: &[Attr]| -> Vec<(String, String)> {
            attrs.iter().map(|a| (a.key.clone(), a.value.clone())).collect()
        };
        let mut options = Self {
            target: request.target.clone().filter(|t| !t.is_empty()),
            args: pairs(&request.args).into_iter().collect(),
            labels: pairs(&request.labels),
            platforms: request
                .platforms
                .iter()
                .cloned()
                .map(platform::normalize)
                .collect(),
            build_platform: Some(platform::normalize(request.build_platform.clone())),
            contexts: contexts(&request.contexts),
            main_context: request
                .contexts
                .iter()
                .find(|c| c.key == "context")
                .map(|c| c.value.clone()),
            ..Self::default()
        };
        options.multi_platform = options.platforms.len() > 1;
        for attr in &request.options {
            options.set(&attr.key, &attr.value)?;
        }
        options.control_args()?;
        options.resources.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Outcome<()> {
        match key {
            "no-cache" if value.is_empty() => self.no_cache = NoCache::Everything,
            "no-cache" => self.no_cache = NoCache::Stages(value.split(',').map(str::to_owned).collect()),
            "add-hosts" => {
                self.extra_hosts = extra_hosts(value).map_err(wrap("failed to parse additional hosts"))?;
            }
            "cmdline" => self.forwarded = !value.is_empty(),
            "hostname" => self.hostname = value.to_owned(),
            "cgroup-parent" => self.cgroup_parent = value.to_owned(),
            "shm-size" if value.is_empty() => {}
            "shm-size" => {
                self.shm_size = value
                    .parse()
                    .map_err(|_| invalid("failed to parse shm size", value))?;
            }
            "ulimit" => self.ulimits = ulimits(value).map_err(wrap("failed to parse ulimit"))?,
            "force-network-mode" => self.network = Some(network(value)?),
            "image-resolve-mode" => self.resolve_mode = resolve_mode(value)?,
            "multi-platform" => self.set_multi_platform(value)?,
            "contextsubdir" => self.context_subdir = Some(value.to_owned()).filter(|v| !v.is_empty()),
            "devices" => {
                let names = go::csv(value).map_err(Fault::new)?;
                let device = |key: String| Attr {
                    key,
                    value: String::new(),
                };
                self.devices = names.into_iter().filter(|n| !n.is_empty()).map(device).collect();
            }
            _ => return self.set_other(key, value),
        }
        Ok(())
    }

    fn set_other(&mut self, key: &str, value: &str) -> Outcome<()> {
        if let Some((_, name)) = RESOURCES.iter().find(|(option, _)| *option == key) {
            if !name.starts_with("cpuset") && value.parse::<i64>().is_err() {
                return Err(invalid(&format!("failed to parse {key}"), value));
            }
            self.resources.push(Attr {
                key: (*name).to_owned(),
                value: value.to_owned(),
            });
            return Ok(());
        }
        let prefix = key.split_once(':').map_or(key, |(prefix, _)| prefix);
        if IGNORED.contains(&prefix) || matches!(prefix, "attest" | "local-sessionid" | "sharedkey") {
            return Ok(());
        }
        Err(Fault::new(format!("unsupported frontend option `{key}`")).help(
            "the Dockerfile frontend does not know this option; it is not ignored, because it could matter",
        ))
    }

    fn set_multi_platform(&mut self, value: &str) -> Outcome<()> {
        if value.is_empty() {
            return Ok(());
        }
        let wanted = go::parse_bool(value)
            .ok_or_else(|| Fault::new(format!("invalid boolean value for multi-platform: {value}")))?;
        if !wanted && self.platforms.len() > 1 {
            return Err(Fault::new(
                "conflicting config: returning multiple target platforms is not allowed",
            ));
        }
        self.multi_platform = wanted;
        Ok(())
    }

    /// Reads the build arguments that steer the build itself.
    fn control_args(&mut self) -> Outcome<()> {
        let get = |name: &str| self.args.get(name).cloned().filter(|v| !v.is_empty());
        let hostname = get("BUILDKIT_SANDBOX_HOSTNAME");
        let multi = get("BUILDKIT_MULTI_PLATFORM");
        self.cache_namespace = get("BUILDKIT_CACHE_MOUNT_NS").unwrap_or_default();
        self.keep_git_dir = get("BUILDKIT_CONTEXT_KEEP_GIT_DIR").and_then(|v| go::parse_bool(&v));
        self.check = self.args.get("BUILDKIT_DOCKERFILE_CHECK").cloned();
        if get("BUILDKIT_DISABLE_FILEOP").and_then(|v| go::parse_bool(&v)) == Some(true) {
            return Err(Fault::new(
                "support for \"BUILDKIT_DISABLE_FILEOP\" build-arg was removed in BuildKit 0.11",
            ));
        }
        if let Some(name) = hostname {
            self.hostname = name;
        }
        multi.map_or(Ok(()), |value| self.set_multi_platform(&value))
    }

    /// Returns the platform that runs the steps.
    pub(crate) fn build_platform(&self) -> Platform {
        self.build_platform.clone().unwrap_or_else(|| Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
            os_version: None,
        })
    }

    /// Returns the proxy variables among the build arguments: part of every RUN, of no key.
    pub(crate) fn proxy_env(&self) -> Vec<Attr> {
        let mut out: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in &self.args {
            let lower = key.to_ascii_lowercase();
            if matches!(
                lower.as_str(),
                "http_proxy" | "https_proxy" | "ftp_proxy" | "no_proxy" | "all_proxy"
            ) {
                // The map is sorted: the lower-case name comes later and wins, as in BuildKit.
                out.insert(lower, value.clone());
            }
        }
        out.into_iter().map(|(key, value)| Attr { key, value }).collect()
    }
}

/// Brings the names of contexts into the form that they are looked up by.
fn contexts(attrs: &[Attr]) -> HashMap<String, NamedContext> {
    let named = attrs
        .iter()
        .filter(|a| a.key != "context" && a.key != "dockerfile");
    let entry = |attr: &Attr| {
        let (name, on) = match attr.key.split_once("::") {
            Some((name, on)) => (name, Some(on)),
            None => (attr.key.as_str(), None),
        };
        let name = Reference::parse(name).map_or_else(|_| name.to_owned(), |r| r.familiar());
        let name = name.strip_suffix(":latest").unwrap_or(&name);
        let key = on.map_or_else(|| name.to_owned(), |on| format!("{name}::{on}"));
        (
            key,
            NamedContext {
                key: attr.key.clone(),
                value: attr.value.clone(),
            },
        )
    };
    named.map(entry).collect()
}

fn invalid(what: &str, value: &str) -> Fault {
    Fault::new(format!(
        "{what}: strconv.ParseInt: parsing {}: invalid syntax",
        go::quote(value)
    ))
}

fn wrap(action: &'static str) -> impl Fn(String) -> Fault {
    move |message| Fault::new(message).wrap(action)
}

fn extra_hosts(value: &str) -> Result<Vec<Attr>, String> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for field in go::csv(value)? {
        let lower = field.to_lowercase();
        let (host, ip) = lower
            .split_once('=')
            .ok_or_else(|| format!("invalid key-value pair {field}"))?;
        let ip: IpAddr = ip.parse().map_err(|_| format!("failed to parse IP {ip}"))?;
        out.push(Attr {
            key: host.to_owned(),
            value: ip.to_string(),
        });
    }
    Ok(out)
}

/// Limits that Linux knows.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

fn ulimits(value: &str) -> Result<Vec<Ulimit>, String> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    go::csv(value)?.iter().map(|field| ulimit(field)).collect()
}

/// Reads `name=soft[:hard]`.
fn ulimit(field: &str) -> Result<Ulimit, String> {
    let (name, limits) = field
        .split_once('=')
        .ok_or_else(|| format!("invalid ulimit argument: {field}"))?;
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| -> Result<i64, String> {
        text.parse()
            .map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", go::quote(text)))
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((_, hard)) if hard.contains(':') => {
            return Err(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            ));
        }
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

fn network(value: &str) -> Outcome<Network> {
    match value {
        "" | "sandbox" => Ok(Network::Sandbox),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err(Fault::new(format!("invalid netmode {value}"))),
    }
}

fn resolve_mode(value: &str) -> Outcome<ResolveMode> {
    match value {
        "" | "default" => Ok(ResolveMode::Default),
        "pull" => Ok(ResolveMode::Pull),
        "local" => Ok(ResolveMode::Local),
        _ => Err(Fault::new(format!("invalid image-resolve-mode: {value}"))),
    }
}
