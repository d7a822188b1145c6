//! `kiln build`.

use std::future::Future;
use std::time::Duration;

use kiln_engine::BuildError;
use kiln_engine::BuildOutcome;
use kiln_engine::Engine;
use kiln_engine::GcPolicy;
use kiln_plugin::Ledger;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use super::Session;
use super::call;
use super::print;
use super::print_error;
use super::sbom;
use super::warn;
use super::write_file;
use crate::args::ArgError;
use crate::args::BuildArgs;
use crate::args::Prepared;
use crate::args::attest::several_sidecars;
use crate::args::parse_bytes;
use crate::exit;
use crate::exit::Failure;
use crate::progress::Detail;
use crate::progress::Display;
use crate::progress::Mode;
use crate::record;
use crate::record::BuildRecord;
use crate::record::Records;
use crate::report::Report;
use crate::settings::StorageSettings;
use crate::wiring;
use crate::wiring::Wanted;

/// Longest wait for steps to end after an interruption.
const CLEANUP: Duration = Duration::from_secs(10);

/// Builds.
pub(crate) fn run(args: &BuildArgs, detail: Detail) -> Result<u8, Failure> {
    let mode = mode(args)?;
    let call = args.result.call()?;
    if call.is_some() && args.attest.sbom_out.is_some() {
        return Err(ArgError::new(
            "`--sbom-out` needs a build: it cannot be used with `--call` or `--check`",
        )
        .into());
    }
    let mut session = Session::open()?;
    let platform = session.settings.platform.as_deref().map(str::parse).transpose();
    let platform = platform.map_err(|e| ArgError::new("invalid `platform` in kiln.toml").because(e))?;
    let policy = policy(&session.settings.storage)?;
    for text in args.later.unused() {
        warn(&Report::new(text));
    }
    let prepared = Prepared::new(args, platform.as_ref(), &mut session.around)?;
    let wanted = Wanted {
        oci_runtime: args.machine.oci_runtime.clone(),
        parallelism: args.machine.max_parallelism,
        snapshotter: args.machine.snapshotter.clone(),
        cdi_spec_dirs: args.machine.cdi_spec_dirs.clone(),
        insecure_registries: args.access.insecure_registries.clone(),
        plugin_limits: args.plugins.limits.clone(),
        plugins: super::plugin::wanted(&args.plugins)?,
    };
    let runtime = super::runtime()?;
    // Opening may need the runtime's clock and sockets.
    let entered = runtime.enter();
    let engine = session.engine(&wanted)?;
    drop(entered);
    let display = Display::start(mode, detail);
    let sink = display.sink();
    let (started, ledger) = (jiff::Timestamp::now(), prepared.request.ledger.clone());
    let ended = runtime.block_on(async {
        match &call {
            None => interruptible(engine.build(prepared.request, sink))
                .await
                .map(Made::Build),
            Some(call) => {
                let request = call.request();
                let asked = interruptible(engine.ask(prepared.request, &request, sink)).await;
                asked.map(|answer| Made::Answer(answer.into_iter().collect()))
            }
        }
    });
    if matches!(ended, Ended::Interrupted) {
        // What the build left running ends now; a second signal ends the wait.
        runtime.shutdown_timeout(CLEANUP);
        display.finish();
        return Err(BuildError::Canceled.into());
    }
    display.finish();
    if mode == Mode::Plain {
        report_plugins(&ledger);
    }
    if call.is_none() {
        keep_record(&session, started, &ledger, &ended);
    }
    let made = match ended {
        Ended::Done(result) => result?,
        Ended::Failed(failure) => return Err(failure),
        Ended::Interrupted => return Err(BuildError::Canceled.into()),
    };
    drop((prepared.spool, prepared.agents));
    let code = match (made, &call) {
        (Made::Answer(answer), Some(call)) => {
            write_metadata(args, &session, &call::metadata(&answer))?;
            call::show(call, &answer)?
        }
        (Made::Answer(_), None) => 0,
        (Made::Build(outcome), _) => {
            write_result(args, &session, &outcome)?;
            0
        }
    };
    collect_garbage(&engine, policy.as_ref());
    Ok(code)
}

/// What came of it.
enum Made {
    Build(BuildOutcome),
    Answer(call::Answer),
}

/// How a build came to its end.
enum Ended<T> {
    Done(Result<T, BuildError>),
    Failed(Failure),
    Interrupted,
}

impl<T> Ended<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Ended<U> {
        match self {
            Self::Done(result) => Ended::Done(result.map(with)),
            Self::Failed(failure) => Ended::Failed(failure),
            Self::Interrupted => Ended::Interrupted,
        }
    }
}

async fn interruptible<T>(build: impl Future<Output = Result<T, BuildError>>) -> Ended<T> {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return Ended::Failed(Failure::io("listen for signals", &error)),
    };
    // On the heap: the state of a build is large.
    let build = Box::pin(build);
    tokio::select! {
        result = build => Ended::Done(result),
        () = signals.next() => {
            std::thread::spawn(move || leave_at_once(signals));
            Ended::Interrupted
        }
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for a second signal and ends the program. Has a runtime of its own: the other one is being shut down.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "the user does not want to wait for what drops would do"
)]
fn leave_at_once(first: Signals) {
    drop(first);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        if let Ok(mut signals) = Signals::new() {
            signals.next().await;
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
}

fn mode(args: &BuildArgs) -> Result<Mode, ArgError> {
    match (args.result.quiet, args.result.progress) {
        (false, mode) => Ok(mode),
        (true, Mode::Auto | Mode::Quiet) => Ok(Mode::Quiet),
        (true, mode) => {
            let name = format!("{mode:?}").to_lowercase();
            Err(ArgError::new(format!(
                "progress={name} and quiet cannot be used together"
            )))
        }
    }
}

/// Says what each plugin used.
fn report_plugins(ledger: &Ledger) {
    for plugin in ledger.plugins() {
        print_error(&format!("{}\n", record::line(&plugin)));
    }
}

/// Keeps what `kiln explain` tells. The build is done: a failure here is only a warning.
fn keep_record(session: &Session, started: jiff::Timestamp, ledger: &Ledger, ended: &Ended<Made>) {
    let (outcome, image) = match ended {
        Ended::Done(Ok(Made::Build(outcome))) => ("done".to_owned(), image_id(outcome)),
        Ended::Done(Err(error)) => (error.to_string(), None),
        Ended::Failed(_) | Ended::Interrupted | Ended::Done(Ok(Made::Answer(_))) => return,
    };
    let record = BuildRecord {
        id: format!(
            "{}-{:05}",
            started.strftime("%Y%m%dT%H%M%S.%3fZ"),
            std::process::id()
        ),
        started,
        ended: jiff::Timestamp::now(),
        outcome,
        image,
        plugins: ledger.plugins(),
    };
    let kept = wiring::root(&session.around).map(|root| Records::of(&root).keep(&record));
    if let Ok(Err(error)) = kept {
        warn(&Report::prefixed("cannot keep the record of the build", &error));
    }
}

/// docker's image id: the config of one image, the index of several.
fn image_id(outcome: &BuildOutcome) -> Option<String> {
    match outcome.images.as_slice() {
        [image] => Some(image.config.to_string()),
        _ => outcome
            .descriptor
            .as_ref()
            .map(|descriptor| descriptor.digest.to_string()),
    }
}

fn write_metadata(
    args: &BuildArgs,
    session: &Session,
    metadata: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), Failure> {
    let Some(path) = &args.result.metadata_file else {
        return Ok(());
    };
    let text = serde_json::to_vec_pretty(metadata);
    write_file(session, path, &text.map_err(|e| Failure::failed(Report::of(&e)))?)
}

fn write_result(args: &BuildArgs, session: &Session, outcome: &BuildOutcome) -> Result<(), Failure> {
    let id = image_id(outcome);
    if let Some(path) = &args.result.iidfile {
        write_file(session, path, id.as_deref().unwrap_or_default().as_bytes())?;
    }
    write_metadata(args, session, &outcome.metadata)?;
    write_sbom(args, session, outcome)?;
    match id {
        Some(id) if args.result.quiet || args.result.progress == Mode::Quiet => print(&format!("{id}\n")),
        _ => Ok(()),
    }
}

/// Writes what is in the result.
fn write_sbom(args: &BuildArgs, session: &Session, outcome: &BuildOutcome) -> Result<(), Failure> {
    let Some(path) = &args.attest.sbom_out else {
        return Ok(());
    };
    match outcome.sboms.as_slice() {
        [one] => {
            let format = args.attest.sidecar_format(path)?;
            write_file(session, path, &sbom::document(&one.sbom, format))
        }
        several => Err(several_sidecars(several.len()).into()),
    }
}

fn policy(storage: &StorageSettings) -> Result<Option<GcPolicy>, ArgError> {
    if *storage == StorageSettings::default() {
        return Ok(None);
    }
    let bytes = |key: &str, text: &Option<String>| text.as_ref().map_or(Ok(0), |text| parse_bytes(key, text));
    Ok(Some(GcPolicy {
        max_used_space: bytes("storage.max-used-space", &storage.max_used_space)?,
        reserved_space: bytes("storage.reserved-space", &storage.reserved_space)?,
        min_free_space: bytes("storage.min-free-space", &storage.min_free_space)?,
        ..GcPolicy::default()
    }))
}

/// Makes room by the configured limits, or BuildKit's. The build is done: a failure here is only a warning.
fn collect_garbage(engine: &Engine, policy: Option<&GcPolicy>) {
    if let Err(error) = engine.tidy(policy.cloned().into_iter().collect()) {
        warn(&Report::prefixed("cannot clean up the store", &error));
    }
}
