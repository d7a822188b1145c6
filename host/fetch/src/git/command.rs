//! One run of git: its environment, its words, its end.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use kiln_giturl::redact;
use rustix::process::Pid;
use rustix::process::Signal;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::process::Command;
use url::Url;

use super::Job;
use super::remote::Remote;
use crate::FetchError;
use crate::http;

/// Most bytes of an answer that is kept whole.
const ANSWER: usize = 64 << 20;
/// Bytes of what git complains about that an error shows.
const COMPLAINT: usize = 4096;
/// What servers of the smart protocol are asked first.
const REFS: &str = "/info/refs";
/// Longest line that is passed on.
const LINE: usize = 2048;

/// What git is asked to do. None of the words may come from a source unless they are checked.
#[derive(Default)]
pub(super) struct Call<'c> {
    /// The words.
    pub(super) words: Vec<OsString>,
    /// What it is, for errors: it stands between `failed to` and the repository.
    pub(super) action: &'static str,
    /// The repository on this machine.
    pub(super) git_dir: Option<&'c Path>,
    /// The working tree.
    pub(super) work_tree: Option<&'c Path>,
    /// The index.
    pub(super) index: Option<&'c Path>,
    /// What `origin` is; git speaks to nobody else.
    pub(super) origin: Option<&'c Remote>,
}

impl<'c> Call<'c> {
    pub(super) fn new(action: &'static str, words: &[&str]) -> Self {
        Self {
            words: words.iter().map(OsString::from).collect(),
            action,
            ..Self::default()
        }
    }

    pub(super) fn at(mut self, git_dir: &'c Path) -> Self {
        self.git_dir = Some(git_dir);
        self
    }

    pub(super) fn origin(mut self, origin: &'c Remote) -> Self {
        self.origin = Some(origin);
        self
    }
}

/// Settings of every run.
const SETTINGS: [(&str, &str); 20] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.logAllRefUpdates", "false"),
    ("credential.helper", ""),
    ("protocol.allow", "never"),
    ("protocol.version", "2"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("transfer.bundleURI", "false"),
    ("transfer.credentialsInUrl", "allow"),
    ("http.lowSpeedLimit", "1"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("init.defaultBranch", "master"),
    ("advice.detachedHead", "false"),
    ("safe.bareRepository", "all"),
];

/// A process group that ends with this value.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // git's helpers do not notice when git is killed.
            let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Job<'_> {
    /// Runs git and returns what it printed.
    pub(super) async fn git(&self, call: &Call<'_>) -> Result<Vec<u8>, FetchError> {
        let mut answer = Vec::new();
        let shown = call.origin.unwrap_or(&self.source.remote).shown();
        self.git_each(call, &mut |bytes| {
            answer.extend_from_slice(bytes);
            (answer.len() <= ANSWER)
                .then_some(())
                .ok_or_else(|| FetchError::TooLarge {
                    what: shown.clone(),
                    limit: ANSWER as u64,
                    unit: "bytes of names",
                })
        })
        .await?;
        Ok(answer)
    }

    /// Runs git and hands on what it prints, piece by piece.
    pub(super) async fn git_each(
        &self,
        call: &Call<'_>,
        each: &mut (dyn FnMut(&[u8]) -> Result<(), FetchError> + Send),
    ) -> Result<(), FetchError> {
        if let Some(origin) = call.origin.filter(|origin| !matches!(origin, Remote::Local(_)))
            && self.config.offline
        {
            return Err(FetchError::Offline(origin.shown()));
        }
        let address = match call.origin {
            Some(origin) => Some(self.address(origin).await?),
            None => None,
        };
        let mut child = self
            .command(call, address)?
            .spawn()
            .map_err(|source| FetchError::GitProgram {
                program: self.config.git.clone(),
                source,
            })?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let read = async {
            let Some(mut stdout) = stdout else { return Ok(()) };
            let mut buffer = vec![0; 64 << 10];
            loop {
                match stdout.read(&mut buffer).await {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(length) => each(&buffer[..length])?,
                }
            }
        };
        let (read, complaint) = tokio::join!(read, self.complaints(stderr));
        read?;
        let ended = wait(&mut child).await;
        group.0 = None;
        if ended == "exit status 0" {
            return Ok(());
        }
        Err(self.failed(call, complaint, ended))
    }

    /// Returns where a repository is now. git itself follows no redirects when it has a token, for it would send the
    /// token along; where a repository has moved on its own host is found out first.
    async fn address(&self, origin: &Remote) -> Result<String, FetchError> {
        let authorization = self.access.authorization(origin)?;
        let (Some((_, header)), true) = (authorization, *origin == self.source.remote) else {
            return Ok(origin.url());
        };
        let header = header.trim_start_matches("Authorization: ");
        let moved = self.moved.get_or_init(|| async {
            let url = origin.url();
            // What cannot be asked is for git to complain about.
            self.moved(&url, header).await.unwrap_or(url)
        });
        Ok(moved.await.clone())
    }

    async fn moved(&self, url: &str, authorization: &str) -> Option<String> {
        let probe = format!("{}{REFS}?service=git-upload-pack", url.trim_end_matches('/'));
        let probe = Url::parse(&probe).ok()?;
        let call = http::Call {
            method: reqwest::Method::GET,
            headers: &[],
            authorization: Some(authorization),
        };
        let mut at = self.client.send(&probe, &call).await.ok()?.url().clone();
        if at == probe || !http::may_know(&probe, &at) {
            return None;
        }
        let path = at.path().strip_suffix(REFS)?.to_owned();
        at.set_path(&path);
        at.set_query(None);
        Some(at.into())
    }

    fn command(&self, call: &Call<'_>, address: Option<String>) -> Result<Command, FetchError> {
        let config = self.config;
        // What the user's umask says is not part of a build.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "umask 022 && exec \"$@\"", "sh"])
            .arg(&config.git);
        command.args(&call.words);
        command.env_clear();
        command.envs([
            ("PATH", config.path.as_str()),
            ("HOME", "/dev/null"),
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ]);
        let paths = [
            ("GIT_DIR", call.git_dir),
            ("GIT_WORK_TREE", call.work_tree),
            ("GIT_INDEX_FILE", call.index),
        ];
        for (key, path) in paths {
            if let Some(path) = path {
                command.env(key, path);
            }
        }
        let mut settings: Vec<(String, String)> = SETTINGS
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let stall = config.limits.stall.as_secs().max(1);
        settings.push(("http.lowSpeedTime".to_owned(), stall.to_string()));
        match call.origin {
            Some(origin) => {
                settings.push((
                    "remote.origin.url".to_owned(),
                    address.unwrap_or_else(|| origin.url()),
                ));
                self.set_origin(origin, &mut command, &mut settings)?;
            }
            None => {
                command.env("GIT_ALLOW_PROTOCOL", "none");
            }
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (at, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        // Away from whatever directory the user is in: it may be a repository.
        command.current_dir(call.work_tree.or(call.git_dir).unwrap_or(&config.repositories));
        command.env(
            "GIT_CEILING_DIRECTORIES",
            config.repositories.parent().unwrap_or(Path::new("/")),
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Sets what git needs to speak to a server: its URL and the user's credentials, neither of them as a word that
    /// everybody on this machine can read.
    fn set_origin(
        &self,
        origin: &Remote,
        command: &mut Command,
        settings: &mut Vec<(String, String)>,
    ) -> Result<(), FetchError> {
        let config = self.config;
        command.env("GIT_ALLOW_PROTOCOL", origin.protocols());
        if let Remote::Local(_) = origin {
            // The repository may belong to somebody else, and git's other half reads no other settings than these.
            command.env("GIT_CONFIG_GLOBAL", local_settings(&config.repositories)?);
        }
        if let Some((scope, header)) = self.access.authorization(origin)? {
            settings.push((format!("http.{scope}.extraheader"), header));
            // git sends the header wherever the server sends git.
            settings.push(("http.followRedirects".to_owned(), "false".to_owned()));
        }
        if origin.is_ssh() {
            command.env("GIT_SSH_COMMAND", self.access.ssh_command());
            command.env("GIT_SSH_VARIANT", "ssh");
            if let Some(agent) = self.access.agent(origin) {
                command.env("SSH_AUTH_SOCK", agent);
            }
        }
        let proxies = &config.proxies;
        let variables = [("http_proxy", &proxies.http), ("https_proxy", &proxies.https)];
        for (key, value) in variables {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        if !proxies.except.is_empty() {
            command.env("no_proxy", &proxies.except);
        }
        Ok(())
    }

    /// Passes lines on and returns the last of them.
    async fn complaints(&self, stderr: Option<impl AsyncRead + Unpin>) -> String {
        let Some(mut stderr) = stderr else {
            return String::new();
        };
        let (mut line, mut kept) = (Vec::new(), String::new());
        let mut buffer = vec![0; 8 << 10];
        loop {
            let length = stderr.read(&mut buffer).await.unwrap_or(0);
            for byte in &buffer[..length] {
                match byte {
                    b'\n' | b'\r' => self.complaint(&mut line, &mut kept),
                    byte if line.len() < LINE => line.push(*byte),
                    _ => {}
                }
            }
            if length == 0 {
                self.complaint(&mut line, &mut kept);
                return kept.trim_end().to_owned();
            }
        }
    }

    fn complaint(&self, line: &mut Vec<u8>, kept: &mut String) {
        let text = redact(&String::from_utf8_lossy(line));
        // A server writes part of this: nothing in it may move a terminal's cursor.
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        line.clear();
        if text.trim().is_empty() {
            return;
        }
        self.caller.said(&text);
        kept.push_str(&text);
        kept.push('\n');
        if let Some(cut) = kept.len().checked_sub(COMPLAINT) {
            let cut = kept[..]
                .char_indices()
                .map(|(at, _)| at)
                .find(|at| *at >= cut)
                .unwrap_or(0);
            kept.drain(..cut);
        }
    }

    fn failed(&self, call: &Call<'_>, stderr: String, status: String) -> FetchError {
        // The shell's word for a program that is not there.
        if status == "exit status 127" && stderr.contains("not found") {
            return FetchError::GitProgram {
                program: self.config.git.clone(),
                source: std::io::ErrorKind::NotFound.into(),
            };
        }
        let remote = call.origin.unwrap_or(&self.source.remote);
        let has = |text: &str| stderr.contains(text);
        let host = remote.origin().map_or("HOST", |(_, host)| host);
        let hint = if has("could not read Username") || has("Authentication failed") {
            format!(" (give a token with `--secret id=GIT_AUTH_TOKEN.{host},src=FILE`)")
        } else if has("requested URL returned error: 30") {
            " (the repository has moved, and a token is sent to the host that it is for only: use the new URL)".to_owned()
        } else if has("Permission denied (publickey") {
            " (the agent that `--ssh` names has no key for this server: see `ssh-add -l`)".to_owned()
        } else if has("Host key verification failed") {
            " (the server's key is not the one in `known_hosts`)".to_owned()
        } else {
            String::new()
        };
        FetchError::Git {
            action: call.action,
            remote: remote.shown(),
            stderr,
            status,
            hint,
        }
    }
}

async fn wait(child: &mut Child) -> String {
    match child.wait().await {
        Ok(status) => match status.code() {
            Some(code) => format!("exit status {code}"),
            None => status.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

/// Returns the file with settings for repositories of this machine.
fn local_settings(directory: &Path) -> Result<std::path::PathBuf, FetchError> {
    let path = directory.join("local.gitconfig");
    let text = "[safe]\n\tdirectory = *\n\tbareRepository = all\n[core]\n\thooksPath = /dev/null\n";
    if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
        std::fs::write(&path, text).map_err(FetchError::file("write", &path))?;
    }
    Ok(path)
}
