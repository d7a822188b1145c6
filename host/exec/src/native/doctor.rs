//! What of the native executor works on this machine.

use crate::Finding;
use crate::Verdict;
use crate::cgroup::Hierarchy;
use crate::network;
use crate::rootless;

/// Looks at everything a step needs, without changing anything.
pub(super) fn check(hierarchy: &Hierarchy) -> Vec<Finding> {
    let mut all = vec![
        privileges(),
        mounts(),
        limits(hierarchy),
        private_network(),
        user_namespaces(),
    ];
    all.extend(id_ranges());
    all
}

/// Switches with which a kernel keeps users from user namespaces: file, the value that does it, what to do.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "sysctl -w user.max_user_namespaces=28633",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// Whether users that are not root can build.
fn user_namespaces() -> Finding {
    let set = |(file, value, _): &(&str, &str, &str)| {
        std::fs::read_to_string(file).is_ok_and(|text| text.trim() == *value)
    };
    let known = std::path::Path::new("/proc/self/ns/user").exists();
    let (verdict, detail, advice) = match (known, SWITCHES.iter().find(|switch| set(switch))) {
        (false, _) => (
            Verdict::Limited,
            "the kernel has none".to_owned(),
            Some("only root can run steps; a kernel with CONFIG_USER_NS lets others, too".to_owned()),
        ),
        (true, Some((file, value, command))) => (
            Verdict::Limited,
            format!("not for users that are not root (`{file}` is {value})"),
            Some(format!("as root: `{command}`")),
        ),
        (true, None) => (Verdict::Works, "open to all users".to_owned(), None),
    };
    Finding {
        subject: "user namespaces".to_owned(),
        verdict,
        detail,
        advice,
    }
}

/// What users that are not root need for more than one user in their steps. Inside the namespace it is done already.
fn id_ranges() -> Option<Finding> {
    if rootless::in_user_namespace() {
        return None;
    }
    let installed = |tool: &str| {
        let path = std::env::split_paths("/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin");
        path.map(|dir| dir.join(tool)).any(|file| file.is_file())
    };
    let users = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter(|line| line.split(':').count() == 3).count()
    };
    let tools = installed("newuidmap") && installed("newgidmap");
    let (uids, gids) = (users("/etc/subuid"), users("/etc/subgid"));
    let (verdict, detail) = match (tools, uids.min(gids)) {
        (false, _) => (
            Verdict::Limited,
            "newuidmap and newgidmap are not installed".to_owned(),
        ),
        (true, 0) => (
            Verdict::Limited,
            "newuidmap and newgidmap are there, but no user has a range in /etc/subuid and /etc/subgid"
                .to_owned(),
        ),
        (true, count) => (
            Verdict::Works,
            format!("newuidmap and newgidmap, {count} ranges in /etc/subuid and /etc/subgid"),
        ),
    };
    let advice =
        (verdict != Verdict::Works).then(|| format!("for builds without root: {}", rootless::RANGE_ADVICE));
    Some(Finding {
        subject: "ids for users that are not root".to_owned(),
        verdict,
        detail,
        advice,
    })
}

fn privileges() -> Finding {
    let root = rustix::process::geteuid().is_root();
    let inside = rootless::in_user_namespace();
    let (verdict, detail, advice) = match (root, inside) {
        (true, false) => (Verdict::Works, "root".to_owned(), None),
        (true, true) if rootless::mapped_users() > 1 => (
            Verdict::Works,
            format!("user namespace with {} users", rootless::mapped_users()),
            None,
        ),
        (true, true) => (
            Verdict::Limited,
            "user namespace with one user: steps cannot change owners or become another user".to_owned(),
            Some(rootless::RANGE_ADVICE.to_owned()),
        ),
        (false, _) => (
            Verdict::Missing,
            "neither root nor in a user namespace".to_owned(),
            Some("allow user namespaces (`sysctl user.max_user_namespaces`), or run as root".to_owned()),
        ),
    };
    Finding {
        subject: "privileges for RUN".to_owned(),
        verdict,
        detail,
        advice,
    }
}

fn mounts() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0_u32);
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let version = (number(parts.next()), number(parts.next()));
    let overlay = std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("overlay"));
    let (verdict, advice) = if version < (5, 12) {
        (Verdict::Missing, Some("needs Linux 5.12 or newer".to_owned()))
    } else if !overlay {
        (
            Verdict::Missing,
            Some("load the kernel module `overlay` (`modprobe overlay`)".to_owned()),
        )
    } else {
        (Verdict::Works, None)
    };
    let detail = format!(
        "Linux {release}{}",
        if overlay { ", overlay" } else { ", no overlay" }
    );
    Finding {
        subject: "mounts for RUN".to_owned(),
        verdict,
        detail,
        advice,
    }
}

fn limits(hierarchy: &Hierarchy) -> Finding {
    let subject = "limits of memory and CPU".to_owned();
    match hierarchy.describe() {
        Some(detail) => Finding {
            subject,
            verdict: Verdict::Works,
            detail,
            advice: None,
        },
        None => Finding {
            subject,
            verdict: Verdict::Limited,
            detail: "no control group is ours to use".to_owned(),
            advice: Some("run as root, or under `systemd-run --user --scope -p Delegate=yes`".to_owned()),
        },
    }
}

fn private_network() -> Finding {
    let subject = "private network for RUN".to_owned();
    match network::describe() {
        Ok(detail) => Finding {
            subject,
            verdict: Verdict::Works,
            detail,
            advice: None,
        },
        Err(error) => {
            let text = error.to_string();
            let (detail, advice) = text.split_once("\nhint: ").unwrap_or((&text, ""));
            let advice = Some(advice.to_owned()).filter(|advice| !advice.is_empty());
            Finding {
                subject,
                verdict: Verdict::Limited,
                detail: detail.to_owned(),
                advice,
            }
        }
    }
}
