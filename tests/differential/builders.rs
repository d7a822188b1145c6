//! Who builds a case: kiln, Docker's BuildKit, buildah. All write an OCI layout.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use kiln_tests::support::Kiln;
use kiln_tests::support::Outcome;
use kiln_tests::support::root_layout;
use kiln_tests::support::run;
use kiln_tests::support::tool;
use tempfile::TempDir;

use crate::case::Case;
use crate::record;
use crate::record::Record;

/// Names of the bases in `FROM`.
const BASES: [&str; 2] = ["busybox", "debian"];

/// Makes images of cases.
pub(crate) trait Builder: Sync {
    /// Builds a context to an OCI layout at `to`.
    fn build(&self, case: &Case, context: &Path, to: &Path) -> Outcome;
}

/// Builds a case and reads what came out, or returns what the builder said.
pub(crate) fn made(builder: &dyn Builder, case: &Case) -> Result<Record, String> {
    let context = case.context();
    let place = tempfile::tempdir().expect("a temporary directory");
    let to = place.path().join("layout");
    let outcome = builder.build(case, context.path(), &to);
    if outcome.code() != Some(0) {
        return Err(outcome.report());
    }
    let layouts = BASES.map(root_layout);
    let bases: Vec<&Path> = layouts.iter().map(PathBuf::as_path).collect();
    Ok(record::read(&to, &bases))
}

/// Returns the flags that name the bases and the output, as kiln and buildx know them.
fn flags(case: &Case, to: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for base in BASES {
        all.push("--build-context".to_owned());
        all.push(format!(
            "{base}=oci-layout://{}:latest",
            root_layout(base).display()
        ));
    }
    let more: String = case
        .settings
        .output
        .iter()
        .map(|attr| format!(",{attr}"))
        .collect();
    all.push("--output".to_owned());
    all.push(format!("type=oci,tar=false,dest={}{more}", to.display()));
    all
}

impl Builder for Kiln {
    fn build(&self, case: &Case, context: &Path, to: &Path) -> Outcome {
        let args = [flags(case, to), case.args(context)].concat();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.command(&self.build_args(context, &args));
        command.envs(&case.settings.env);
        run(command)
    }
}

/// Docker, through the command that `KILN_DOCKER` has, such as `docker` or `chroot /some/where docker`. Its daemon keeps
/// images in containerd and sees the same `/tmp` and root file systems.
#[derive(Debug)]
pub(crate) struct Docker(Vec<String>);

impl Docker {
    /// Returns it, if it is there.
    pub(crate) fn from_env() -> Option<Self> {
        let words = std::env::var("KILN_DOCKER").ok()?;
        Some(Self(words.split_whitespace().map(str::to_owned).collect()))
    }
}

impl Builder for Docker {
    fn build(&self, case: &Case, context: &Path, to: &Path) -> Outcome {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).args(["buildx", "build"]);
        command.args([
            "--progress=plain",
            "--no-cache",
            "--network=host",
            "--provenance=false",
        ]);
        command
            .args(flags(case, to))
            .args(case.args(context))
            .arg(context);
        command.envs(&case.settings.env);
        run(command)
    }
}

/// Buildah with a storage of its own.
#[derive(Debug)]
pub(crate) struct Buildah(TempDir);

impl Buildah {
    /// Makes the storage, with the bases in it.
    pub(crate) fn new() -> Self {
        let place = tempfile::Builder::new().prefix("kiln-buildah-").tempdir();
        let buildah = Self(place.expect("a temporary directory"));
        for base in BASES {
            let from = format!("oci:{}:latest", root_layout(base).display());
            let storage = format!("[overlay@{}+{}]", buildah.path("root"), buildah.path("run"));
            let to = format!("containers-storage:{storage}localhost/{base}:latest");
            drop(tool(
                "skopeo",
                &["copy", "--quiet", "--insecure-policy", &from, &to],
            ));
        }
        buildah
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.args(["--root", &self.path("root"), "--runroot", &self.path("run")]);
        command.args(["--storage-driver", "overlay"]).args(args);
        command
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        // Its own mounts go with it; a failed test has said why already.
        let _said = run(self.command(&["rm", "--all"]));
        let point = self.0.path().join("root/overlay").display().to_string();
        let mut umount = Command::new("umount");
        umount.args(["--lazy", &point]);
        let _said = umount.output();
    }
}

impl Builder for Buildah {
    fn build(&self, case: &Case, context: &Path, to: &Path) -> Outcome {
        let name = format!("localhost/case-{}", case.name);
        let mut command = self.command(&["build", "--quiet", "--pull-never", "--format=docker"]);
        command.args(["--isolation=oci", "--runtime=runc", "--network=host"]);
        command.args(["--ulimit=nofile=20000:20000", "--tag", &name]);
        command
            .args(case.args(context))
            .arg(context)
            .envs(&case.settings.env);
        let built = run(command);
        if built.code() != Some(0) {
            return built;
        }
        let image = format!("oci:{}:latest", to.display());
        run(self.command(&["push", "--quiet", &name, &image]))
    }
}

/// Removes what a tool of the machine may have left; returns its version, for the report.
pub(crate) fn buildah_version() -> String {
    tool("buildah", &["--version"]).trim().to_owned()
}
