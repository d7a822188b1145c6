//! Finds RPM packages: databases of SQLite, of RPM itself (NDB) and of Berkeley DB.
//!
//! Knows nothing of how files come here.

mod bdb;
mod bytes;
mod header;
mod ndb;
mod sqlite;

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

use crate::header::Header;

/// The cataloger `rpm`.
#[derive(Debug, Clone, Copy)]
pub struct Rpm;

/// What is wrong with a database.
pub(crate) type Damage = &'static str;

const DATABASE: &str = "database";
const OS: &str = "os";

impl Cataloger for Rpm {
    fn interests() -> Vec<Interest> {
        let interest = |id: &str, globs: Vec<String>, max_size: u64| Interest {
            id: id.to_owned(),
            globs,
            max_size,
            head: None,
        };
        let places = ["**/var/lib/rpm", "**/usr/share/rpm", "**/usr/lib/sysimage/rpm"];
        let names = ["rpmdb.sqlite", "Packages.db", "Packages"];
        let databases = places
            .iter()
            .flat_map(|place| names.iter().map(move |name| format!("{place}/{name}")));
        let os = OsRelease::PATHS.map(str::to_owned).to_vec();
        vec![
            interest(DATABASE, databases.collect(), 160 << 20),
            interest(OS, os, 64 << 10),
        ]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let os = OsRelease::find(&files);
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.interest == DATABASE) {
            let (blobs, damage) = blobs(&file.content);
            let readable: Vec<Header<'_>> = blobs.iter().filter_map(|blob| Header::new(blob)).collect();
            let unreadable = blobs.len() - readable.len();
            let damage = damage.or((unreadable > 0).then_some("a header is damaged"));
            if let Some(damage) = damage {
                warn(&file.path, &format!("packages may be missing: {damage}"));
            }
            let headers: Vec<Header<'_>> = readable
                .into_iter()
                // Keys to check packages with are kept among the packages.
                .filter(|header| header.text(header::NAME) != "gpg-pubkey")
                .collect();
            found.extend(packages(&headers, file, &os));
        }
        Ok(found)
    }
}

fn blobs(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Damage>) {
    if sqlite::is(bytes) {
        sqlite::blobs(bytes)
    } else if ndb::is(bytes) {
        ndb::blobs(bytes)
    } else if bdb::is(bytes) {
        bdb::blobs(bytes)
    } else {
        (Vec::new(), Some("it is no database of RPM"))
    }
}

fn packages(headers: &[Header<'_>], file: &Matched, os: &OsRelease) -> Vec<PackageInfo> {
    let purls: Vec<Purl> = headers.iter().map(|header| purl(header, os)).collect();
    let mut providers: BTreeMap<&str, String> = BTreeMap::new();
    for (header, purl) in headers.iter().zip(&purls) {
        for name in header.texts(header::PROVIDES) {
            providers.entry(name).or_insert_with(|| purl.to_string());
        }
    }
    let one = |(header, purl): (&Header<'_>, &Purl)| {
        let own = purl.to_string();
        let text = |tag| header.text(tag);
        let mut package = Package::new(text(header::NAME), &version(header), purl)
            .location(&file.path)
            .license(text(header::LICENSE))
            .attr("supplier", text(header::VENDOR))
            .attr("homepage", text(header::URL))
            .attr("source-name", text(header::SOURCE))
            .attr("source-info", "RPM DB")
            .attr("description", text(header::SUMMARY));
        let mut known: Vec<&String> = Vec::new();
        for need in header.texts(header::REQUIRES) {
            if let Some(purl) = providers.get(need)
                && *purl != own
                && !known.contains(&purl)
            {
                known.push(purl);
                package = package.needs(purl);
            }
        }
        package.done()
    };
    headers.iter().zip(&purls).map(one).collect()
}

/// `epoch:version-release`.
fn version(header: &Header<'_>) -> String {
    let epoch = header.number(header::EPOCH);
    let release = header.text(header::RELEASE);
    let mut version = header.text(header::VERSION).to_owned();
    if !release.is_empty() {
        version = format!("{version}-{release}");
    }
    if !epoch.is_empty() {
        version = format!("{epoch}:{version}");
    }
    version
}

fn purl(header: &Header<'_>, os: &OsRelease) -> Purl {
    let epoch = header.number(header::EPOCH);
    let version = version(header);
    let version = version.split_once(':').map_or(version.as_str(), |(_, rest)| rest);
    let namespace = match os.id.as_str() {
        "rhel" => "redhat",
        id if id.starts_with("opensuse") => "opensuse",
        id => id,
    };
    Purl::new("rpm", header.text(header::NAME), version)
        .namespace(namespace)
        .qualifier("arch", header.text(header::ARCH))
        .qualifier("distro", &os.distro())
        .qualifier("epoch", &epoch)
        .qualifier("rpmmod", header.text(header::MODULARITY))
        .qualifier("upstream", header.text(header::SOURCE))
}

kiln_sdk::export_cataloger!(Rpm);

#[cfg(test)]
mod tests;
