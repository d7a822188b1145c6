//! How a user names a plugin.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which plugin: the value of `--plugin`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginRef {
    /// `builtin:NAME`: one that comes with kiln.
    Builtin(String),
    /// A path of a component: anything with a `/` or ending in `.wasm`, or behind `path:`.
    Path(PathBuf),
}

/// A name of a plugin that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the plugin reference `{text}`: expected `builtin:NAME` or the path of a component, such as `./plugin.wasm`"
)]
pub struct PluginRefError {
    /// What was given.
    pub text: String,
}

impl FromStr for PluginRef {
    type Err = PluginRefError;

    fn from_str(text: &str) -> Result<Self, PluginRefError> {
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let error = || PluginRefError {
            text: text.to_owned(),
        };
        match text.split_once(':') {
            Some(("builtin", rest)) if !rest.is_empty() && rest.chars().all(name) => {
                Ok(Self::Builtin(rest.to_owned()))
            }
            Some(("path", rest)) if !rest.is_empty() => Ok(Self::Path(rest.into())),
            Some(("builtin" | "path" | "oci", _)) => Err(error()),
            _ if text.contains("://") => Err(error()),
            _ if text.contains('/') || text.ends_with(".wasm") => Ok(Self::Path(text.into())),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
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
        check("dockerfile", None);
        check("https://example.com/a.wasm", None);
        check("oci://example.com/a@sha256:00", None);
        check("", None);
    }
}
