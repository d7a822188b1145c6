//! `kiln du`.

use clap::Args;
use kiln_engine::UsageKind;
use kiln_engine::UsageRecord;

use super::Session;
use super::print;
use super::table;
use crate::exit::Failure;
use crate::progress::bytes;
use crate::progress::printable;
use crate::wiring::Wanted;

/// What `kiln du` takes.
#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// Show blobs and trees as well as what they belong to
    #[arg(short, long)]
    verbose: bool,
}

/// Shows what the store holds.
pub(crate) fn run(args: &DuArgs) -> Result<u8, Failure> {
    let session = Session::open()?;
    let runtime = super::runtime()?;
    let _entered = runtime.enter();
    let usage = session.engine(&Wanted::default())?.usage()?;
    let shown = usage
        .records
        .iter()
        .filter(|record| args.verbose || record.kind == UsageKind::Owner);
    let mut rows = vec![
        ["ID", "TYPE", "RECLAIMABLE", "SIZE", "LAST USED", "DESCRIPTION"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(shown.map(row));
    let total = format!(
        "Reclaimable:  {}\nTotal:        {}\n",
        bytes(usage.reclaimable),
        bytes(usage.total)
    );
    print(&format!("{}\n{total}", table(&rows)))?;
    Ok(0)
}

fn row(record: &UsageRecord) -> Vec<String> {
    let kind = match (record.kind, record.record_type.as_str()) {
        (UsageKind::Blob, _) => "blob",
        (UsageKind::Tree, _) => "tree",
        (UsageKind::Partial, _) => "incomplete",
        (UsageKind::Owner, "") => "record",
        (UsageKind::Owner, kind) => kind,
    };
    let id: String = printable(&record.id).chars().take(48).collect();
    let used = jiff::Timestamp::try_from(record.last_used).ok();
    let used = used.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    let free = if record.in_use || record.pinned {
        "false"
    } else {
        "true"
    };
    vec![
        id,
        kind.to_owned(),
        free.to_owned(),
        bytes(record.size),
        used,
        printable(&record.description),
    ]
}
