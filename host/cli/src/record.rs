//! Records of builds: what plugins did in each, kept beside the store as JSON for `kiln explain`.

use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use kiln_plugin::CallUse;
use kiln_plugin::Code;
use kiln_plugin::Memo;
use kiln_plugin::PluginUse;
use serde::Deserialize;
use serde::Serialize;

use crate::progress::bytes;
use crate::progress::printable;

/// Records that are kept; older ones go.
const KEPT: usize = 100;

/// What is kept of a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuildRecord {
    /// Its name: sorts by time.
    pub(crate) id: String,
    /// When it started, in RFC 3339.
    pub(crate) started: jiff::Timestamp,
    /// When it ended.
    pub(crate) ended: jiff::Timestamp,
    /// `done`, or why it failed.
    pub(crate) outcome: String,
    /// The image or index that was made.
    pub(crate) image: Option<String>,
    /// What plugins did.
    pub(crate) plugins: Vec<PluginUse>,
}

/// The records of a store.
#[derive(Debug)]
pub(crate) struct Records(PathBuf);

impl Records {
    /// Names the records of the store at `root`.
    pub(crate) fn of(root: &Path) -> Self {
        Self(root.join("builds"))
    }

    /// Keeps a record, whole or not at all, and lets old ones go.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn keep(&self, record: &BuildRecord) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.persist(self.0.join(format!("{}.json", record.id)))?;
        for old in self.ids()?.iter().rev().skip(KEPT) {
            // Another build may have been quicker.
            _ = std::fs::remove_file(self.0.join(format!("{old}.json")));
        }
        Ok(())
    }

    /// Returns the names of all records, the oldest first.
    pub(crate) fn ids(&self) -> io::Result<Vec<String>> {
        let found = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let mut ids = Vec::new();
        for entry in found {
            let name = entry?.file_name();
            ids.extend(
                name.to_str()
                    .and_then(|name| name.strip_suffix(".json"))
                    .map(str::to_owned),
            );
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Reads a record.
    pub(crate) fn read(&self, id: &str) -> io::Result<BuildRecord> {
        Ok(serde_json::from_slice(&std::fs::read(
            self.0.join(format!("{id}.json")),
        )?)?)
    }
}

/// One line on what a plugin did: what it cost, and what it used of what it was granted.
pub(crate) fn line(plugin: &PluginUse) -> String {
    let usage = plugin.usage();
    let hits = plugin.calls.iter().filter(|call| call.memo == Memo::Hit).count();
    let code = match plugin.code {
        Code::Embedded => "code embedded".to_owned(),
        Code::Cached => "code cached".to_owned(),
        Code::Compiled(time) => format!("compiled in {:.1} s", time.as_secs_f64()),
    };
    let words = |words: Vec<&str>| match words.is_empty() {
        true => "nothing".to_owned(),
        false => printable(&words.join(" ")),
    };
    format!(
        "plugin {} {} {}: {} calls, {} memo hits, fuel {}, {:.1} ms, peak memory {}, {} host calls, {} over the \
         border, {code}; asked {}, granted {}, used {}",
        printable(&plugin.name),
        kind(&plugin.world),
        plugin.digest.short(),
        plugin.calls.len(),
        hits,
        usage.fuel,
        usage.wall.as_secs_f64() * 1000.0,
        bytes(usage.peak_memory),
        usage.host_calls,
        bytes(usage.bytes),
        words(plugin.asked.iter().map(String::as_str).collect()),
        words(plugin.granted.iter().map(String::as_str).collect()),
        words(plugin.used.iter().map(String::as_str).collect()),
    )
}

/// The kind in the name of a world.
fn kind(world: &str) -> &str {
    let name = world.rsplit('/').next().unwrap_or(world);
    name.split("-plugin").next().unwrap_or(name)
}

/// Says whether a call was remembered, or why the plugin ran.
pub(crate) fn reason(call: &CallUse) -> String {
    match &call.memo {
        Memo::Hit => format!(
            "memo hit: the host's {} answers are as they were",
            call.answers.len()
        ),
        Memo::New => "ran: no call with this request is remembered".to_owned(),
        Memo::Changed(question) => format!(
            "ran: another answer to the question for the {}",
            printable(question)
        ),
        Memo::Off => "ran: such calls are not remembered, or not in this build".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_in_order_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::of(directory.path());
        assert!(records.ids().unwrap().is_empty());
        for number in 0..KEPT + 3 {
            let record = BuildRecord {
                id: format!("{number:04}"),
                started: jiff::Timestamp::UNIX_EPOCH,
                ended: jiff::Timestamp::UNIX_EPOCH,
                outcome: "done".to_owned(),
                image: None,
                plugins: Vec::new(),
            };
            records.keep(&record).unwrap();
        }
        let ids = records.ids().unwrap();
        assert_eq!((ids.len(), ids[0].as_str()), (KEPT, "0003"));
        assert_eq!(records.read("0050").unwrap().id, "0050");
    }
}
