//! How a user names a plugin.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use kiln_image::Reference;

/// Which plugin: the value of `--plugin`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginRef {
    /// `builtin:NAME`: one that comes with kiln.
    Builtin(String),
    /// A path of a component: anything with a `/` or ending in `.wasm`, or behind `path:`.
    Path(PathBuf),
    /// `oci://…`: an artifact of a registry.
    Oci(Reference),
    /// A name that `kiln.toml` or another `--plugin` gives.
    Name(String),
}

/// A name of a plugin that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the plugin reference `{text}`: expected the path of a component such as `./plugin.wasm`, `builtin:NAME`, `oci://HOST/NAME@sha256:…` or a name of `kiln.toml`"
)]
pub struct PluginRefError {
    /// What was given.
    pub text: String,
}

impl FromStr for PluginRef {
    type Err = PluginRefError;

    fn from_str(text: &str) -> Result<Self, PluginRefError> {
        let error = || PluginRefError {
            text: text.to_owned(),
        };
        match text.split_once(':') {
            Some(("builtin", rest)) if is_name(rest) => Ok(Self::Builtin(rest.to_owned())),
            Some(("oci", rest)) => {
                let rest = rest.strip_prefix("//").ok_or_else(error)?;
                rest.parse().map(Self::Oci).map_err(|_| error())
            }
            Some(("path", rest)) if !rest.is_empty() => Ok(Self::Path(rest.into())),
            Some(("builtin" | "path", _)) => Err(error()),
            _ if text.contains("://") => Err(error()),
            _ if text.contains('/') || text.ends_with(".wasm") => Ok(Self::Path(text.into())),
            _ if is_name(text) => Ok(Self::Name(text.to_owned())),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Tells whether a text can be the name of a plugin.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 64 && !text.starts_with('-') && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let check = |text: &str, expect: Option<PluginRef>| {
            assert_eq!(text.parse::<PluginRef>().ok(), expect, "{text}");
        };
        check(
            "builtin:dockerfile",
            Some(PluginRef::Builtin("dockerfile".into())),
        );
        check("./a.wasm", Some(PluginRef::Path("./a.wasm".into())));
        check("a.wasm", Some(PluginRef::Path("a.wasm".into())));
        check("/opt/plugins/a", Some(PluginRef::Path("/opt/plugins/a".into())));
        check("path:a:b", Some(PluginRef::Path("a:b".into())));
        check("builtin:", None);
        check("builtin:../x", None);
        check("path:", None);
        check("dockerfile", Some(PluginRef::Name("dockerfile".into())));
        check("Dockerfile", None);
        check("https://example.com/a.wasm", None);
        check("oci://example.com/a@sha256:00", None);
        check("oci:example.com/a", None);
        check(
            "oci://example.com/a:1",
            Some(PluginRef::Oci("example.com/a:1".parse().unwrap())),
        );
        check("", None);
    }
}
