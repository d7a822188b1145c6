//! Address translation and forwarding for the networks of steps: one nftables table, or iptables rules.

use super::missing;
use super::veth;
use crate::ExecError;
use std::fs;
use std::io;
use std::io::Write as _;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::PoisonError;

/// What sets the rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool {
    Nft,
    Iptables,
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Iptables => "iptables",
        }
    }
}

/// Looks for a tool.
pub(super) fn find() -> Result<Tool, ExecError> {
    let works = |tool: Tool| run(tool.name(), &["--version"], "").is_ok_and(|output| output.status.success());
    [Tool::Nft, Tool::Iptables]
        .into_iter()
        .find(|tool| works(*tool))
        .ok_or_else(|| {
            missing(
                "neither `nft` nor `iptables` is installed",
                "install the package `nftables`",
            )
        })
}

/// Sets forwarding and rules up, once for this process. Doing it again, from here or another process, changes nothing.
pub(super) fn prepare() -> Result<(), ExecError> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !*done {
        forward()?;
        match find()? {
            Tool::Nft => nft()?,
            Tool::Iptables => iptables_translation()?,
        }
        pass_dropped_forwarding();
        *done = true;
    }
    Ok(())
}

fn forward() -> Result<(), ExecError> {
    const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(SWITCH).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    fs::write(SWITCH, "1").map_err(|error| {
        missing(
            format!("cannot switch forwarding on: {error}"),
            "run `sysctl net.ipv4.ip_forward=1` as root",
        )
    })
}

fn nft() -> Result<(), ExecError> {
    let network = format!("{}/{}", veth::NETWORK, veth::PREFIX);
    let rules = format!(
        "add table ip kiln\n\
         flush table ip kiln\n\
         table ip kiln {{\n\
           chain postrouting {{\n\
             type nat hook postrouting priority 100; policy accept;\n\
             ip saddr {network} oifname != \"kiln*\" masquerade\n\
           }}\n\
           chain forward {{\n\
             type filter hook forward priority 0; policy accept;\n\
             iifname \"kiln*\" oifname \"kiln*\" drop\n\
           }}\n\
         }}\n"
    );
    succeed("nft", &["-f", "-"], &rules)
}

fn iptables_translation() -> Result<(), ExecError> {
    let network = format!("{}/{}", veth::NETWORK, veth::PREFIX);
    ensure_rule(
        "nat",
        &[
            "POSTROUTING",
            "-s",
            &network,
            "!",
            "-o",
            "kiln+",
            "-j",
            "MASQUERADE",
        ],
    )
}

/// Where docker or an administrator drops what is forwarded, nobody else's table can let it pass.
fn pass_dropped_forwarding() {
    let Ok(output) = run("iptables", &["-w", "-S", "FORWARD"], "") else {
        return;
    };
    if String::from_utf8_lossy(&output.stdout).contains("-P FORWARD DROP") {
        // Best effort: where it fails, the step says that it reaches nobody.
        let _ = ensure_rule(
            "filter",
            &["FORWARD", "-i", "kiln+", "!", "-o", "kiln+", "-j", "ACCEPT"],
        );
        let _ = ensure_rule(
            "filter",
            &["FORWARD", "-o", "kiln+", "!", "-i", "kiln+", "-j", "ACCEPT"],
        );
    }
}

fn ensure_rule(table: &str, rule: &[&str]) -> Result<(), ExecError> {
    let with = |action: &'static str| [&["-w", "-t", table, action], rule].concat();
    if run("iptables", &with("-C"), "").is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    succeed("iptables", &with("-I"), "")
}

fn succeed(tool: &str, args: &[&str], input: &str) -> Result<(), ExecError> {
    let failed = |reason: String| {
        let hint =
            "run as root; the kernel needs nf_tables with NAT; or give the step the network `none` or `host`";
        missing(format!("`{tool}` failed: {reason}"), hint)
    };
    let output = run(tool, args, input).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn run(tool: &str, args: &[&str], input: &str) -> io::Result<Output> {
    let mut child = Command::new(tool)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}
