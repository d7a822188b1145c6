//! Devices by name, as the Container Device Interface describes them: which there are, which a build may use, and
//! what a step with them gets.

mod edits;
mod spec;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Step;
use spec::Device;
use spec::Spec;
use spec::Text;

/// The class that a name may mean when no device is called so.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// Says that everybody may use the device.
const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";

/// Why a step cannot have a device.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The name is not one.
    #[error(
        "invalid device \"{name}\": it {reason} (expected `vendor.com/class` or `vendor.com/class=name`)"
    )]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// No specification names it.
    #[error("required device \"{name}\" is not registered{details}")]
    NotRegistered {
        /// The name.
        name: String,
        /// Where it was looked for, and what could not be read there.
        details: String,
    },
    /// The user has not allowed it.
    #[error(
        "{} requested by the build but not allowed (allow it with `--allow device={}`, or all with `--allow device`)",
        listed(.0),
        .0.first().map_or("", String::as_str)
    )]
    NotAllowed(Vec<String>),
    /// The specification asks for what cannot be done here.
    #[error("cannot give the device `{device}` to a step: {reason}")]
    Unsupported {
        /// The device.
        device: String,
        /// What cannot be done.
        reason: String,
    },
}

fn listed(devices: &[String]) -> String {
    match devices {
        [one] => format!("device {one} is"),
        many => format!("devices {} are", many.join(", ")),
    }
}

/// Which devices a build may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceGrants {
    /// Every device.
    pub all: bool,
    /// These: what a build file calls it, and which device that is.
    pub named: BTreeMap<String, String>,
}

/// A device that a step asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// `vendor/class`, `vendor/class=name` or `vendor/class=*`.
    pub name: String,
    /// Whether the step does without it when it is not there.
    pub optional: bool,
}

/// The devices of this machine. Looked up anew for each step that asks for one.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    dirs: Vec<PathBuf>,
}

/// What the directories say.
struct Found {
    /// Devices by their full name.
    devices: BTreeMap<String, Entry>,
    /// Files that cannot be used.
    broken: Vec<String>,
}

/// A device and the file that describes it.
struct Entry {
    path: PathBuf,
    spec: Arc<Spec>,
    device: Device,
}

impl Devices {
    /// Directories where BuildKit looks for specifications.
    pub const DIRS: [&str; 3] = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"];

    /// The devices whose specifications are in `dirs`; what a later one says replaces what an earlier one says.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// Returns the full names of all devices, and which files could not be read.
    pub fn list(&self) -> (Vec<String>, Vec<String>) {
        let found = self.load();
        (found.devices.into_keys().collect(), found.broken)
    }

    /// Gives `step` what comes with the devices that it asks for.
    ///
    /// # Errors
    /// When one is not there, not allowed, or needs what cannot be done.
    pub fn inject(
        &self,
        step: &mut Step,
        requests: &[DeviceRequest],
        grants: &DeviceGrants,
    ) -> Result<(), DeviceError> {
        if requests.is_empty() {
            return Ok(());
        }
        let found = self.load();
        let names = self.choose(&found, requests, grants)?;
        let mut files: Vec<&PathBuf> = Vec::new();
        for (name, entry) in names.iter().filter_map(|name| found.devices.get_key_value(name)) {
            // What a file says of all its devices comes once.
            if !files.contains(&&entry.path) {
                edits::apply(step, name, &entry.spec.container_edits)?;
                files.push(&entry.path);
            }
            edits::apply(step, name, &entry.device.container_edits)?;
        }
        Ok(())
    }

    /// Finds the devices that are meant, and checks that they may be used.
    fn choose(
        &self,
        found: &Found,
        requests: &[DeviceRequest],
        grants: &DeviceGrants,
    ) -> Result<Vec<String>, DeviceError> {
        let mut chosen: Vec<String> = Vec::new();
        let mut forbidden: Vec<String> = Vec::new();
        let mut granted: Vec<String> = Vec::new();
        for name in grants.named.values() {
            granted.extend(self.find(found, name, true)?);
        }
        for request in requests {
            let alias = grants.named.get(&request.name);
            let name = alias.unwrap_or(&request.name);
            for device in self.find(found, name, request.optional)? {
                let allowed = grants.all
                    || granted.contains(&device)
                    || found.devices.get(&device).is_some_and(Entry::is_for_everybody);
                let list = if allowed { &mut chosen } else { &mut forbidden };
                if !list.contains(&device) {
                    list.push(device);
                }
            }
        }
        match forbidden.is_empty() {
            true => Ok(chosen),
            false => Err(DeviceError::NotAllowed(forbidden)),
        }
    }

    /// Returns the full names of the devices that a name means.
    fn find(&self, found: &Found, name: &str, optional: bool) -> Result<Vec<String>, DeviceError> {
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        check_kind(kind).map_err(|reason| DeviceError::Name {
            name: name.to_owned(),
            reason,
        })?;
        let prefix = format!("{kind}=");
        let mut of_kind = found.devices.iter().filter(|(full, _)| full.starts_with(&prefix));
        let names: Vec<String> = match device {
            "" => of_kind.next().into_iter().map(|(full, _)| full.clone()).collect(),
            "*" => of_kind.map(|(full, _)| full.clone()).collect(),
            _ if found.devices.contains_key(name) => vec![name.to_owned()],
            class => of_kind
                .filter(|(_, entry)| entry.annotation(CLASS).is_some_and(|text| text.is(class)))
                .map(|(full, _)| full.clone())
                .collect(),
        };
        if names.is_empty() && !optional {
            return Err(DeviceError::NotRegistered {
                name: name.to_owned(),
                details: self.details(found),
            });
        }
        Ok(names)
    }

    fn details(&self, found: &Found) -> String {
        let dirs: Vec<String> = self
            .dirs
            .iter()
            .map(|dir| format!("`{}`", dir.display()))
            .collect();
        let mut text = format!(" (looked into {})", dirs.join(", "));
        for broken in &found.broken {
            text += &format!("\n{broken}");
        }
        text
    }

    fn load(&self) -> Found {
        let mut found = Found {
            devices: BTreeMap::new(),
            broken: Vec::new(),
        };
        for dir in &self.dirs {
            let mut here: BTreeMap<String, PathBuf> = BTreeMap::new();
            for file in spec::read_dir(dir) {
                match file.content {
                    Ok(spec) => found.add(&file.path, &Arc::new(spec), &mut here),
                    Err(reason) => {
                        let text = format!("cannot use `{}`: {reason}", file.path.display());
                        found.broken.push(text);
                    }
                }
            }
        }
        found
    }
}

impl Found {
    /// Adds the devices of a file. `here` has those of the same directory.
    fn add(&mut self, path: &Path, spec: &Arc<Spec>, here: &mut BTreeMap<String, PathBuf>) {
        for device in &spec.devices {
            let name = format!("{}={}", spec.kind, device.name);
            // Of two that say something about one device neither is believed, as in CDI's library.
            if let Some(other) = here.insert(name.clone(), path.to_owned()) {
                let (one, two) = (other.display(), path.display());
                let text = format!("conflicting device \"{name}\" in `{one}` and `{two}`");
                self.broken.push(text);
                self.devices.remove(&name);
                continue;
            }
            let entry = Entry {
                path: path.to_owned(),
                spec: spec.clone(),
                device: device.clone(),
            };
            self.devices.insert(name, entry);
        }
    }
}

impl Entry {
    /// What is known of the device; its own annotations come before those of its file.
    fn annotation(&self, key: &str) -> Option<&Text> {
        let own = self.device.annotations.get(key);
        own.or_else(|| self.spec.annotations.get(key))
    }

    fn is_for_everybody(&self) -> bool {
        self.annotation(AUTO_ALLOW).is_some_and(Text::is_true)
    }
}

/// Says what is wrong with a `vendor/class`.
fn check_kind(kind: &str) -> Result<(), String> {
    let Some((vendor, class)) = kind.split_once('/') else {
        return Err("has no vendor".to_owned());
    };
    for (what, text, more) in [("vendor", vendor, "-_."), ("class", class, "-_")] {
        let edge = |c: Option<char>, fine: fn(&char) -> bool| c.is_some_and(|c| fine(&c));
        let fine = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        if !edge(text.chars().next(), char::is_ascii_alphabetic)
            || !edge(text.chars().last(), char::is_ascii_alphanumeric)
            || !text.chars().all(fine)
        {
            return Err(format!(
                "has the {what} `{text}`, which is not letters, digits and `{more}`"
            ));
        }
    }
    Ok(())
}
