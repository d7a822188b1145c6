//! A bridge for calls that may not ask anything.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Platform;
use kiln_plugin::CacheBridge;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileTree;
use kiln_plugin::Filter;
use kiln_plugin::FrontendBridge;
use kiln_plugin::HostError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::Request;
use kiln_plugin::ResolvedImage;
use kiln_plugin::ResolvedSource;

/// Most warnings that are kept, and the longest.
const WARNINGS: usize = 100;
const LONGEST: usize = 500;

/// Denies everything: `describe` is about the plugin, not about a build.
#[derive(Default)]
pub(crate) struct SilentBridge {
    warnings: Mutex<Vec<String>>,
    /// Who hears the log besides.
    told: Option<Arc<dyn CacheBridge>>,
}

impl SilentBridge {
    /// Returns a bridge whose log is heard.
    pub(crate) fn telling(told: Arc<dyn CacheBridge>) -> Self {
        Self {
            told: Some(told),
            ..Self::default()
        }
    }

    /// Returns what the plugin warned of.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut warnings)
    }
}

fn denied<T>() -> Result<T, HostError> {
    Err(HostError::Denied("`describe` may not ask about a build".into()))
}

#[async_trait]
impl FrontendBridge for SilentBridge {
    async fn resolve_image(
        &self,
        _identifier: &str,
        _platform: Option<&Platform>,
        _mode: &str,
        _name: &str,
    ) -> Result<ResolvedImage, HostError> {
        denied()
    }

    async fn resolve_source(&self, _source: &Source, _name: &str) -> Result<ResolvedSource, HostError> {
        denied()
    }

    async fn context(&self, _name: &str, _filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        denied()
    }

    async fn solve(&self, _definition: &Definition, _result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        denied()
    }

    async fn call_frontend(&self, _name: &str, _request: &Request) -> Result<Lowered, Failure> {
        Err(Failure::of("`describe` may not ask about a build"))
    }

    fn report(&self, _diagnostic: Diagnostic) {}

    fn log(&self, level: LogLevel, message: &str) {
        tracing::debug!(?level, message, "a plugin describes itself");
        if let Some(told) = &self.told {
            told.log(level, message);
        }
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if level == LogLevel::Warn && warnings.len() < WARNINGS {
            warnings.push(message.chars().take(LONGEST).collect());
        }
    }
}
