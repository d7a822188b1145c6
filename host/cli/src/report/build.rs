//! Failed builds for people: `BuildKit`'s words, the place in the build file, what to do.

use kiln_engine::BuildError;
use kiln_engine::Fault;
use kiln_engine::Place;
use kiln_plugin::Failure;
use kiln_plugin::Severity;

use super::Excerpt;
use super::Report;

/// Most places that are shown of one step.
const MOST_PLACES: usize = 2;

/// Returns the report of a failed build.
pub(crate) fn report(error: &BuildError) -> Report {
    match error {
        BuildError::Frontend(failure) => of_frontend(failure),
        BuildError::Step { places, source, .. } => {
            let report = Report::prefixed("failed to solve", source).in_one_line();
            places
                .iter()
                .take(MOST_PLACES)
                .filter_map(excerpt)
                .fold(report, Report::at)
        }
        BuildError::NoBuildFile { directory, .. } => Report::prefixed("failed to solve", error)
            .note(format!("  looked in `{}`", directory.display()))
            .hint("name the build file with `--file`"),
        BuildError::CacheExport(source) => Report::prefixed("failed to export cache", &**source)
            .hint("`ignore-error=true` lets the build go on without its cache"),
        BuildError::Export(source) => Report::prefixed("failed to export", &**source),
        BuildError::Graph { .. } => {
            Report::of(error).hint("this is a bug in the frontend: report it to its author")
        }
        BuildError::Plugin(plugin) => {
            let report = Report::of(plugin);
            plugin.hint().into_iter().fold(report, Report::hint)
        }
        _ => Report::of(error),
    }
}

/// Returns the exit code of a failed build.
pub(crate) fn exit_code(error: &BuildError) -> u8 {
    match error.fault() {
        Fault::Build => crate::exit::FAILED,
        Fault::Usage => crate::exit::USAGE,
        Fault::Canceled => crate::exit::INTERRUPTED,
    }
}

fn excerpt(place: &Place) -> Option<Excerpt> {
    Excerpt::new(&place.file, &place.span)
}

/// The first error is the headline; what else is wrong follows.
fn of_frontend(failure: &Failure) -> Report {
    let errors = failure
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error);
    let mut report = Report::new(failure.to_string());
    for (at, diagnostic) in errors.enumerate() {
        if at > 0 {
            report = report.note(diagnostic.message.clone());
        }
        for span in diagnostic.spans.iter().take(MOST_PLACES) {
            let file = usize::try_from(span.source)
                .ok()
                .and_then(|source| failure.sources.get(source));
            if let Some(excerpt) = file.and_then(|file| Excerpt::new(file, span)) {
                report = report.at(excerpt);
            }
        }
        report = diagnostic
            .detail
            .iter()
            .fold(report, |report, line| report.note(format!("  {line}")));
        if let Some(help) = &diagnostic.help {
            report = report.hint(help.clone());
        }
        if let Some(url) = &diagnostic.url {
            report = report.note(format!("  see {url}"));
        }
    }
    report
}
