//! Debian's `sshd` and `ssh-agent` on loopback, with a key that opens the one for the other.

use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use super::process::Running;
use super::process::free_ports;
use super::process::run;
use super::process::tool;

/// A server that lets one key in, as the user who runs the test, and an agent that has it.
#[derive(Debug)]
pub struct Sshd {
    place: TempDir,
    port: u16,
    user: String,
    _server: Running,
    _agent: Running,
}

impl Default for Sshd {
    fn default() -> Self {
        Self::start()
    }
}

impl Sshd {
    /// Starts both.
    ///
    /// # Panics
    /// One of them is missing or does not answer.
    #[track_caller]
    pub fn start() -> Self {
        let place = tempfile::Builder::new()
            .prefix("kiln-ssh-")
            .tempdir()
            .expect("a temporary directory");
        let dir = place.path().display().to_string();
        for name in ["host", "user"] {
            tool(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", &format!("{dir}/{name}")],
            );
        }
        let port = free_ports(1)[0];
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        );
        let file = place.path().join("sshd_config");
        std::fs::write(&file, config).expect("a file can be written");
        // The server wants it, and only Debian's service makes it.
        let _there_or_not_root = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        command.arg("-D").arg("-e").arg("-f").arg(&file);
        let mut server = Running::start(command);
        let mut command = Command::new("ssh-agent");
        command.args(["-D", "-a"]).arg(place.path().join("agent"));
        let agent = Running::start(command);
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() || !place.path().join("agent").exists() {
            if server.ended() || Instant::now() > until {
                panic!(
                    "sshd does not answer: run `cargo xtask test`\n{}",
                    server.wait(Duration::ZERO).report()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut add = Command::new("ssh-add");
        add.arg("-q")
            .arg(place.path().join("user"))
            .env("SSH_AUTH_SOCK", place.path().join("agent"));
        let _added = run(add).ok();
        Self {
            port,
            user: tool("id", &["-un"]).trim().to_owned(),
            place,
            _server: server,
            _agent: agent,
        }
    }

    /// Returns the agent's socket.
    pub fn agent(&self) -> PathBuf {
        self.place.path().join("agent")
    }

    /// Returns the URL of a repository of this machine, seen through the server.
    pub fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, path.display())
    }

    /// Returns a line of `known_hosts` with the server's key.
    ///
    /// # Panics
    /// The key cannot be read.
    pub fn known_host(&self) -> String {
        let key = std::fs::read_to_string(self.place.path().join("host.pub")).expect("a key can be read");
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// Returns a line of `known_hosts` that is wrong.
    ///
    /// # Panics
    /// The key cannot be read.
    pub fn wrong_host(&self) -> String {
        let key = std::fs::read_to_string(self.place.path().join("user.pub")).expect("a key can be read");
        format!("[127.0.0.1]:{} {key}", self.port)
    }
}
