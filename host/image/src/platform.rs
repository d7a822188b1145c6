//! Platforms: operating system, architecture, variant.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// An operating system and a processor, normalised as containerd's `platforms` package does
/// (`aarch64` is `arm64`, `arm` is `arm/v7`, `arm64/v8` is `arm64`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Processor, by Go's name (`amd64`, `arm64`, …).
    pub architecture: String,
    /// Operating system, by Go's name.
    pub os: String,
    /// Version of the operating system (Windows only in practice).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Variant of the processor, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns the platform that this program runs on, as Linux.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// Returns a normalised platform.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let (architecture, variant) = normalise(
            &architecture.to_ascii_lowercase(),
            &variant.unwrap_or_default().to_ascii_lowercase(),
        );
        Self {
            architecture,
            os,
            os_version: None,
            variant: (!variant.is_empty()).then_some(variant),
        }
    }

    /// Returns the same platform with its names normalised; for values that came from outside.
    #[must_use]
    pub fn normalised(&self) -> Self {
        let os_version = self.os_version.clone().filter(|v| !v.is_empty());
        Self {
            os_version,
            ..Self::new(&self.os, &self.architecture, self.variant.as_deref())
        }
    }

    /// Ranks how well an image built for `self` serves who asked for `wanted`: 0 is exact, larger is worse,
    /// `None` does not run there. An older ARM or x86-64 variant runs on a newer one.
    pub fn serves(&self, wanted: &Self) -> Option<u32> {
        let (have, want) = (self.normalised(), wanted.normalised());
        if have.os != want.os {
            return None;
        }
        let rank = |variant: &Option<String>, default: u32| {
            variant
                .as_deref()
                .map_or(Some(default), |v| v.strip_prefix('v')?.parse::<u32>().ok())
        };
        match (have.architecture.as_str(), want.architecture.as_str()) {
            ("arm", "arm") => rank(&want.variant, 7)?.checked_sub(rank(&have.variant, 7)?),
            ("arm64", "arm64") => rank(&want.variant, 8)?.checked_sub(rank(&have.variant, 8)?),
            ("amd64", "amd64") => rank(&want.variant, 1)?.checked_sub(rank(&have.variant, 1)?),
            ("arm", "arm64") => 8u32.checked_sub(rank(&have.variant, 7)?).map(|r| r + 10),
            (have_arch, want_arch) if have_arch == want_arch => (have.variant == want.variant).then_some(0),
            _ => None,
        }
    }
}

fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386" | "i686" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64", if v == "v1" { "" } else { v }),
        ("aarch64" | "arm64", v) => ("arm64", if matches!(v, "8" | "v8") { "" } else { v }),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        ("powerpc64le", v) => ("ppc64le", v),
        ("loongarch64", v) => ("loong64", v),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if let Some(version) = &self.os_version {
            write!(f, "({version})")?;
        }
        write!(f, "/{}", self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// Parses `os[/arch[/variant]]`; a single word is an operating system or an architecture.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || ParsePlatformError(s.to_owned());
        if s == "local" {
            return Ok(Self::host());
        }
        let word = |p: &str| {
            p.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let (first, rest) = s.split_once('/').map_or((s, None), |(os, rest)| (os, Some(rest)));
        // `windows(10.0.17763)`: only the operating system has a version.
        let (os, version) = match first.split_once('(') {
            Some((os, version)) => (os, Some(version.strip_suffix(')').ok_or_else(error)?)),
            None => (first, None),
        };
        let parts: Vec<&str> = std::iter::once(os)
            .chain(rest.into_iter().flat_map(|rest| rest.split('/')))
            .collect();
        if !parts.iter().all(|part| !part.is_empty() && word(part)) || !version.is_none_or(word) {
            return Err(error());
        }
        let host = Self::host();
        let platform = match parts.as_slice() {
            [one] if is_os(one) => Self::new(one, &host.architecture, None),
            [one] if is_architecture(one) && version.is_none() => Self::new(&host.os, one, None),
            [os, arch] => Self::new(os, arch, None),
            [os, arch, variant] => Self::new(os, arch, Some(variant)),
            _ => return Err(error()),
        };
        let os_version = version.filter(|version| !version.is_empty()).map(str::to_owned);
        Ok(Self {
            os_version,
            ..platform
        })
    }
}

fn is_os(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "linux" | "windows" | "darwin" | "macos" | "freebsd" | "netbsd" | "openbsd" | "wasip1" | "js"
    )
}

fn is_architecture(word: &str) -> bool {
    let (normal, _) = normalise(&word.to_ascii_lowercase(), "");
    matches!(
        normal.as_str(),
        "386"
            | "amd64"
            | "arm"
            | "arm64"
            | "ppc64"
            | "ppc64le"
            | "mips"
            | "mipsle"
            | "mips64"
            | "mips64le"
            | "riscv64"
            | "s390x"
            | "loong64"
            | "wasm"
    )
}

/// The text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform (expected `os/arch` or `os/arch/variant`, such as `linux/arm64`)")]
pub struct ParsePlatformError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let got = text
            .parse::<Platform>()
            .map_or_else(|_| "error".to_owned(), |p| p.to_string());
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn platforms_are_normalised_as_containerd_does() {
        check("linux/arm", "linux/arm/v7");
        check("linux/aarch64", "linux/arm64");
        check("linux/arm64/v8", "linux/arm64");
        check("linux/x86_64", "linux/amd64");
        check("Linux/AMD64", "linux/amd64");
        check("arm64", "linux/arm64");
        check("linux/armhf", "linux/arm/v7");
        check("linux/amd64/v2", "linux/amd64/v2");
        check("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64");
        let bad = ["", "foo", "linux/", "linux/a b", "a/b/c/d", "linux//v7"];
        let versions = [
            "linux/amd64(1)",
            "linux(1/amd64",
            "linux(\n)/amd64",
            "(1)/amd64",
            "amd64(1)",
        ];
        for bad in bad.into_iter().chain(versions) {
            check(bad, "error");
        }
    }

    #[test]
    fn older_variants_serve_newer_processors() {
        let p = |s: &str| s.parse::<Platform>().unwrap();
        assert_eq!(p("linux/amd64").serves(&p("linux/amd64")), Some(0));
        assert_eq!(p("linux/arm/v6").serves(&p("linux/arm/v7")), Some(1));
        assert_eq!(p("linux/arm/v7").serves(&p("linux/arm/v6")), None);
        assert_eq!(p("linux/arm64").serves(&p("linux/amd64")), None);
        assert!(p("linux/arm/v7").serves(&p("linux/arm64")).is_some());
    }
}
