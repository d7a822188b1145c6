//! Architectures: Debian's names for what platforms call otherwise.

use kiln_sdk::types::Platform;

/// Debian's names, processors and variants, and the multiarch triplets.
const ARCHS: &[(&str, &str, Option<&str>, &str)] = &[
    ("amd64", "amd64", None, "x86_64-linux-gnu"),
    ("arm64", "arm64", None, "aarch64-linux-gnu"),
    ("armel", "arm", Some("v5"), "arm-linux-gnueabi"),
    ("armhf", "arm", Some("v7"), "arm-linux-gnueabihf"),
    ("i386", "386", None, "i386-linux-gnu"),
    ("loong64", "loong64", None, "loongarch64-linux-gnu"),
    ("mips64el", "mips64le", None, "mips64el-linux-gnuabi64"),
    ("ppc64el", "ppc64le", None, "powerpc64le-linux-gnu"),
    ("riscv64", "riscv64", None, "riscv64-linux-gnu"),
    ("s390x", "s390x", None, "s390x-linux-gnu"),
];

/// Returns the platform that Debian calls `arch`.
pub(crate) fn platform_of(arch: &str) -> Option<Platform> {
    let (_, architecture, variant, _) = ARCHS.iter().find(|(debian, ..)| *debian == arch)?;
    Some(Platform {
        os: "linux".into(),
        architecture: (*architecture).into(),
        variant: variant.map(str::to_owned),
        os_version: None,
    })
}

/// Returns what Debian calls a platform.
pub(crate) fn arch_of(platform: &Platform) -> Option<&'static str> {
    let variant = platform.variant.as_deref().filter(|variant| !variant.is_empty());
    let same = |of: Option<&str>| match platform.architecture.as_str() {
        "arm" => of.is_none_or(|of| of == variant.unwrap_or("v7")),
        _ => true,
    };
    let found = ARCHS.iter().find(|(_, architecture, variant, _)| {
        platform.os == "linux" && *architecture == platform.architecture && same(*variant)
    });
    found.map(|(debian, ..)| *debian)
}

/// Returns Debian's names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ARCHS.iter().map(|(debian, ..)| *debian)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_platforms() {
        for (debian, ..) in ARCHS {
            let platform = platform_of(debian).expect("known");
            assert_eq!(arch_of(&platform), Some(*debian));
        }
        assert_eq!(platform_of("vax"), None);
    }
}
