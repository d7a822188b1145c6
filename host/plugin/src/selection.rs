//! `--plugin REF[,name=…][,grant=…][,opt.KEY=VALUE]`.

use std::str::FromStr;

use crate::PluginRef;
use crate::PluginRefError;
use crate::grant::Grant;
use crate::grant::GrantError;

/// A plugin that the user selected, with what is granted to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Which one.
    pub reference: PluginRef,
    /// What build files and errors may call it.
    pub name: Option<String>,
    /// What it may reach.
    pub grants: Vec<Grant>,
    /// Options of its own.
    pub options: Vec<(String, String)>,
}

/// A selection that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] PluginRefError),
    /// A grant is none.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A field is neither `name`, `grant` nor `opt.KEY`.
    #[error("unknown field `{0}` of a plugin: expected `name=NAME`, `grant=GRANT` or `opt.KEY=VALUE`")]
    Field(String),
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let mut fields = text.split(',');
        let mut selection = Self::of(fields.next().unwrap_or_default().parse()?);
        for field in fields {
            let unknown = || SelectionError::Field(field.to_owned());
            let (key, value) = field.split_once('=').ok_or_else(unknown)?;
            match key {
                "name" if crate::reference::is_name(value) => selection.name = Some(value.to_owned()),
                "grant" => selection.grants.push(value.parse()?),
                key => match key.strip_prefix("opt.") {
                    Some(option) if !option.is_empty() => {
                        selection.options.push((option.to_owned(), value.to_owned()));
                    }
                    _ => return Err(unknown()),
                },
            }
        }
        Ok(selection)
    }
}

impl Selection {
    /// Returns a selection of a plugin without grants and options.
    pub fn of(reference: PluginRef) -> Self {
        Self {
            reference,
            name: None,
            grants: Vec::new(),
            options: Vec::new(),
        }
    }

    /// Returns what errors call the plugin.
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.reference.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let selection: Selection = "./a.wasm,name=a,grant=secret:x,grant=http:*,opt.level=2,opt.x=a=b"
            .parse()
            .unwrap();
        assert_eq!(selection.display_name(), "a");
        assert_eq!(selection.grants.len(), 2);
        assert_eq!(
            selection.options,
            [("level".into(), "2".into()), ("x".into(), "a=b".into())]
        );
        let check = |text: &str, expect: &str| {
            let error = text.parse::<Selection>().unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("", "cannot read the plugin reference");
        check("./a.wasm,grant=all", "unknown grant `all`");
        check("./a.wasm,nmae=x", "unknown field `nmae=x`");
        check("./a.wasm,name=../x", "unknown field");
        check("./a.wasm,opt.=1", "unknown field");
        check("./a.wasm,", "unknown field ``");
    }
}
