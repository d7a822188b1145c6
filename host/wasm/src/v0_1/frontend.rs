//! Frontends of this version.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use async_trait::async_trait;
use kiln_graph::Definition;
use kiln_graph::Input;
use kiln_graph::Span;
use kiln_image::Digest;
use kiln_plugin::CallUse;
use kiln_plugin::Description;
use kiln_plugin::Diagnostic;
use kiln_plugin::Failure;
use kiln_plugin::FileTree;
use kiln_plugin::Frontend;
use kiln_plugin::FrontendBridge;
use kiln_plugin::FrontendError;
use kiln_plugin::Limits;
use kiln_plugin::Lowered;
use kiln_plugin::Memo;
use kiln_plugin::PluginError;
use kiln_plugin::Request;
use kiln_plugin::Usage;
use wasmtime::Store;
use wasmtime::UpdateDeadline;
use wasmtime::component::HasSelf;
use wasmtime::component::Linker;
use wasmtime::component::Resource;

use crate::Runtime;
use crate::call::CallState;
use crate::call::LimitHit;
use crate::call::Question;
use crate::call::Session;
use crate::call::link_wasi;
use crate::call::plugin_error;
use crate::call::within;
use crate::component::Loaded;
use crate::component::World;
use crate::memo;
use crate::memo::Outcome;
use crate::memo::Remembered;
use crate::v0_1::bindings::frontend::FrontendPlugin;
use crate::v0_1::bindings::frontend::FrontendPluginPre;
use crate::v0_1::convert::Convert;

const WORLD: World = World {
    name: "frontend-plugin",
    version: "0.1.0",
    imports: &["types", "log", "content", "graph", "lowering", "build"],
    export: "frontend",
};

/// Most images of one answer, and most diagnostics.
const OUTPUTS: usize = 1000;
const DIAGNOSTICS: usize = 10_000;

/// A frontend that is a component.
pub(crate) struct WasmFrontend {
    runtime: Runtime,
    name: String,
    digest: Digest,
    pre: FrontendPluginPre<CallState>,
    limits: Limits,
    usage: Mutex<Usage>,
}

/// A call of an export.
enum Call<'a> {
    Describe,
    Lower(&'a Request),
    Subrequest(&'a str, &'a Request),
}

impl Call<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Lower(_) => "lower",
            Self::Subrequest(..) => "subrequest",
        }
    }
}

/// What an export returned.
enum Returned {
    Description(Description),
    Outcome(Outcome),
}

impl WasmFrontend {
    /// Fits the component to the world.
    pub(crate) fn new(runtime: Runtime, loaded: Loaded) -> Result<Self, PluginError> {
        let engine = &runtime.shared.engine;
        let wrong = |problems: Vec<String>| PluginError::WrongWorld {
            plugin: loaded.name.clone(),
            world: format!("{}@{}", WORLD.name, WORLD.version),
            problems,
        };
        let problems = WORLD.problems(engine, &loaded.component);
        if !problems.is_empty() {
            return Err(wrong(problems));
        }
        // What is left are differences in types, which wasmtime names best.
        let mut linker = Linker::new(engine);
        let pre = link(&mut linker, &loaded)
            .and_then(|()| linker.instantiate_pre(&loaded.component))
            .and_then(FrontendPluginPre::new)
            .map_err(|error| wrong(vec![format!("{error:#}")]))?;
        Ok(Self {
            limits: runtime.shared.config.frontend,
            runtime,
            name: loaded.name,
            digest: loaded.digest,
            pre,
            usage: Mutex::default(),
        })
    }

    fn session(&self, files: Option<Arc<dyn FileTree>>, bridge: Arc<dyn FrontendBridge>) -> Session {
        Session::new(
            bridge,
            files,
            self.limits,
            Arc::clone(&self.runtime.shared.permits),
        )
    }

    /// Answers from memory, or runs the plugin and remembers.
    async fn outcome(
        &self,
        call: &Call<'_>,
        key: Digest,
        mut session: Session,
    ) -> Result<Outcome, PluginError> {
        let started = Instant::now();
        let memo = self.runtime.memo.clone();
        let mut missed = Memo::Off;
        if let Some(memo) = &memo {
            match memo::recall(&**memo, key, &mut session).await {
                Ok((known, trace)) => {
                    let bridge = Arc::clone(&session.bridge);
                    known.reports.into_iter().for_each(|report| bridge.report(report));
                    let usage = Usage {
                        fuel: known.fuel,
                        wall: started.elapsed(),
                        memo_hit: true,
                        ..Usage::default()
                    };
                    self.keep_usage(usage);
                    self.note(call, usage, Memo::Hit, &trace);
                    return Ok(known.outcome);
                }
                Err(why) => missed = why,
            }
        }
        if memo.is_some() || self.runtime.ledger.is_some() {
            session.record();
        }
        let (returned, mut session) = self.run(call, &key, session, missed).await?;
        let Returned::Outcome(outcome) = returned else {
            return Err(self.bad(call, "a description"));
        };
        self.check(call, &outcome)?;
        if let (Some(memo), Some(trace)) = (&memo, session.take_trace()) {
            let end = Remembered {
                outcome: outcome.clone(),
                reports: std::mem::take(&mut session.reports),
                fuel: self.usage().fuel,
            };
            memo::remember(&**memo, key, &trace, end).await;
        }
        Ok(outcome)
    }

    /// Runs one call in a store of its own.
    async fn run(
        &self,
        call: &Call<'_>,
        seed: &Digest,
        mut session: Session,
        missed: Memo,
    ) -> Result<(Returned, Session), PluginError> {
        session.wait_for_room().await;
        let started = Instant::now();
        let clock = session.clock.clone();
        let mut store = self
            .store(CallState::new(session, self.limits, seed))
            .map_err(|error| plugin_error(&self.name, call.name(), &self.limits, &error, None))?;
        let result = within(&clock, self.limits.wall, invoke(&self.pre, &mut store, call)).await;
        let left = store.get_fuel().unwrap_or_default();
        let state = store.into_data();
        let usage = Usage {
            fuel: self.limits.fuel.saturating_sub(left),
            wall: started.elapsed(),
            peak_memory: state.used.peak_memory,
            host_calls: state.session.calls,
            bytes: state.session.bytes,
            memo_hit: false,
        };
        self.keep_usage(usage);
        self.note(call, usage, missed, state.session.trace());
        match result {
            Ok(returned) => {
                let mut session = state.session;
                session.leave();
                Ok((returned, session))
            }
            Err(error) => Err(plugin_error(
                &self.name,
                call.name(),
                &self.limits,
                &error,
                state.panic(),
            )),
        }
    }

    fn store(&self, state: CallState) -> wasmtime::Result<Store<CallState>> {
        let limits = self.limits;
        let clock = state.session.clock.clone();
        let mut store = Store::new(&self.runtime.shared.engine, state);
        store.limiter(|state| &mut state.used);
        store.set_fuel(limits.fuel)?;
        store.set_hostcall_fuel(usize::try_from(limits.output).unwrap_or(usize::MAX));
        store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match clock.taken() >= limits.wall {
            true => Err(LimitHit(kiln_plugin::Limit::Wall).into()),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        Ok(store)
    }

    /// Writes a call into the build's ledger.
    fn note(&self, call: &Call<'_>, usage: Usage, memo: Memo, trace: &[(Question, Digest)]) {
        let Some(ledger) = &self.runtime.ledger else {
            return;
        };
        let answers = trace
            .iter()
            .map(|(question, answer)| (question.to_string(), *answer));
        let call = CallUse {
            call: call.name().to_owned(),
            usage,
            memo,
            answers: answers.collect(),
        };
        ledger.called(&self.name, call);
    }

    fn keep_usage(&self, usage: Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    fn bad(&self, call: &Call<'_>, why: impl Into<String>) -> PluginError {
        PluginError::BadOutput {
            plugin: self.name.clone(),
            call: call.name().to_owned(),
            why: why.into(),
        }
    }

    /// Checks what the types do not say.
    fn check(&self, call: &Call<'_>, outcome: &Outcome) -> Result<(), PluginError> {
        let checked = match outcome {
            Outcome::Lowered(Ok(lowered)) => check_lowered(lowered),
            Outcome::Lowered(Err(failure)) | Outcome::Answer(Err(failure)) => check_failure(failure),
            Outcome::Answer(Ok(_)) => Ok(()),
        };
        checked.map_err(|why| self.bad(call, why))
    }
}

fn link(linker: &mut Linker<CallState>, loaded: &Loaded) -> wasmtime::Result<()> {
    // Some two hundred functions that most plugins do without.
    if loaded.imports_wasi() {
        link_wasi(linker)?;
    }
    FrontendPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

async fn invoke(
    pre: &FrontendPluginPre<CallState>,
    store: &mut Store<CallState>,
    call: &Call<'_>,
) -> wasmtime::Result<Returned> {
    let plugin = pre.instantiate_async(&mut *store).await?;
    let frontend = plugin.kiln_plugin_frontend();
    let files = Resource::new_borrow(Session::FILES);
    Ok(match call {
        Call::Describe => Returned::Description(frontend.call_describe(store).await?.convert()),
        Call::Lower(request) => {
            let request = (*request).clone().convert();
            let lowered: Result<Lowered, Failure> =
                frontend.call_lower(store, &request, files).await?.convert();
            Returned::Outcome(Outcome::Lowered(lowered.map(Box::new)))
        }
        Call::Subrequest(id, request) => {
            let request = (*request).clone().convert();
            let answer = frontend.call_subrequest(store, id, &request, files).await?;
            Returned::Outcome(Outcome::Answer(
                answer.map(|answer| answer.metadata).map_err(Convert::convert),
            ))
        }
    })
}

/// Tells whether a definition has that output. The definition has been checked.
pub(crate) fn is_output(definition: &Definition, input: Input) -> bool {
    let vertex = definition.vertices.get(input.vertex as usize);
    vertex.is_some_and(|vertex| input.output < vertex.op.outputs())
}

fn check_lowered(lowered: &Lowered) -> Result<(), String> {
    let definition = &lowered.definition;
    definition
        .check(&kiln_graph::Limits::default())
        .map_err(|error| error.to_string())?;
    if lowered.outputs.len() > OUTPUTS {
        return Err(format!(
            "{} outputs where at most {OUTPUTS} are allowed",
            lowered.outputs.len()
        ));
    }
    let results = lowered.outputs.iter().filter_map(|output| output.result);
    let dangling = |input: &Input| !is_output(definition, *input);
    if let Some(Input { vertex, output }) = results.into_iter().find(dangling) {
        return Err(format!(
            "an image is output {output} of vertex {vertex}, which is not there"
        ));
    }
    check_diagnostics(&lowered.diagnostics, definition.sources.len())
}

fn check_failure(failure: &Failure) -> Result<(), String> {
    if failure.diagnostics.is_empty() {
        return Err("a failure without a diagnostic".into());
    }
    check_diagnostics(&failure.diagnostics, failure.sources.len())
}

fn check_diagnostics(diagnostics: &[Diagnostic], sources: usize) -> Result<(), String> {
    if diagnostics.len() > DIAGNOSTICS {
        return Err(format!(
            "{} diagnostics where at most {DIAGNOSTICS} are allowed",
            diagnostics.len()
        ));
    }
    let outside = |span: &&Span| span.source as usize >= sources;
    let mut spans = diagnostics.iter().flat_map(|diagnostic| &diagnostic.spans);
    match spans.find(outside) {
        Some(span) => Err(format!(
            "a diagnostic points into source {}, of {sources}",
            span.source
        )),
        None => Ok(()),
    }
}

#[async_trait]
impl Frontend for WasmFrontend {
    async fn describe(&self) -> Result<Description, PluginError> {
        let session = self.session(None, Arc::new(super::silent::SilentBridge::default()));
        match self
            .run(&Call::Describe, &self.digest, session, Memo::Off)
            .await?
        {
            (Returned::Description(description), _) => Ok(description),
            (Returned::Outcome(_), _) => Err(self.bad(&Call::Describe, "an outcome")),
        }
    }

    async fn lower(
        &self,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Lowered, FrontendError> {
        let call = Call::Lower(request);
        let key = memo::start(&self.digest, "lower", request);
        let session = self.session(Some(files), bridge);
        match self.outcome(&call, key, session).await? {
            Outcome::Lowered(Ok(lowered)) => Ok(*lowered),
            Outcome::Lowered(Err(failure)) | Outcome::Answer(Err(failure)) => {
                Err(FrontendError::Failure(failure))
            }
            Outcome::Answer(Ok(_)) => Err(self.bad(&call, "an answer to another call").into()),
        }
    }

    async fn subrequest(
        &self,
        id: &str,
        request: &Request,
        files: Arc<dyn FileTree>,
        bridge: Arc<dyn FrontendBridge>,
    ) -> Result<Vec<(String, Vec<u8>)>, FrontendError> {
        let call = Call::Subrequest(id, request);
        let key = memo::start(&self.digest, &format!("subrequest {id}"), request);
        let session = self.session(Some(files), bridge);
        match self.outcome(&call, key, session).await? {
            Outcome::Answer(Ok(answer)) => Ok(answer),
            Outcome::Lowered(Err(failure)) | Outcome::Answer(Err(failure)) => {
                Err(FrontendError::Failure(failure))
            }
            Outcome::Lowered(Ok(_)) => Err(self.bad(&call, "an answer to another call").into()),
        }
    }

    fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component(&self) -> Option<kiln_plugin::Component> {
        Some(kiln_plugin::Component {
            name: self.name.clone(),
            digest: self.digest,
            world: format!("kiln:plugin/{}@{}", WORLD.name, WORLD.version),
            grants: Vec::new(),
        })
    }
}
