//! The engine that all plugins share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kiln_plugin::CacheAdapter;
use kiln_plugin::Cataloger;
use kiln_plugin::Code;
use kiln_plugin::Component;
use kiln_plugin::Frontend;
use kiln_plugin::Ledger;
use kiln_plugin::Limits;
use kiln_plugin::MemoStore;
use kiln_plugin::PluginError;
use kiln_plugin::Scanner;
use tokio::sync::Semaphore;
use wasmtime::Config;
use wasmtime::Engine;
use wasmtime::OptLevel;
use wasmtime::WasmBacktraceDetails;

use crate::compiler::Compiler;
use crate::machine_code::MachineCode;
use crate::v0_1;

/// Stack of a plugin; the fiber that it runs on has twice as much, for the host's own frames.
const STACK: usize = 1 << 20;
/// How often running plugins look at their deadline.
const TICK: Duration = Duration::from_millis(10);

/// How plugins are run.
#[derive(Clone)]
pub struct RuntimeConfig {
    /// Where machine code is kept, if anywhere. Made with mode 0700; must belong to the user.
    pub cache_dir: Option<PathBuf>,
    /// Limits of each call of a frontend.
    pub frontend: Limits,
    /// Limits of each call of a cataloger.
    pub cataloger: Limits,
    /// Limits of each call of a scanner.
    pub scanner: Limits,
    /// Limits of each call of a cache adapter.
    pub cache: Limits,
    /// Most instances at once; more wait.
    pub instances: usize,
    /// Where answers are remembered, if anywhere.
    pub memo: Option<Arc<dyn MemoStore>>,
    /// Who compiles; this process without one.
    pub compiler: Option<Arc<dyn Compiler>>,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            frontend: Limits::frontend(),
            cataloger: Limits::cataloger(),
            scanner: Limits::scanner(),
            cache: Limits::cache(),
            instances: 4 * std::thread::available_parallelism().map_or(1, usize::from),
            memo: None,
            compiler: None,
        }
    }
}

impl std::fmt::Debug for RuntimeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeConfig")
            .field("cache_dir", &self.cache_dir)
            .field("frontend", &self.frontend)
            .field("cataloger", &self.cataloger)
            .field("scanner", &self.scanner)
            .field("cache", &self.cache)
            .field("instances", &self.instances)
            .field("memo", &self.memo.is_some())
            .field("compiler", &self.compiler.is_some())
            .finish()
    }
}

/// The plugin runtime cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// This machine cannot run WebAssembly as configured.
    #[error("cannot set up the WebAssembly engine: {message}")]
    Engine {
        /// Why.
        message: String,
    },
    /// The directory for machine code cannot be used.
    #[error("cannot use `{}` for machine code of plugins", path.display())]
    CacheDir {
        /// Which directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The directory for machine code is open to others, who could put code into it.
    #[error("`{}` holds machine code of plugins and must belong to this user with mode 0700, found {found}", path.display())]
    CacheDirOpen {
        /// Which directory.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
}

/// Runs plugins. Cheap to clone; all clones share one engine.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
    pub(crate) memo: Option<Arc<dyn MemoStore>>,
    pub(crate) ledger: Option<Ledger>,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) config: RuntimeConfig,
    pub(crate) code: MachineCode,
    pub(crate) permits: Arc<Semaphore>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Runtime").field(&self.shared.config).finish()
    }
}

impl Runtime {
    /// Sets up the engine and starts the clock that interrupts plugins.
    ///
    /// # Errors
    /// The machine cannot run WebAssembly, or the cache directory cannot be used.
    pub fn open(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let engine = engine().map_err(|error| RuntimeError::Engine {
            message: error.root_cause().to_string(),
        })?;
        let code = MachineCode::open(&engine, config.cache_dir.clone())?;
        start_ticking(&engine)?;
        Ok(Self {
            memo: config.memo.clone(),
            ledger: None,
            shared: Arc::new(Shared {
                engine,
                code,
                permits: Arc::new(Semaphore::new(config.instances.max(1))),
                config,
            }),
        })
    }

    /// Returns the same runtime, with frontends that remember their answers in `memo`, or nowhere.
    #[must_use]
    pub fn with_memo(&self, memo: Option<Arc<dyn MemoStore>>) -> Self {
        Self { memo, ..self.clone() }
    }

    /// Returns the same runtime, with plugins whose calls are noted in `ledger`.
    #[must_use]
    pub fn with_ledger(&self, ledger: &Ledger) -> Self {
        Self {
            ledger: Some(ledger.clone()),
            ..self.clone()
        }
    }

    /// Makes a frontend of a component. `name` is what errors call it; `precompiled` is what
    /// [`Runtime::precompile`] made of the same component, embedded in this program.
    ///
    /// Compiles when there is no machine code yet, which takes from 0.1 s to half a minute of CPU time: not for a
    /// thread that others wait for.
    ///
    /// # Errors
    /// The bytes are not a component of the world `frontend-plugin`, or do not compile.
    pub fn frontend(
        &self,
        name: &str,
        component: &[u8],
        precompiled: Option<&'static [u8]>,
    ) -> Result<Arc<dyn Frontend>, PluginError> {
        let loaded = self.load(name, component, precompiled, &self.shared.config.frontend)?;
        let code = loaded.code;
        let frontend = v0_1::WasmFrontend::new(self.clone(), loaded)?;
        self.note(frontend.component().as_ref(), code);
        Ok(Arc::new(frontend))
    }

    /// Makes a cataloger of a component; see [`Runtime::frontend`].
    ///
    /// # Errors
    /// The bytes are not a component of the world `cataloger-plugin`, or do not compile.
    pub fn cataloger(
        &self,
        name: &str,
        component: &[u8],
        precompiled: Option<&'static [u8]>,
    ) -> Result<Arc<dyn Cataloger>, PluginError> {
        let loaded = self.load(name, component, precompiled, &self.shared.config.cataloger)?;
        let code = loaded.code;
        let cataloger = v0_1::WasmCataloger::new(self.clone(), loaded)?;
        self.note(Some(&cataloger.component()), code);
        Ok(Arc::new(cataloger))
    }

    /// Makes a scanner of a component; see [`Runtime::frontend`].
    ///
    /// # Errors
    /// The bytes are not a component of the world `scanner-plugin`, or do not compile.
    pub fn scanner(
        &self,
        name: &str,
        component: &[u8],
        precompiled: Option<&'static [u8]>,
    ) -> Result<Arc<dyn Scanner>, PluginError> {
        let loaded = self.load(name, component, precompiled, &self.shared.config.scanner)?;
        let code = loaded.code;
        let scanner = v0_1::WasmScanner::new(self.clone(), loaded)?;
        self.note(Some(&scanner.component()), code);
        Ok(Arc::new(scanner))
    }

    /// Makes a cache adapter of a component; see [`Runtime::frontend`].
    ///
    /// # Errors
    /// The bytes are not a component of the world `cache-plugin`, or do not compile.
    pub fn adapter(
        &self,
        name: &str,
        component: &[u8],
        precompiled: Option<&'static [u8]>,
    ) -> Result<Arc<dyn CacheAdapter>, PluginError> {
        let loaded = self.load(name, component, precompiled, &self.shared.config.cache)?;
        let code = loaded.code;
        let adapter = v0_1::WasmAdapter::new(self.clone(), loaded)?;
        self.note(Some(&adapter.component()), code);
        Ok(Arc::new(adapter))
    }

    fn note(&self, component: Option<&Component>, code: Code) {
        if let (Some(ledger), Some(component)) = (&self.ledger, component) {
            ledger.loaded(component, code);
        }
    }

    /// Returns machine code of a component for [`Runtime::frontend`] of the same version on the same kind of
    /// processor.
    ///
    /// # Errors
    /// The bytes are not a component, or do not compile.
    pub fn precompile(&self, name: &str, component: &[u8]) -> Result<Vec<u8>, PluginError> {
        self.check_bytes(name, component, &self.shared.config.frontend)?;
        self.shared
            .engine
            .precompile_component(component)
            .map_err(|error| crate::component::compile_error(name, &error))
    }
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        // Fuel is the same on every machine; epochs bound the time on this one.
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(2 * STACK)
        // Equal inputs give equal outputs, to the last bit of a float.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    Engine::new(&config)
}

/// Ticks until the last clone of the engine is gone.
fn start_ticking(engine: &Engine) -> Result<(), RuntimeError> {
    let weak = engine.weak();
    let tick = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    let thread = std::thread::Builder::new().name("plugin-clock".to_owned());
    thread.spawn(tick).map_err(|error| RuntimeError::Engine {
        message: error.to_string(),
    })?;
    Ok(())
}
