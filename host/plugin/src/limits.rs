//! How much a plugin may use, and what each limit is called on the command line.

use crate::PluginKind;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One limit: the knob of `--plugin-limit NAME=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Sum of all linear memories, in bytes.
    Memory,
    /// Sum of all table elements.
    Table,
    /// Core instances, memories and tables, each.
    Instances,
    /// Depth of the stack.
    Stack,
    /// Instructions.
    Fuel,
    /// Time in the plugin, without the time that the host takes to answer.
    Wall,
    /// Handles open at once.
    Handles,
    /// Calls to the host.
    HostCalls,
    /// Bytes over the border in both directions, answers and output included.
    Bytes,
    /// Size of the answer in bytes.
    Output,
    /// Bytes written to the log.
    Log,
    /// Size of the component in bytes.
    Component,
    /// Processor time for compiling the component.
    CompileTime,
    /// Memory for compiling the component, as address space, in bytes.
    CompileMemory,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 14] = [
        Self::Memory,
        Self::Table,
        Self::Instances,
        Self::Stack,
        Self::Fuel,
        Self::Wall,
        Self::Handles,
        Self::HostCalls,
        Self::Bytes,
        Self::Output,
        Self::Log,
        Self::Component,
        Self::CompileTime,
        Self::CompileMemory,
    ];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Instances => "instances",
            Self::Stack => "stack",
            Self::Fuel => "fuel",
            Self::Wall => "wall",
            Self::Handles => "handles",
            Self::HostCalls => "host-calls",
            Self::Bytes => "bytes",
            Self::Output => "output",
            Self::Log => "log",
            Self::Component => "component",
            Self::CompileTime => "compile-time",
            Self::CompileMemory => "compile-memory",
        }
    }

    /// Returns what the user can do about it.
    pub fn hint(self) -> String {
        match self {
            Self::Stack => "the stack cannot be raised; the plugin recurses too deeply".into(),
            limit => format!("raise it with `--plugin-limit {}=…`", limit.name()),
        }
    }
}

impl fmt::Display for Limit {
    /// Writes what is limited, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Table => "table elements",
            Self::Instances => "instances",
            Self::Stack => "stack depth",
            Self::Fuel => "fuel (instructions)",
            Self::Wall => "wall time",
            Self::Handles => "handles",
            Self::HostCalls => "host calls",
            Self::Bytes => "bytes over the border",
            Self::Output => "output size",
            Self::Log => "log size",
            Self::Component => "component size",
            Self::CompileTime => "processor time",
            Self::CompileMemory => "memory",
        })
    }
}

/// How much one call of a plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sum of all linear memories, in bytes.
    pub memory: u64,
    /// Sum of all table elements.
    pub table: u64,
    /// Core instances, memories and tables, each.
    pub instances: u64,
    /// Instructions.
    pub fuel: u64,
    /// Time in the plugin, without the time that the host takes to answer.
    pub wall: Duration,
    /// Handles open at once.
    pub handles: u64,
    /// Calls to the host.
    pub host_calls: u64,
    /// Bytes over the border in both directions.
    pub bytes: u64,
    /// Size of the answer in bytes.
    pub output: u64,
    /// Bytes written to the log.
    pub log: u64,
    /// Size of the component in bytes.
    pub component: u64,
    /// Processor time for compiling the component.
    pub compile_time: Duration,
    /// Memory for compiling the component, as address space, in bytes.
    pub compile_memory: u64,
}

impl Limits {
    /// Returns the limits of a frontend.
    pub fn frontend() -> Self {
        Self {
            memory: 256 * MIB,
            table: 50_000,
            instances: 64,
            // Some 10 s of a slow machine; a 100-line Dockerfile takes about a thousandth.
            fuel: 20_000_000_000,
            wall: Duration::from_secs(10),
            handles: 4096,
            host_calls: 1_000_000,
            bytes: 256 * MIB,
            output: 32 * MIB,
            log: MIB,
            component: 64 * MIB,
            // A Python component takes some 20 s on two processors.
            compile_time: Duration::from_secs(180),
            compile_memory: 4096 * MIB,
        }
    }

    /// Returns the limits of a cataloger, for one batch of files.
    pub fn cataloger() -> Self {
        Self {
            // One program may be larger than what a batch has else.
            memory: 512 * MIB,
            bytes: 512 * MIB,
            fuel: 100_000_000_000,
            wall: Duration::from_secs(60),
            ..Self::frontend()
        }
    }

    /// Returns the limits of a scanner.
    pub fn scanner() -> Self {
        Self {
            memory: 1024 * MIB,
            fuel: 1_000_000_000_000,
            wall: Duration::from_secs(300),
            host_calls: 10_000_000,
            bytes: 8192 * MIB,
            output: 256 * MIB,
            ..Self::frontend()
        }
    }

    /// Returns the limits of a cache adapter.
    pub fn cache() -> Self {
        Self {
            wall: Duration::from_secs(60),
            ..Self::frontend()
        }
    }

    /// Sets one limit from `NAME=VALUE`: a number, a size such as `64MiB`, or a time such as `500ms` or `30s`.
    ///
    /// # Errors
    /// There is no such limit, or it does not take such a value.
    pub fn set(&mut self, text: &str) -> Result<(), LimitError> {
        let (name, value) = text.split_once('=').ok_or_else(|| LimitError::Form {
            text: text.to_owned(),
        })?;
        let slot = match name {
            "memory" => &mut self.memory,
            "table" => &mut self.table,
            "instances" => &mut self.instances,
            "fuel" => &mut self.fuel,
            "handles" => &mut self.handles,
            "host-calls" => &mut self.host_calls,
            "bytes" => &mut self.bytes,
            "output" => &mut self.output,
            "log" => &mut self.log,
            "component" => &mut self.component,
            "compile-memory" => &mut self.compile_memory,
            "wall" | "compile-time" => {
                let time =
                    time(value).ok_or_else(|| LimitError::value(name, value, "a time such as `30s`"))?;
                match name {
                    "wall" => self.wall = time,
                    _ => self.compile_time = time,
                }
                return Ok(());
            }
            _ => {
                return Err(LimitError::Unknown {
                    name: name.to_owned(),
                });
            }
        };
        *slot = size(value)
            .ok_or_else(|| LimitError::value(name, value, "a number such as `100000` or `64MiB`"))?;
        Ok(())
    }

    /// Returns the limits of a kind.
    pub fn of(kind: PluginKind) -> Self {
        match kind {
            PluginKind::Frontend => Self::frontend(),
            PluginKind::Cataloger => Self::cataloger(),
            PluginKind::Scanner => Self::scanner(),
            PluginKind::Cache => Self::cache(),
        }
    }

    /// Sets one limit of a plugin of that kind from `NAME=VALUE`, or from `KIND.NAME=VALUE`, which says nothing of other
    /// kinds.
    ///
    /// # Errors
    /// As [`Limits::set`].
    pub fn set_of(&mut self, kind: PluginKind, text: &str) -> Result<(), LimitError> {
        let named = |kind: &PluginKind| Some((*kind, text.strip_prefix(kind.name())?.strip_prefix('.')?));
        match PluginKind::ALL.iter().find_map(named) {
            Some((other, limit)) if other == kind => self.set(limit),
            Some((other, limit)) => Self::of(other).set(limit),
            None => self.set(text),
        }
    }

    /// Lowers each limit to that of `most`, where that is less.
    pub fn lower_to(&mut self, most: &Self) {
        let pairs = [
            (&mut self.memory, most.memory),
            (&mut self.table, most.table),
            (&mut self.instances, most.instances),
            (&mut self.fuel, most.fuel),
            (&mut self.handles, most.handles),
            (&mut self.host_calls, most.host_calls),
            (&mut self.bytes, most.bytes),
            (&mut self.output, most.output),
            (&mut self.log, most.log),
            (&mut self.component, most.component),
            (&mut self.compile_memory, most.compile_memory),
        ];
        for (own, most) in pairs {
            *own = most.min(*own);
        }
        self.wall = most.wall.min(self.wall);
        self.compile_time = most.compile_time.min(self.compile_time);
    }

    /// Returns the value of a limit as a person writes it.
    pub fn value(&self, limit: Limit) -> String {
        match limit {
            Limit::Memory => bytes(self.memory),
            Limit::Table => self.table.to_string(),
            Limit::Instances => self.instances.to_string(),
            Limit::Stack => "1 MiB".to_owned(),
            Limit::Fuel => self.fuel.to_string(),
            Limit::Wall => format!("{:?}", self.wall),
            Limit::Handles => self.handles.to_string(),
            Limit::HostCalls => self.host_calls.to_string(),
            Limit::Bytes => bytes(self.bytes),
            Limit::Output => bytes(self.output),
            Limit::Log => bytes(self.log),
            Limit::Component => bytes(self.component),
            Limit::CompileTime => format!("{:?}", self.compile_time),
            Limit::CompileMemory => bytes(self.compile_memory),
        }
    }
}

impl FromStr for Limits {
    type Err = LimitError;

    /// Reads comma-separated `NAME=VALUE` over the limits of a frontend.
    fn from_str(text: &str) -> Result<Self, LimitError> {
        let mut limits = Self::frontend();
        text.split(',').try_for_each(|part| limits.set(part))?;
        Ok(limits)
    }
}

/// A limit that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is no `=`.
    #[error("cannot read the plugin limit `{text}`: expected `NAME=VALUE`, such as `fuel=1000000`")]
    Form {
        /// What was given.
        text: String,
    },
    /// There is no such limit.
    #[error("unknown plugin limit `{name}`: expected one of {}", Limit::ALL.iter().filter(|l| **l != Limit::Stack).map(|l| format!("`{}`", l.name())).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// What was given.
        name: String,
    },
    /// The value cannot be read.
    #[error("cannot read the plugin limit `{name}={value}`: expected {expected}")]
    Value {
        /// Which limit.
        name: String,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
}

impl LimitError {
    fn value(name: &str, value: &str, expected: &'static str) -> Self {
        Self::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "K" | "KiB" | "k" => KIB,
        "M" | "MiB" | "m" => MIB,
        "G" | "GiB" | "g" => 1024 * MIB,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

fn bytes(number: u64) -> String {
    match number {
        n if n >= MIB && n.is_multiple_of(MIB) => format!("{} MiB", n / MIB),
        n if n >= KIB && n.is_multiple_of(KIB) => format!("{} KiB", n / KIB),
        n => format!("{n} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_text() {
        let check = |text: &str, limit: Limit, expect: &str| {
            let limits: Limits = text.parse().unwrap();
            assert_eq!(limits.value(limit), expect, "{text}");
        };
        check("memory=64MiB", Limit::Memory, "64 MiB");
        check("memory=1000", Limit::Memory, "1000 bytes");
        check("fuel=5,wall=500ms", Limit::Wall, "500ms");
        check("fuel=5,wall=2m", Limit::Fuel, "5");
        check("output=16K", Limit::Output, "16 KiB");
    }

    #[test]
    fn wrong_limits_are_errors_that_say_what_was_expected() {
        let check = |text: &str, expect: &str| {
            let error = text.parse::<Limits>().unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("memory", "expected `NAME=VALUE`");
        check("speed=1", "unknown plugin limit `speed`");
        check("stack=1", "unknown plugin limit `stack`");
        check("memory=lots", "expected a number");
        check("memory=-1", "expected a number");
        check("memory=99999999999999999999", "expected a number");
        check("memory=99999999999999G", "expected a number");
        check("wall=1h", "expected a time");
    }

    #[test]
    fn limits_are_of_all_kinds_or_of_one() {
        let check = |text: &str, frontend: &str, cataloger: &str| {
            for (kind, expect) in [
                (PluginKind::Frontend, frontend),
                (PluginKind::Cataloger, cataloger),
            ] {
                let mut limits = Limits::of(kind);
                limits.set_of(kind, text).unwrap();
                assert_eq!(limits.value(Limit::Wall), expect, "{text} of {kind}");
            }
        };
        check("wall=7s", "7s", "7s");
        check("frontend.wall=7s", "7s", "60s");
        check("cataloger.wall=7s", "10s", "7s");
        let wrong = |text: &str| Limits::frontend().set_of(PluginKind::Frontend, text).unwrap_err();
        assert!(wrong("scanner.speed=1").to_string().contains("`speed`"));
        assert!(wrong("exporter.wall=1").to_string().contains("`exporter.wall`"));
    }

    #[test]
    fn every_limit_but_the_stack_can_be_set() {
        for limit in Limit::ALL {
            let set = Limits::frontend().set(&format!("{}=7", limit.name()));
            assert_eq!(set.is_ok(), limit != Limit::Stack, "{limit:?}");
        }
    }
}
