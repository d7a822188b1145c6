//! `kiln.lock`: which plugins a project uses, by digest. And `kiln.toml`'s table of plugins.

use std::collections::BTreeMap;

use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

use crate::PluginError;
use crate::grant::Grant;

/// A plugin of a project, as `kiln.toml` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PluginEntry {
    /// Where it is: a path, `builtin:NAME` or `oci://…`.
    pub source: String,
    /// What is granted to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// Options of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A whole lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Version of the file's shape; 1.
    pub version: u32,
    /// The plugins, sorted by name.
    #[serde(default, rename = "plugin", skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<LockedPlugin>,
}

/// A plugin that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedPlugin {
    /// Its name in `kiln.toml`.
    pub name: String,
    /// Where it is, as `kiln.toml` says.
    pub reference: String,
    /// The same with the digest of its manifest, for one from a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// Digest of the component.
    pub digest: Digest,
    /// The world that it fits, such as `kiln:plugin/frontend@0.1.0`.
    pub world: String,
    /// What was granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// Who signed it, if the operator asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            version: 1,
            plugins: Vec::new(),
        }
    }
}

impl Lock {
    /// Returns the entry of a name, or of a reference.
    pub fn find(&self, name: Option<&str>, reference: &str) -> Option<&LockedPlugin> {
        let named = self
            .plugins
            .iter()
            .find(|plugin| Some(plugin.name.as_str()) == name);
        named.or_else(|| {
            self.plugins
                .iter()
                .find(|plugin| plugin.reference == reference || plugin.pinned.as_deref() == Some(reference))
        })
    }
}

impl LockedPlugin {
    /// Checks that a component and its grants are the locked ones.
    ///
    /// # Errors
    /// Says what differs and what to type.
    pub fn check(&self, plugin: &str, digest: &Digest, grants: &[Grant]) -> Result<(), PluginError> {
        let error = |message: String| PluginError::Open {
            plugin: plugin.to_owned(),
            message: format!("{message}; if that is intended, type `kiln plugin lock`"),
        };
        if *digest != self.digest {
            return Err(error(format!(
                "its digest is {digest}, and kiln.lock has {}",
                self.digest
            )));
        }
        match grants
            .iter()
            .find(|grant| !self.grants.iter().any(|locked| locked.covers(grant)))
        {
            Some(grant) => Err(error(format!(
                "`{grant}` is granted to it and is not in kiln.lock"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_refuses_another_digest_and_more_grants() {
        let locked = LockedPlugin {
            name: "a".into(),
            reference: "./a.wasm".into(),
            pinned: None,
            digest: Digest::of("a"),
            world: "kiln:plugin/frontend@0.1.0".into(),
            grants: vec![Grant::Http("example.com".into())],
            signer: None,
        };
        assert!(locked.check("a", &Digest::of("a"), &locked.grants).is_ok());
        assert!(locked.check("a", &Digest::of("a"), &[]).is_ok());
        let text = |digest: &str, grants: &[Grant]| {
            locked
                .check("a", &Digest::of(digest), grants)
                .unwrap_err()
                .to_string()
        };
        assert!(text("b", &[]).contains("kiln.lock has sha256:"));
        assert!(text("a", &[Grant::NetworkHost]).contains("`network.host` is granted to it"));
    }
}
