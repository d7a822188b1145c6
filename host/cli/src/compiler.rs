//! Compiles plugins in a process of its own: `kiln compile-plugin`, of this same program.

use std::io::Read;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

use kiln_plugin::Limit;
use kiln_plugin::Limits;
use kiln_wasm::CompileError;
use kiln_wasm::Compiler;

/// Most machine code for a byte of a component; compilers make some five.
const CODE_PER_BYTE: u64 = 64;
/// Most of what the compiler says that is read, in bytes.
const WORDS: u64 = 64 << 10;
/// What a process says that gets no more address space, the last for the stack of a thread.
const OUT_OF_MEMORY: [&str; 4] = [
    "out of memory",
    "memory allocation of",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
];
/// The signals that end a process out of processor time: the soft and the hard limit's.
const OUT_OF_TIME: [i32; 2] = [24, 9];

/// Runs the compiler.
pub(crate) struct Helper;

impl Compiler for Helper {
    fn compile(&self, component: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
        let failed =
            |error: std::io::Error| CompileError::Failed(format!("cannot run the compiler: {error}"));
        let mut child = Command::new("/proc/self/exe")
            .arg0("kiln")
            .arg("compile-plugin")
            .arg(format!("--cpu={}", limits.compile_time.as_secs().max(1)))
            .arg(format!("--memory={}", limits.compile_memory))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let said = talk(&mut child, component);
        let status = child.wait().map_err(failed)?;
        let (code, words) = said.map_err(failed)?;
        match status.success() {
            true => Ok(code),
            false => Err(why(status, &words)),
        }
    }
}

/// Hands the component over and returns the code and what else was said.
fn talk(child: &mut Child, component: &[u8]) -> std::io::Result<(Vec<u8>, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let most = component.len() as u64 * CODE_PER_BYTE + (1 << 20);
    let (mut code, mut words) = (Vec::new(), String::new());
    let read = std::thread::scope(|scope| {
        // One that ends early says why on its way out.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(component)));
        scope.spawn(|| stderr.map(|stderr| stderr.take(WORDS).read_to_string(&mut words)));
        stdout.map_or(Ok(0), |stdout| stdout.take(most + 1).read_to_end(&mut code))
    });
    read?;
    if code.len() as u64 > most {
        _ = child.kill();
        return Err(std::io::Error::other(format!(
            "more than {most} bytes of machine code"
        )));
    }
    Ok((code, words))
}

/// Returns why the compiler ended.
fn why(status: ExitStatus, words: &str) -> CompileError {
    match status.signal() {
        _ if OUT_OF_MEMORY.iter().any(|said| words.contains(said)) => {
            CompileError::Limit(Limit::CompileMemory)
        }
        Some(signal) if OUT_OF_TIME.contains(&signal) => CompileError::Limit(Limit::CompileTime),
        Some(signal) => CompileError::Failed(format!("the compiler was killed by signal {signal}")),
        None => {
            let words = words.trim().trim_start_matches("error: ");
            let words = words
                .split_once("cannot compile plugin `the component`: ")
                .map_or(words, |(_, rest)| rest);
            CompileError::Failed(words.to_owned())
        }
    }
}
