//! Starts Debian's `docker-registry`.

use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

/// What the registry asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Plain,
    Password,
    Tls,
}

/// A running registry; stops when dropped.
pub(crate) struct RealRegistry {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl RealRegistry {
    pub(crate) fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {path}/data\n"
        );
        if kind == Kind::Password {
            let arguments = ["-Bbn", "ann", "pa:ss"];
            let line = run("htpasswd", "apache2-utils", folder.path(), &arguments);
            std::fs::write(folder.path().join("htpasswd"), line).unwrap();
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {path}/htpasswd\n");
        }
        config += "http:\n  addr: 127.0.0.1:0\n";
        if kind == Kind::Tls {
            certificates(folder.path());
            config += &format!("  tls:\n    certificate: {path}/leaf.crt\n    key: {path}/leaf.key\n");
        }
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve", "config.yml"])
            .current_dir(folder.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("`docker-registry` starts (install Debian's package `docker-registry`)");
        let mut registry = Self {
            child,
            port: 0,
            folder,
        };
        registry.port = registry.wait();
        registry
    }

    /// Waits until the registry says at which port it listens.
    fn wait(&mut self) -> u16 {
        let log = self.folder.path().join("log");
        let mut text = String::new();
        for _ in 0..600 {
            text = std::fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = text.split_once("listening on 127.0.0.1:") {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
                return rest[..digits].parse().unwrap();
            }
            if self.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("`docker-registry` does not answer:\n{text}");
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes an authority and a certificate for `registry.example`.
fn certificates(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let ca = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    ];
    run("openssl", "openssl", folder, &[&ca[..], &key[..]].concat());
    let leaf = [
        "req",
        "-subj",
        "/CN=registry.example",
        "-keyout",
        "leaf.key",
        "-out",
        "leaf.csr",
    ];
    run("openssl", "openssl", folder, &[&leaf[..], &key[..]].concat());
    std::fs::write(folder.join("ext"), "subjectAltName=DNS:registry.example\n").unwrap();
    let sign =
        "x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out leaf.crt";
    run("openssl", "openssl", folder, &sign.split(' ').collect::<Vec<_>>());
}

fn run(program: &str, package: &str, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`{program}`: {error} (install Debian's package `{package}`)"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
