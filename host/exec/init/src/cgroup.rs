//! Control groups: made before the step, joined by it, removed after it.

use crate::failure::Failure;
use kiln_exec_init::spec::Cgroup;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

fn path(group: &Cgroup) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&group.path.0))
}

/// Makes the groups and writes their settings.
pub(crate) fn make(groups: &[Cgroup]) -> Result<Vec<PathBuf>, Failure> {
    let mut made = Vec::new();
    for group in groups {
        if let Err(failure) = make_one(group, &mut made) {
            remove(&made);
            return Err(failure);
        }
    }
    Ok(made)
}

fn make_one(group: &Cgroup, made: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let dir = path(group);
    match fs::create_dir(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::io(format!("create cgroup `{}`", dir.display()), &error)),
    }
    made.push(dir.clone());
    for setting in &group.settings {
        fs::write(dir.join(&setting.name), &setting.value).map_err(|error| {
            Failure::io(
                format!(
                    "write `{}` to `{}/{}`",
                    setting.value,
                    dir.display(),
                    setting.name
                ),
                &error,
            )
        })?;
    }
    Ok(())
}

/// Puts this process into the groups.
pub(crate) fn join(groups: &[Cgroup]) -> Result<(), Failure> {
    groups.iter().map(path).try_for_each(|dir| {
        fs::write(dir.join("cgroup.procs"), "0")
            .map_err(|error| Failure::io(format!("join cgroup `{}`", dir.display()), &error))
    })
}

/// How often the kernel killed something in the groups for want of memory; `None` when no group counts it.
pub(crate) fn oom_kills(groups: &[Cgroup]) -> Option<u64> {
    groups
        .iter()
        .filter(|group| !group.oom_file.is_empty())
        .find_map(|group| count(&path(group).join(&group.oom_file)))
}

/// The same for the whole machine.
pub(crate) fn oom_kills_of_machine() -> u64 {
    count(Path::new("/proc/vmstat")).unwrap_or_default()
}

fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Removes the groups; names those that could not be.
pub(crate) fn remove(groups: &[PathBuf]) -> Vec<String> {
    groups
        .iter()
        .filter_map(|dir| {
            remove_one(dir)
                .err()
                .map(|e| format!("cgroup `{}`: {e}", dir.display()))
        })
        .collect()
}

/// A group may stay busy for a moment after its last process has gone.
fn remove_one(dir: &Path) -> io::Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && pause < Duration::from_secs(1) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => return outcome,
        }
    }
}
