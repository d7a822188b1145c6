//! Docker's and podman's credential files, and the helpers that they name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::CredentialError;
use crate::Credentials;
use crate::Login;
use crate::http::printable;

/// How long a helper may take.
const HELPER: Duration = Duration::from_secs(60);

/// Bytes of a helper's answer that are read.
const HELPER_ANSWER: u64 = 64 << 10;

/// Largest credentials file.
const LARGEST: u64 = 4 << 20;

/// Docker Hub's name in credential files.
const HUB: &str = "https://index.docker.io/v1/";

/// The logins of docker's `config.json` or podman's `auth.json`, helpers (`docker-credential-*`) included.
#[derive(Clone)]
pub struct DockerConfig {
    path: PathBuf,
    file: File,
    folders: Vec<PathBuf>,
    patience: Duration,
}

#[derive(Clone, Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credsStore", default)]
    store: String,
    #[serde(rename = "credHelpers", default)]
    helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(rename = "identitytoken", default)]
    identity_token: String,
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl DockerConfig {
    /// Reads the file at `path`; a file that does not exist has no logins.
    ///
    /// # Errors
    /// When the file exists and cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self, CredentialError> {
        let file = match read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| CredentialError::Malformed {
                path: path.to_owned(),
                // The text of the error could quote a secret.
                reason: format!(
                    "line {}, column {}: expected docker's JSON",
                    error.line(),
                    error.column()
                ),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(source) => {
                return Err(CredentialError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            folders: Vec::new(),
            patience: HELPER,
        })
    }

    /// Looks for helpers in `folder` before it looks in PATH.
    #[must_use]
    pub fn helpers_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Waits so long for a helper; 60 s unless this is called, since a helper may ask somebody for a password.
    #[must_use]
    pub fn helper_timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout;
        self
    }

    fn stored(&self, registry: &str) -> Result<Option<Login>, CredentialError> {
        // An entry as docker writes it goes before one that only names the same host.
        let exact = names(registry).find_map(|name| self.file.auths.get(&name));
        let alike = || {
            let mut auths = self.file.auths.iter();
            auths.find(|(name, _)| host_of(name) == Some(registry))
        };
        let Some(auth) = exact.or_else(|| alike().map(|(_, auth)| auth)) else {
            return Ok(None);
        };
        if !auth.identity_token.is_empty() {
            return Ok(Some(Login::IdentityToken(auth.identity_token.clone())));
        }
        let basic = |user: &str, password: &str| Login::Basic {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        if auth.auth.is_empty() {
            return Ok((!auth.username.is_empty()).then(|| basic(&auth.username, &auth.password)));
        }
        let decoded = STANDARD
            .decode(auth.auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (user, password) = pair.ok_or_else(|| CredentialError::Malformed {
            path: self.path.clone(),
            reason: format!("`auth` of `{registry}` is not the base64 of `user:password`"),
        })?;
        Ok(Some(basic(user, password.trim_end_matches('\0'))))
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// Returns the names under which files and helpers may have a registry, docker's own first.
fn names(registry: &str) -> impl Iterator<Item = String> {
    let hub = (registry == "docker.io").then(|| [HUB.to_owned(), "index.docker.io".to_owned()]);
    hub.into_iter().flatten().chain([registry.to_owned()])
}

/// Returns the host of an entry that is a URL: `https://r.example/v2/` is about `r.example`. An entry of podman's with
/// a path is about some repositories alone.
fn host_of(name: &str) -> Option<&str> {
    let rest = name
        .strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"))?;
    match rest.split('/').next()? {
        "index.docker.io" => Some("docker.io"),
        host => Some(host),
    }
}

#[async_trait]
impl Credentials for DockerConfig {
    async fn get(&self, registry: &str) -> Result<Option<Login>, CredentialError> {
        let special = names(registry).find_map(|name| self.file.helpers.get(&name));
        let helper = special.unwrap_or(&self.file.store);
        if !helper.is_empty() {
            let name = names(registry).next().unwrap_or_else(|| registry.to_owned());
            if let Some(login) = self.ask(helper, &name).await? {
                return Ok(Some(login));
            }
        }
        self.stored(registry)
    }
}

/// What a helper prints.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

impl DockerConfig {
    /// Runs `docker-credential-<helper> get`.
    async fn ask(&self, helper: &str, registry: &str) -> Result<Option<Login>, CredentialError> {
        let helper = format!("docker-credential-{helper}");
        let failed = |message: &str| CredentialError::Failed {
            helper: helper.clone(),
            registry: registry.to_owned(),
            message: printable(message.trim(), 300),
        };
        if helper.contains('/') {
            return Err(failed("a helper's name has no `/`"));
        }
        let mut folders = self.folders.iter().map(|folder| folder.join(&helper));
        let program = folders
            .find(|path| path.is_file())
            .unwrap_or_else(|| PathBuf::from(&helper));
        let answer = tokio::time::timeout(self.patience, run(&program, registry)).await;
        let answer = answer.map_err(|_| CredentialError::Timeout {
            helper: helper.clone(),
            after: self.patience,
        })?;
        let (success, output, complaint) = answer.map_err(|source| CredentialError::Start {
            helper: helper.clone(),
            source,
        })?;
        if !success {
            // Helpers complain on standard output; this one text means that there is nothing.
            let text = String::from_utf8_lossy(if output.is_empty() { &complaint } else { &output });
            if text.contains("credentials not found") {
                return Ok(None);
            }
            return Err(failed(&text));
        }
        let answer: Answer =
            serde_json::from_slice(&output).map_err(|_| failed("its answer is not the JSON it should be"))?;
        Ok(match answer.user.as_str() {
            _ if answer.secret.is_empty() => None,
            "<token>" => Some(Login::IdentityToken(answer.secret)),
            _ => Some(Login::Basic {
                user: answer.user,
                password: answer.secret,
            }),
        })
    }
}

async fn run(helper: &Path, registry: &str) -> std::io::Result<(bool, Vec<u8>, Vec<u8>)> {
    let mut child = Command::new(helper)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A helper that does not read its input says what is wrong on its output.
            let _ = stdin.write_all(registry.as_bytes()).await;
        }
    };
    let ((), output, complaint) = futures::future::join3(feed, collect(stdout), collect(stderr)).await;
    let status = child.wait().await?;
    Ok((status.success(), output?, complaint?))
}

async fn collect(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(HELPER_ANSWER).read_to_end(&mut text).await?;
    }
    Ok(text)
}
