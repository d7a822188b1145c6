//! A frontend between its plugin and the build: what was not granted reaches neither.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Source;
use kiln_image::Platform;

use crate::Component;
use crate::Description;
use crate::Diagnostic;
use crate::Failure;
use crate::FileTree;
use crate::Filter;
use crate::Frontend;
use crate::FrontendBridge;
use crate::FrontendError;
use crate::HostError;
use crate::Ledger;
use crate::LogLevel;
use crate::Lowered;
use crate::PluginError;
use crate::Request;
use crate::ResolvedImage;
use crate::ResolvedSource;
use crate::Usage;
use crate::grant::Grant;
use crate::grant::Grants;
use crate::grant::needs;
use crate::grant::source_grant;
use crate::grant::source_host;
use crate::policy::Policies;

/// What one plugin may do, and who says so.
#[derive(Debug, Clone)]
pub struct Authority {
    /// What errors call the plugin.
    pub plugin: String,
    /// What was granted by the user.
    pub grants: Grants,
    /// What the operator allows at most.
    pub policies: Policies,
    /// Where it is noted what was used.
    pub ledger: Ledger,
}

impl Authority {
    /// Checks one need of `step`.
    ///
    /// # Errors
    /// Says what to type.
    pub fn check(&self, grant: &Grant, step: &str) -> Result<(), PluginError> {
        self.policies.check_grant(&self.plugin, grant)?;
        if self.grants.allows(grant) {
            self.ledger.used(&self.plugin, grant);
            return Ok(());
        }
        let what = match step {
            "" => grant.describe(),
            step => format!("{} (step `{step}`)", grant.describe()),
        };
        Err(PluginError::Denied {
            plugin: self.plugin.clone(),
            what,
            flag: format!("--plugin {},grant={grant}", self.plugin),
        })
    }

    /// Checks everything that the steps of a graph need.
    ///
    /// # Errors
    /// Names the first that is not granted, or not allowed by the operator.
    pub fn check_graph(&self, definition: &Definition) -> Result<(), PluginError> {
        for vertex in &definition.vertices {
            if let kiln_graph::Op::Source(source) = &vertex.op {
                self.check_host(&source.identifier)?;
            }
        }
        needs(definition)
            .iter()
            .try_for_each(|(grant, step)| self.check(grant, step))
    }

    fn check_host(&self, identifier: &str) -> Result<(), PluginError> {
        match source_host(identifier) {
            Some(host) => self.policies.check_egress(&self.plugin, &host),
            None => Ok(()),
        }
    }
}

/// A frontend that is held to its authority.
pub struct GrantedFrontend {
    inner: Arc<dyn Frontend>,
    authority: Arc<Authority>,
    options: Vec<(String, String)>,
}

impl std::fmt::Debug for GrantedFrontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrantedFrontend")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl GrantedFrontend {
    /// Holds `inner` to `authority`; `options` are added to every request.
    pub fn new(inner: Arc<dyn Frontend>, authority: Authority, options: Vec<(String, String)>) -> Self {
        Self {
            inner,
            authority: Arc::new(authority),
            options,
        }
    }

    fn bridge(&self, inner: Arc<dyn FrontendBridge>) -> Arc<dyn FrontendBridge> {
        Arc::new(GrantedBridge {
            inner,
            authority: Arc::clone(&self.authority),
        })
    }

    fn request(&self, request: &Request) -> Request {
        let mut request = request.clone();
        request
            .options
            .retain(|(key, _)| !self.options.iter().any(|(own, _)| own == key));
        request.options.extend(self.options.iter().cloned());
        request
    }
}

#[async_trait]
impl Frontend for GrantedFrontend {
    async fn describe(&self) -> Result<Description, PluginError> {
        self.inner.describe().await
    }

    async fn lower(
        &self,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Lowered, FrontendError> {
        let lowered = self
            .inner
            .lower(&self.request(request), files, self.bridge(bridge))
            .await?;
        self.authority.check_graph(&lowered.definition)?;
        Ok(lowered)
    }

    async fn subrequest(
        &self,
        id: &str,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Vec<(String, Vec<u8>)>, FrontendError> {
        self.inner
            .subrequest(id, &self.request(request), files, self.bridge(bridge))
            .await
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }

    fn component(&self) -> Option<Component> {
        let mut component = self.inner.component()?;
        component.grants = self.authority.grants.names();
        Some(component)
    }
}

/// A build that answers only what is granted.
struct GrantedBridge {
    inner: Arc<dyn FrontendBridge>,
    authority: Arc<Authority>,
}

fn denied(error: &PluginError) -> HostError {
    HostError::Denied(error.to_string())
}

#[async_trait]
impl FrontendBridge for GrantedBridge {
    async fn resolve_image(
        &self,
        identifier: &str,
        platform: Option<&Platform>,
        mode: &str,
        name: &str,
    ) -> Result<ResolvedImage, HostError> {
        self.authority.check_host(identifier).map_err(|e| denied(&e))?;
        self.inner.resolve_image(identifier, platform, mode, name).await
    }

    async fn resolve_source(&self, source: &Source, name: &str) -> Result<ResolvedSource, HostError> {
        self.authority
            .check_host(&source.identifier)
            .map_err(|e| denied(&e))?;
        if let Some(grant) = source_grant(&source.identifier) {
            self.authority.check(&grant, name).map_err(|e| denied(&e))?;
        }
        self.inner.resolve_source(source, name).await
    }

    async fn context(&self, name: &str, filter: &Filter) -> Result<Option<Arc<dyn FileTree>>, HostError> {
        self.inner.context(name, filter).await
    }

    async fn solve(&self, definition: &Definition, result: Input) -> Result<Arc<dyn FileTree>, HostError> {
        self.authority.check_graph(definition).map_err(|e| denied(&e))?;
        self.inner.solve(definition, result).await
    }

    async fn call_frontend(&self, name: &str, request: &Request) -> Result<Lowered, Failure> {
        let checked = self.authority.check(&Grant::SubFrontend, "");
        checked.map_err(|error| Failure::of(error.to_string()))?;
        self.inner.call_frontend(name, request).await
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.inner.report(diagnostic);
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.inner.log(level, message);
    }
}
