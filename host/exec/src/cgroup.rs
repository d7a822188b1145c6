//! Which control groups a step gets: v2, v1 and both at once, or none.

use crate::ExecError;
use crate::Resources;
use crate::Security;
use crate::Step;
use kiln_exec_init::codec::Bytes;
use kiln_exec_init::spec::Cgroup;
use kiln_exec_init::spec::Setting;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

/// The control groups of this machine, as far as this process sees them.
#[derive(Debug, Default)]
pub(crate) struct Hierarchy {
    /// v1 controllers: name (`memory`, `name=systemd`) and the group that this process is in.
    v1: BTreeMap<String, PathBuf>,
    /// The v2 group that this process is in.
    v2: Option<PathBuf>,
    /// Where each hierarchy is mounted: by v1 controller, v2 without a name.
    points: BTreeMap<String, PathBuf>,
}

/// What a step gets.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Groups to make.
    pub(crate) groups: Vec<Cgroup>,
    /// What the step sees under `/sys/fs/cgroup`.
    pub(crate) view: Vec<String>,
}

impl Hierarchy {
    /// Looks at the machine.
    pub(crate) fn detect() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    fn parse(mountinfo: &str, own: &str) -> Self {
        let mut hierarchy = Self::default();
        for line in own.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let Some((root, point)) = mount_of(mountinfo, controllers) else {
                continue;
            };
            let inside = Path::new(path)
                .strip_prefix(&root)
                .or_else(|_| Path::new(path).strip_prefix("/"));
            let group = point.join(inside.unwrap_or(Path::new("")));
            let names = controllers.split(',');
            let points = names.map(|name| (name.to_owned(), point.clone()));
            hierarchy.points.extend(points);
            if controllers.is_empty() {
                hierarchy.v2 = Some(group);
            } else {
                let each = controllers
                    .split(',')
                    .map(|name| (name.to_owned(), group.clone()));
                hierarchy.v1.extend(each);
            }
        }
        hierarchy
    }

    /// What a step gets.
    pub(crate) fn plan(&self, step: &Step) -> Result<Plan, ExecError> {
        let groups = if step.resources.is_empty() && step.cgroup_parent.is_none() {
            Vec::new()
        } else if self.v1.contains_key("memory") {
            self.v1_groups(step)?
        } else {
            vec![self.v2_group(step)?]
        };
        let view = if self.v1.contains_key("memory") {
            let shown = !groups.is_empty() || step.security == Security::Insecure;
            if shown {
                self.v1.keys().cloned().collect()
            } else {
                Vec::new()
            }
        } else if self.v2.is_some() {
            vec!["cgroup2".to_owned()]
        } else {
            Vec::new()
        };
        Ok(Plan { groups, view })
    }

    /// The group below which a step's own is made, with what was missing on the way to it.
    fn parent(&self, step: &Step, controller: &str, own: &Path) -> Result<PathBuf, ExecError> {
        let Some(wanted) = &step.cgroup_parent else {
            return Ok(own.to_owned());
        };
        let failed = |reason: String| ExecError::Setup {
            id: step.id.clone(),
            reason: format!("cannot use the cgroup parent `{wanted}`: {reason}"),
        };
        let mut at = match (wanted.starts_with('/'), self.points.get(controller)) {
            (true, Some(point)) => point.clone(),
            _ => own.to_owned(),
        };
        for name in wanted.split('/').filter(|name| !matches!(*name, "" | ".")) {
            if name == ".." {
                return Err(failed("it must not have `..`".to_owned()));
            }
            let above = at.clone();
            at.push(name);
            match fs::create_dir(&at) {
                Ok(()) if controller == "cpuset" => {
                    for Setting { name, value } in complete_cpuset(&above, Vec::new()) {
                        fs::write(at.join(name), value).map_err(|error| failed(error.to_string()))?;
                    }
                }
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        Ok(at)
    }

    fn v1_groups(&self, step: &Step) -> Result<Vec<Cgroup>, ExecError> {
        let id = &step.id;
        let mut wanted = v1_settings(&step.resources);
        if step.cgroup_parent.is_some() {
            for controller in ["memory", "cpu"] {
                wanted.entry(controller).or_default();
            }
        }
        let mut groups = Vec::new();
        for (controller, settings) in wanted {
            let Some(own) = self.v1.get(controller) else {
                return Err(unlimited(id, controller));
            };
            let parent = &self.parent(step, controller, own)?;
            let mut settings = settings;
            if controller == "cpuset" {
                settings = complete_cpuset(parent, settings);
            }
            let oom_file = if controller == "memory" {
                "memory.oom_control"
            } else {
                ""
            };
            groups.push(group(parent, id, settings, oom_file));
        }
        Ok(groups)
    }

    fn v2_group(&self, step: &Step) -> Result<Cgroup, ExecError> {
        let id = &step.id;
        let own = self.v2.as_ref().ok_or_else(|| unlimited(id, "memory"))?;
        let parent = self.parent(step, "", own)?;
        let settings = v2_settings(&step.resources);
        // A group passes on only what it has itself: from the top to the parent.
        let top = match &step.cgroup_parent {
            Some(_) => self.points.get("").unwrap_or(own),
            None => &parent,
        };
        let mut chain: Vec<&Path> = parent.ancestors().take_while(|at| *at != top.as_path()).collect();
        chain.push(top);
        for controller in ["memory", "cpu", "cpuset"] {
            let prefix = format!("{controller}.");
            if !settings.iter().any(|setting| setting.name.starts_with(&prefix)) {
                continue;
            }
            for at in chain.iter().rev() {
                let file = at.join("cgroup.subtree_control");
                let enabled = fs::read_to_string(&file).unwrap_or_default();
                if !enabled.split_whitespace().any(|name| name == controller) {
                    fs::write(file, format!("+{controller}")).map_err(|_| unlimited(id, controller))?;
                }
            }
        }
        Ok(group(&parent, id, settings, "memory.events"))
    }

    /// Whether a v2 hierarchy stands beside the v1 controllers.
    pub(crate) fn is_hybrid(&self) -> bool {
        self.v2.is_some() && self.v1.contains_key("memory")
    }

    /// Where limits can be set, in words; `None` when nowhere.
    pub(crate) fn describe(&self) -> Option<String> {
        let writable = |dir: &Path| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
        if let Some(memory) = self.v1.get("memory") {
            return writable(memory).then(|| format!("cgroup v1, `{}`", memory.display()));
        }
        let group = self.v2.as_ref()?;
        writable(group).then(|| format!("cgroup v2, `{}`", group.display()))
    }
}

/// Root and mount point of the hierarchy that has `controllers`.
fn mount_of(mountinfo: &str, controllers: &str) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let mut left = left.split(' ').skip(3);
        let place = (PathBuf::from(left.next()?), PathBuf::from(left.next()?));
        let first = controllers.split(',').next()?;
        let fits = if controllers.is_empty() {
            kind == "cgroup2"
        } else {
            kind == "cgroup" && options.split(',').any(|option| option == first)
        };
        fits.then_some(place)
    })
}

fn group(parent: &Path, id: &str, settings: Vec<Setting>, oom_file: &str) -> Cgroup {
    let name = format!("kiln-{}-{id}", std::process::id());
    let path = Bytes(parent.join(name).as_os_str().as_bytes().to_vec());
    Cgroup {
        path,
        settings,
        oom_file: oom_file.to_owned(),
    }
}

fn setting(name: &str, value: &dyn ToString) -> Setting {
    Setting {
        name: name.to_owned(),
        value: value.to_string(),
    }
}

fn v1_settings(resources: &Resources) -> BTreeMap<&'static str, Vec<Setting>> {
    let mut all: BTreeMap<&str, Vec<Setting>> = BTreeMap::new();
    let mut add = |controller, name, value: Option<&dyn ToString>| {
        if let Some(value) = value {
            all.entry(controller).or_default().push(setting(name, value));
        }
    };
    let r = resources;
    add(
        "memory",
        "memory.limit_in_bytes",
        r.memory.as_ref().map(|v| v as _),
    );
    add(
        "memory",
        "memory.memsw.limit_in_bytes",
        r.memory_swap.as_ref().map(|v| v as _),
    );
    add("cpu", "cpu.shares", r.cpu_shares.as_ref().map(|v| v as _));
    add("cpu", "cpu.cfs_period_us", r.cpu_period.as_ref().map(|v| v as _));
    add("cpu", "cpu.cfs_quota_us", r.cpu_quota.as_ref().map(|v| v as _));
    add("cpuset", "cpuset.cpus", r.cpuset_cpus.as_ref().map(|v| v as _));
    add("cpuset", "cpuset.mems", r.cpuset_mems.as_ref().map(|v| v as _));
    all
}

fn v2_settings(resources: &Resources) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory {
        all.push(setting("memory.max", &memory));
    }
    match (resources.memory_swap, resources.memory) {
        (Some(-1), _) => all.push(setting("memory.swap.max", &"max")),
        (Some(both), Some(memory)) => {
            all.push(setting(
                "memory.swap.max",
                &u64::try_from(both).unwrap_or_default().saturating_sub(memory),
            ));
        }
        _ => {}
    }
    if let Some(shares) = resources.cpu_shares {
        // The range 2..=262144 of v1 onto 1..=10000 of v2, as every runtime maps it.
        all.push(setting(
            "cpu.weight",
            &(1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142),
        ));
    }
    if resources.cpu_quota.is_some() || resources.cpu_period.is_some() {
        let quota = resources
            .cpu_quota
            .filter(|quota| *quota > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        all.push(setting(
            "cpu.max",
            &format!("{quota} {}", resources.cpu_period.unwrap_or(100_000)),
        ));
    }
    if let Some(cpus) = &resources.cpuset_cpus {
        all.push(setting("cpuset.cpus", cpus));
    }
    if let Some(mems) = &resources.cpuset_mems {
        all.push(setting("cpuset.mems", mems));
    }
    all
}

/// A v1 cpuset takes no process before both of its lists are set.
fn complete_cpuset(parent: &Path, given: Vec<Setting>) -> Vec<Setting> {
    let inherited = ["cpuset.cpus", "cpuset.mems"].into_iter().filter_map(|name| {
        let value = fs::read_to_string(parent.join(name)).ok()?;
        Some(Setting {
            name: name.to_owned(),
            value: value.trim().to_owned(),
        })
    });
    inherited.chain(given).collect()
}

fn unlimited(id: &str, controller: &str) -> ExecError {
    ExecError::Setup {
        id: id.to_owned(),
        reason: format!(
            "limits need the cgroup controller `{controller}`, which is not ours to use here \
             (run as root, or under `systemd-run --user --scope -p Delegate=yes`)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[track_caller]
    fn check(mountinfo: &str, own: &str, memory: Option<&str>, v2: Option<&str>) {
        let found = Hierarchy::parse(mountinfo, own);
        assert_eq!(
            found.v1.get("memory").map(PathBuf::as_path),
            memory.map(Path::new)
        );
        assert_eq!(found.v2.as_deref(), v2.map(Path::new));
    }

    #[test]
    fn finds_both_hierarchies() {
        let own = "4:memory:/user\n0::/\n";
        check(
            HYBRID,
            own,
            Some("/sys/fs/cgroup/memory/user"),
            Some("/sys/fs/cgroup/unified/"),
        );
    }

    #[test]
    fn finds_the_group_inside_a_container() {
        let info = "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        check(info, "0::/docker/abc/x\n", None, Some("/sys/fs/cgroup/x"));
    }

    #[test]
    fn is_content_without_any() {
        check("", "", None, None);
    }

    #[test]
    fn maps_shares_to_weight() {
        let weight = |shares| {
            v2_settings(&Resources {
                cpu_shares: Some(shares),
                ..Resources::default()
            })[0]
                .value
                .clone()
        };
        assert_eq!(
            (weight(2), weight(1024), weight(262_144)),
            ("1".to_owned(), "39".to_owned(), "10000".to_owned())
        );
    }
}
