//! Compiling somewhere else: what a component makes the compiler do is its author's choice, so it is done where it can
//! be ended.

use kiln_plugin::Limit;
use kiln_plugin::Limits;
use kiln_plugin::PluginError;

/// Makes machine code of a component in a process of its own.
///
/// What it returns is executed: it must come from [`crate::Runtime::precompile`] of this very program.
pub trait Compiler: Send + Sync {
    /// Returns the machine code.
    ///
    /// # Errors
    /// When there is none.
    fn compile(&self, component: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError>;
}

/// No machine code was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The compiler cannot make anything of the component, or cannot run.
    #[error("{0}")]
    Failed(String),
    /// A limit was reached: [`Limit::CompileTime`] or [`Limit::CompileMemory`].
    #[error("limit of {0} reached")]
    Limit(Limit),
}

impl CompileError {
    /// Returns the error of the plugin that was compiled.
    pub(crate) fn of(self, plugin: &str, limits: &Limits) -> PluginError {
        let plugin = plugin.to_owned();
        match self {
            Self::Failed(message) => PluginError::Compile { plugin, message },
            Self::Limit(limit) => PluginError::Limit {
                plugin,
                call: "compile".to_owned(),
                limit,
                value: limits.value(limit),
            },
        }
    }
}
