//! Whether the kernel can run programs of another machine: what is registered with `binfmt_misc`.

use std::path::Path;
use std::path::PathBuf;

use kiln_image::Platform;

use crate::error::EngineError;

/// Where the kernel lists its interpreters.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";
/// Bytes of a program's head that tell its machine.
const HEAD: usize = 20;

/// Fails early where the kernel could only say `exec format error`.
///
/// # Errors
/// When programs of `platform` do not run here.
pub(super) fn check(platform: &Platform) -> Result<(), EngineError> {
    check_in(platform, &Platform::host(), Path::new(REGISTERED))
}

/// Tells whether programs of a machine, by its name in platforms, run here.
pub(crate) fn runs_here(machine: &str) -> bool {
    let platform = format!("linux/{machine}").parse::<Platform>();
    platform.is_ok_and(|platform| check(&platform).is_ok())
}

fn check_in(platform: &Platform, host: &Platform, registered: &Path) -> Result<(), EngineError> {
    let native =
        platform.serves(host).is_some() || (host.architecture == "amd64" && platform.architecture == "386");
    if native {
        return Ok(());
    }
    let interpreter = emulator_name(&platform.architecture).to_owned();
    let (platform, host) = (platform.clone(), host.clone());
    match find(&platform.architecture, registered) {
        Some(Interpreter { opened: true, .. }) => Ok(()),
        Some(Interpreter { path, .. }) => Err(EngineError::EmulatorNotOpened { platform, host, path }),
        None => Err(EngineError::Platform {
            platform,
            host,
            interpreter,
        }),
    }
}

/// What runs programs of a machine.
struct Interpreter {
    path: PathBuf,
    /// The kernel holds the file open (flag `F`): it need not be in the step's root file system.
    opened: bool,
}

/// Returns the interpreter of a machine's programs; one that the kernel holds open is taken first.
fn find(architecture: &str, registered: &Path) -> Option<Interpreter> {
    let head = head_of(architecture)?;
    let enabled = |text: &str| text.starts_with("enabled");
    let status = std::fs::read_to_string(registered.join("status")).ok()?;
    if !enabled(&status) {
        return None;
    }
    let entries = std::fs::read_dir(registered).ok()?.flatten();
    let texts = entries
        .filter(|entry| entry.file_name() != "status" && entry.file_name() != "register")
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let mut found: Vec<Interpreter> = texts
        .filter(|text| enabled(text))
        .filter_map(|text| interpreter(&text, &head))
        .collect();
    found.sort_by_key(|interpreter| !interpreter.opened);
    found.into_iter().next()
}

/// Reads an entry; none when it is not for programs that begin with `head`.
fn interpreter(text: &str, head: &[u8; HEAD]) -> Option<Interpreter> {
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
            .next()
    };
    let offset: usize = field("offset")?.parse().ok()?;
    let magic = bytes(field("magic")?)?;
    let mask = field("mask").map_or_else(|| Some(vec![0xff; magic.len()]), bytes)?;
    let place = head.get(offset..offset.checked_add(magic.len())?)?;
    let matches = mask.len() == magic.len()
        && place
            .iter()
            .zip(&magic)
            .zip(&mask)
            .all(|((byte, magic), mask)| byte & mask == magic & mask);
    matches.then(|| Interpreter {
        path: PathBuf::from(field("interpreter").unwrap_or_default()),
        opened: text
            .lines()
            .filter_map(|line| line.strip_prefix("flags:"))
            .any(|flags| flags.contains('F')),
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    hex.len()
        .is_multiple_of(2)
        .then(|| (0..hex.len()).step_by(2).map(pair).collect())?
}

/// Returns how programs of a machine begin: an ELF header up to its machine number.
fn head_of(architecture: &str) -> Option<[u8; HEAD]> {
    let (wide, little, machine): (bool, bool, u16) = match architecture {
        "amd64" => (true, true, 62),
        "386" => (false, true, 3),
        "arm64" => (true, true, 183),
        "arm" => (false, true, 40),
        "riscv64" => (true, true, 243),
        "ppc64le" => (true, true, 21),
        "ppc64" => (true, false, 21),
        "s390x" => (true, false, 22),
        "mips64le" => (true, true, 8),
        "mips64" => (true, false, 8),
        "mipsle" => (false, true, 8),
        "mips" => (false, false, 8),
        "loong64" => (true, true, 258),
        _ => return None,
    };
    let number = |value: u16| {
        if little {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    };
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(b"\x7fELF");
    head[4] = if wide { 2 } else { 1 };
    head[5] = if little { 1 } else { 2 };
    head[6] = 1;
    head[16..18].copy_from_slice(&number(2));
    head[18..20].copy_from_slice(&number(machine));
    Some(head)
}

/// Returns what QEMU calls a machine.
fn emulator_name(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        "mips64le" => "mips64el",
        "mipsle" => "mipsel",
        "loong64" => "loongarch64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::check_in;
    use kiln_image::Platform;

    /// As Debian's package registers it.
    const AARCH64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[track_caller]
    fn check(platform: &str, files: &[(&str, &str)], expect: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file");
        }
        let host = Platform::new("linux", "amd64", None);
        let platform = platform.parse().expect("a platform");
        let got = match check_in(&platform, &host, directory.path()) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        let fits = if expect.is_empty() {
            got.is_empty()
        } else {
            got.contains(expect)
        };
        assert!(fits, "{platform}: {got:?}, not {expect:?}");
    }

    #[test]
    fn interpreters_are_found_by_what_they_match() {
        let on = ("status", "enabled\n");
        let arm64 = ("some-name", AARCH64);
        check("linux/arm64", &[on, arm64], "");
        check("linux/amd64", &[], "");
        check("linux/386", &[], "");
        check("linux/riscv64", &[on, arm64], "registers `qemu-riscv64`");
        check(
            "linux/arm/v7",
            &[on, arm64],
            "cannot run a step for linux/arm/v7 on linux/amd64",
        );
        check("linux/arm64", &[], "install `qemu-user-static`");
        check("linux/arm64", &[("status", "disabled\n"), arm64], "no emulator");
        let off = AARCH64.replace("enabled", "disabled");
        check("linux/arm64", &[on, ("qemu-aarch64", &off)], "no emulator");
        check(
            "linux/loong64",
            &[on, ("x", "enabled\nextension .py\n")],
            "`qemu-loongarch64`",
        );
        let bad = AARCH64.replace("magic 7f", "magic 7");
        check("linux/arm64", &[on, ("x", &bad)], "no emulator");
    }

    #[test]
    fn interpreters_have_to_be_held_open() {
        let on = ("status", "enabled\n");
        let by_path = AARCH64.replace("POCF", "OC");
        check("linux/arm64", &[on, ("a", &by_path)], "flag `F`");
        check("linux/arm64", &[on, ("a", &by_path), ("b", AARCH64)], "");
    }
}
