//! What the kinds that are called without a memo have in common: one instance for each call, within limits, noted in
//! the ledger.

use std::sync::Arc;
use std::time::Instant;

use kiln_image::Digest;
use kiln_plugin::CallUse;
use kiln_plugin::Component;
use kiln_plugin::FileTree;
use kiln_plugin::FrontendBridge;
use kiln_plugin::Limits;
use kiln_plugin::Memo;
use kiln_plugin::PluginError;
use kiln_plugin::Usage;
use wasmtime::Store;
use wasmtime::UpdateDeadline;
use wasmtime::component::InstancePre;
use wasmtime::component::Linker;

use crate::Runtime;
use crate::call::CallState;
use crate::call::Clock;
use crate::call::LimitHit;
use crate::call::Session;
use crate::call::link_wasi;
use crate::call::plugin_error;
use crate::component::Loaded;
use crate::component::World;

/// A component that fits its world, and what its calls need.
pub(crate) struct Driver {
    pub(crate) runtime: Runtime,
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) limits: Limits,
    pub(crate) world: &'static World,
}

/// One call that has begun.
pub(crate) struct Running {
    pub(crate) store: Store<CallState>,
    /// Time that the plugin itself has taken; the caller waits for the call by it.
    pub(crate) clock: Clock,
    call: &'static str,
    started: Instant,
}

/// Adds what a world lends to a linker.
pub(crate) type Link = fn(&mut Linker<CallState>) -> wasmtime::Result<()>;

impl Driver {
    /// Fits a component to a world. `pre` makes the typed form of it.
    pub(crate) fn fit<P>(
        runtime: Runtime,
        loaded: Loaded,
        (world, limits): (&'static World, Limits),
        link: Link,
        pre: fn(InstancePre<CallState>) -> wasmtime::Result<P>,
    ) -> Result<(Self, P), PluginError> {
        let engine = &runtime.shared.engine;
        let wrong = |problems: Vec<String>| PluginError::WrongWorld {
            plugin: loaded.name.clone(),
            world: format!("{}@{}", world.name, world.version),
            problems,
        };
        let problems = world.problems(engine, &loaded.component);
        if !problems.is_empty() {
            return Err(wrong(problems));
        }
        let mut linker = Linker::new(engine);
        let wasi = match loaded.imports_wasi() {
            true => link_wasi(&mut linker),
            false => Ok(()),
        };
        let pre = wasi
            .and_then(|()| link(&mut linker))
            .and_then(|()| linker.instantiate_pre(&loaded.component))
            .and_then(pre)
            .map_err(|error| wrong(vec![format!("{error:#}")]))?;
        let driver = Self {
            runtime,
            name: loaded.name,
            digest: loaded.digest,
            limits,
            world,
        };
        Ok((driver, pre))
    }

    /// Returns the session of a call.
    pub(crate) fn session(
        &self,
        bridge: Arc<dyn FrontendBridge>,
        files: Option<Arc<dyn FileTree>>,
    ) -> Session {
        Session::new(
            bridge,
            files,
            self.limits,
            Arc::clone(&self.runtime.shared.permits),
        )
    }

    /// Begins a call, when there is room for one more instance.
    pub(crate) async fn begin(
        &self,
        call: &'static str,
        mut session: Session,
    ) -> Result<Running, PluginError> {
        session.wait_for_room().await;
        let clock = session.clock.clone();
        let state = CallState::new(session, self.limits, &self.digest);
        let store = self.store(state, clock.clone());
        Ok(Running {
            store: store.map_err(|error| plugin_error(&self.name, call, &self.limits, &error, None))?,
            call,
            clock,
            started: Instant::now(),
        })
    }

    fn store(&self, state: CallState, clock: Clock) -> wasmtime::Result<Store<CallState>> {
        let limits = self.limits;
        let mut store = Store::new(&self.runtime.shared.engine, state);
        store.limiter(|state| &mut state.used);
        store.set_fuel(limits.fuel)?;
        store.set_hostcall_fuel(usize::try_from(limits.output).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match clock.taken() >= limits.wall {
            true => Err(LimitHit(kiln_plugin::Limit::Wall).into()),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        Ok(store)
    }

    /// Ends a call: notes what it cost, and says what went wrong. `handed` is how many bytes came with the call.
    pub(crate) fn end<T>(
        &self,
        running: Running,
        handed: u64,
        result: wasmtime::Result<T>,
    ) -> Result<T, PluginError> {
        let left = running.store.get_fuel().unwrap_or_default();
        let state = running.store.into_data();
        if let Some(ledger) = &self.runtime.ledger {
            let usage = Usage {
                fuel: self.limits.fuel.saturating_sub(left),
                wall: running.started.elapsed(),
                peak_memory: state.used.peak_memory,
                host_calls: state.session.calls,
                bytes: state.session.bytes + handed,
                memo_hit: false,
            };
            let call = CallUse {
                call: running.call.to_owned(),
                usage,
                memo: Memo::Off,
                answers: Vec::new(),
            };
            ledger.called(&self.name, call);
        }
        result.map_err(|error| plugin_error(&self.name, running.call, &self.limits, &error, state.panic()))
    }

    /// Returns the error of an answer that is none.
    pub(crate) fn bad(&self, call: &str, why: String) -> PluginError {
        PluginError::BadOutput {
            plugin: self.name.clone(),
            call: call.to_owned(),
            why,
        }
    }

    /// Returns the component that it is.
    pub(crate) fn component(&self) -> Component {
        Component {
            name: self.name.clone(),
            digest: self.digest,
            world: format!("kiln:plugin/{}@{}", self.world.name, self.world.version),
            grants: Vec::new(),
        }
    }
}
