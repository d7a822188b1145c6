//! Names of process limits, and how far they can go.

use crate::ExecError;
use crate::Step;
use kiln_exec_init::spec::Rlimit;

/// Names as docker takes them, and their numbers.
const NAMES: [(&str, u32); 16] = [
    ("cpu", libc::RLIMIT_CPU),
    ("fsize", libc::RLIMIT_FSIZE),
    ("data", libc::RLIMIT_DATA),
    ("stack", libc::RLIMIT_STACK),
    ("core", libc::RLIMIT_CORE),
    ("rss", libc::RLIMIT_RSS),
    ("nproc", libc::RLIMIT_NPROC),
    ("nofile", libc::RLIMIT_NOFILE),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("as", libc::RLIMIT_AS),
    ("locks", libc::RLIMIT_LOCKS),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
];

/// The step's limits in numbers, none above this process's own hard limit.
pub(crate) fn rlimits(step: &Step) -> Result<Vec<Rlimit>, ExecError> {
    step.ulimits
        .iter()
        .map(|limit| {
            let invalid = |reason| ExecError::Invalid {
                id: step.id.clone(),
                reason,
            };
            let known = NAMES.iter().find(|(name, _)| *name == limit.name);
            let (_, resource) =
                known.ok_or_else(|| invalid(format!("invalid ulimit type: {}", limit.name)))?;
            if limit.soft > limit.hard {
                let text = format!(
                    "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                    limit.soft, limit.hard
                );
                return Err(invalid(text));
            }
            let most = own_hard_limit(*resource);
            Ok(Rlimit {
                resource: *resource,
                soft: limit.soft.min(most),
                hard: limit.hard.min(most),
            })
        })
        .collect()
}

/// The OCI name of a limit's number.
pub(crate) fn oci_name(resource: u32) -> String {
    let known = NAMES.iter().find(|(_, number)| *number == resource);
    format!("RLIMIT_{}", known.map_or("", |(name, _)| *name).to_uppercase())
}

fn own_hard_limit(resource: u32) -> u64 {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: u64::MAX,
    };
    // SAFETY: writes one `rlimit64`, which lives through the call.
    unsafe { libc::getrlimit64(resource, &raw mut limit) };
    limit.rlim_max
}
