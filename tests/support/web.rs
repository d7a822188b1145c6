//! An HTTP server on loopback that can also fail, stall, cut and redirect, and that serves git repositories.

use std::collections::HashMap;
use std::io;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a request was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET` or another method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The status of the answer.
    pub status: u16,
}

/// What a path answers.
#[derive(Debug, Clone, Default)]
pub struct Page {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    failures: u32,
    cut: Option<usize>,
    stalls: bool,
    authorization: Option<String>,
}

impl Page {
    /// Answers with a body.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// Answers with a redirect.
    pub fn redirect(to: &str) -> Self {
        Self::default().status(302).header("Location", to)
    }

    /// Answers with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, key: &str, value: &str) -> Self {
        self.headers.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Answers 503 so many times first.
    #[must_use]
    pub fn fails(mut self, times: u32) -> Self {
        self.failures = times;
        self
    }

    /// Closes the connection after so many bytes of the body, the first time.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// Sends half of the body and nothing more.
    #[must_use]
    pub fn stalls(mut self) -> Self {
        self.stalls = true;
        self
    }

    /// Wants this `Authorization` header.
    #[must_use]
    pub fn wants(mut self, authorization: &str) -> Self {
        self.authorization = Some(authorization.to_owned());
        self
    }
}

#[derive(Debug, Default)]
struct State {
    pages: HashMap<String, Page>,
    seen: Vec<Seen>,
    /// Beginning of the paths below which `PUT` is obeyed.
    kept: Option<String>,
    /// Directories with repositories by the first part of the path, and the header that they want.
    repositories: HashMap<String, (PathBuf, Option<String>)>,
}

/// A server that runs until the value is dropped.
#[derive(Debug)]
pub struct Web {
    port: u16,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
}

impl Default for Web {
    fn default() -> Self {
        Self::start()
    }
}

impl Web {
    /// Starts a server without pages.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let (state, over) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (shared, stop) = (state.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (state, over) = (shared.clone(), stop.clone());
                std::thread::spawn(move || serve(&stream, &state, &over));
            }
        });
        Self { port, state, over }
    }

    /// Sets what a path answers.
    pub fn page(&self, path: &str, page: Page) {
        self.state().pages.insert(path.to_owned(), page);
    }

    /// Keeps what is `PUT` below a path.
    pub fn keeps(&self, below: &str) {
        self.state().kept = Some(below.to_owned());
    }

    /// Serves the repositories in `directory` below `/NAME/`, with the protocol that knows what it sends.
    pub fn repositories(&self, name: &str, directory: &Path) {
        let entry = (directory.to_owned(), None);
        self.state().repositories.insert(name.to_owned(), entry);
    }

    /// As [`Web::repositories`], for who sends this `Authorization` header.
    pub fn private_repositories(&self, name: &str, directory: &Path, authorization: &str) {
        let entry = (directory.to_owned(), Some(authorization.to_owned()));
        self.state().repositories.insert(name.to_owned(), entry);
    }

    /// Returns `HOST:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns the same URL by another name of this machine: another host for who keeps secrets.
    pub fn other_url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Takes what was asked so far.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

fn serve(stream: &TcpStream, state: &Mutex<State>, over: &AtomicBool) {
    // A client that goes away is no failure of the server.
    let _gone = answer_all(stream, state, over);
}

fn answer_all(stream: &TcpStream, state: &Mutex<State>, over: &AtomicBool) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        let answer = answer(&request, state);
        lock(state).seen.push(Seen {
            method: request.method.clone(),
            path: request.path.clone(),
            authorization: request.headers.get("authorization").cloned(),
            status: answer.status,
        });
        if !send(stream, &request, &answer, over)? {
            break;
        }
    }
    Ok(())
}

fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((key, value)) => headers.insert(key.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let body = body(reader, &headers)?;
    Ok(Some(Request {
        method,
        path,
        headers,
        body,
    }))
}

fn body(reader: &mut impl io::BufRead, headers: &HashMap<String, String>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length").and_then(|text| text.parse().ok()) {
        reader.take(length).read_to_end(&mut body)?;
        return Ok(body);
    }
    if headers
        .get("transfer-encoding")
        .is_none_or(|value| value != "chunked")
    {
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        reader.by_ref().take(length).read_to_end(&mut body)?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

#[derive(Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
    stalls: bool,
}

fn answer(request: &Request, state: &Mutex<State>) -> Answer {
    let plain = |status| Answer {
        status,
        ..Answer::default()
    };
    let path = request.path.split('?').next().unwrap_or_default();
    let authorization = request.headers.get("authorization");
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let repositories = lock(state).repositories.get(first).cloned();
    if let Some((directory, wanted)) = repositories {
        if wanted.is_some() && wanted.as_ref() != authorization {
            let mut refused = plain(401);
            refused
                .headers
                .push(("WWW-Authenticate".into(), "Basic realm=\"test\"".into()));
            return refused;
        }
        return git(request, &directory, first).unwrap_or_else(|_| plain(500));
    }
    let mut state = lock(state);
    let is_kept = |below: &String| request.path.starts_with(below.as_str());
    if request.method == "PUT" && state.kept.as_ref().is_some_and(is_kept) {
        let page = Page::new(request.body.clone());
        state.pages.insert(request.path.clone(), page);
        return plain(201);
    }
    let page = state.pages.get_mut(&request.path);
    let Some(page) = page else {
        return plain(404);
    };
    if page.failures > 0 {
        page.failures -= 1;
        return plain(503);
    }
    if page.authorization.is_some() && page.authorization.as_ref() != authorization {
        return plain(401);
    }
    let etag = page
        .headers
        .iter()
        .find(|(key, _)| key == "ETag")
        .map(|(_, value)| value.clone());
    let known = request.headers.get("if-none-match");
    if let (Some(etag), Some(known)) = (&etag, known)
        && known.split(", ").any(|one| one == etag.trim_start_matches("W/"))
    {
        let mut same = plain(304);
        same.headers.push(("ETag".into(), etag.clone()));
        return same;
    }
    Answer {
        status: page.status.unwrap_or(200),
        headers: page.headers.clone(),
        body: page.body.clone(),
        cut: page.cut.take(),
        stalls: page.stalls,
    }
}

/// Sends the answer; says whether the connection goes on.
fn send(mut stream: &TcpStream, request: &Request, answer: &Answer, over: &AtomicBool) -> io::Result<bool> {
    let mut head = format!(
        "HTTP/1.1 {} -\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (key, value) in &answer.headers {
        head.push_str(&format!("{key}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    let end = match (answer.cut, answer.stalls) {
        (Some(cut), _) => cut,
        (None, true) => answer.body.len() / 2,
        (None, false) => answer.body.len(),
    };
    stream.write_all(&answer.body[..end])?;
    stream.flush()?;
    while answer.stalls && !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
        // Ends when the client has gone.
        stream.set_nonblocking(true)?;
        let gone = matches!(stream.peek(&mut [0]), Ok(0));
        stream.set_nonblocking(false)?;
        if gone {
            break;
        }
    }
    Ok(end == answer.body.len())
}

/// Lets `git http-backend` answer.
fn git(request: &Request, directory: &Path, name: &str) -> io::Result<Answer> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let inside = path.strip_prefix(&format!("/{name}")).unwrap_or(path);
    let header = |key: &str| request.headers.get(key).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", directory)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", inside)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take();
    let body = request.body.clone();
    let writer = std::thread::spawn(move || {
        if let Some(stdin) = &mut stdin {
            let _gone = stdin.write_all(&body);
        }
    });
    let output = child.wait_with_output()?;
    let _ended = writer.join();
    let split = output
        .stdout
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(0);
    let mut answer = Answer {
        status: 200,
        body: output.stdout.get(split + 4..).unwrap_or_default().to_vec(),
        ..Answer::default()
    };
    for line in String::from_utf8_lossy(&output.stdout[..split]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => {
                answer.status = status
                    .split(' ')
                    .next()
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(500);
            }
            Some((key, value)) => answer.headers.push((key.to_owned(), value.to_owned())),
            None => {}
        }
    }
    Ok(answer)
}
