//! Finds Debian packages: dpkg's database, distroless' `status.d`, licences from copyright files.
//!
//! Knows nothing of how files come here.

mod license;

use std::collections::BTreeMap;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::OsRelease;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;
use kiln_sdk::packages::field;
use kiln_sdk::packages::paragraphs;
use kiln_sdk::packages::warn;

/// The cataloger `debian`.
#[derive(Debug, Clone, Copy)]
pub struct Debian;

const DATABASE: &str = "database";
const COPYRIGHT: &str = "copyright";
const OS: &str = "os";

fn interest(id: &str, globs: &[&str], max_size: u64) -> Interest {
    Interest {
        id: id.to_owned(),
        globs: globs.iter().map(|&glob| glob.to_owned()).collect(),
        max_size,
        head: None,
    }
}

impl Cataloger for Debian {
    fn interests() -> Vec<Interest> {
        vec![
            interest(
                DATABASE,
                &[
                    "**/lib/dpkg/status",
                    "**/lib/dpkg/status.d/*",
                    "!**/lib/dpkg/status.d/*.md5sums",
                ],
                64 << 20,
            ),
            interest(COPYRIGHT, &["usr/share/doc/*/copyright"], 4 << 20),
            interest(OS, &OsRelease::PATHS, 64 << 10),
        ]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let os = OsRelease::find(&files);
        let copyrights: BTreeMap<&str, &Matched> = files
            .iter()
            .filter(|file| file.interest == COPYRIGHT)
            .filter_map(|file| Some((file.path.rsplit('/').nth(1)?, file)))
            .collect();
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.interest == DATABASE) {
            let text = String::from_utf8_lossy(&file.content);
            // dpkg ends every paragraph with an empty line.
            if file.path.ends_with("/status") && !text.is_empty() && !text.ends_with('\n') {
                warn(
                    &file.path,
                    "packages may be missing: it ends in the middle of a line",
                );
            }
            let installed: Vec<Fields> = paragraphs(&text).into_iter().filter(is_installed).collect();
            let purls: BTreeMap<&str, String> = installed
                .iter()
                .map(|p| (field(p, "Package"), purl(p, &os).to_string()))
                .collect();
            for paragraph in &installed {
                found.push(package(paragraph, file, &os, &copyrights, &purls));
            }
        }
        Ok(found)
    }
}

type Fields = Vec<(String, String)>;

fn is_installed(paragraph: &Fields) -> bool {
    let status = field(paragraph, "Status");
    let there = status.is_empty() || status.split_whitespace().last() == Some("installed");
    there && !field(paragraph, "Package").is_empty() && !field(paragraph, "Version").is_empty()
}

/// The source package with its version, where they are not the package's own.
fn upstream(paragraph: &Fields) -> String {
    let source = field(paragraph, "Source");
    match source.split_once(" (") {
        Some((name, version)) => format!("{name}@{}", version.trim_end_matches(')')),
        None => source.to_owned(),
    }
}

fn purl(paragraph: &Fields, os: &OsRelease) -> Purl {
    let namespace = if os.id.is_empty() { "debian" } else { &os.id };
    Purl::new("deb", field(paragraph, "Package"), field(paragraph, "Version"))
        .namespace(namespace)
        .qualifier("arch", field(paragraph, "Architecture"))
        .qualifier("distro", &os.distro())
        .qualifier("upstream", &upstream(paragraph))
}

fn package(
    paragraph: &Fields,
    file: &Matched,
    os: &OsRelease,
    copyrights: &BTreeMap<&str, &Matched>,
    purls: &BTreeMap<&str, String>,
) -> PackageInfo {
    let name = field(paragraph, "Package");
    let own = purl(paragraph, os);
    let mut package = Package::new(name, field(paragraph, "Version"), &own)
        .location(&file.path)
        .attr("supplier", field(paragraph, "Maintainer"))
        .attr("homepage", field(paragraph, "Homepage"))
        .attr("source-name", &upstream(paragraph))
        .attr("source-info", "DPKG DB")
        .attr(
            "description",
            field(paragraph, "Description").lines().next().unwrap_or_default(),
        );
    if let Some(copyright) = copyrights.get(name) {
        package = package.location(&copyright.path);
        for license in license::licenses(&String::from_utf8_lossy(&copyright.content)) {
            package = package.license(&license);
        }
    }
    let mut known = Vec::new();
    for list in ["Pre-Depends", "Depends"] {
        for need in needs(field(paragraph, list)) {
            if let Some(purl) = purls.get(need)
                && *purl != own.to_string()
                && !known.contains(&purl)
            {
                known.push(purl);
                package = package.needs(purl);
            }
        }
    }
    package.done()
}

/// Returns the names in a list of dependencies, alternatives included.
fn needs(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', '|']).map(|need| {
        let need = need.trim();
        let end = need.find([' ', '(', ':', '\n']).unwrap_or(need.len());
        &need[..end]
    })
}

kiln_sdk::export_cataloger!(Debian);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nSource: glibc\nVersion: 2.36-9+deb12u9\nMaintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>\nDescription: GNU C Library\n long text\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: busybox\nStatus: install ok installed\nArchitecture: amd64\nSource: busybox (1:1.35.0-4)\nVersion: 1:1.35.0-4+b3\nDepends: libc6 (>= 2.34) | other, gone\n";

    #[test]
    fn installed_packages_are_found() {
        let files = vec![
            matched(DATABASE, "var/lib/dpkg/status", STATUS.as_bytes()),
            matched(OS, "etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
            matched(
                COPYRIGHT,
                "usr/share/doc/busybox/copyright",
                b"Files: *\nLicense: GPL-2\n\nOn Debian: /usr/share/common-licenses/GPL-2'.\n",
            ),
        ];
        let found = Debian::catalog(files).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].purl,
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64&distro=debian-12&upstream=glibc"
        );
        let busybox = &found[1];
        assert_eq!(
            busybox.purl,
            "pkg:deb/debian/busybox@1:1.35.0-4%2Bb3?arch=amd64&distro=debian-12&upstream=busybox%401:1.35.0-4"
        );
        assert_eq!(busybox.licenses, ["GPL-2.0-only"]);
        assert_eq!(busybox.relations.len(), 1);
        assert_eq!(busybox.relations[0].purl, found[0].purl);
        assert_eq!(
            busybox.locations,
            ["var/lib/dpkg/status", "usr/share/doc/busybox/copyright"]
        );
    }

    #[test]
    fn distroless_files_are_read_without_a_status() {
        let file = matched(
            DATABASE,
            "var/lib/dpkg/status.d/base",
            b"Package: base-files\nVersion: 12\nArchitecture: all\n",
        );
        let found = Debian::catalog(vec![file]).unwrap();
        assert_eq!(found[0].purl, "pkg:deb/debian/base-files@12?arch=all");
    }

    #[test]
    fn damage_is_no_package() {
        let file = matched(
            DATABASE,
            "var/lib/dpkg/status",
            b"\xff\xfe: : :\n\n::::\nPackage: a\n\n Version\n",
        );
        assert_eq!(Debian::catalog(vec![file]).unwrap().len(), 0);
    }
}
