//! How long a step of `/bin/true` takes: `step_time ROOT [RUNTIME]` prints the middle and the least of 50.

use kiln_exec::Cancel;
use kiln_exec::Executor;
use kiln_exec::NativeExecutor;
use kiln_exec::Network;
use kiln_exec::OciExecutor;
use kiln_exec::Output;
use kiln_exec::RootFs;
use kiln_exec::Step;
use kiln_exec::Stream;
use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

struct Nothing;

impl Output for Nothing {
    fn write(&self, _: Stream, _: &[u8]) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let root = args.next().ok_or("usage: step_time ROOT [RUNTIME]")?;
    let dir = std::env::temp_dir().join(format!("kiln-step-time-{}", std::process::id()));
    let executor: Box<dyn Executor> = match args.next() {
        Some(runtime) => Box::new(OciExecutor::new(runtime, dir.join("bundles"))?),
        None => Box::new(NativeExecutor::new()?),
    };
    let mut out = std::io::stdout();
    for network in [Network::None, Network::Default, Network::Host] {
        let mut times = Vec::new();
        for number in 0..50 {
            let (upper, work) = (dir.join(format!("u{number}")), dir.join(format!("w{number}")));
            std::fs::create_dir_all(&upper)?;
            std::fs::create_dir_all(&work)?;
            let root = RootFs::Overlay {
                lowers: vec![root.clone().into()],
                upper,
                work,
            };
            let mut step = Step::new(format!("time-{number}"), root, vec!["/bin/true".to_owned()]);
            step.network = network;
            let started = Instant::now();
            executor.run(step, &Nothing, Cancel::never()).await?;
            times.push(started.elapsed());
        }
        times.sort();
        writeln!(out, "{network:?}: p50 {:?}, least {:?}", times[25], times[0])?;
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
