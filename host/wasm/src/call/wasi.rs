//! A WASI 0.2 with nothing in it, for languages whose runtimes cannot do without: no files, environment, arguments or
//! sockets, a clock that stands at the epoch, random numbers that follow from the request, and a log for output.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use kiln_image::Digest;
use kiln_plugin::FrontendBridge;
use kiln_plugin::Limit;
use kiln_plugin::LogLevel;
use wasmtime::component::Linker;
use wasmtime_wasi::HostMonotonicClock;
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::IsTerminal;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p2::StreamResult;
use wasmtime_wasi::p2::bindings::LinkOptions;
use wasmtime_wasi::random::Deterministic;

use crate::call::CallState;
use crate::call::LimitHit;

/// Most bytes of one write.
const WRITE: usize = 4096;

/// Links the whole of it, unstable functions included: standard libraries begin to import those without notice.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut options = LinkOptions::default();
    options.network_error_code(true);
    wasmtime_wasi::p2::add_to_linker_with_options_async(linker, &options)
}

/// Returns a context with nothing in it.
pub(crate) fn empty(seed: &Digest, bridge: Arc<dyn FrontendBridge>, log: u64) -> WasiCtx {
    let seed = seed.hex().into_bytes();
    let output = Output {
        bridge,
        left: Arc::new(AtomicU64::new(log)),
    };
    WasiCtx::builder()
        .stdout(output.clone())
        .stderr(output)
        .wall_clock(Stopped)
        .monotonic_clock(Stopped)
        .insecure_random_seed(u128::from_le_bytes(
            *seed.first_chunk().expect("a digest has 64 digits"),
        ))
        .secure_random(Deterministic::new(seed.clone()))
        .insecure_random(Deterministic::new(seed))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

#[derive(Debug)]
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Standard output and error: lines of the log.
#[derive(Clone)]
struct Output {
    bridge: Arc<dyn FrontendBridge>,
    left: Arc<AtomicU64>,
}

impl Output {
    fn take(&self, bytes: &[u8]) -> Result<(), LimitHit> {
        let enough = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes.len() as u64)
            });
        enough.map_err(|_| LimitHit(Limit::Log))?;
        for line in String::from_utf8_lossy(bytes).lines() {
            self.bridge.log(LogLevel::Info, line);
        }
        Ok(())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes).map_err(|hit| StreamError::Trap(hit.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl tokio::io::AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(hit) => Err(std::io::Error::other(hit)),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
