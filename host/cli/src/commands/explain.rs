//! `kiln explain`: why the plugins of a build ran, or did not.

use std::fmt::Write as _;

use clap::Args;

use super::Session;
use super::print;
use crate::args::ArgError;
use crate::exit::Failure;
use crate::progress::bytes;
use crate::progress::printable;
use crate::record::BuildRecord;
use crate::record::Records;
use crate::record::line;
use crate::record::reason;
use crate::wiring;

/// What `kiln explain` takes.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The build, or how its name begins; the last one without
    build: Option<String>,
    /// Print the record as JSON
    #[arg(long)]
    json: bool,
    /// Name the builds that are recorded, the oldest first
    #[arg(long, conflicts_with_all = ["build", "json"])]
    list: bool,
}

/// Explains.
pub(crate) fn run(args: &ExplainArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let records = Records::of(&wiring::root(&session.around)?);
    let ids = records
        .ids()
        .map_err(|e| Failure::io("read the records of builds", &e))?;
    if args.list {
        let mut out = ids.join("\n");
        out.extend((!ids.is_empty()).then_some('\n'));
        print(&out)?;
        return Ok(0);
    }
    let id = find(&ids, args.build.as_deref())?;
    let record = records
        .read(id)
        .map_err(|e| Failure::io(&format!("read the record of build `{id}`"), &e))?;
    match args.json {
        true => print(&format!("{:#}\n", serde_json::json!(record)))?,
        false => print(&text(&record))?,
    }
    Ok(0)
}

fn find<'a>(ids: &'a [String], wanted: Option<&str>) -> Result<&'a str, Failure> {
    let Some(wanted) = wanted else {
        let none = || ArgError::new("no build is recorded in this store yet");
        return Ok(ids.last().ok_or_else(none)?);
    };
    let found: Vec<&String> = ids.iter().filter(|id| id.starts_with(wanted)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(ArgError::new(format!("no build `{wanted}` is recorded"))
            .hint("`kiln explain --list` names those that are")
            .into()),
        several => Err(ArgError::new(format!(
            "{} builds are called `{wanted}…`: name one of them in full",
            several.len()
        ))
        .into()),
    }
}

fn text(record: &BuildRecord) -> String {
    let mut out = format!(
        "build {} of {}: {}\n",
        record.id,
        record.started,
        printable(&record.outcome)
    );
    if let Some(image) = &record.image {
        _ = writeln!(out, "image {image}");
    }
    for plugin in &record.plugins {
        _ = writeln!(out, "{}", line(plugin));
        for call in &plugin.calls {
            let usage = call.usage;
            _ = writeln!(
                out,
                "  {:<11} fuel {}, {:.1} ms, peak memory {}, {} host calls; {}",
                call.call,
                usage.fuel,
                usage.wall.as_secs_f64() * 1000.0,
                bytes(usage.peak_memory),
                usage.host_calls,
                reason(call)
            );
            for (question, answer) in &call.answers {
                _ = writeln!(out, "    {}  {answer}", printable(question));
            }
        }
    }
    out
}
