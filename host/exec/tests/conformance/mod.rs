//! What every [`Executor`] must satisfy. Each executor's test calls [`run`].

mod cases;
mod filesystem;
mod fixture;
mod isolation;

pub(crate) use fixture::Fixture;

use kiln_exec::Executor;

/// What an executor under test cannot do, each with the reason that is printed.
pub(crate) type Exempt<'a> = &'a [(&'a str, &'a str)];

type Case = (&'static str, fn(&Fixture<'_>));

/// Runs all cases and panics with the names of those that failed.
pub(crate) fn run(executor: &dyn Executor, exempt: Exempt<'_>) {
    let only = std::env::var("CASE").ok();
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, case) in cases::ALL.iter().chain(filesystem::ALL).chain(isolation::ALL) {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        if let Some((_, reason)) = exempt.iter().find(|(exempted, _)| exempted == name) {
            eprintln!("not for this executor: {name}: {reason}");
            continue;
        }
        count += 1;
        let fixture = Fixture::new(executor);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&fixture)));
        if outcome.is_err() {
            eprintln!("FAILED: {name}");
            failed.push(*name);
        }
    }
    eprintln!("{count} cases, {} failed", failed.len());
    assert!(failed.is_empty(), "failed: {failed:?}");
}
