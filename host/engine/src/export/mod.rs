//! Hands a build's result to the exporters.

mod attest;
mod files;
mod image;
mod push;

use std::error::Error;
use std::sync::Arc;

use kiln_export::Output;
use kiln_image::Digest;
use kiln_plugin::Lowered;
use kiln_plugin::LoweredOutput;
use kiln_progress::End;
use kiln_progress::Step;

use crate::attest::Attested;
use crate::bridge::chain;
use crate::build::BuildContext;
use crate::error::BuildError;
use crate::layers::Ref;
use crate::outcome::BuildOutcome;

/// One output of the frontend with its layers.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) output: LoweredOutput,
    pub(crate) stack: Ref,
}

/// What a build came to before it is written.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) lowered: &'a Lowered,
    pub(crate) built: Vec<Built>,
    pub(crate) attested: Attested,
}

pub(crate) use files::to_file;
pub(crate) use push::list_referrer;
pub(crate) use push::push;

pub(crate) type AnyError = Box<dyn Error + Send + Sync>;

/// Writes every output of the request.
pub(crate) async fn export(
    build: &Arc<BuildContext>,
    made: Made<'_>,
    warnings: usize,
) -> Result<BuildOutcome, BuildError> {
    let mut outcome = BuildOutcome {
        warnings,
        ..BuildOutcome::default()
    };
    let export = Export {
        build,
        built: &made.built,
        attested: &made.attested,
        epoch: epoch(build, made.lowered)?,
        multi: is_multi(made.lowered),
    };
    for output in &build.request.outputs {
        let title = match output {
            Output::Image(_) => "exporting to image",
            Output::Oci { .. } => "exporting to oci image format",
            Output::Docker { dest: None, .. } => "exporting to image",
            Output::Docker { .. } => "exporting to docker image format",
            Output::Tar { .. } => "exporting to client tarball",
            Output::Local { .. } => "exporting to client directory",
            Output::CacheOnly => continue,
        };
        let digest = Digest::of(format!("{} {title} {output:?}", build.session));
        let step = Step::start(&build.sink, digest, title);
        let result = match output {
            Output::Tar { dest, epoch } => export.tar(&step, dest, epoch.or(export.epoch)).await,
            Output::Local { .. } => export.local(&step, output).await,
            output => export.image(&step, output, &mut outcome).await,
        };
        match result {
            Ok(()) => step.finish(End::Done),
            Err(error) => {
                step.finish(End::Failed(chain(&*error)));
                return Err(BuildError::Export(error));
            }
        }
    }
    if outcome.sboms.is_empty() {
        outcome.sboms = export.sidecars(None, &build.request.tags);
    }
    Ok(outcome)
}

/// What all exporters share.
struct Export<'a> {
    build: &'a Arc<BuildContext>,
    built: &'a [Built],
    attested: &'a Attested,
    epoch: Option<i64>,
    multi: bool,
}

/// Returns `SOURCE_DATE_EPOCH`: the user's, else the build file's.
fn epoch(build: &BuildContext, lowered: &Lowered) -> Result<Option<i64>, BuildError> {
    if build.request.epoch.is_some() {
        return Ok(build.request.epoch);
    }
    let found = lowered.attrs.iter().find(|(key, _)| key == "source-date-epoch");
    match found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
    {
        None => Ok(None),
        Some(value) => {
            let error = |_| BuildError::Usage(format!("invalid SOURCE_DATE_EPOCH: {value}"));
            value.parse().map(Some).map_err(error)
        }
    }
}

fn is_multi(lowered: &Lowered) -> bool {
    let asked = lowered
        .attrs
        .iter()
        .any(|(key, value)| key == "multi-platform" && value == "true");
    asked || lowered.outputs.len() > 1
}
