//! Which packages an image has: the lock's, or those that the repositories' indexes lead to.

use kiln_sdk::frontend::Host;
use kiln_sdk::frontend::Request;
use kiln_sdk::types::Diagnostic;
use kiln_sdk::types::Platform;

use crate::index::Origin;
use crate::index::Package;
use crate::lock::Lock;
use crate::lock::Placed;
use crate::repository;
use crate::resolve;
use crate::spec::Spec;
use crate::yaml::Fault;

/// Where Debian's repositories are, whoever mirrors them.
const DEBIAN: &str = "deb.debian.org/";

/// What a user gives beside the build file.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Where Debian's repositories are instead.
    mirror: Option<String>,
    /// Packages have to be the lock's.
    locked: bool,
}

impl Options {
    pub(crate) fn read(request: &Request) -> Result<Self, Fault> {
        let option = |name: &str| {
            let found = request.options.iter().find(|option| option.key == name);
            found.map(|option| option.value.as_str())
        };
        let locked = match option("locked") {
            None | Some("false" | "0") => false,
            Some("true" | "1" | "") => true,
            Some(other) => {
                let message = format!("the option `locked` has to be true or false, found `{other}`");
                return Err(Fault::new(message));
            }
        };
        let mirror = option("mirror").map(|mirror| mirror.trim_end_matches('/'));
        if let Some(other) = mirror.filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
        {
            let message = format!("the option `mirror` has to be an http URL, found `{other}`");
            return Err(Fault::new(message));
        }
        let base = mirror.map(|mirror| mirror.strip_suffix("/debian").unwrap_or(mirror).to_owned());
        Ok(Self { mirror: base, locked })
    }

    /// Returns where a repository's files are.
    pub(crate) fn mirrored(&self, url: &str) -> String {
        let path = url
            .split_once("://")
            .and_then(|(_, rest)| rest.strip_prefix(DEBIAN));
        match (&self.mirror, path) {
            (Some(mirror), Some(path)) => format!("{mirror}/{path}"),
            _ => url.to_owned(),
        }
    }
}

/// Returns what Debian calls a platform.
pub(crate) fn arch(platform: &Platform) -> Result<&'static str, Fault> {
    crate::arch::arch_of(platform)
        .ok_or_else(|| Fault::new(format!("Debian has no architecture for {platform}")))
}

/// Chooses packages by the repositories' indexes.
pub(crate) fn resolved(
    host: &dyn Host,
    spec: &Spec,
    arch: &str,
    options: &Options,
) -> Result<(Vec<Placed>, Vec<Origin>), Fault> {
    if spec.packages.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let index = repository::index(host, spec, arch, &|url| options.mirrored(url))?;
    let chosen = resolve::resolve(&index, spec)?;
    let url = |package: &Package| index.origins[package.origin].url.clone();
    let packages = chosen
        .into_values()
        .map(|package| (package.clone(), url(&package)));
    Ok((packages.collect(), index.origins.clone()))
}

/// Returns the packages: the lock's where there is one that fits.
pub(crate) fn packages(
    host: &dyn Host,
    spec: &Spec,
    (arch, options): (&str, &Options),
    lock: Option<&Lock>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<Placed>, Fault> {
    match lock {
        Some(lock) if lock.fits(spec, arch) => return lock.packages(spec, arch),
        Some(_) if options.locked => {
            let message = format!("the lock is not of this build file's packages for {arch}");
            return Err(Fault::new(message).with_help("`--call=lock` writes a new one"));
        }
        None if options.locked => {
            let fault = Fault::new("there is no lock file beside the build file");
            return Err(fault.with_help("`--call=lock` writes it"));
        }
        Some(_) => diagnostics.push(Diagnostic::warning(
            "LockOutdated",
            format!("the lock is not of this build file's packages for {arch}: they are chosen anew"),
        )),
        None => {}
    }
    Ok(resolved(host, spec, arch, options)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_sdk::types::Attr;

    fn options(key: &str, value: &str) -> Result<Options, Fault> {
        let mut request = Request::named("image.yaml");
        request.options.push(Attr::new(key, value));
        Options::read(&request)
    }

    #[test]
    fn mirrors_stand_for_debian_only() {
        let mirror = options("mirror", "http://m.example/debian/").expect("an option");
        let cases = [
            ("http://deb.debian.org/debian", "http://m.example/debian"),
            (
                "https://deb.debian.org/debian-security",
                "http://m.example/debian-security",
            ),
            ("http://other.example/debian", "http://other.example/debian"),
        ];
        for (url, expected) in cases {
            assert_eq!(mirror.mirrored(url), expected);
        }
        assert!(options("mirror", "ftp://x").is_err() && options("locked", "maybe").is_err());
    }
}
