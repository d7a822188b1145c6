//! `kiln.toml`: the system's (`/etc/kiln/kiln.toml`), the user's (`$XDG_CONFIG_HOME/kiln/kiln.toml`), the project's
//! (in the current directory). The nearest says; what a project must not decide it may not name.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use kiln_plugin::Lock;
use kiln_plugin::PluginEntry;
use kiln_plugin::Policies;
use kiln_plugin::Policy;
use serde::Deserialize;

use crate::args::ArgError;
use crate::args::Surroundings;

/// What is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Platform to build for when the command does not say.
    pub(crate) platform: Option<String>,
    /// OCI runtime that runs steps.
    pub(crate) oci_runtime: Option<String>,
    /// How steps get layers as a file system: `auto`, `overlay` or `copy`.
    pub(crate) snapshotter: Option<String>,
    /// Most steps that run at a time.
    pub(crate) max_parallelism: Option<std::num::NonZeroUsize>,
    /// Devices that steps can ask for.
    pub(crate) cdi: CdiSettings,
    /// How registries are talked to, by host.
    pub(crate) registry: BTreeMap<String, RegistrySettings>,
    /// How large the store may become.
    pub(crate) storage: StorageSettings,
    /// Plugins, by the names that flags and build files call them.
    pub(crate) plugins: BTreeMap<String, PluginEntry>,
}

/// Devices that steps can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct CdiSettings {
    /// Directories with their specifications.
    pub(crate) spec_dirs: Vec<PathBuf>,
}

/// How a registry is talked to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct RegistrySettings {
    /// It may speak plain HTTP or have a certificate that nobody vouches for.
    pub(crate) insecure: bool,
}

/// How large the store may become.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct StorageSettings {
    /// Most bytes, such as `20GiB`.
    pub(crate) max_used_space: Option<String>,
    /// Bytes that are kept in any case.
    pub(crate) reserved_space: Option<String>,
    /// Bytes that stay free on the disk.
    pub(crate) min_free_space: Option<String>,
}

impl Settings {
    /// Reads what is there.
    ///
    /// # Errors
    /// When a file cannot be read or says what it cannot.
    pub(crate) fn load(around: &Surroundings) -> Result<Self, ArgError> {
        let home = around
            .env
            .get("HOME")
            .map(|home| PathBuf::from(home).join(".config"));
        let user = around.env.get("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
        let mut settings = Self::default();
        let files = [
            Some(PathBuf::from("/etc/kiln/kiln.toml")),
            user.map(|dir| dir.join("kiln/kiln.toml")),
        ];
        for path in files.into_iter().flatten() {
            if let Some(text) = read(&path)? {
                settings = settings.under(Self::parse(&text, &path)?);
            }
        }
        let path = around.path("kiln.toml");
        match read(&path)? {
            Some(text) => Ok(settings.under(Self::of_project(&text, &path)?)),
            None => Ok(settings),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ArgError> {
        toml::from_str(text)
            .map_err(|e| ArgError::new(format!("cannot read `{}`", path.display())).because(e))
    }

    /// A project is somebody else's files: it must not open a way for credentials or empty the store.
    fn of_project(text: &str, path: &Path) -> Result<Self, ArgError> {
        let settings = Self::parse(text, path)?;
        let refused = [
            ("registry", !settings.registry.is_empty()),
            ("storage", settings.storage != StorageSettings::default()),
            ("oci-runtime", settings.oci_runtime.is_some()),
            ("cdi", settings.cdi != CdiSettings::default()),
        ];
        match refused.iter().find(|(_, named)| *named) {
            Some((key, _)) => {
                let error = ArgError::new(format!("`{}` must not set `{key}`", path.display()));
                Err(error.hint("set it in the user's `kiln/kiln.toml` or in `/etc/kiln/kiln.toml`"))
            }
            None => Ok(settings),
        }
    }

    fn under(mut self, nearer: Self) -> Self {
        self.registry.extend(nearer.registry);
        self.plugins.extend(nearer.plugins);
        Self {
            platform: nearer.platform.or(self.platform),
            oci_runtime: nearer.oci_runtime.or(self.oci_runtime),
            snapshotter: nearer.snapshotter.or(self.snapshotter),
            max_parallelism: nearer.max_parallelism.or(self.max_parallelism),
            cdi: match nearer.cdi.spec_dirs.is_empty() {
                true => self.cdi,
                false => nearer.cdi,
            },
            registry: self.registry,
            plugins: self.plugins,
            storage: StorageSettings {
                max_used_space: nearer.storage.max_used_space.or(self.storage.max_used_space),
                reserved_space: nearer.storage.reserved_space.or(self.storage.reserved_space),
                min_free_space: nearer.storage.min_free_space.or(self.storage.min_free_space),
            },
        }
    }
}

/// Reads the project's `kiln.lock`.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn lock(around: &Surroundings) -> Result<Option<Lock>, ArgError> {
    let path = around.path("kiln.lock");
    let Some(text) = read(&path)? else {
        return Ok(None);
    };
    let error = || ArgError::new(format!("cannot read `{}`", path.display()));
    let lock: Lock =
        toml::from_str(&text).map_err(|e| error().because(e).hint("make it anew with `kiln plugin lock`"))?;
    match lock.version {
        1 => Ok(Some(lock)),
        version => Err(error().because(format!("it has version {version} (expected 1)"))),
    }
}

/// Reads the machine's policy and the one that a flag names; both hold.
///
/// # Errors
/// When one cannot be read: a policy that is there and not understood allows nothing.
pub(crate) fn policies(around: &Surroundings, more: Option<&Path>) -> Result<Policies, ArgError> {
    let mut policies = Vec::new();
    let machine = PathBuf::from("/etc/kiln/policy.toml");
    let named = more.map(|path| around.directory.join(path));
    for (path, is_named) in [(Some(machine), false), (named, true)] {
        let Some(path) = path else { continue };
        let error = || ArgError::new(format!("cannot read the policy `{}`", path.display()));
        let text = match (read(&path)?, is_named) {
            (Some(text), _) => text,
            (None, true) => return Err(error().because("there is no such file")),
            (None, false) => continue,
        };
        let policy: Policy = toml::from_str(&text).map_err(|e| error().because(e))?;
        policies.push((path, policy));
    }
    Ok(Policies::new(policies))
}

fn read(path: &Path) -> Result<Option<String>, ArgError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(ArgError::new(format!("cannot read `{}`", path.display())).because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(text: &str) -> Settings {
        Settings::parse(text, Path::new("kiln.toml")).expect("settings")
    }

    #[test]
    fn the_nearest_file_says() {
        let system = parse(
            "platform = \"linux/amd64\"\n[storage]\nmax-used-space = \"1GiB\"\n[registry.\"a:5000\"]\n",
        );
        let user = parse("platform = \"linux/arm64\"\n[registry.\"b:5000\"]\ninsecure = true\n");
        let both = system.under(user);
        assert_eq!(both.platform.as_deref(), Some("linux/arm64"));
        assert_eq!(both.storage.max_used_space.as_deref(), Some("1GiB"));
        assert_eq!(
            both.registry.values().map(|r| r.insecure).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn a_project_cannot_open_a_registry() {
        let refused = |text| {
            Settings::of_project(text, Path::new("kiln.toml"))
                .expect_err(text)
                .to_string()
        };
        assert_eq!(
            refused("[registry.\"a\"]\ninsecure = true\n"),
            "`kiln.toml` must not set `registry`"
        );
        assert_eq!(
            refused("oci-runtime = \"./x\"\n"),
            "`kiln.toml` must not set `oci-runtime`"
        );
        assert_eq!(refused("platfrom = \"x\"\n"), "cannot read `kiln.toml`");
    }
}
