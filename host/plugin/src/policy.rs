//! What the operator of a machine allows plugins at most. No flag, project or plugin can widen it.

use crate::PluginKind;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_image::Digest;
use serde::Deserialize;

use crate::Limits;
use crate::PluginError;
use crate::PluginRef;
use crate::grant::Grant;
use crate::grant::host_matches;

/// One policy file. What it does not name is not restricted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// What concerns plugins.
    pub plugins: PluginPolicy,
}

/// What a policy says of plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PluginPolicy {
    /// Patterns of references that may be used, such as `oci://registry.example.com/team/*`.
    pub allow: Option<Vec<String>>,
    /// Digests of components that may be used. Plugins that are part of the program are not among them.
    pub digests: Option<Vec<Digest>>,
    /// Who must have signed which references.
    pub signers: Vec<SignerRule>,
    /// What may be granted at most.
    pub grants: Option<Vec<Grant>>,
    /// Hosts that sources may come from: files, repositories, images.
    pub egress: Option<Vec<String>>,
    /// Most of each limit, `NAME = "VALUE"`.
    pub limits: BTreeMap<String, String>,
}

/// References that must be signed, and the key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SignerRule {
    /// Name of the signer, for people and the lock.
    pub name: String,
    /// Pattern of the references that it signs.
    pub references: String,
    /// File with the public key in PEM form.
    pub key: PathBuf,
}

/// What is known of a plugin before it is loaded.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// What errors call it.
    pub name: &'a str,
    /// How it was found.
    pub reference: &'a PluginRef,
    /// Digest of the component.
    pub digest: &'a Digest,
}

/// All policies that hold, each with its file. A plugin must pass each of them.
#[derive(Debug, Clone, Default)]
pub struct Policies(Arc<Vec<(PathBuf, Policy)>>);

impl Policies {
    /// Makes a set of files.
    pub fn new(files: Vec<(PathBuf, Policy)>) -> Self {
        Self(Arc::new(files))
    }

    /// Returns each policy with its file.
    pub fn iter(&self) -> impl Iterator<Item = &(PathBuf, Policy)> {
        self.0.iter()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the reference and the digest of a plugin.
    ///
    /// # Errors
    /// Names the file that refuses it and what the operator would add.
    pub fn check_plugin(&self, plugin: &Candidate<'_>) -> Result<(), PluginError> {
        self.check_reference(plugin.name, plugin.reference)?;
        if matches!(plugin.reference, PluginRef::Builtin(_)) {
            return Ok(());
        }
        for (file, policy) in self.iter() {
            let digests = policy.plugins.digests.as_ref();
            if digests.is_some_and(|digests| !digests.contains(plugin.digest)) {
                let add = format!("`\"{}\"` to `plugins.digests`", plugin.digest);
                return Err(refused(
                    plugin.name,
                    &format!("its digest {}", plugin.digest),
                    file,
                    add,
                ));
            }
        }
        Ok(())
    }

    /// Checks a reference alone: before anything is fetched.
    ///
    /// # Errors
    /// As [`Policies::check_plugin`].
    pub fn check_reference(&self, name: &str, reference: &PluginRef) -> Result<(), PluginError> {
        let text = reference.to_string();
        for (file, policy) in self.iter() {
            let allow = policy.plugins.allow.as_ref();
            if allow.is_some_and(|allow| !allow.iter().any(|pattern| matches_pattern(pattern, &text))) {
                let add = format!("`\"{text}\"` to `plugins.allow`");
                return Err(refused(name, &format!("its reference `{text}`"), file, add));
            }
        }
        Ok(())
    }

    /// Returns the rules that ask for a signature of `reference`.
    pub fn signers(&self, reference: &PluginRef) -> Vec<(&PathBuf, &SignerRule)> {
        let text = reference.to_string();
        let rules = self
            .iter()
            .flat_map(|(file, policy)| policy.plugins.signers.iter().map(move |rule| (file, rule)));
        rules
            .filter(|(_, rule)| matches_pattern(&rule.references, &text))
            .collect()
    }

    /// Checks that `grant` may be granted at all.
    ///
    /// # Errors
    /// As [`Policies::check_plugin`].
    pub fn check_grant(&self, plugin: &str, grant: &Grant) -> Result<(), PluginError> {
        for (file, policy) in self.iter() {
            let most = policy.plugins.grants.as_ref();
            if most.is_some_and(|most| !most.iter().any(|allowed| allowed.covers(grant))) {
                let add = format!("`\"{grant}\"` to `plugins.grants`");
                return Err(refused(plugin, &grant.describe(), file, add));
            }
        }
        Ok(())
    }

    /// Checks that something may be fetched from `host`.
    ///
    /// # Errors
    /// As [`Policies::check_plugin`].
    pub fn check_egress(&self, plugin: &str, host: &str) -> Result<(), PluginError> {
        for (file, policy) in self.iter() {
            let hosts = policy.plugins.egress.as_ref();
            if hosts.is_some_and(|hosts| !hosts.iter().any(|pattern| host_matches(pattern, host))) {
                let add = format!("`\"{host}\"` to `plugins.egress`");
                return Err(refused(plugin, &format!("fetching from `{host}`"), file, add));
            }
        }
        Ok(())
    }

    /// Lowers limits to the most that is allowed. The user's own may be lower.
    ///
    /// # Errors
    /// A policy names a limit that there is not, or a value that cannot be read.
    pub fn cap(&self, kind: PluginKind, limits: &mut Limits) -> Result<(), (PathBuf, crate::LimitError)> {
        for (file, policy) in self.iter() {
            for (name, value) in &policy.plugins.limits {
                let mut most = *limits;
                most.set_of(kind, &format!("{name}={value}"))
                    .map_err(|error| (file.clone(), error))?;
                limits.lower_to(&most);
            }
        }
        Ok(())
    }
}

fn refused(plugin: &str, what: &str, file: &std::path::Path, add: String) -> PluginError {
    PluginError::Policy {
        plugin: plugin.to_owned(),
        what: what.to_owned(),
        file: file.display().to_string(),
        advice: add,
    }
}

/// Tells whether `*` in the pattern can stand for parts of the text so that they are the same.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(policy: PluginPolicy) -> Policies {
        Policies::new(vec![("/etc/kiln/policy.toml".into(), Policy { plugins: policy })])
    }

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(matches_pattern(pattern, text), expect, "{pattern} on {text}");
        };
        check("*", "", true);
        check("builtin:*", "builtin:dockerfile", true);
        check("oci://a/*", "oci://a/b@sha256:00", true);
        check("oci://a/*", "oci://ab/c", false);
        check("a*b*c", "a-b-b-c", true);
        check("a*b", "ab-", false);
        check("ab*ba", "aba", false);
        check("exact", "exactly", false);
    }

    #[test]
    fn each_refusal_says_what_to_add() {
        let reference: PluginRef = "./a.wasm".parse().unwrap();
        let digest = Digest::of("x");
        let candidate = Candidate {
            name: "a",
            reference: &reference,
            digest: &digest,
        };
        let allow = policies(PluginPolicy {
            allow: Some(vec!["builtin:*".into()]),
            ..Default::default()
        });
        let text = allow.check_plugin(&candidate).unwrap_err().to_string();
        assert_eq!(
            text,
            "plugin `a`: its reference `./a.wasm` is refused by the policy `/etc/kiln/policy.toml`"
        );
        let digests = policies(PluginPolicy {
            digests: Some(vec![]),
            ..Default::default()
        });
        let error = digests.check_plugin(&candidate).unwrap_err();
        assert!(
            error
                .hint()
                .unwrap()
                .contains(&format!("add `\"{digest}\"` to `plugins.digests`"))
        );
        let grants = policies(PluginPolicy {
            grants: Some(vec![]),
            ..Default::default()
        });
        assert!(grants.check_grant("a", &Grant::NetworkHost).is_err());
        let egress = policies(PluginPolicy {
            egress: Some(vec!["*.example.com".into()]),
            ..Default::default()
        });
        assert!(egress.check_egress("a", "x.example.com").is_ok());
        assert!(egress.check_egress("a", "169.254.169.254").is_err());
    }

    #[test]
    fn a_policy_lowers_limits_and_never_raises_them() {
        let limits = |text: &str| {
            let mut limits = Limits::frontend();
            limits.set("fuel=1000").unwrap();
            let (name, value) = text.split_once('=').unwrap();
            let policy = PluginPolicy {
                limits: [(name.to_owned(), value.to_owned())].into(),
                ..Default::default()
            };
            policies(policy)
                .cap(PluginKind::Frontend, &mut limits)
                .map(|()| limits.fuel)
                .map_err(|(_, e)| e.to_string())
        };
        assert_eq!(limits("fuel=10"), Ok(10));
        assert_eq!(limits("fuel=100000"), Ok(1000));
        assert!(
            limits("speed=1")
                .unwrap_err()
                .contains("unknown plugin limit `speed`")
        );
    }
}
