//! From what was typed to the bytes of a plugin, with everything that the user, the project and the operator say of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use kiln_image::Digest;
use kiln_image::Reference;
use kiln_plugin::Authority;
use kiln_plugin::Candidate;
use kiln_plugin::Grant;
use kiln_plugin::Grants;
use kiln_plugin::Inspection;
use kiln_plugin::Ledger;
use kiln_plugin::Lock;
use kiln_plugin::LockedPlugin;
use kiln_plugin::PluginEntry;
use kiln_plugin::PluginError;
use kiln_plugin::PluginRef;
use kiln_plugin::Policies;
use kiln_plugin::Selection;
use kiln_registry::Client;

use super::Artifact;
use super::LARGEST_COMPONENT;
use super::PluginStore;
use super::remote::pinned;
use super::signature;
use super::unusable;
use crate::embedded;

/// A plugin that was found.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// What errors call it.
    pub(crate) name: String,
    /// Where it was found; never a name.
    pub(crate) reference: PluginRef,
    /// The reference with the digest of its manifest, for one from a registry.
    pub(crate) pinned: Option<String>,
    /// The component.
    pub(crate) component: Cow<'static, [u8]>,
    /// Machine code that came with the program.
    pub(crate) code: Option<&'static [u8]>,
    /// What is seen from outside.
    pub(crate) seen: Inspection,
    /// What is granted.
    pub(crate) grants: Vec<Grant>,
    /// Options of its own.
    pub(crate) options: Vec<(String, String)>,
    /// Who signed it, as the policy asks.
    pub(crate) signer: Option<String>,
}

impl Resolved {
    /// Returns what the plugin may do.
    pub(crate) fn authority(&self, policies: &Policies, ledger: &Ledger) -> Authority {
        let grants = match self.reference {
            PluginRef::Builtin(_) => Grants::All,
            _ => self.grants.iter().cloned().collect(),
        };
        Authority {
            plugin: self.name.clone(),
            grants,
            policies: policies.clone(),
            ledger: ledger.clone(),
        }
    }
}

/// Finds plugins.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// What paths start from.
    pub(crate) directory: PathBuf,
    /// Plugins that flags select.
    pub(crate) selections: Vec<Selection>,
    /// Plugins of `kiln.toml`.
    pub(crate) entries: BTreeMap<String, PluginEntry>,
    /// `kiln.lock`, if there is one.
    pub(crate) lock: Option<Lock>,
    /// Only plugins of the lock.
    pub(crate) locked: bool,
    /// No registry is asked.
    pub(crate) offline: bool,
    /// What the operator allows.
    pub(crate) policies: Policies,
    /// Plugins of registries that are here, the project's before the store's.
    pub(crate) stores: Vec<PluginStore>,
    /// Asks registries.
    pub(crate) client: Client,
}

impl Resolver {
    /// Finds the plugin that a flag, a build file or another frontend names.
    ///
    /// # Errors
    /// There is none, it may not be used, or it is another than the lock says.
    pub(crate) async fn find(&self, text: &str) -> Result<Resolved, PluginError> {
        let selected = |selection: &&Selection| {
            selection.name.as_deref() == Some(text) || selection.reference.to_string() == text
        };
        let selection = match self.selections.iter().find(selected) {
            Some(selection) => selection.clone(),
            None => Selection::of(
                text.parse()
                    .map_err(|e: kiln_plugin::PluginRefError| unusable(text, e.to_string()))?,
            ),
        };
        self.select(&selection).await
    }

    /// Finds a selected plugin.
    ///
    /// # Errors
    /// As [`Resolver::find`].
    pub(crate) async fn select(&self, selection: &Selection) -> Result<Resolved, PluginError> {
        let name = selection.display_name();
        let (key, reference, mut grants, mut options) = self.named(&selection.reference)?;
        grants.extend(selection.grants.iter().cloned());
        options.retain(|(key, _)| !selection.options.iter().any(|(own, _)| own == key));
        options.extend(selection.options.iter().cloned());
        self.policies.check_reference(&name, &reference)?;
        let locked = self.locked(&name, key.as_deref(), &reference)?;
        let mut found = self.open(&name, &reference, locked).await?;
        let digest = found.seen.digest;
        let candidate = Candidate {
            name: &name,
            reference: &reference,
            digest: &digest,
        };
        self.policies.check_plugin(&candidate)?;
        if let Some(locked) = locked {
            locked.check(&name, &digest, &grants)?;
        }
        for grant in &grants {
            self.policies.check_grant(&name, grant)?;
        }
        found.signer = self.signer(&found).await?;
        found.grants = grants;
        found.options = options;
        Ok(found)
    }

    /// Follows a name to what `kiln.toml` says of it.
    #[expect(clippy::type_complexity, reason = "what an entry says, taken apart")]
    fn named(
        &self,
        reference: &PluginRef,
    ) -> Result<(Option<String>, PluginRef, Vec<Grant>, Vec<(String, String)>), PluginError> {
        let PluginRef::Name(name) = reference else {
            return Ok((None, reference.clone(), Vec::new(), Vec::new()));
        };
        let Some(entry) = self.entries.get(name) else {
            let known: Vec<String> = self.entries.keys().map(|name| format!("`{name}`")).collect();
            let known = match known.as_slice() {
                [] => "kiln.toml names no plugins".to_owned(),
                known => format!("kiln.toml has {}", known.join(", ")),
            };
            return Err(unusable(
                name,
                format!("there is no plugin of that name ({known}); for a file type `./{name}`"),
            ));
        };
        let parsed: PluginRef = entry
            .source
            .parse()
            .map_err(|e: kiln_plugin::PluginRefError| unusable(name, e.to_string()))?;
        if matches!(parsed, PluginRef::Name(_)) {
            return Err(unusable(
                name,
                format!("its source `{}` in kiln.toml is another name", entry.source),
            ));
        }
        let options = entry
            .options
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Ok((Some(name.clone()), parsed, entry.grants.clone(), options))
    }

    fn locked(
        &self,
        name: &str,
        key: Option<&str>,
        reference: &PluginRef,
    ) -> Result<Option<&LockedPlugin>, PluginError> {
        let text = reference.to_string();
        let found = self.lock.as_ref().and_then(|lock| lock.find(key, &text));
        if let Some(found) =
            found.filter(|found| found.reference != text && found.pinned.as_deref() != Some(&text))
        {
            let said = format!(
                "kiln.lock has it from `{}`, and kiln.toml from `{text}`",
                found.reference
            );
            return Err(unusable(name, format!("{said}; type `kiln plugin lock`")));
        }
        if found.is_none() && self.locked && !matches!(reference, PluginRef::Builtin(_)) {
            let message = "it is not in kiln.lock, and `--locked` is given; name it in kiln.toml and type `kiln plugin lock`";
            return Err(unusable(name, message));
        }
        Ok(found)
    }

    async fn open(
        &self,
        name: &str,
        reference: &PluginRef,
        locked: Option<&LockedPlugin>,
    ) -> Result<Resolved, PluginError> {
        let (component, code, pin) = match reference {
            PluginRef::Builtin(builtin) => {
                let (component, code) = builtin_plugin(name, builtin)?;
                (Cow::Borrowed(component), code, None)
            }
            PluginRef::Path(path) => (Cow::Owned(read(name, &self.directory.join(path))?), None, None),
            PluginRef::Oci(reference) => {
                let (artifact, pin) = self.artifact(name, reference, locked).await?;
                (Cow::Owned(artifact.component), None, Some(pin))
            }
            PluginRef::Name(other) => return Err(unusable(name, format!("`{other}` is a name"))),
        };
        let seen = kiln_wasm::inspect(name, &component)?;
        Ok(Resolved {
            name: name.to_owned(),
            reference: reference.clone(),
            pinned: pin,
            component,
            code,
            seen,
            grants: Vec::new(),
            options: Vec::new(),
            signer: None,
        })
    }

    /// Returns a plugin of a registry and its pinned reference.
    async fn artifact(
        &self,
        name: &str,
        reference: &Reference,
        locked: Option<&LockedPlugin>,
    ) -> Result<(Artifact, String), PluginError> {
        let pin = locked.and_then(|locked| {
            locked
                .pinned
                .as_deref()?
                .strip_prefix("oci://")?
                .parse::<Reference>()
                .ok()
        });
        let exact = match (reference.digest(), &pin) {
            (Some(_), _) => reference,
            (None, Some(pin)) => pin,
            (None, None) => {
                let message = format!(
                    "`oci://{reference}` has no digest: type `kiln plugin lock`, or add `@sha256:…` (`kiln plugin pull oci://{reference}` prints it)"
                );
                return Err(unusable(name, message));
            }
        };
        let digest = exact.digest().copied().unwrap_or_else(|| Digest::of(""));
        let text = format!("oci://{}", pinned(exact, digest));
        if let Some(artifact) = self
            .stores
            .iter()
            .find_map(|store| Artifact::stored(store, &digest))
        {
            return Ok((artifact, text));
        }
        if self.offline {
            let message = format!(
                "`{text}` is not here, and `--offline` is given; type `kiln plugin vendor` while online"
            );
            return Err(unusable(name, message));
        }
        let artifact = Artifact::pull(&self.client, exact, self.store()).await?;
        Ok((artifact, text))
    }

    /// Returns where plugins of registries are kept.
    pub(crate) fn store(&self) -> &PluginStore {
        self.stores.last().expect("there is always the store's own")
    }

    /// Checks the signatures that the policy asks for, and returns who signed.
    async fn signer(&self, found: &Resolved) -> Result<Option<String>, PluginError> {
        let mut signer = None;
        for (file, rule) in self.policies.signers(&found.reference) {
            let refused = |what: String| PluginError::Policy {
                plugin: found.name.clone(),
                what,
                file: file.display().to_string(),
                advice: format!("a rule for it, or have it signed by `{}`,", rule.name),
            };
            let PluginRef::Oci(reference) = &found.reference else {
                return Err(refused(
                    "a plugin without a registry, which cannot be signed,".to_owned(),
                ));
            };
            let key = file.parent().unwrap_or_else(|| Path::new("/")).join(&rule.key);
            let pem = std::fs::read_to_string(&key).map_err(|error| error.to_string());
            let key = pem.and_then(|pem| signature::Key::parse(&pem)).map_err(|why| {
                unusable(
                    &found.name,
                    format!("cannot use the key `{}` of the policy: {why}", key.display()),
                )
            })?;
            let pin = found.pinned.as_deref().and_then(|pin| pin.strip_prefix("oci://"));
            let manifest = pin
                .and_then(|pin| pin.parse::<Reference>().ok())
                .and_then(|pin| pin.digest().copied());
            let manifest = manifest.ok_or_else(|| refused("a plugin without a digest".to_owned()))?;
            if self.offline {
                return Err(refused(
                    "a plugin whose signature cannot be asked for with `--offline`".to_owned(),
                ));
            }
            let verified = signature::verify(&self.client, reference, &manifest, &key).await;
            verified.map_err(|why| refused(format!("a plugin that `{}` did not sign ({why})", rule.name)))?;
            signer = Some(rule.name.clone());
        }
        Ok(signer)
    }
}

type Embedded = (&'static [u8], Option<&'static [u8]>);

/// Returns the embedded plugin `builtin:NAME`.
fn builtin_plugin(name: &str, builtin: &str) -> Result<Embedded, PluginError> {
    let exact = embedded::find(builtin);
    let kinds = kiln_plugin::PluginKind::ALL.into_iter();
    let found = exact.or_else(|| {
        kinds
            .into_iter()
            .find_map(|kind| embedded::find(&format!("{kind}-{builtin}")))
    });
    let found = found.ok_or_else(|| {
        let known: Vec<String> = embedded::names()
            .map(|name| format!("`builtin:{name}`"))
            .collect();
        unusable(
            name,
            format!("this program has no such plugin (it has {})", known.join(", ")),
        )
    })?;
    Ok((found.component, found.code))
}

/// Reads a component from a file.
fn read(name: &str, path: &Path) -> Result<Vec<u8>, PluginError> {
    let failed = |error: std::io::Error| unusable(name, format!("`{}`: {error}", path.display()));
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(unusable(name, format!("`{}` is not a file", path.display())));
    }
    if metadata.len() > LARGEST_COMPONENT {
        return Err(unusable(
            name,
            format!("the file has {} bytes, more than 256 MiB", metadata.len()),
        ));
    }
    std::fs::read(path).map_err(failed)
}
