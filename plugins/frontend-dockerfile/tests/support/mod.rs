//! What the tests share: a request, a host with a few images, and graphs as text.

#![allow(dead_code, reason = "each test binary uses a part")]

mod dump;

pub(crate) use dump::dump;

use kiln_frontend_dockerfile::Dockerfile;
use kiln_sdk::frontend::Answer;
use kiln_sdk::frontend::Failure;
use kiln_sdk::frontend::Frontend;
use kiln_sdk::frontend::Lowered;
use kiln_sdk::frontend::Request;
use kiln_sdk::mock::MockHost;
use kiln_sdk::mock::MockTree;
use kiln_sdk::types::Attr;
use kiln_sdk::types::Platform;
use serde_json::Value;
use std::path::PathBuf;

/// A build to lower.
pub(crate) struct Build {
    pub(crate) request: Request,
    pub(crate) files: MockTree,
    pub(crate) context: MockTree,
    pub(crate) host: MockHost,
}

/// Config of the base images: one layer, PATH only.
pub(crate) fn base_config(arch: &str) -> String {
    format!(
        r#"{{"architecture":"{arch}","os":"linux","config":{{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{0}"]}},"history":[{{"created_by":"base"}}]}}"#,
        "1".repeat(64)
    )
}

pub(crate) fn platform(text: &str) -> Platform {
    let mut parts = text.split('/').map(str::to_owned);
    Platform {
        os: parts.next().unwrap_or_default(),
        architecture: parts.next().unwrap_or_default(),
        variant: parts.next(),
        os_version: None,
    }
}

impl Build {
    /// A build of a Dockerfile that lies in its context.
    pub(crate) fn new(dockerfile: &str) -> Self {
        let request = Request {
            source_name: "Dockerfile".to_owned(),
            target: None,
            args: Vec::new(),
            labels: Vec::new(),
            platforms: Vec::new(),
            build_platform: platform("linux/amd64"),
            contexts: Vec::new(),
            options: Vec::new(),
        };
        let mut host = MockHost::new();
        for name in ["busybox", "alpine", "debian", "golang", "nginx"] {
            let identifier = format!("docker-image://docker.io/library/{name}:latest");
            host = host.image(&identifier, &base_config("amd64"));
            for arch in ["arm64", "arm"] {
                let on = platform(if arch == "arm" {
                    "linux/arm/v7"
                } else {
                    "linux/arm64"
                });
                host = host.image_for(&identifier, &on, &base_config(arch));
            }
        }
        Self {
            request,
            files: MockTree::new().file("Dockerfile", dockerfile),
            context: MockTree::new().file("Dockerfile", dockerfile),
            host,
        }
    }

    pub(crate) fn arg(mut self, key: &str, value: &str) -> Self {
        self.request.args.push(Attr::new(key, value));
        self
    }

    pub(crate) fn option(mut self, key: &str, value: &str) -> Self {
        self.request.options.push(Attr::new(key, value));
        self
    }

    pub(crate) fn named(mut self, key: &str, value: &str) -> Self {
        self.request.contexts.push(Attr::new(key, value));
        self
    }

    pub(crate) fn target(mut self, target: &str) -> Self {
        self.request.target = Some(target.to_owned());
        self
    }

    pub(crate) fn platforms(mut self, names: &[&str]) -> Self {
        self.request.platforms = names.iter().map(|name| platform(name)).collect();
        self
    }

    pub(crate) fn file(mut self, path: &str, data: &str) -> Self {
        self.context = self.context.file(path, data);
        self
    }

    pub(crate) fn image(mut self, name: &str, config: &str) -> Self {
        self.host = self.host.image(&format!("docker-image://{name}"), config);
        self
    }

    pub(crate) fn host(mut self, change: impl FnOnce(MockHost) -> MockHost) -> Self {
        self.host = change(self.host);
        self
    }

    /// Lowers; the host comes back for its log.
    pub(crate) fn lower(self) -> (Result<Lowered, Failure>, MockHost) {
        let host = self.host.context("context", self.context);
        (Dockerfile::lower(&host, &self.request, &self.files), host)
    }

    /// Asks a question.
    pub(crate) fn ask(self, id: &str) -> Result<Answer, Failure> {
        let host = self.host.context("context", self.context);
        Dockerfile::subrequest(&host, id, &self.request, &self.files)
    }

    /// Lowers what must lower.
    #[track_caller]
    pub(crate) fn ok(self) -> Lowered {
        match self.lower().0 {
            Ok(lowered) => lowered,
            Err(failure) => panic!("{}", messages(&failure)),
        }
    }

    /// Returns the errors of what must not lower.
    #[track_caller]
    pub(crate) fn error(self) -> String {
        match self.lower().0 {
            Ok(lowered) => panic!("lowered to\n{}", dump(&lowered)),
            Err(failure) => messages(&failure),
        }
    }
}

/// Returns the errors, each with its lines.
pub(crate) fn messages(failure: &Failure) -> String {
    let errors = failure
        .diagnostics
        .iter()
        .filter(|d| d.severity == kiln_sdk::types::Severity::Error);
    let lines: Vec<String> = errors
        .map(|error| match error.spans.first() {
            Some(span) => format!("{}:{}: {}", span.start.line, span.start.column, error.message),
            None => error.message.clone(),
        })
        .collect();
    lines.join("\n")
}

/// Returns the config of the first output.
pub(crate) fn config(lowered: &Lowered) -> Value {
    serde_json::from_slice(&lowered.outputs[0].config).expect("the config is JSON")
}

/// Reads shared conformance data.
pub(crate) fn shared(path: &str) -> Value {
    let root = std::env::var_os("KILN_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("conformance").join(path);
    let text = std::fs::read(&path).unwrap_or_else(|e| {
        panic!(
            "conformance data {} is missing ({e}); set KILN_SHARED",
            path.display()
        )
    });
    serde_json::from_slice(&text).expect("conformance data is JSON")
}
