//! Debian's `docker-registry` on loopback, with and without users and TLS.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use super::process::Running;
use super::process::free_ports;
use super::process::tool;

/// How the registry is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Open,
    Users,
    Tls,
}

/// A registry that runs until the value is dropped.
#[derive(Debug)]
pub struct Registry {
    place: TempDir,
    port: u16,
    _process: Running,
}

/// The user of a registry with users, and the password.
const USER: (&str, &str) = ("builder", "correct horse");

impl Registry {
    /// Starts one that everybody may use, over plain HTTP.
    pub fn open() -> Self {
        Self::start(Guard::Open)
    }

    /// Starts one that wants a user and a password, over plain HTTP.
    pub fn with_users() -> Self {
        Self::start(Guard::Users)
    }

    /// Starts one over HTTPS, with a certificate of its own authority.
    pub fn with_tls() -> Self {
        Self::start(Guard::Tls)
    }

    /// Returns `HOST:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the certificate of the authority that signed the registry's.
    pub fn ca(&self) -> PathBuf {
        self.place.path().join("ca/ca.crt")
    }

    /// Writes a docker configuration with the user of this registry, and returns its directory.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn docker_config(&self) -> PathBuf {
        let dir = self.place.path().join("docker");
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        // base64 of `builder:correct horse`
        let text = format!(
            r#"{{"auths":{{"{}":{{"auth":"YnVpbGRlcjpjb3JyZWN0IGhvcnNl"}}}}}}"#,
            self.host()
        );
        std::fs::write(dir.join("config.json"), text).expect("a file can be written");
        dir
    }

    #[track_caller]
    fn start(guard: Guard) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let port = free_ports(1)[0];
        let dir = place.path().display();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {dir}/data\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n"
        );
        match guard {
            Guard::Open => {}
            Guard::Users => {
                std::fs::write(
                    place.path().join("htpasswd"),
                    tool("htpasswd", &["-Bbn", USER.0, USER.1]),
                )
                .expect("a file can be written");
                config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {dir}/htpasswd\n");
            }
            Guard::Tls => {
                certificates(&place);
                config += &format!("  tls:\n    certificate: {dir}/server.crt\n    key: {dir}/server.key\n");
            }
        }
        let file = place.path().join("config.yml");
        std::fs::write(&file, config).expect("a file can be written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).env_clear();
        let mut process = Running::start(command);
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if process.ended() || Instant::now() > until {
                panic!(
                    "the registry does not answer\n{}",
                    process.wait(Duration::ZERO).report()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            place,
            port,
            _process: process,
        }
    }
}

/// Makes an authority and a certificate for 127.0.0.1.
fn certificates(place: &TempDir) {
    // Clients take every file of this directory for part of their own credentials: the keys are elsewhere.
    std::fs::create_dir(place.path().join("ca")).expect("a directory can be made");
    let path = |name: &str| place.path().join(name).display().to_string();
    let (ca_key, ca, key) = (path("ca.key"), path("ca/ca.crt"), path("server.key"));
    let (request, certificate, extensions) = (path("server.csr"), path("server.crt"), path("server.ext"));
    std::fs::write(
        &extensions,
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .expect("a file can be written");
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let make = |args: &[&str]| drop(tool("openssl", &[&["req"], &curve[..], args].concat()));
    make(&[
        "-x509",
        "-days",
        "30",
        "-subj",
        "/CN=kiln test authority",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ]);
    make(&["-subj", "/CN=127.0.0.1", "-keyout", &key, "-out", &request]);
    let sign = [
        "x509",
        "-req",
        "-days",
        "30",
        "-CAcreateserial",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
    ];
    drop(tool(
        "openssl",
        &[&sign[..], &["-extfile", &extensions, "-out", &certificate]].concat(),
    ));
}
