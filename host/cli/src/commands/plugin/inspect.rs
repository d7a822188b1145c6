//! `kiln plugin inspect`.

use std::fmt::Write;

use clap::Args;
use clap::ValueEnum;
use kiln_plugin::Grant;
use kiln_plugin::PluginKind;
use kiln_plugin::PluginRef;
use serde_json::json;

use super::FindArgs;
use super::Session;
use super::find;
use super::print;
use crate::exit::Failure;
use crate::plugins::Resolved;
use crate::progress::bytes;
use crate::progress::printable;

/// What `kiln plugin inspect` takes.
#[derive(Debug, Args)]
pub(super) struct InspectPluginArgs {
    /// The plugin, as `--plugin` takes it
    #[arg(value_name = "SPEC")]
    plugin: String,
    /// How it is shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    find: FindArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &InspectPluginArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let resolver = args.find.resolver(&session)?;
    let found = super::super::runtime()?.block_on(find(&resolver, &args.plugin))?;
    match args.format {
        Format::Text => print(&text(&found))?,
        Format::Json => print(&format!("{:#}\n", as_json(&found)))?,
    }
    Ok(0)
}

/// What is asked for and not granted.
fn denied(found: &Resolved) -> Vec<&Grant> {
    let asks = found.seen.asks().iter();
    if matches!(found.reference, PluginRef::Builtin(_)) {
        return Vec::new();
    }
    asks.filter(|ask| !found.grants.iter().any(|grant| grant.covers(ask)))
        .collect()
}

fn text(found: &Resolved) -> String {
    let seen = &found.seen;
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        if !value.is_empty() {
            _ = writeln!(out, "{key:<12}{}", printable(value));
        }
    };
    line("Plugin:", &found.reference.to_string());
    if let Some(manifest) = &seen.manifest {
        line("Name:", &format!("{} {}", manifest.name, manifest.version));
        line("About:", &manifest.description);
        line("Licence:", &manifest.license);
    }
    let kind = seen.kind.map_or_else(
        || "none: it exports no interface of kiln:plugin".to_owned(),
        |kind| kind.to_string(),
    );
    line("Kind:", &kind);
    line("World:", seen.world().unwrap_or_default());
    line("Digest:", &seen.digest.to_string());
    line("Pinned:", found.pinned.as_deref().unwrap_or_default());
    line("Signer:", found.signer.as_deref().unwrap_or_default());
    line("Size:", &bytes(seen.size));
    out += "Imports:\n";
    for import in &seen.imports {
        let interface = import.strip_prefix("kiln:plugin/").unwrap_or(import);
        let interface = interface.split('@').next().unwrap_or_default();
        let power = match import.starts_with("wasi:") {
            true => Some("empty: no files, no environment, no network, fixed clock and randomness"),
            false => PluginKind::power(interface),
        };
        _ = writeln!(
            out,
            "  {}{}",
            printable(import),
            power.map(|power| format!("  ({power})")).unwrap_or_default()
        );
    }
    let grants = |title: &str, grants: Vec<&Grant>, out: &mut String| {
        _ = write!(out, "{title:<12}");
        let words: Vec<String> = grants.iter().map(ToString::to_string).collect();
        _ = writeln!(
            out,
            "{}",
            if words.is_empty() {
                "nothing".to_owned()
            } else {
                printable(&words.join(" "))
            }
        );
    };
    grants("Asked:", seen.asks().iter().collect(), &mut out);
    match found.reference {
        PluginRef::Builtin(_) => out += "Granted:    everything that the user allows: it is part of kiln\n",
        _ => grants("Granted:", found.grants.iter().collect(), &mut out),
    }
    let denied = denied(found);
    grants("Denied:", denied.clone(), &mut out);
    for grant in denied {
        let plugin = &found.name;
        _ = writeln!(
            out,
            "  {}: type `--plugin {},grant={}`",
            grant.describe(),
            printable(plugin),
            printable(&grant.to_string())
        );
    }
    out
}

fn as_json(found: &Resolved) -> serde_json::Value {
    json!({
        "reference": found.reference.to_string(),
        "pinned": found.pinned,
        "signer": found.signer,
        "component": found.seen,
        "world": found.seen.world(),
        "asked": found.seen.asks(),
        "granted": found.grants,
        "denied": denied(found),
    })
}
