//! A frontend whose call in a build is written down, for `kiln plugin replay`.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_plugin::Component;
use kiln_plugin::Description;
use kiln_plugin::FileTree;
use kiln_plugin::Frontend;
use kiln_plugin::FrontendBridge;
use kiln_plugin::FrontendError;
use kiln_plugin::LogLevel;
use kiln_plugin::Lowered;
use kiln_plugin::PluginError;
use kiln_plugin::Request;
use kiln_plugin::Usage;

use super::Recorder;
use super::outcome;

/// Writes down what goes between a frontend and the build.
pub(crate) struct Traced {
    pub(crate) inner: Arc<dyn Frontend>,
    /// How the plugin was named.
    pub(crate) plugin: String,
    /// Where the trace goes.
    pub(crate) file: PathBuf,
}

#[async_trait]
impl Frontend for Traced {
    async fn describe(&self) -> Result<Description, PluginError> {
        self.inner.describe().await
    }

    async fn lower(
        &self,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Lowered, FrontendError> {
        let recorder = Recorder::new(bridge.clone());
        let files = recorder.files(files);
        let result = self.inner.lower(request, files, Arc::new(recorder.clone())).await;
        let digest = self.component().map(|component| component.digest.to_string());
        let trace = recorder.finish(
            &self.plugin,
            digest.unwrap_or_default(),
            request.clone(),
            outcome(&result),
        );
        if let Err(error) = std::fs::write(&self.file, trace.text()) {
            let file = self.file.display();
            bridge.log(
                LogLevel::Error,
                &format!("cannot write the trace `{file}`: {error}"),
            );
        }
        result
    }

    async fn subrequest(
        &self,
        id: &str,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Vec<(String, Vec<u8>)>, FrontendError> {
        self.inner.subrequest(id, request, files, bridge).await
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }

    fn component(&self) -> Option<Component> {
        self.inner.component()
    }
}
