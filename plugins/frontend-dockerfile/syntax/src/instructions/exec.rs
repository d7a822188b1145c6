//! RUN, CMD, ENTRYPOINT, SHELL and HEALTHCHECK.

use super::CommandLine;
use super::Fault;
use super::FlagKind;
use super::Flags;
use super::HealthConfig;
use super::InlineFile;
use super::Network;
use super::RunCommand;
use super::Security;
use super::at_least_one;
use super::mount;
use super::parse_flags;
use super::texts;
use crate::ast::Node;
use crate::duration;
use crate::error::SyntaxError;
use crate::go;
use crate::suggest;
use std::fmt;

/// The shortest time between checks, in nanoseconds: 1ms.
const MIN_INTERVAL: i64 = 1_000_000;

/// Reads CMD or ENTRYPOINT.
pub(super) fn command_line(node: &Node) -> Result<CommandLine, Fault> {
    parse_flags(&[], &node.flags)?;
    Ok(command(node))
}

fn command(node: &Node) -> CommandLine {
    let files = node.heredocs.iter().map(|h| InlineFile {
        name: h.name.clone(),
        data: h.content.clone(),
        chomp: h.chomp,
    });
    CommandLine {
        args: json_args(texts(node), node.json),
        files: files.collect(),
        shell_form: !node.json,
    }
}

/// Joins the words unless they were a JSON array.
pub(crate) fn json_args(args: Vec<String>, json: bool) -> Vec<String> {
    if json || args.is_empty() {
        args
    } else {
        vec![args.join(" ")]
    }
}

/// Reads SHELL.
pub(super) fn shell(node: &Node) -> Result<Vec<String>, Fault> {
    parse_flags(&[], &node.flags)?;
    match (node.args.is_empty(), node.json) {
        (true, _) => Err(at_least_one("SHELL")),
        (false, true) => Ok(texts(node)),
        (false, false) => {
            let error = SyntaxError::new("SHELL requires the arguments to be in JSON form");
            Err(Fault::at(error, node.args[0].span))
        }
    }
}

/// Reads RUN. The mounts stay as written; only what cannot hold a variable is checked.
pub(super) fn run(node: &Node) -> Result<RunCommand, Fault> {
    let defs = [
        ("mount", FlagKind::List),
        ("network", FlagKind::Text),
        ("security", FlagKind::Text),
        ("device", FlagKind::List),
    ];
    let flags = parse_flags(&defs, &node.flags)?;
    let mount_flags = flags.list("mount");
    let mut mounts = Vec::new();
    for text in &mount_flags {
        let mount = mount::parse_mount(text, None);
        mounts.push(mount.map_err(|e| flag_fault(node, "--mount=", text, e))?);
    }
    let mut devices = Vec::new();
    for text in flags.list("device") {
        devices.push(mount::parse_device(&text).map_err(|e| flag_fault(node, "--device=", &text, e))?);
    }
    Ok(RunCommand {
        command: command(node),
        mount_flags,
        mounts,
        network: network(&flags).map_err(|fault| of_flag(fault, node, "network"))?,
        security: security(&flags).map_err(|fault| of_flag(fault, node, "security"))?,
        devices,
        flags_used: flags.used(),
    })
}

/// Finds the flag that a fault belongs to.
fn flag_fault(node: &Node, prefix: &str, value: &str, error: SyntaxError) -> Fault {
    let flag = node
        .flags
        .iter()
        .find(|word| word.text.strip_prefix(prefix) == Some(value));
    Fault {
        error,
        span: flag.map(|word| word.span),
    }
}

/// Puts a fault at a flag.
fn of_flag(mut fault: Fault, node: &Node, name: &str) -> Fault {
    fault.span = fault.span.or_else(|| node.flag(name, 0));
    fault
}

fn network(flags: &Flags) -> Result<Network, Fault> {
    match flags.get("network") {
        None | Some("default") => Ok(Network::Default),
        Some("none") => Ok(Network::None),
        Some("host") => Ok(Network::Host),
        Some(other) => Err(Fault::new(suggest::exact(
            format!("invalid network mode {}", go::quote(other)),
            other,
            &["default", "none", "host"],
        ))),
    }
}

fn security(flags: &Flags) -> Result<Security, Fault> {
    match flags.get("security") {
        None | Some("sandbox") => Ok(Security::Sandbox),
        Some("insecure") => Ok(Security::Insecure),
        Some(other) => Err(Fault::new(format!("security {} is not valid", go::quote(other)))),
    }
}

/// Reads HEALTHCHECK. The flags of `NONE` are not looked at.
pub(super) fn healthcheck(node: &Node) -> Result<HealthConfig, Fault> {
    let Some((first, words)) = node.args.split_first() else {
        return Err(at_least_one("HEALTHCHECK"));
    };
    let kind = first.text.to_uppercase();
    if kind == "NONE" {
        if !words.is_empty() {
            let error = SyntaxError::new("HEALTHCHECK NONE takes no arguments");
            return Err(Fault::at(error, words[0].span));
        }
        return Ok(HealthConfig {
            test: vec![kind],
            ..HealthConfig::default()
        });
    }
    let defs = [
        ("interval", FlagKind::Text),
        ("timeout", FlagKind::Text),
        ("start-period", FlagKind::Text),
        ("start-interval", FlagKind::Text),
        ("retries", FlagKind::Text),
    ];
    let flags = parse_flags(&defs, &node.flags)?;
    if kind != "CMD" {
        let text = format!("Unknown type {} in HEALTHCHECK (try CMD)", go::quote(&kind));
        return Err(Fault::at(SyntaxError::new(text), first.span));
    }
    let words: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    let words = json_args(words, node.json);
    if words.is_empty() {
        let error = SyntaxError::new("Missing command after HEALTHCHECK CMD");
        return Err(Fault::at(error, first.span));
    }
    let mut test = vec![if node.json { "CMD" } else { "CMD-SHELL" }.to_owned()];
    test.extend(words);
    Ok(HealthConfig {
        test,
        interval: interval(&flags, node, "interval")?,
        timeout: interval(&flags, node, "timeout")?,
        start_period: interval(&flags, node, "start-period")?,
        start_interval: interval(&flags, node, "start-interval")?,
        retries: retries(&flags).map_err(|fault| of_flag(fault, node, "retries"))?,
    })
}

fn interval(flags: &Flags, node: &Node, name: &str) -> Result<i64, Fault> {
    nanoseconds(flags, name).map_err(|fault| of_flag(fault, node, name))
}

fn nanoseconds(flags: &Flags, name: &str) -> Result<i64, Fault> {
    let Some(text) = flags.text(name) else {
        return Ok(0);
    };
    let time = duration::parse(&text)?;
    if time != 0 && time < MIN_INTERVAL {
        let least = duration::format(MIN_INTERVAL);
        return Err(Fault::new(format!(
            "Interval {} cannot be less than {least}",
            go::quote(name)
        )));
    }
    Ok(time)
}

fn retries(flags: &Flags) -> Result<i32, Fault> {
    let Some(text) = flags.text("retries") else {
        return Ok(0);
    };
    let retries = go::parse_i32(&text)?;
    if retries < 0 {
        return Err(Fault::new(format!("--retries cannot be negative ({retries})")));
    }
    Ok(retries)
}

/// Written as in the image history.
impl fmt::Display for HealthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = duration::format;
        write!(
            f,
            "{{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            self.test.join(" "),
            time(self.interval),
            time(self.timeout),
            time(self.start_period),
            time(self.start_interval),
            self.retries
        )
    }
}
