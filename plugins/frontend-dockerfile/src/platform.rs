//! Platforms: reading, writing and bringing them into the usual form, as containerd does.

use crate::api::Platform;

/// Why a text is not a platform.
type Fault = String;

/// Reads `os[(version)][/arch[/variant]]` and brings it into the usual form. `local` fills what is left out.
///
/// # Errors
/// A text that is no platform; says what was expected.
pub(crate) fn parse(text: &str, local: &Platform) -> Result<Platform, Fault> {
    if text.contains('*') {
        return Err(format!(
            "{}: wildcards not yet supported: invalid argument",
            quote(text)
        ));
    }
    let parts: Vec<&str> = text.split('/').collect();
    let mut os_version = None;
    let mut first = parts[0];
    if let Some((os, rest)) = first.split_once('(') {
        let version = rest.strip_suffix(')').ok_or_else(|| unknown_shape(text))?;
        os_version = (!version.is_empty()).then(|| version.to_owned());
        first = os;
    }
    for part in std::iter::once(&first).chain(&parts[1..]) {
        if part.is_empty()
            || !part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        {
            return Err(format!(
                "{} is an invalid component of {}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument",
                quote(part),
                quote(text)
            ));
        }
    }
    let platform = match parts.len() {
        1 => single(first, text, local)?,
        2 => make(first, parts[1], None),
        3 => make(first, parts[1], Some(parts[2])),
        _ => return Err(unknown_shape(text)),
    };
    Ok(normalize(Platform {
        os_version,
        ..platform
    }))
}

fn quote(text: &str) -> String {
    crate::go::quote(text)
}

fn unknown_shape(text: &str) -> Fault {
    format!(
        "{}: cannot parse platform specifier: invalid argument",
        quote(text)
    )
}

fn make(os: &str, arch: &str, variant: Option<&str>) -> Platform {
    Platform {
        os: os.to_owned(),
        architecture: arch.to_owned(),
        variant: variant.map(str::to_owned),
        os_version: None,
    }
}

/// Reads a platform of one word: an operating system or a processor.
fn single(word: &str, text: &str, local: &Platform) -> Result<Platform, Fault> {
    let os = normal_os(word);
    if known_os(&os) {
        let variant = (local.architecture == "arm")
            .then_some(local.variant.as_deref())
            .flatten();
        return Ok(make(&os, &local.architecture, variant.filter(|v| *v != "v7")));
    }
    let (arch, variant) = normal_arch(word, None);
    if known_arch(&arch) {
        let variant = if arch == "arm" && variant.as_deref() == Some("v7") {
            None
        } else {
            variant
        };
        return Ok(make(&local.os, &arch, variant.as_deref()));
    }
    Err(format!(
        "{}: unknown operating system or architecture: invalid argument",
        quote(text)
    ))
}

/// Brings a platform into the usual form: `x86_64` becomes `amd64`, `arm64/v8` becomes `arm64`.
pub(crate) fn normalize(platform: Platform) -> Platform {
    let os = normal_os(&platform.os);
    let (architecture, variant) = normal_arch(&platform.architecture, platform.variant.as_deref());
    Platform {
        os,
        architecture,
        variant,
        os_version: platform.os_version.filter(|v| !v.is_empty()),
    }
}

fn normal_os(os: &str) -> String {
    let os = os.to_lowercase();
    if os == "macos" { "darwin".to_owned() } else { os }
}

fn normal_arch(arch: &str, variant: Option<&str>) -> (String, Option<String>) {
    let arch = arch.to_lowercase();
    let variant = variant.filter(|v| !v.is_empty()).map(str::to_lowercase);
    let with = |arch: &str, variant: Option<&str>| (arch.to_owned(), variant.map(str::to_owned));
    match arch.as_str() {
        "i386" => with("386", None),
        "x86_64" | "x86-64" | "amd64" => with("amd64", variant.as_deref().filter(|v| *v != "v1")),
        "aarch64" | "arm64" => with(
            "arm64",
            variant.as_deref().filter(|v| !matches!(*v, "8" | "v8" | "v8.0")),
        ),
        "armhf" => with("arm", Some("v7")),
        "armel" => with("arm", Some("v6")),
        "arm" => match variant.as_deref() {
            None | Some("7") => with("arm", Some("v7")),
            Some("5") => with("arm", Some("v5")),
            Some("6") => with("arm", Some("v6")),
            Some("8") => with("arm", Some("v8")),
            other => with("arm", other),
        },
        _ => (arch, variant),
    }
}

fn known_os(os: &str) -> bool {
    const KNOWN: &str = "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos";
    KNOWN.split(' ').any(|known| known == os)
}

fn known_arch(arch: &str) -> bool {
    const KNOWN: &str = "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le \
                         mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm";
    KNOWN.split_ascii_whitespace().any(|known| known == arch)
}

/// Writes a platform with everything that is known: `linux/arm/v7`, `windows(10.0.1)/amd64`.
pub(crate) fn format(platform: &Platform) -> String {
    if platform.os.is_empty() {
        return "unknown".to_owned();
    }
    let mut out = platform.os.clone();
    if let Some(version) = platform.os_version.as_deref().filter(|v| !v.is_empty()) {
        out.push_str(&format!("({version})"));
    }
    for part in [Some(platform.architecture.as_str()), platform.variant.as_deref()]
        .into_iter()
        .flatten()
    {
        if !part.is_empty() {
            out.push('/');
            out.push_str(part);
        }
    }
    out
}

/// The PATH of a container whose image sets none. Windows finds out by itself.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the shell of RUN, CMD and ENTRYPOINT where SHELL says nothing.
pub(crate) fn default_shell(os: &str) -> &'static [&'static str] {
    if os == "windows" {
        &["cmd", "/S", "/C"]
    } else {
        &["/bin/sh", "-c"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_writing() {
        let local = make("linux", "amd64", None);
        let check =
            |text: &str, expect: &str| assert_eq!(format(&parse(text, &local).unwrap()), expect, "{text}");
        check("linux/amd64", "linux/amd64");
        check("linux/x86_64", "linux/amd64");
        check("linux/aarch64", "linux/arm64");
        check("linux/arm64/v8", "linux/arm64");
        check("linux/arm", "linux/arm/v7");
        check("linux/arm/v6", "linux/arm/v6");
        check("arm64", "linux/arm64");
        check("Linux", "linux/amd64");
        check("windows(10.0.1)/amd64", "windows(10.0.1)/amd64");
        for bad in ["", "a/b/c/d", "linux/", "what", "linux/*"] {
            assert!(parse(bad, &local).is_err(), "{bad}");
        }
    }
}
