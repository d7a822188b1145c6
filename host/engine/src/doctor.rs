//! What of this machine builds can use, for `kiln doctor`.

use std::process::Command;
use std::process::Stdio;

use kiln_exec::Finding;
use kiln_exec::Verdict;

use crate::Engine;
use crate::config::Snapshotter;
use crate::ops::runs_here;

/// Least bytes that should be free.
const ROOM: u64 = 5 << 30;
/// Machines that people build for, by their names in platforms.
const MACHINES: [&str; 7] = ["amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x"];

impl Engine {
    /// Looks at what builds use of this machine besides running steps.
    pub fn check(&self) -> Vec<Finding> {
        let mut all = vec![self.snapshots(), self.room(), emulators()];
        all.push(program(
            ("git", "--version"),
            "git",
            "git contexts and `ADD` of repositories need it",
        ));
        all.push(program(("ssh", "-V"), "openssh-client", "git over ssh needs it"));
        all.extend(self.devices());
        all
    }

    fn snapshots(&self) -> Finding {
        let subject = "snapshots";
        match (self.config().snapshotter, self.layers().overlay()) {
            (Snapshotter::Copy, _) => works(subject, "layers are copied for every step, as configured"),
            (_, Ok(())) => works(subject, "overlayfs works on the store's files"),
            (Snapshotter::Overlay, Err(error)) => Finding {
                verdict: Verdict::Missing,
                advice: Some("take `--snapshotter=auto`, or a store on another file system (KILN_HOME)".to_owned()),
                ..works(subject, &reason(&error))
            },
            (Snapshotter::Auto, Err(error)) => Finding {
                verdict: Verdict::Limited,
                advice: Some(
                    "steps run, but all layers are copied for each: a store on ext4, xfs, btrfs or tmpfs (KILN_HOME) \
                     is faster"
                        .to_owned(),
                ),
                ..works(subject, &reason(&error))
            },
        }
    }

    fn room(&self) -> Finding {
        let subject = "disk";
        let root = &self.config().root;
        let stat = match rustix::fs::statvfs(root) {
            Ok(stat) => stat,
            Err(error) => {
                return Finding {
                    verdict: Verdict::Limited,
                    ..works(
                        subject,
                        &format!("cannot tell what is free at {}: {error}", root.display()),
                    )
                };
            }
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let gib = |bytes: u64| bytes / (1 << 20) * 10 / 1024;
        let tenths = gib(free);
        let mut finding = works(
            subject,
            &format!(
                "{}.{} GiB are free at {}",
                tenths / 10,
                tenths % 10,
                root.display()
            ),
        );
        // Some file systems have no fixed number of files and say 0.
        let few_files = stat.f_files > 0 && stat.f_favail < 10_000;
        if few_files {
            finding.detail += &format!(", and room for {} files", stat.f_favail);
        }
        if free < ROOM || few_files {
            finding.verdict = Verdict::Limited;
            finding.advice =
                Some("make room with `kiln prune`, or set KILN_HOME to a larger disk".to_owned());
        }
        finding
    }

    fn devices(&self) -> Vec<Finding> {
        let (devices, broken) = self.config().devices.list();
        let mut all = Vec::new();
        if !devices.is_empty() {
            all.push(works("devices for RUN --device", &devices.join(", ")));
        }
        all.extend(broken.iter().map(|text| Finding {
            verdict: Verdict::Limited,
            ..works("devices for RUN --device", text)
        }));
        all
    }
}

/// An error and what caused it.
fn reason(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", reason(source)),
        None => error.to_string(),
    }
}

fn works(subject: &str, detail: &str) -> Finding {
    Finding {
        subject: subject.to_owned(),
        verdict: Verdict::Works,
        detail: detail.to_owned(),
        advice: None,
    }
}

fn emulators() -> Finding {
    let (here, missing): (Vec<&str>, Vec<&str>) = MACHINES.iter().partition(|machine| runs_here(machine));
    let finding = works("machines that steps can run for", &here.join(", "));
    if missing.is_empty() {
        return finding;
    }
    Finding {
        verdict: Verdict::Limited,
        advice: Some(
            "install the package `qemu-user-static`, which registers emulators with binfmt_misc (in a container the \
             machine around it has to: `docker run --privileged tonistiigi/binfmt --install all`)"
                .to_owned(),
        ),
        detail: format!("{}; not {}", finding.detail, missing.join(", ")),
        ..finding
    }
}

fn program((name, version): (&str, &str), package: &str, purpose: &str) -> Finding {
    let limited = |detail: &str| Finding {
        verdict: Verdict::Limited,
        advice: Some(format!("install the package `{package}`")),
        ..works(name, &format!("{detail}; {purpose}"))
    };
    let mut command = Command::new(name);
    command.arg(version).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {
            // ssh says its version on standard error.
            let said = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&said);
            works(name, text.lines().next().unwrap_or_default().trim())
        }
        Ok(output) => limited(&format!("`{name}` fails ({})", output.status)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => limited("not installed"),
        Err(error) => limited(&format!("cannot run `{name}`: {error}")),
    }
}
