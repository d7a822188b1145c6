//! Finds Arch Linux packages: pacman's database.
//!
//! Knows nothing of how files come here.

use std::collections::BTreeMap;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::OsRelease;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;

/// The cataloger `arch`.
#[derive(Debug, Clone, Copy)]
pub struct Arch;

const DATABASE: &str = "database";
const OS: &str = "os";

impl Cataloger for Arch {
    fn interests() -> Vec<Interest> {
        let interest = |id: &str, globs: &[&str]| Interest {
            id: id.to_owned(),
            globs: globs.iter().map(|&glob| glob.to_owned()).collect(),
            max_size: 4 << 20,
            head: None,
        };
        vec![
            interest(DATABASE, &["**/lib/pacman/local/*/desc"]),
            interest(OS, &OsRelease::PATHS),
        ]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let os = OsRelease::find(&files);
        let texts: Vec<(&Matched, String)> = files
            .iter()
            .filter(|file| file.interest == DATABASE)
            .map(|file| (file, String::from_utf8_lossy(&file.content).into_owned()))
            .collect();
        let all: Vec<(&Matched, Desc<'_>)> = texts
            .iter()
            .filter_map(|(file, text)| Some((*file, Desc::parse(text)?)))
            .collect();
        let mut providers: BTreeMap<&str, String> = BTreeMap::new();
        for (_, desc) in &all {
            let purl = desc.purl(&os).to_string();
            for name in desc.all("PROVIDES") {
                providers.entry(bare(name)).or_insert_with(|| purl.clone());
            }
        }
        for (_, desc) in &all {
            providers.insert(desc.first("NAME"), desc.purl(&os).to_string());
        }
        Ok(all
            .iter()
            .map(|(file, desc)| desc.package(file, &os, &providers))
            .collect())
    }
}

/// Takes the version off a name.
fn bare(name: &str) -> &str {
    &name[..name.find(['=', '<', '>']).unwrap_or(name.len())]
}

/// One package: names between `%`, each with its values below.
struct Desc<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Desc<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            let key = line.strip_prefix('%').and_then(|line| line.strip_suffix('%'));
            match key {
                Some(key) => current = Some(key),
                None if line.is_empty() => current = None,
                None => current
                    .into_iter()
                    .for_each(|key| fields.entry(key).or_default().push(line)),
            }
        }
        let desc = Self(fields);
        (!desc.first("NAME").is_empty() && !desc.first("VERSION").is_empty()).then_some(desc)
    }

    fn all(&self, key: &str) -> &[&'a str] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    fn first(&self, key: &str) -> &'a str {
        self.all(key).first().copied().unwrap_or_default()
    }

    fn purl(&self, os: &OsRelease) -> Purl {
        let namespace = if os.id.is_empty() { "arch" } else { &os.id };
        let base = Some(self.first("BASE")).filter(|base| *base != self.first("NAME"));
        Purl::new("alpm", self.first("NAME"), self.first("VERSION"))
            .namespace(namespace)
            .qualifier("arch", self.first("ARCH"))
            .qualifier("distro", &os.distro())
            .qualifier("upstream", base.unwrap_or_default())
    }

    fn package(&self, file: &Matched, os: &OsRelease, providers: &BTreeMap<&str, String>) -> PackageInfo {
        let purl = self.purl(os);
        let own = purl.to_string();
        let mut package = Package::new(self.first("NAME"), self.first("VERSION"), &purl)
            .location(&file.path)
            .attr("supplier", self.first("PACKAGER"))
            .attr("homepage", self.first("URL"))
            .attr("source-name", self.first("BASE"))
            .attr("source-info", "pacman's database")
            .attr("description", self.first("DESC"));
        for license in self.all("LICENSE") {
            package = package.license(license);
        }
        let mut known: Vec<&String> = Vec::new();
        for need in self.all("DEPENDS") {
            if let Some(purl) = providers.get(bare(need))
                && *purl != own
                && !known.contains(&purl)
            {
                known.push(purl);
                package = package.needs(purl);
            }
        }
        package.done()
    }
}

kiln_sdk::export_cataloger!(Arch);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    fn desc(name: &str, more: &str) -> Matched {
        let text = format!("%NAME%\n{name}\n\n%VERSION%\n1:2.0-1\n\n%ARCH%\nx86_64\n\n{more}");
        let path = format!("var/lib/pacman/local/{name}-1:2.0-1/desc");
        matched(DATABASE, &path, text.as_bytes())
    }

    #[test]
    fn installed_packages_are_found() {
        let files = vec![
            desc(
                "bash",
                "%BASE%\nbash\n\n%LICENSE%\nGPL-3.0-or-later\n\n%DEPENDS%\nlibreadline.so=8\nglibc>=2\nbash\n",
            ),
            desc("readline", "%PROVIDES%\nlibreadline.so=8-64\n"),
            matched(OS, "etc/os-release", b"ID=arch\nVERSION_ID=20240101\n"),
        ];
        let found = Arch::catalog(files).unwrap();
        assert_eq!(
            found[0].purl,
            "pkg:alpm/arch/bash@1:2.0-1?arch=x86_64&distro=arch-20240101"
        );
        assert_eq!(found[0].licenses, ["GPL-3.0-or-later"]);
        assert_eq!(found[0].relations.len(), 1);
        assert_eq!(found[0].relations[0].purl, found[1].purl);
    }

    #[test]
    fn damage_is_no_package() {
        for text in [
            "",
            "%NAME%",
            "%NAME%\n\n%VERSION%\n1\n",
            "%%\n%\n\u{ff}",
            "NAME\nx",
        ] {
            let file = matched(DATABASE, "var/lib/pacman/local/x/desc", text.as_bytes());
            assert_eq!(Arch::catalog(vec![file]).unwrap().len(), 0, "{text}");
        }
    }
}
