//! Object stores on loopback: SeaweedFS for S3, Azurite for Azure Blob Storage. `cargo xtask test` brings both.

use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use super::process::Running;
use super::process::free_ports;
use super::process::tool;

/// User and password of the S3 server.
const S3_KEYS: (&str, &str) = ("kilntest", "a/secret+of=S3");
/// Account and key of the Azure server.
const AZURE: (&str, &str) = ("kilntest", "YSBrZXkgb2YgdGhlIHRlc3RzIG9mIGtpbG4gMTIzNDU=");

/// Makes the container: a request that only the account's key can sign.
const MAKE_CONTAINER: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
url, account, key, name = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{account}/{account}/{name}\nrestype:container"
sign = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {account}:{sign}", "Content-Length": "0"}
urllib.request.urlopen(urllib.request.Request(f"{url}/{name}?restype=container", method="PUT", headers=headers))
"#;

/// A server with one bucket, which runs until the value is dropped.
#[derive(Debug)]
pub struct Bucket {
    _place: TempDir,
    _process: Running,
    url: String,
    params: String,
    wrong: String,
}

impl Bucket {
    /// Starts an S3 server.
    pub fn s3() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let (user, password) = S3_KEYS;
        let config = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{user}","secretKey":"{password}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        let file = place.path().join("s3.json");
        std::fs::write(&file, config).expect("a file can be written");
        let mut command = Command::new(tools().join("py/bin/weed"));
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        command.args([
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=20",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]);
        command.arg(format!("-dir={}", place.path().display()));
        command.arg(format!("-s3.config={}", file.display()));
        let parts = ["s3", "master", "volume", "filer"];
        let ports = free_ports(2 * parts.len());
        for (part, ports) in parts.iter().zip(ports.chunks(2)) {
            command.arg(format!("-{part}.port={}", ports[0]));
            command.arg(format!("-{part}.port.grpc={}", ports[1]));
        }
        let port = ports[0];
        let process = started(command, port);
        let url = format!("http://127.0.0.1:{port}/cache");
        let params = format!(
            "bucket=cache,region=us-east-1,endpoint_url=http://127.0.0.1:{port},use_path_style=true,access_key_id={user}"
        );
        let bucket = Self {
            _place: place,
            _process: process,
            wrong: format!("{params},secret_access_key=hunter-not-2"),
            params: format!("{params},secret_access_key={password}"),
            url,
        };
        bucket.retry(&["-X", "PUT", &bucket.url]);
        bucket
    }

    /// Starts an Azure Blob server.
    pub fn azure() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let ((account, key), port) = (AZURE, free_ports(1)[0]);
        let mut command = Command::new(tools().join("npm/node_modules/.bin/azurite-blob"));
        command.args([
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            &port.to_string(),
            "--silent",
        ]);
        command.args([
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--disableProductStyleUrl",
        ]);
        command.arg("--location").arg(place.path());
        command.env("AZURITE_ACCOUNTS", format!("{account}:{key}"));
        let process = started(command, port);
        let url = format!("http://127.0.0.1:{port}/{account}");
        let container = "buildkit-cache";
        drop(tool(
            "python3",
            &["-c", MAKE_CONTAINER, &url, account, key, container],
        ));
        let params = format!("account_url={url},account_name={account}");
        Self {
            _place: place,
            _process: process,
            wrong: format!("{params},secret_access_key=d3Jvbmc="),
            params: format!("{params},secret_access_key={key}"),
            url: format!("{url}/{container}"),
        }
    }

    /// Returns the parameters that reach the bucket.
    pub fn params(&self) -> &str {
        &self.params
    }

    /// Returns the parameters with a secret that is none.
    pub fn wrong_params(&self) -> &str {
        &self.wrong
    }

    /// Puts a file into an S3 bucket, past kiln.
    pub fn put(&self, key: &str, file: &Path) {
        let url = format!("{}/{}", self.url, key.replace(':', "%3A"));
        drop(self.curl(&["-T", &file.display().to_string(), &url]));
    }

    fn curl(&self, args: &[&str]) -> String {
        let user = format!("{}:{}", S3_KEYS.0, S3_KEYS.1);
        let always = [
            "-sS",
            "-f",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            &user,
        ];
        tool("curl", &[&always[..], args].concat())
    }

    /// The port answers before all of the server does.
    fn retry(&self, args: &[&str]) {
        let user = format!("{}:{}", S3_KEYS.0, S3_KEYS.1);
        let always = [
            "-sS",
            "-f",
            "--retry",
            "20",
            "--retry-all-errors",
            "--retry-delay",
            "1",
        ];
        let sign = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user];
        drop(tool("curl", &[&always[..], &sign[..], args].concat()));
    }
}

/// Returns where programs are that Debian does not have.
///
/// # Panics
/// They are not there.
pub fn tools() -> PathBuf {
    let roots = std::env::var_os("KILN_TEST_ROOTS").map(PathBuf::from);
    let tools = roots
        .expect("KILN_TEST_ROOTS is not set: run `cargo xtask test`")
        .join("tools");
    assert!(
        tools.is_dir(),
        "no servers at `{}`: run `cargo xtask test`",
        tools.display()
    );
    tools
}

fn started(command: Command, port: u16) -> Running {
    let mut process = Running::start(command);
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if process.ended() || Instant::now() > until {
            panic!(
                "the server does not answer\n{}",
                process.wait(Duration::ZERO).report()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    process
}
