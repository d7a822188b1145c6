//! Repositories: `InRelease`, whose signature is checked, names the digests of the indexes, which the host checks.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

use kiln_sdk::Blob;
use kiln_sdk::frontend::Filter;
use kiln_sdk::frontend::Host;

use crate::graph::Remote;
use crate::graph::fetch;
use crate::index::Index;
use crate::index::Origin;
use crate::pgp;
use crate::spec::Repository;
use crate::spec::Spec;
use crate::yaml::Fault;
use crate::yaml::Text;

/// Largest `InRelease` and keyring.
const SMALL: u64 = 8 << 20;
/// Largest index, as it comes.
const INDEX: u64 = 64 << 20;
/// Memory for unpacking an index.
const XZ_MEMORY_KIB: u32 = 96 << 10;

/// One suite of a repository.
struct Suite<'s> {
    repository: &'s Repository,
    name: &'s Text,
    /// `URL/dists/SUITE`.
    url: String,
}

/// Reads the indexes of all repositories for an architecture. `url` says where the files of a repository are.
pub(crate) fn index(
    host: &dyn Host,
    spec: &Spec,
    arch: &str,
    url: &dyn Fn(&str) -> String,
) -> Result<Index, Fault> {
    let suites: Vec<Suite<'_>> = spec.repositories.iter().flat_map(|r| suites(r, url)).collect();
    let remotes: Vec<Remote> = suites.iter().map(Suite::release).collect();
    let files = fetch(host, &remotes, "[internal] fetch release files").map_err(|error| {
        let fault = Fault::from(error);
        spec.repositories
            .first()
            .map_or(fault.clone(), |first| fault.or_at(first.url.place))
    })?;
    let mut wanted = Vec::new();
    for (at, suite) in suites.iter().enumerate() {
        let data = files.read(&format!("{at}/InRelease"), SMALL)?;
        let keys = keys(host, suite.repository)?;
        let text = pgp::verify(&data, &keys);
        let text = text.map_err(|problem| {
            Fault::at(
                suite.name.place,
                format!(
                    "the signature of `{}/InRelease` is not good: {problem}",
                    suite.url
                ),
            )
        })?;
        let release = Release::parse(&text);
        release.check(suite)?;
        for component in &suite.repository.components {
            wanted.push(release.index(suite, component, arch)?);
        }
    }
    let remotes: Vec<Remote> = wanted.iter().map(|(remote, _)| remote.clone()).collect();
    let files = fetch(host, &remotes, "[internal] fetch package indexes")?;
    let mut index = Index::default();
    for (at, (remote, origin)) in wanted.into_iter().enumerate() {
        let blob = files.open(&format!("{at}/{}", remote.filename))?;
        if blob.size() > INDEX {
            return Err(Fault::new(format!(
                "`{}` is larger than {} MiB",
                remote.url,
                INDEX >> 20
            )));
        }
        let added = index.add(origin, arch, open(blob, &remote.filename));
        added.map_err(|problem| Fault::new(format!("cannot read `{}`: {problem}", remote.url)))?;
    }
    Ok(index)
}

fn suites<'s>(repository: &'s Repository, url: &dyn Fn(&str) -> String) -> Vec<Suite<'s>> {
    let base = url(&repository.url.text);
    let suite = |name: &'s Text| Suite {
        repository,
        name,
        url: format!("{base}/dists/{}", name.text.trim_matches('/')),
    };
    repository.suites.iter().map(suite).collect()
}

impl Suite<'_> {
    fn release(&self) -> Remote {
        let url = format!("{}/InRelease", self.url);
        Remote {
            name: format!("[internal] fetch {url}"),
            filename: "InRelease".into(),
            url,
            ..Remote::default()
        }
    }
}

/// Reads the keys of a repository: armoured in the build file, or files of the context.
fn keys(host: &dyn Host, repository: &Repository) -> Result<Vec<pgp::Key>, Fault> {
    let mut all = Vec::new();
    for key in &repository.keys {
        let data = match key.text.contains("-----BEGIN PGP") {
            true => key.text.clone().into_bytes(),
            false => key_file(host, key)?,
        };
        let shown = key.text.lines().next().unwrap_or_default();
        let read = pgp::keys(&data);
        all.extend(
            read.map_err(|problem| Fault::at(key.place, format!("cannot use the key `{shown}`: {problem}")))?,
        );
    }
    Ok(all)
}

fn key_file(host: &dyn Host, key: &Text) -> Result<Vec<u8>, Fault> {
    let path = key.text.trim_start_matches("./").trim_start_matches('/');
    let filter = Filter {
        include: vec![path.to_owned()],
        exclude: Vec::new(),
        follow: Vec::new(),
    };
    let at = |error| Fault::from(error).or_at(key.place);
    let missing = || {
        Fault::at(
            key.place,
            format!("`{path}`: there is no such key in the build's context"),
        )
    };
    let context = host
        .context("context", &filter)
        .map_err(at)?
        .ok_or_else(missing)?;
    context
        .read_optional(path, SMALL)
        .map_err(at)?
        .ok_or_else(missing)
}

/// A release file.
#[derive(Debug, Default)]
struct Release {
    suite: String,
    codename: String,
    by_hash: bool,
    /// Path and SHA-256 of each index.
    files: Vec<(String, String)>,
}

impl Release {
    fn parse(text: &str) -> Self {
        let mut release = Self::default();
        let mut hashes = false;
        for line in text.lines() {
            if let (true, Some(entry)) = (hashes, line.strip_prefix(' ')) {
                let mut words = entry.split_whitespace();
                if let (Some(hash), Some(_), Some(path)) = (words.next(), words.next(), words.next()) {
                    release.files.push((path.to_owned(), hash.to_ascii_lowercase()));
                }
                continue;
            }
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            hashes = key == "SHA256";
            let value = value.trim();
            match key {
                "Suite" => value.clone_into(&mut release.suite),
                "Codename" => value.clone_into(&mut release.codename),
                "Acquire-By-Hash" => release.by_hash = value == "yes",
                _ => {}
            }
        }
        release
    }

    /// A signed release file of another suite is not what was asked for.
    fn check(&self, suite: &Suite<'_>) -> Result<(), Fault> {
        let name = &suite.name.text;
        let own = [&self.suite, &self.codename];
        let same =
            |own: &&&String| !own.is_empty() && (name == **own || name.starts_with(&format!("{own}/")));
        match own.iter().any(|own| same(&own)) {
            true => Ok(()),
            false => Err(Fault::at(
                suite.name.place,
                format!(
                    "`{}/InRelease` is of the suite `{}` (`{}`)",
                    suite.url, self.suite, self.codename
                ),
            )),
        }
    }

    /// Returns the index of a component, in the form that is best for us.
    fn index(&self, suite: &Suite<'_>, component: &Text, arch: &str) -> Result<(Remote, Origin), Fault> {
        let path = format!("{}/binary-{arch}/Packages", component.text);
        let forms = ["Packages.gz", "Packages.xz", "Packages"];
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let found = forms.iter().find_map(|form| {
            let path = format!("{dir}/{form}");
            let (_, hash) = self.files.iter().find(|(known, _)| *known == path)?;
            Some((path, hash, (*form).to_owned()))
        });
        let Some((path, hash, filename)) = found else {
            let message = format!("`{}` has no component `{}` for {arch}", suite.url, component.text);
            return Err(Fault::at(component.place, message));
        };
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::at(
                suite.name.place,
                format!("the digest of `{path}` is damaged"),
            ));
        }
        let url = match self.by_hash {
            true => format!("{}/{dir}/by-hash/SHA256/{hash}", suite.url),
            false => format!("{}/{path}", suite.url),
        };
        let remote = Remote {
            name: format!("[internal] fetch {}/{path}", suite.url),
            url,
            filename,
            sha256: Some(hash.clone()),
            unpack: false,
        };
        let origin = Origin {
            url: suite.repository.url.text.clone(),
            suite: suite.name.text.clone(),
            aliases: vec![self.suite.clone(), self.codename.clone()],
            component: component.text.clone(),
        };
        Ok((remote, origin))
    }
}

/// Reads a file that the host holds.
struct Reader {
    blob: Box<dyn Blob>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(1 << 20) as u32;
        let data = self.blob.read(self.at, length);
        let data = data.map_err(|error| io::Error::other(error.message().to_owned()))?;
        into[..data.len()].copy_from_slice(&data);
        self.at += data.len() as u64;
        Ok(data.len())
    }
}

fn open(blob: Box<dyn Blob>, filename: &str) -> Box<dyn BufRead> {
    let reader = BufReader::with_capacity(1 << 20, Reader { blob, at: 0 });
    let buffered = |reader: Box<dyn Read>| Box::new(BufReader::with_capacity(256 << 10, reader));
    match filename.rsplit_once('.').map(|(_, form)| form) {
        Some("xz") => buffered(Box::new(lzma_rust2::XzReader::new_mem_limit(
            reader,
            true,
            XZ_MEMORY_KIB,
        ))),
        Some("gz") => buffered(Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
        _ => Box::new(reader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_files_are_read() {
        let text = "Suite: stable\nCodename: bookworm\nAcquire-By-Hash: yes\nMD5Sum:\n 00 1 main/x\nSHA256:\n AB 10 main/binary-amd64/Packages.xz\nOther: x\n cd 1 z\n";
        let release = Release::parse(text);
        assert_eq!(
            (release.suite.as_str(), release.codename.as_str()),
            ("stable", "bookworm")
        );
        assert!(release.by_hash);
        assert_eq!(
            release.files,
            [("main/binary-amd64/Packages.xz".into(), "ab".into())]
        );
    }
}
