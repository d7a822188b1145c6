//! `--ssh` with key files: an agent of our own that holds them for as long as the build.

use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use super::ArgError;

/// Longest wait for an agent to listen.
const START: Duration = Duration::from_secs(10);

/// A running agent. It ends, and forgets the keys, when this is dropped.
#[derive(Debug)]
pub(crate) struct KeyAgent {
    child: Child,
    directory: TempDir,
}

impl KeyAgent {
    /// Starts an agent that holds `keys`.
    ///
    /// # Errors
    /// When there is no OpenSSH, or a key cannot be used.
    pub(crate) fn start(id: &str, keys: &[PathBuf], temporary: &Path) -> Result<Self, ArgError> {
        let failed = |e: std::io::Error| {
            let error = ArgError::new(format!("cannot start an SSH agent for `--ssh {id}`")).because(e);
            error.hint("install `openssh-client`, or add the keys to an agent and use its socket")
        };
        let directory = tempfile::Builder::new()
            .prefix("kiln-ssh-")
            .tempdir_in(temporary)
            .map_err(failed)?;
        let socket = directory.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let agent = Self { child, directory };
        let started = Instant::now();
        while !socket.exists() {
            if started.elapsed() > START {
                return Err(failed(std::io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for key in keys {
            agent.add(key).map_err(|reason| {
                let text = format!(
                    "cannot use the SSH key `{}` of `--ssh {id}`: {reason}",
                    key.display()
                );
                ArgError::new(text)
                    .hint("a key with a passphrase has to be in an agent: `ssh-add`, then `--ssh default`")
            })?;
        }
        Ok(agent)
    }

    /// Returns where the agent listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    fn add(&self, key: &Path) -> Result<(), String> {
        let output = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", self.socket())
            // Nobody is asked for a passphrase in the middle of a build.
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "/bin/false")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let told = |line: &&str| !line.trim_matches(['@', ' ']).is_empty();
        let lines: Vec<&str> = said.lines().map(str::trim).filter(told).collect();
        Err(match lines.is_empty() {
            true => "it has a passphrase, or is no key".to_owned(),
            false => lines.join(" "),
        })
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
