//! What goes wrong with plugins. A trap, a limit and a typed error are three different things.

use serde::Deserialize;
use serde::Serialize;

use crate::Failure;
use crate::Limit;

/// Why the host could not do what a plugin asked. Goes to the plugin as a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum HostError {
    /// There is no such thing; says which.
    #[error("{0}")]
    NotFound(String),
    /// It was not granted; says what to type.
    #[error("{0}")]
    Denied(String),
    /// The question is malformed; says how.
    #[error("{0}")]
    Invalid(String),
    /// A remote side failed after retries; says which.
    #[error("{0}")]
    Unavailable(String),
    /// A limit was reached; says which and what raises it.
    #[error("{0}")]
    Limit(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why a frontend gave no graph.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// The frontend's own answer: the build file is wrong.
    #[error(transparent)]
    Failure(Failure),
    /// The plugin misbehaved or could not be run.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A plugin misbehaved or could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The plugin broke off: a panic, an out-of-bounds access, an `unreachable`.
    #[error("plugin `{plugin}` trapped in `{call}`: {message}")]
    Trap {
        /// Which plugin.
        plugin: String,
        /// In which call.
        call: String,
        /// What happened, with the panic's text when the plugin logged one.
        message: String,
        /// The plugin's frames, innermost first.
        backtrace: Vec<String>,
    },
    /// The plugin used more of something than it may.
    #[error("plugin `{plugin}` reached the limit of {limit} in `{call}`: {value} (raise it with `--plugin-limit {}=…`)", limit.name())]
    Limit {
        /// Which plugin.
        plugin: String,
        /// In which call.
        call: String,
        /// Which limit.
        limit: Limit,
        /// The limit's value, with its unit.
        value: String,
    },
    /// The bytes are not a component.
    #[error("plugin `{plugin}` is not a WebAssembly component: found {found}")]
    NotAComponent {
        /// Which plugin.
        plugin: String,
        /// What it is instead.
        found: String,
    },
    /// The component wants or offers other interfaces than the host.
    #[error("plugin `{plugin}` does not fit the world `{world}`: {}", problems.join("; "))]
    WrongWorld {
        /// Which plugin.
        plugin: String,
        /// The world that was tried.
        world: String,
        /// Each interface that does not fit: what the plugin has and what this host offers or needs.
        problems: Vec<String>,
    },
    /// The plugin wants something that was not granted.
    #[error("plugin `{plugin}` wants {what}, which is not granted (grant it with `{flag}`)")]
    Denied {
        /// Which plugin.
        plugin: String,
        /// What it wants.
        what: String,
        /// What grants it.
        flag: String,
    },
    /// The operator of the machine does not allow it.
    #[error("plugin `{plugin}`: {what} is refused by the policy `{file}`")]
    Policy {
        /// Which plugin.
        plugin: String,
        /// What is refused.
        what: String,
        /// The file that says so.
        file: String,
        /// What the operator would add, and where.
        advice: String,
    },
    /// No machine code could be made of the component.
    #[error("cannot compile plugin `{plugin}`: {message}")]
    Compile {
        /// Which plugin.
        plugin: String,
        /// Why.
        message: String,
    },
    /// The plugin returned something that is not an answer.
    #[error("plugin `{plugin}` returned an unusable answer from `{call}`: {why}")]
    BadOutput {
        /// Which plugin.
        plugin: String,
        /// In which call.
        call: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no plugin of that name, or its file cannot be read.
    #[error("cannot open plugin `{plugin}`: {message}")]
    Open {
        /// Which plugin.
        plugin: String,
        /// Why.
        message: String,
    },
}

impl PluginError {
    /// Returns which plugin it is about.
    pub fn plugin(&self) -> &str {
        match self {
            Self::Trap { plugin, .. }
            | Self::Limit { plugin, .. }
            | Self::NotAComponent { plugin, .. }
            | Self::WrongWorld { plugin, .. }
            | Self::Denied { plugin, .. }
            | Self::Policy { plugin, .. }
            | Self::Compile { plugin, .. }
            | Self::BadOutput { plugin, .. }
            | Self::Open { plugin, .. } => plugin,
        }
    }

    /// Returns what the user can do, if something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Trap { .. } | Self::BadOutput { .. } => {
                Some("this is a fault of the plugin; report it to its author".into())
            }
            Self::Limit { limit, .. } => Some(limit.hint()),
            Self::NotAComponent { .. } => {
                Some("a core module becomes a component by `wasm-tools component new`".into())
            }
            Self::WrongWorld { .. } => {
                Some("use a version of the plugin that was built for this version of kiln".into())
            }
            Self::Denied { flag, .. } => Some(format!("grant it with `{flag}`")),
            Self::Policy { file, advice, .. } => {
                Some(format!("ask the operator to add {advice} in `{file}`"))
            }
            Self::Compile { .. } | Self::Open { .. } => None,
        }
    }
}
