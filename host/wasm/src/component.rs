//! From bytes to a component that fits its world, or an error that says why not.

use std::time::Instant;

use kiln_image::Digest;
use kiln_plugin::Code;
use kiln_plugin::Limit;
use kiln_plugin::Limits;
use kiln_plugin::PluginError;
use wasmtime::component::Component;

use crate::Runtime;
use crate::machine_code::MachineCode;

/// A component with its machine code.
pub(crate) struct Loaded {
    /// What errors call it.
    pub(crate) name: String,
    /// Digest of the component's bytes.
    pub(crate) digest: Digest,
    pub(crate) component: Component,
    /// How its machine code was come by.
    pub(crate) code: Code,
}

impl Loaded {
    /// Tells whether the component cannot do without WASI.
    pub(crate) fn imports_wasi(&self) -> bool {
        let kind = self.component.component_type();
        kind.imports(self.component.engine())
            .any(|(name, _)| name.starts_with("wasi:"))
    }
}

impl Runtime {
    /// Refuses bytes that are not worth compiling.
    pub(crate) fn check_bytes(&self, name: &str, bytes: &[u8], limits: &Limits) -> Result<(), PluginError> {
        if bytes.len() as u64 > limits.component {
            return Err(PluginError::Limit {
                plugin: name.to_owned(),
                call: "load".to_owned(),
                limit: Limit::Component,
                value: limits.value(Limit::Component),
            });
        }
        match not_a_component(bytes) {
            Some(found) => Err(PluginError::NotAComponent {
                plugin: name.to_owned(),
                found,
            }),
            None => Ok(()),
        }
    }

    /// Loads a component: from embedded code, from kept code, or by compiling it.
    pub(crate) fn load(
        &self,
        name: &str,
        bytes: &[u8],
        precompiled: Option<&'static [u8]>,
        limits: &Limits,
    ) -> Result<Loaded, PluginError> {
        self.check_bytes(name, bytes, limits)?;
        let engine = &self.shared.engine;
        let digest = Digest::of(bytes);
        let embedded = precompiled.and_then(|code| MachineCode::embedded(engine, code));
        let embedded = embedded.map(|component| (component, Code::Embedded));
        let kept = || Some((self.shared.code.load(engine, &digest)?, Code::Cached));
        let (component, code) = match embedded.or_else(kept) {
            Some(there) => there,
            None => {
                let started = Instant::now();
                let component = self.compile(name, bytes, &digest, limits)?;
                (component, Code::Compiled(started.elapsed()))
            }
        };
        Ok(Loaded {
            name: name.to_owned(),
            digest,
            component,
            code,
        })
    }

    /// Compiles a component and keeps its code.
    fn compile(
        &self,
        name: &str,
        bytes: &[u8],
        digest: &Digest,
        limits: &Limits,
    ) -> Result<Component, PluginError> {
        let engine = &self.shared.engine;
        let code = match &self.shared.config.compiler {
            Some(compiler) => compiler.compile(bytes, limits).map_err(|e| e.of(name, limits))?,
            None => self.precompile(name, bytes)?,
        };
        let made = MachineCode::made(engine, &code).ok_or_else(|| PluginError::Compile {
            plugin: name.to_owned(),
            message: "the compiler is of another version than this program".to_owned(),
        })?;
        self.shared.code.keep(digest, &code);
        Ok(made)
    }
}

pub(crate) fn compile_error(name: &str, error: &wasmtime::Error) -> PluginError {
    PluginError::Compile {
        plugin: name.to_owned(),
        message: error.root_cause().to_string(),
    }
}

/// Returns what the bytes are, when they do not even start like a component.
pub(crate) fn not_a_component(bytes: &[u8]) -> Option<String> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    Some(match bytes {
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => return None,
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => "a core WebAssembly module".to_owned(),
        [b'\0', b'a', b's', b'm', ..] => "WebAssembly of an unknown version".to_owned(),
        [0x7f, b'E', b'L', b'F', ..] => "an ELF file, such as a program or machine code".to_owned(),
        [] => "an empty file".to_owned(),
        bytes if bytes.len() < 8 => format!("a file of {} bytes", bytes.len()),
        bytes if text(bytes) => "a text file".to_owned(),
        bytes => format!("a file that starts with {:02x?}", &bytes[..8]),
    })
}

/// A world as the host offers it.
pub(crate) struct World {
    /// Its name.
    pub(crate) name: &'static str,
    /// Version of the package.
    pub(crate) version: &'static str,
    /// What it lends.
    pub(crate) imports: &'static [&'static str],
    /// What the plugin must export.
    pub(crate) export: &'static str,
}

impl World {
    /// Names every import that is not offered and the export that is missing, in words for people.
    pub(crate) fn problems(&self, engine: &wasmtime::Engine, component: &Component) -> Vec<String> {
        let kind = component.component_type();
        let imports = kind.imports(engine).map(|(name, _)| name.to_owned());
        let mut problems: Vec<String> = imports.filter_map(|name| self.import_problem(&name)).collect();
        let exports: Vec<String> = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
        let wanted = format!("kiln:plugin/{}", self.export);
        let fits = |name: &String| {
            name.split_once('@')
                .is_some_and(|(name, version)| name == wanted && compatible(version, self.version))
        };
        if !exports.iter().any(fits) {
            let found = match exports.as_slice() {
                [] => "nothing".to_owned(),
                some => some
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            problems.push(format!(
                "plugin exports {found}; the world needs `{wanted}@{}`",
                self.version
            ));
        }
        problems
    }

    fn import_problem(&self, import: &str) -> Option<String> {
        let (path, version) = import.split_once('@').unwrap_or((import, ""));
        if path.starts_with("wasi:") {
            let fits = version.starts_with("0.2.");
            return (!fits).then(|| format!("plugin wants `{import}`; this host offers WASI 0.2 (empty)"));
        }
        let Some(name) = path.strip_prefix("kiln:plugin/") else {
            return Some(format!(
                "plugin wants `{import}`; this host has no such interface"
            ));
        };
        if !self.imports.contains(&name) {
            return Some(format!(
                "plugin wants `{import}`; the world offers {}",
                self.imports.join(", ")
            ));
        }
        let fits = compatible(version, self.version);
        (!fits).then(|| format!("plugin wants `{import}`; this host offers {}", self.version))
    }
}

/// Tells whether two versions before 1.0 link: equal but for the last number.
fn compatible(wanted: &str, offered: &str) -> bool {
    let line = |version: &str| version.rsplit_once('.').map(|(line, _)| line.to_owned());
    !wanted.contains('-') && line(wanted) == line(offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_component_is_named() {
        let check = |bytes: &[u8], expect: &str| {
            let found = not_a_component(bytes).unwrap();
            assert!(found.contains(expect), "{bytes:?}: {found}");
        };
        check(b"", "empty");
        check(b"abc", "3 bytes");
        check(b"\0asm\x01\0\0\0", "core WebAssembly module");
        check(b"\0asm\x07\0\0\0", "unknown version");
        check(b"\x7fELF\x02\x01\x01\0", "ELF");
        check(b"FROM scratch\n", "text");
        check(b"\x1f\x8b\x08\0\0\0\0\0\0", "starts with");
        assert_eq!(not_a_component(b"\0asm\x0d\0\x01\0"), None);
    }

    #[test]
    fn versions_of_one_line_link() {
        let check = |wanted, offered, expect| assert_eq!(compatible(wanted, offered), expect, "{wanted}");
        check("0.1.0", "0.1.0", true);
        check("0.1.7", "0.1.0", true);
        check("0.2.0", "0.1.0", false);
        check("0.1.0-rc.1", "0.1.0", false);
        check("", "0.1.0", false);
    }
}
