//! A small fuzzer: mutates a corpus, keeps what shows a new outcome, bounds time, and writes down what fails.

mod minimise;
mod mutate;
mod random;

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Once;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use self::minimise::minimise;
use self::mutate::Mutator;
use self::random::Random;

/// Longest that one input may take, in a debug build on a busy machine.
const MAX_TIME: Duration = Duration::from_secs(5);
/// When an input has not ended by then, it is taken to run for ever.
const HANG: Duration = Duration::from_secs(60);
/// Most memory that the whole test process may have had at once, in KiB.
const MAX_MEMORY: u64 = 1 << 20;
/// Most inputs that are kept because they showed something new.
const MAX_POOL: usize = 4000;
/// Stack of the thread that runs inputs: what threads of the engine have.
const STACK: usize = 2 << 20;
const DEFAULT_SEED: u64 = 20_261_123;
const DEFAULT_SECONDS: u64 = 8;

/// What is fuzzed. `run` panics when something that must hold does not. What it returns tells what became of the
/// input: inputs with new outcomes are mutated further.
pub(crate) struct Target {
    /// The name of the target and of its corpus.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]) -> String,
    /// Words that the format gives a meaning.
    pub(crate) tokens: &'static [&'static [u8]],
    /// Inputs beside the stored corpus.
    pub(crate) seeds: Vec<Vec<u8>>,
}

struct Settings {
    seed: u64,
    time: Duration,
    only: Option<PathBuf>,
}

impl Settings {
    fn read() -> Self {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
            Err(_) => default,
        };
        let seed = match std::env::var("KILN_FUZZ_SEED").as_deref() {
            Ok("random") => from_clock(),
            _ => number("KILN_FUZZ_SEED", DEFAULT_SEED),
        };
        Self {
            seed,
            time: Duration::from_secs(number("KILN_FUZZ_SECONDS", DEFAULT_SECONDS)),
            only: std::env::var_os("KILN_FUZZ_INPUT").map(PathBuf::from),
        }
    }
}

fn from_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.unwrap_or_default().subsec_nanos())
}

/// The input that runs now, where a crash of the whole process leaves it.
struct Current {
    path: PathBuf,
    file: File,
    since: Mutex<Option<Instant>>,
}

impl Current {
    fn new(target: &str) -> Self {
        let name = format!("kiln-fuzz-{target}-{}.input", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = File::create(&path).unwrap_or_else(|e| panic!("cannot create {}: {e}", path.display()));
        let since = Mutex::new(None);
        Self { path, file, since }
    }

    fn start(&self, input: &[u8]) {
        self.file.set_len(0).expect("a temporary file can be cut");
        self.file
            .write_all_at(input, 0)
            .expect("a temporary file can be written");
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn end(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn running_for(&self) -> Duration {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Runs the stored corpus and then new inputs until the time is over.
///
/// # Panics
/// When an input fails, takes too long or does not end, or the process got too large.
pub(crate) fn fuzz(target: Target) {
    quiet_panics();
    let settings = Settings::read();
    let (name, seed) = (target.name, settings.seed);
    let current = Arc::new(Current::new(name));
    let (send, done) = mpsc::channel();
    let worker = {
        let current = current.clone();
        std::thread::Builder::new()
            .name(format!("fuzz-{name}"))
            .stack_size(STACK)
            .spawn(move || send.send(Session::new(&target, &settings, &current).run()))
            .expect("a thread can be started")
    };
    let report = loop {
        match done.recv_timeout(Duration::from_secs(1)) {
            Ok(report) => break report,
            Err(RecvTimeoutError::Timeout) => assert!(
                current.running_for() < HANG,
                "{name}: seed {seed}: an input does not end: {}",
                current.path.display()
            ),
            Err(RecvTimeoutError::Disconnected) => panic!("{name}: seed {seed}: the fuzzer itself failed"),
        }
    };
    worker
        .join()
        .expect("it sent its report")
        .expect("somebody waits for it");
    drop(std::fs::remove_file(&current.path));
    match report {
        Ok(summary) => say(&format!("fuzz {name}: seed {seed}, {summary}")),
        Err(failure) => panic!("{name}: seed {seed}: {failure}"),
    }
    let peak = peak_memory();
    assert!(
        peak < MAX_MEMORY,
        "{name}: seed {seed}: the tests took {peak} KiB of memory"
    );
}

/// One run over one target.
struct Session<'a> {
    target: &'a Target,
    settings: &'a Settings,
    current: &'a Current,
    pool: Vec<Vec<u8>>,
    outcomes: HashSet<String>,
    slowest: Duration,
    inputs: u64,
}

impl<'a> Session<'a> {
    fn new(target: &'a Target, settings: &'a Settings, current: &'a Current) -> Self {
        Self {
            target,
            settings,
            current,
            pool: Vec::new(),
            outcomes: HashSet::new(),
            slowest: Duration::ZERO,
            inputs: 0,
        }
    }

    fn run(mut self) -> Result<String, String> {
        if let Some(path) = &self.settings.only {
            let input = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            let outcome = self.one(&input)?;
            return Ok(format!("{} passes: {outcome}", path.display()));
        }
        let seeds = [corpus(self.target.name), self.target.seeds.clone()].concat();
        if seeds.is_empty() {
            return Err("it has no corpus".to_owned());
        }
        for seed in seeds {
            let outcome = self.one(&seed)?;
            self.outcomes.insert(outcome);
            self.pool.push(seed);
        }
        let mut mutator = Mutator {
            random: Random::new(self.settings.seed),
            tokens: self.target.tokens,
        };
        let start = Instant::now();
        while start.elapsed() < self.settings.time {
            let input = mutator.input(&self.pool);
            let outcome = self.one(&input)?;
            if self.outcomes.len() < MAX_POOL && self.outcomes.insert(outcome) {
                self.pool.push(input);
            }
        }
        Ok(format!(
            "{} inputs, {} outcomes, slowest {} ms",
            self.inputs,
            self.outcomes.len(),
            self.slowest.as_millis()
        ))
    }

    fn one(&mut self, input: &[u8]) -> Result<String, String> {
        self.inputs += 1;
        self.current.start(input);
        let start = Instant::now();
        let result = attempt(self.target.run, input);
        let took = start.elapsed();
        self.current.end();
        self.slowest = self.slowest.max(took);
        let problem = match result {
            Err(problem) => problem,
            Ok(_) if took > MAX_TIME => {
                let path = self.keep(input);
                return Err(format!("{} takes {} ms", path.display(), took.as_millis()));
            }
            Ok(outcome) => return Ok(outcome),
        };
        let small = minimise(input, |input| attempt(self.target.run, input).is_err());
        let path = self.keep(&small);
        let text = small[..small.len().min(300)].escape_ascii();
        Err(format!(
            "input {}, kept as {} ({text}): {problem}",
            self.inputs,
            path.display()
        ))
    }

    fn keep(&self, input: &[u8]) -> PathBuf {
        let digest = kiln_image::Digest::of(input).short();
        let name = format!("kiln-fuzz-{}-{digest}.bad", self.target.name);
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, input).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

/// Reads the stored corpus of a target, in order of names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target);
    let Ok(files) = std::fs::read_dir(&dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        std::fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
    };
    paths.iter().map(read).collect()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics that are caught here out of the output: the failure is told once, at the end.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PLACE.set(info.location().map(ToString::to_string));
            if !QUIET.get() {
                before(info);
            }
        }));
    });
}

thread_local! {
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Runs one input; a panic becomes its text and place.
fn attempt(run: fn(&[u8]) -> String, input: &[u8]) -> Result<String, String> {
    QUIET.set(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(input)));
    QUIET.set(false);
    result.map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let place = PLACE.take().unwrap_or_default();
        format!("{} (at {place})", text.unwrap_or("a panic without text"))
    })
}

/// Returns the most memory that this process has had at once, in KiB.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the kernel tells the peak of memory")
}

/// Says something that is shown for tests that pass, too.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Returns an error's shape: its text without numbers and without what it quotes.
pub(crate) fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut quote = None;
    for c in text.chars().take(400) {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '`' | '"') => quote = Some(c),
            None if c.is_ascii_digit() => {}
            None => shape.push(c),
        }
    }
    shape
}
