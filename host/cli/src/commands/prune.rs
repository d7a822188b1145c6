//! `kiln prune`.

use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;

use clap::Args;
use kiln_engine::GcPolicy;
use kiln_engine::PruneFilter;
use kiln_engine::PruneScope;

use super::Session;
use super::print;
use super::table;
use crate::args::ArgError;
use crate::args::parse_bytes;
use crate::exit::Failure;
use crate::progress::bytes;
use crate::progress::printable;
use crate::report::Report;
use crate::wiring::Wanted;

/// What `kiln prune` takes.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Remove also internal records, frontends and what images share
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove only what matches, such as type==exec.cachemount; several are alternatives
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Keep so many bytes of what was used last
    #[arg(long, value_name = "BYTES", visible_alias = "keep-storage")]
    max_used_space: Option<String>,
    /// Keep at least so many bytes
    #[arg(long, value_name = "BYTES")]
    reserved_space: Option<String>,
    /// Remove until so many bytes of the disk are free
    #[arg(long, value_name = "BYTES")]
    min_free_space: Option<String>,
    /// Keep what was used in this time, such as 48h
    #[arg(long, value_name = "TIME")]
    keep_duration: Option<String>,
}

/// Removes what nothing needs.
pub(crate) fn run(args: &PruneArgs) -> Result<u8, Failure> {
    let policy = policy(args)?;
    let session = Session::open()?;
    if !args.force && !confirmed(args.all)? {
        return Ok(0);
    }
    let runtime = super::runtime()?;
    let _entered = runtime.enter();
    let report = session.engine(&Wanted::default())?.prune(&policy)?;
    let row = |record: &kiln_engine::UsageRecord| {
        let id: String = printable(&record.id).chars().take(48).collect();
        vec![id, bytes(record.size), printable(&record.description)]
    };
    let rows: Vec<_> = report.removed.iter().map(row).collect();
    print(&format!("{}Total:  {}\n", table(&rows), bytes(report.freed)))?;
    Ok(0)
}

fn policy(args: &PruneArgs) -> Result<GcPolicy, Failure> {
    let size =
        |flag: &str, text: &Option<String>| text.as_ref().map_or(Ok(0), |text| parse_bytes(flag, text));
    let filter = |text: &String| {
        let parsed = text.parse::<PruneFilter>();
        parsed.map_err(|e| Failure::usage(Report::of(&e)))
    };
    let duration = args.keep_duration.as_deref().map(parse_duration).transpose()?;
    Ok(GcPolicy {
        filters: args.filters.iter().map(filter).collect::<Result<_, _>>()?,
        scope: if args.all {
            PruneScope::All
        } else {
            PruneScope::Cache
        },
        keep_duration: duration.unwrap_or_default(),
        reserved_space: size("--reserved-space", &args.reserved_space)?,
        max_used_space: size("--max-used-space", &args.max_used_space)?,
        min_free_space: size("--min-free-space", &args.min_free_space)?,
    })
}

fn parse_duration(text: &str) -> Result<std::time::Duration, ArgError> {
    let error = || ArgError::value("--keep-duration", text, "a time such as `48h`, `30m` or `7d`");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    number
        .checked_mul(seconds)
        .map(std::time::Duration::from_secs)
        .ok_or_else(error)
}

fn confirmed(all: bool) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let error = ArgError::new("will not remove anything without being asked on a terminal");
        return Err(error.hint("add `--force`").into());
    }
    let what = if all {
        "all of the build cache"
    } else {
        "the build cache that no image uses"
    };
    _ = write!(std::io::stderr().lock(), "This removes {what}. Go on? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Failure::io("read the answer", &e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
