//! What belongs to the store of one call.

use kiln_image::Digest;
use kiln_plugin::Limit;
use kiln_plugin::Limits;
use kiln_plugin::LogLevel;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::WasiCtxView;
use wasmtime_wasi::WasiView;

use crate::call::LimitHit;
use crate::call::Session;
use crate::call::wasi;

/// Longest panic text that is kept for the error, in bytes.
const PANIC: usize = 4096;

/// What belongs to the store of one call.
pub(crate) struct CallState {
    pub(crate) session: Session,
    pub(crate) used: Used,
    log: u64,
    /// The last error line of the log: where a panic leaves its text.
    pub(crate) last_words: Option<String>,
    limits: Limits,
    table: ResourceTable,
    wasi: WasiCtx,
}

/// Memory and tables that a call holds: the limiter counts them over all of its instances.
#[derive(Debug)]
pub(crate) struct Used {
    memory: u64,
    table: u64,
    pub(crate) peak_memory: u64,
    limits: Limits,
}

/// How the texts of panics begin.
const PANICS: [&str; 3] = ["panicked at", "Traceback (most recent call last)", "uncaught "];

impl CallState {
    /// Returns the state of a fresh call. `seed` decides what a plugin gets when it asks for random numbers.
    pub(crate) fn new(session: Session, limits: Limits, seed: &Digest) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self {
            wasi: wasi::empty(seed, session.bridge.clone(), limits.log),
            session,
            used: Used {
                memory: 0,
                table: 0,
                peak_memory: 0,
                limits,
            },
            log: 0,
            last_words: None,
            limits,
            table,
        }
    }

    /// Takes a line of the log.
    pub(crate) fn log(&mut self, level: LogLevel, message: &str) -> Result<(), LimitHit> {
        self.session.count(message.len() as u64)?;
        if level == LogLevel::Error {
            let end = message.floor_char_boundary(PANIC);
            self.last_words = Some(message[..end].to_owned());
        }
        self.log += message.len() as u64 + 1;
        if self.log > self.limits.log {
            return Err(LimitHit(Limit::Log));
        }
        self.session.bridge.log(level, message);
        Ok(())
    }

    /// Returns the panic's text, if the last error line was one: as Rust, Python and JavaScript begin them.
    pub(crate) fn panic(&self) -> Option<&str> {
        self.last_words
            .as_deref()
            .filter(|text| PANICS.iter().any(|start| text.starts_with(start)))
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl ResourceLimiter for Used {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory += desired.saturating_sub(current) as u64;
        if self.memory > self.limits.memory {
            return Err(LimitHit(Limit::Memory).into());
        }
        self.peak_memory = self.peak_memory.max(self.memory);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.table += desired.saturating_sub(current) as u64;
        if self.table > self.limits.table {
            return Err(LimitHit(Limit::Table).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        usize::try_from(self.limits.instances).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        self.instances()
    }

    fn memories(&self) -> usize {
        self.instances()
    }
}
