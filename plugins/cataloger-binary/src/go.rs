//! What the Go linker writes into programs: the version of Go, the main module and the modules that it needs.

use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::Package;
use kiln_sdk::packages::Purl;

use crate::elf::Elf;
use crate::elf::number;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Build information starts at such addresses.
const ALIGN: usize = 16;
/// Both texts follow the header; before Go 1.18 it points to them.
const INLINE: u8 = 2;
const BIG: u8 = 1;
/// Most modules of a program.
const MOST: usize = 20_000;

/// A module with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Module<'a> {
    path: &'a str,
    version: &'a str,
    sum: &'a str,
}

/// Build information of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Build<'a> {
    go: &'a str,
    main: Option<Module<'a>>,
    needs: Vec<Module<'a>>,
    settings: Vec<(&'a str, &'a str)>,
}

/// Finds the build information of a program.
pub(crate) fn build<'a>(elf: &Elf<'a>) -> Option<Build<'a>> {
    let section = elf.section(".go.buildinfo");
    let info = match section.filter(|section| section.starts_with(MAGIC)) {
        Some(section) => section,
        None => elf.data().find_map(|data| {
            let at = (0..data.len())
                .step_by(ALIGN)
                .find(|&at| data[at..].starts_with(MAGIC))?;
            Some(&data[at..])
        })?,
    };
    let (size, flags) = (usize::from(*info.get(14)?), *info.get(15)?);
    let (go, modules) = if flags & INLINE != 0 {
        let (go, rest) = prefixed(info.get(32..)?)?;
        (go, prefixed(rest).map_or(&[][..], |(modules, _)| modules))
    } else {
        if size != 4 && size != 8 {
            return None;
        }
        let pointer = |at: usize| Some(number(info.get(at..at + size)?, flags & BIG != 0));
        let modules = pointer(16 + size).and_then(|pointer| elf.string(pointer));
        (elf.string(pointer(16)?)?, modules.unwrap_or_default())
    };
    let mut build = Build {
        go: std::str::from_utf8(go).ok()?,
        ..Build::default()
    };
    // A mark of 16 bytes stands on both sides of the text.
    if let Some(text) = modules.get(16..modules.len().saturating_sub(16))
        && let Ok(text) = std::str::from_utf8(text)
    {
        build.read(text);
    }
    Some(build)
}

/// Takes a text with its length before it off.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length: u64 = 0;
    for (at, &byte) in bytes.iter().take(9).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return bytes[at + 1..].split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

impl<'a> Build<'a> {
    fn read(&mut self, text: &'a str) {
        for line in text.lines() {
            let (kind, rest) = line.split_once('\t').unwrap_or((line, ""));
            let mut parts = rest.split('\t');
            let mut part = || parts.next().unwrap_or_default();
            let module = Module {
                path: part(),
                version: part(),
                sum: part(),
            };
            match kind {
                // The main package; the module's line follows if there is a module.
                "path" | "mod" if !module.path.is_empty() => self.main = Some(module),
                "dep" if self.needs.len() < MOST => self.needs.push(module),
                // What stands in for the module before; a folder has no version and is passed over.
                "=>" if !module.version.is_empty() => {
                    if let Some(last) = self.needs.last_mut() {
                        *last = module;
                    }
                }
                "build" => {
                    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
                    self.settings.push((key, value));
                }
                _ => {}
            }
        }
    }

    fn setting(&self, key: &str) -> &'a str {
        let found = self.settings.iter().find(|(name, _)| *name == key);
        found.map_or("", |(_, value)| value)
    }

    /// The main module's version; one that was built of a checkout has what the linker was told, or that of its commit.
    fn version(&self, main: &Module<'a>) -> String {
        if main.version != "(devel)" {
            return main.version.to_owned();
        }
        if let Some(version) = self.told(main) {
            return format!("v{version}");
        }
        let time: String = self
            .setting("vcs.time")
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        match self.setting("vcs.revision").get(..12) {
            Some(revision) if time.len() == 14 => format!("v0.0.0-{time}-{revision}"),
            _ => String::new(),
        }
    }

    /// The version of flags such as `-X main.version=1.2.3`.
    fn told(&self, main: &Module<'a>) -> Option<&'a str> {
        let words = self.setting("-ldflags").split(&[' ', '"', '\''][..]);
        let mut of_main = words.rev().filter_map(|word| {
            let (variable, value) = word.split_once('=')?;
            let (package, name) = variable.rsplit_once('.')?;
            let own = package == "main" || package.starts_with(main.path);
            (own && name.eq_ignore_ascii_case("version")).then(|| value.strip_prefix('v').unwrap_or(value))
        });
        let is_version = |value: &&str| {
            let mut parts = value.splitn(3, '.');
            let mut digit = || {
                parts
                    .next()
                    .is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()))
            };
            digit() && digit() && digit() && value.len() < 100
        };
        of_main.find(is_version)
    }

    /// Returns the program's packages: the main module, those that it needs, and the standard library.
    pub(crate) fn packages(&self, path: &str) -> Vec<PackageInfo> {
        let own = self.main.as_ref().map(|main| {
            let version = self.version(main);
            let purl = purl(main.path, &version);
            Package::new(main.path, &version, &purl)
        });
        let mut own = own.map(|package| package.location(path).attr("source-info", INFO));
        let mut found = Vec::new();
        let mut add = |name: &str, version: &str, purl: &Purl, sum: &str| {
            let package = Package::new(name, version, purl).location(path);
            let package = package.attr("source-info", INFO).attr("go-sum", sum);
            found.push(package.done());
            own = own.take().map(|own| own.needs(&purl.to_string()));
        };
        for module in self.needs.iter().filter(|module| !module.path.is_empty()) {
            add(
                module.path,
                module.version,
                &purl(module.path, module.version),
                module.sum,
            );
        }
        // As in `go1.22.1 X:boringcrypto`.
        let go = self.go.split([' ', '-']).next().unwrap_or_default();
        if let Some(version) = go.strip_prefix("go").filter(|version| !version.is_empty()) {
            add("stdlib", go, &Purl::new("golang", "stdlib", version), "");
        }
        found.extend(own.map(Package::done));
        found
    }
}

const INFO: &str = "build information of a Go program";

/// The purl specification wants golang's names in lower case.
fn purl(path: &str, version: &str) -> Purl {
    let path = path.to_ascii_lowercase();
    match path.rsplit_once('/') {
        Some((namespace, name)) => Purl::new("golang", name, version).namespace(namespace),
        None => Purl::new("golang", &path, version),
    }
}
