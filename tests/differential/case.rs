//! A case: a directory with a Dockerfile and its context.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use kiln_tests::support::repo;
use kiln_tests::support::tool;
use serde::Deserialize;
use tempfile::TempDir;

/// Files of a case that are no part of the context.
const OURS: [&str; 3] = ["case.toml", "setup.sh", RECORD];
/// What BuildKit made of a case.
pub(crate) const RECORD: &str = "buildkit.txt";
/// Time of all files of a context.
const TIME: &str = "2001-02-03T04:05:06Z";

/// `case.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Flags that `kiln build`, `docker buildx build` and `buildah build` all know; `{dir}` is the context.
    pub(crate) args: Vec<String>,
    /// Further attributes of the output; buildah is given none.
    pub(crate) output: Vec<String>,
    /// Variables of the environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Peers that cannot build this, each with the reason.
    pub(crate) skip: BTreeMap<String, String>,
    /// Differences that are meant to be.
    pub(crate) differs: Vec<Differs>,
}

/// A difference that is meant to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Differs {
    /// From whom: `buildkit` or `buildah`.
    pub(crate) peer: String,
    /// What: how the keys of a record begin; with a colon at the end, the whole key.
    pub(crate) at: String,
    /// Why: a heading of `docs/differences.md` and what it means here.
    pub(crate) why: String,
}

/// A case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) settings: Settings,
}

/// Returns all cases, or the one of `KILN_CASE`.
pub(crate) fn load() -> Vec<Case> {
    let dir = repo().join("tests/differential/cases");
    let wanted = std::env::var("KILN_CASE").ok();
    let entries = std::fs::read_dir(&dir).expect("the cases are there");
    let mut all: Vec<Case> = entries
        .map(|entry| one(&entry.expect("a directory can be read").path()))
        .filter(|case| wanted.as_ref().is_none_or(|name| *name == case.name))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "no cases in `{}`", dir.display());
    all
}

fn one(dir: &Path) -> Case {
    let name = dir.file_name().expect("a case has a name").to_string_lossy();
    let settings = match std::fs::read_to_string(dir.join("case.toml")) {
        Ok(text) => toml::from_str(&text).unwrap_or_else(|e| panic!("case.toml of `{name}`: {e}")),
        Err(_) => Settings::default(),
    };
    for differs in &settings.differs {
        assert!(
            !differs.why.is_empty(),
            "a difference without a reason in `{name}`"
        );
    }
    Case {
        name: name.into_owned(),
        dir: dir.to_owned(),
        settings,
    }
}

impl Case {
    /// Makes the context in a directory of its own.
    pub(crate) fn context(&self) -> TempDir {
        let place = tempfile::Builder::new().prefix("kiln-differential-").tempdir();
        let place = place.expect("a temporary directory");
        let (from, to) = (self.dir.display().to_string(), place.path().display().to_string());
        drop(tool(
            "cp",
            &["-a", "--no-preserve=ownership", &format!("{from}/."), &to],
        ));
        drop(tool("chmod", &["-R", "u=rwX,go=rX", &to]));
        let setup = place.path().join("setup.sh");
        if setup.exists() {
            drop(tool(
                "sh",
                &["-c", "cd \"$1\" && umask 022 && . ./setup.sh", "sh", &to],
            ));
        }
        for name in OURS {
            // Most cases have only some of them.
            let _missing = std::fs::remove_file(place.path().join(name));
        }
        let touch = "find \"$1\" -exec touch --no-dereference --date \"$2\" {} +";
        drop(tool("sh", &["-c", touch, "sh", &to, TIME]));
        place
    }

    /// Returns the flags of the case, for a context.
    pub(crate) fn args(&self, context: &Path) -> Vec<String> {
        let dir = context.display().to_string();
        self.settings
            .args
            .iter()
            .map(|arg| arg.replace("{dir}", &dir))
            .collect()
    }

    /// Returns why a difference at `key` is meant to be.
    pub(crate) fn reason(&self, peer: &str, key: &str) -> Option<&str> {
        let mut all = self.settings.differs.iter();
        let key = format!("{key}:");
        let found = all.find(|differs| differs.peer == peer && key.starts_with(&differs.at));
        found.map(|differs| differs.why.as_str())
    }
}
