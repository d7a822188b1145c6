//! What plugins did in one build: who was called, what it cost, what was used of what was granted, and what the host
//! answered. Written into by whoever runs plugins or holds them to their grants.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use kiln_image::Digest;
use serde::Deserialize;
use serde::Serialize;

use crate::Component;
use crate::Grant;
use crate::Usage;

/// The ledger of one build. Clones write into the same one.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<PluginUse>>>);

/// What one plugin did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginUse {
    /// What errors call it.
    pub name: String,
    /// Digest of the component.
    pub digest: Digest,
    /// The world that it was loaded as.
    pub world: String,
    /// How its machine code was come by.
    pub code: Code,
    /// What it asks for in its manifest.
    pub asked: Vec<String>,
    /// What it was granted; `all` for a part of the program.
    pub granted: Vec<String>,
    /// What its graphs and calls needed of that.
    pub used: BTreeSet<String>,
    /// Its calls, in the order in which they ended.
    pub calls: Vec<CallUse>,
}

/// How machine code was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// It is part of the program.
    Embedded,
    /// It was compiled before.
    Cached,
    /// It was compiled for this build, in so much time.
    Compiled(Duration),
}

/// One call of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallUse {
    /// Name of the export's function, such as `lower`.
    pub call: String,
    /// What it cost.
    pub usage: Usage,
    /// Whether it was remembered.
    pub memo: Memo,
    /// What the plugin asked, in short, each with the digest of the answer.
    pub answers: Vec<(String, Digest)>,
}

/// Whether the answer of a call was remembered, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memo {
    /// All answers of the host were as before: the plugin did not run.
    Hit,
    /// Nothing was remembered of such a request to this component.
    New,
    /// The answer to this question was another one.
    Changed(String),
    /// Nothing is remembered in this build, or of such calls.
    Off,
}

impl Ledger {
    fn plugins_mut(&self) -> MutexGuard<'_, Vec<PluginUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the plugins in the order in which they were loaded.
    pub fn plugins(&self) -> Vec<PluginUse> {
        self.plugins_mut().clone()
    }

    /// Notes that a plugin was loaded.
    pub fn loaded(&self, component: &Component, code: Code) {
        let mut plugins = self.plugins_mut();
        if plugins.iter().any(|plugin| plugin.name == component.name) {
            return;
        }
        plugins.push(PluginUse {
            name: component.name.clone(),
            digest: component.digest,
            world: component.world.clone(),
            code,
            asked: Vec::new(),
            granted: component.grants.clone(),
            used: BTreeSet::new(),
            calls: Vec::new(),
        });
    }

    /// Notes what a plugin asks for and was granted.
    pub fn granted(&self, plugin: &str, asked: &[String], granted: Vec<String>) {
        self.with(plugin, |plugin| {
            plugin.asked = asked.to_vec();
            plugin.granted = granted;
        });
    }

    /// Notes that a plugin needed a grant, and had it.
    pub fn used(&self, plugin: &str, grant: &Grant) {
        self.with(plugin, |plugin| {
            plugin.used.insert(grant.to_string());
        });
    }

    /// Notes a call.
    pub fn called(&self, plugin: &str, call: CallUse) {
        self.with(plugin, |plugin| plugin.calls.push(call));
    }

    fn with(&self, plugin: &str, change: impl FnOnce(&mut PluginUse)) {
        if let Some(plugin) = self.plugins_mut().iter_mut().find(|known| known.name == plugin) {
            change(plugin);
        }
    }
}

impl PluginUse {
    /// Returns what all calls cost: sums, and the largest memory of any.
    pub fn usage(&self) -> Usage {
        self.calls.iter().fold(Usage::default(), |sum, call| Usage {
            fuel: sum.fuel + call.usage.fuel,
            wall: sum.wall + call.usage.wall,
            peak_memory: sum.peak_memory.max(call.usage.peak_memory),
            host_calls: sum.host_calls + call.usage.host_calls,
            bytes: sum.bytes + call.usage.bytes,
            memo_hit: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plugins_did_is_added_up() {
        let ledger = Ledger::default();
        let component = Component {
            name: "apt".to_owned(),
            digest: Digest::of("component"),
            world: "kiln:plugin/frontend-plugin@0.1.0".to_owned(),
            grants: Vec::new(),
        };
        ledger.loaded(&component, Code::Cached);
        ledger.loaded(&component, Code::Embedded);
        let call = |fuel, peak_memory| CallUse {
            call: "lower".to_owned(),
            usage: Usage {
                fuel,
                peak_memory,
                ..Usage::default()
            },
            memo: Memo::New,
            answers: Vec::new(),
        };
        ledger.clone().called("apt", call(5, 100));
        ledger.called("apt", call(7, 50));
        ledger.called("somebody", call(1000, 1000));
        ledger.granted("apt", &["http:*".to_owned()], vec!["http:example.com".to_owned()]);
        for _ in 0..2 {
            ledger.used("apt", &Grant::Http("example.com".to_owned()));
        }
        let [plugin] = ledger.plugins().try_into().unwrap();
        assert_eq!((plugin.usage().fuel, plugin.usage().peak_memory), (12, 100));
        assert_eq!(plugin.code, Code::Cached);
        assert_eq!(plugin.used, BTreeSet::from(["http:example.com".to_owned()]));
        let text = serde_json::to_string(&plugin).unwrap();
        assert_eq!(serde_json::from_str::<PluginUse>(&text).unwrap(), plugin);
    }
}
