//! Files that the distribution's packages brought: their programs are known by other catalogers.

use std::collections::BTreeSet;

use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::OsRelease;

use crate::OWNED;

/// Distributions whose packages list their files where only their own cataloger can read it.
const RPM: [&str; 16] = [
    "almalinux",
    "amzn",
    "azurelinux",
    "centos",
    "fedora",
    "mariner",
    "mageia",
    "ol",
    "openEuler",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "photon",
    "rhel",
    "rocky",
    "sle_hpc",
    "sles",
];

/// Which of some packages lie in files of the distribution.
pub(crate) struct Owned {
    paths: BTreeSet<String>,
    everything: bool,
}

impl Owned {
    /// Lists of files: dpkg, apk, pacman.
    pub(crate) const PATHS: [&'static str; 3] = [
        "**/lib/dpkg/info/*.list",
        "**/lib/apk/db/installed",
        "var/lib/pacman/local/*/files",
    ];

    /// Looks the files of `packages` up in the lists.
    pub(crate) fn find(files: &[Matched], packages: &[PackageInfo], os: &OsRelease) -> Self {
        let wanted: BTreeSet<&str> = packages
            .iter()
            .flat_map(|package| package.locations.iter().map(|path| bare(path)))
            .collect();
        let mut paths = BTreeSet::new();
        let mut note = |path: &str| {
            let path = bare(path.trim_start_matches('/'));
            if wanted.contains(path) {
                paths.insert(path.to_owned());
            }
        };
        for file in files.iter().filter(|file| file.interest == OWNED) {
            let text = String::from_utf8_lossy(&file.content);
            let mut folder = "";
            for line in text.lines() {
                match (file.path.ends_with("db/installed"), line.split_at_checked(2)) {
                    (false, _) => note(line),
                    (true, Some(("F:", path))) => folder = path,
                    (true, Some(("R:", name))) => note(&format!("{folder}/{name}")),
                    _ => {}
                }
            }
        }
        Self {
            paths,
            everything: RPM.contains(&os.id.as_str()),
        }
    }

    /// Tells whether a package lies in a file of the distribution.
    pub(crate) fn has(&self, package: &PackageInfo) -> bool {
        let systems = |path: &str| {
            let path = bare(path);
            let place = ["bin/", "sbin/", "lib/", "lib64/", "libexec/"];
            place.iter().any(|place| path.starts_with(place))
        };
        package.locations.iter().any(|path| match self.everything {
            true => systems(path),
            false => self.paths.contains(bare(path)),
        })
    }
}

/// `/bin` and `/usr/bin` are the same where they are merged.
fn bare(path: &str) -> &str {
    path.strip_prefix("usr/").unwrap_or(path)
}
