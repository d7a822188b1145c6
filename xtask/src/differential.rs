//! `cargo xtask differential`: a real Docker in a Debian root file system records what its BuildKit makes of the cases
//! of `tests/differential`. Root only; the root file system is made once and kept where the others are.

use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;

use crate::build;
use crate::packages;
use crate::process;
use crate::roots;

/// Suite whose Docker has a BuildKit of this year.
const SUITE: &str = "forky";
const INCLUDE: &str = "--include=docker.io,docker-cli,docker-buildx,ca-certificates,runc,containerd,xz-utils";
/// Seconds that the daemon may take to come up.
const PATIENCE: u32 = 60;

/// What runs in a mount namespace of its own: mounts, then the daemon with another root. It sees the machine's `/tmp`,
/// where contexts and results are, and the root file systems of the tests.
const DAEMON: &str = r#"
set -eu
root=$1 data=$2 roots=$3
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount --rbind /tmp "$root/tmp"
mkdir -p "$root$roots" "$root/var/lib/docker"
mount --bind "$roots" "$root$roots"
mount --bind "$data" "$root/var/lib/docker"
exec chroot "$root" /usr/sbin/dockerd --feature containerd-snapshotter=true \
  --bridge=none --iptables=false --ip6tables=false --ip-forward=false
"#;

/// Records and compares; words in `args` go to the test binary.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::TESTS)?;
    let roots = roots::make()?;
    let binary = build::binary(root, build::Profile::Dev)?;
    let docker = Docker::start(&docker_root()?, &roots)?;
    let mut cargo = process::cargo();
    cargo
        .current_dir(root)
        .args([
            "test",
            "-p",
            "kiln-tests",
            "--test",
            "differential",
            "buildkit",
            "--",
            "--nocapture",
        ])
        .args(args)
        .env("KILN_BIN", binary)
        .env("KILN_TEST_ROOTS", roots)
        .env("KILN_DOCKER", docker.command().join(" "));
    process::run(&mut cargo)
}

/// Returns the root file system with Docker in it.
fn docker_root() -> anyhow::Result<PathBuf> {
    let place = roots::cache_directory().join("docker");
    if place.join("usr/sbin/dockerd").exists() {
        return Ok(place);
    }
    eprintln!(
        "differential: making a root file system with Docker (once, kept in {})",
        place.display()
    );
    let half = place.with_extension(std::process::id().to_string());
    let mut mmdebstrap = Command::new("mmdebstrap");
    // A mirror of a testing suite may be a snapshot whose signature is meant to be fresh.
    let stale = "--aptopt=Acquire::Check-Valid-Until \"false\"";
    mmdebstrap.args(["--variant=apt", "--quiet", "--mode=root", stale, INCLUDE, SUITE]);
    process::run(mmdebstrap.arg(&half))?;
    std::fs::rename(&half, &place).with_context(|| format!("cannot make `{}`", place.display()))?;
    Ok(place)
}

/// A daemon, which ends with the value.
struct Docker {
    daemon: Child,
    data: PathBuf,
}

impl Docker {
    fn start(root: &Path, roots: &Path) -> anyhow::Result<Self> {
        let data = std::env::temp_dir().join(format!("kiln-docker-{}", std::process::id()));
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make `{}`", data.display()))?;
        let log = std::fs::File::create(data.join("log")).context("cannot make a log")?;
        let daemon = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", DAEMON, "sh"])
            .args([root, &data, roots])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot run `unshare`")?;
        let docker = Self { daemon, data };
        for _ in 0..PATIENCE {
            std::thread::sleep(Duration::from_secs(1));
            if docker.answers() {
                return Ok(docker);
            }
        }
        let log = std::fs::read_to_string(docker.data.join("log")).unwrap_or_default();
        bail!("Docker does not come up\n{log}");
    }

    /// Returns the command that reaches it: `unshare`, `sh` and `chroot` all become the daemon, so its id is known.
    fn command(&self) -> Vec<String> {
        let target = format!("--target={}", self.daemon.id());
        let words = ["nsenter", &target, "--mount", "--root", "--wdns=/", "docker"];
        words.map(str::to_owned).to_vec()
    }

    fn answers(&self) -> bool {
        let words = self.command();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("info").stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let mut kill = Command::new("kill");
        // A daemon that has died is gone as well.
        let _said = kill.arg(self.daemon.id().to_string()).status();
        let _status = self.daemon.wait();
        let _left = std::fs::remove_dir_all(&self.data);
    }
}
