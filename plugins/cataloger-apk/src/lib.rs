//! Finds Alpine packages: apk's database.
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
use kiln_sdk::packages::warn;

/// The cataloger `apk`.
#[derive(Debug, Clone, Copy)]
pub struct Apk;

const DATABASE: &str = "database";
const OS: &str = "os";

impl Cataloger for Apk {
    fn interests() -> Vec<Interest> {
        let interest = |id: &str, globs: &[&str]| Interest {
            id: id.to_owned(),
            globs: globs.iter().map(|&glob| glob.to_owned()).collect(),
            max_size: 64 << 20,
            head: None,
        };
        vec![
            interest(DATABASE, &["**/lib/apk/db/installed"]),
            interest(OS, &OsRelease::PATHS),
        ]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let os = OsRelease::find(&files);
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.interest == DATABASE) {
            let text = String::from_utf8_lossy(&file.content);
            if !text.is_empty() && !text.ends_with('\n') {
                warn(
                    &file.path,
                    "packages may be missing: it ends in the middle of a line",
                );
            }
            let records: Vec<Record<'_>> = text.split("\n\n").filter_map(Record::parse).collect();
            let mut providers: BTreeMap<&str, String> = BTreeMap::new();
            for record in &records {
                let purl = record.purl(&os).to_string();
                for name in record.get('p').split_whitespace() {
                    providers.insert(bare(name), purl.clone());
                }
                providers.insert(record.get('P'), purl);
            }
            found.extend(records.iter().map(|record| record.package(file, &os, &providers)));
        }
        Ok(found)
    }
}

/// Takes the version off a name.
fn bare(name: &str) -> &str {
    &name[..name.find(['=', '<', '>', '~']).unwrap_or(name.len())]
}

/// One package of the database: lines of a letter and a value. Those of files come behind and are passed over.
struct Record<'a>(BTreeMap<char, &'a str>);

impl<'a> Record<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for line in text.lines() {
            let mut chars = line.chars();
            if let (Some(key), Some(':')) = (chars.next(), chars.next()) {
                fields.entry(key).or_insert(chars.as_str());
            }
        }
        (fields.contains_key(&'P') && fields.contains_key(&'V')).then_some(Self(fields))
    }

    fn get(&self, key: char) -> &'a str {
        self.0.get(&key).copied().unwrap_or_default()
    }

    fn purl(&self, os: &OsRelease) -> Purl {
        let namespace = if os.id.is_empty() { "alpine" } else { &os.id };
        let origin = Some(self.get('o')).filter(|origin| *origin != self.get('P'));
        Purl::new("apk", self.get('P'), self.get('V'))
            .namespace(namespace)
            .qualifier("arch", self.get('A'))
            .qualifier("distro", &os.distro())
            .qualifier("upstream", origin.unwrap_or_default())
    }

    fn package(&self, file: &Matched, os: &OsRelease, providers: &BTreeMap<&str, String>) -> PackageInfo {
        let purl = self.purl(os);
        let own = purl.to_string();
        let mut package = Package::new(self.get('P'), self.get('V'), &purl)
            .location(&file.path)
            .license(self.get('L'))
            .attr("supplier", self.get('m'))
            .attr("download-location", self.get('U'))
            .attr("homepage", self.get('U'))
            .attr("source-name", self.get('o'))
            .attr("source-info", "APK DB")
            .attr("description", self.get('T'));
        let mut known: Vec<&String> = Vec::new();
        for need in self.get('D').split_whitespace() {
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

kiln_sdk::export_cataloger!(Apk);

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::packages::matched;

    const INSTALLED: &str = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nT:the musl c library\nU:https://musl.libc.org/\nL:MIT\no:musl\nm:Timo\np:so:libc.musl-x86_64.so.1=1\nF:lib\nR:ld.so\nP:not\n\nP:busybox-binsh\nV:1.36.1-r5\nA:x86_64\nL:GPL-2.0-only\no:busybox\nD:so:libc.musl-x86_64.so.1 missing\n\n";

    #[test]
    fn installed_packages_are_found() {
        let files = vec![
            matched(DATABASE, "lib/apk/db/installed", INSTALLED.as_bytes()),
            matched(OS, "etc/os-release", b"ID=alpine\nVERSION_ID=3.18.4\n"),
        ];
        let found = Apk::catalog(files).unwrap();
        let purls: Vec<&str> = found.iter().map(|package| package.purl.as_str()).collect();
        assert_eq!(
            purls,
            [
                "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4",
                "pkg:apk/alpine/busybox-binsh@1.36.1-r5?arch=x86_64&distro=alpine-3.18.4&upstream=busybox",
            ]
        );
        assert_eq!(found[1].relations[0].purl, found[0].purl);
        assert_eq!(found[0].licenses, ["MIT"]);
    }

    #[test]
    fn damage_is_no_package() {
        let file = matched(
            DATABASE,
            "lib/apk/db/installed",
            b"\xff:\n\nP:\n\nV:1\n\n\xe2\x82:x",
        );
        assert_eq!(Apk::catalog(vec![file]).unwrap().len(), 0);
        let expect = "`lib/apk/db/installed`: packages may be missing: it ends in the middle of a line";
        assert_eq!(kiln_sdk::mock::warnings(), [expect]);
    }
}
