//! A registry that does what a test wants, in bytes.

use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What is sent back, and whether the line is held then.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    hold: bool,
}

/// An answer with its true length.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    raw(status, headers, body.len(), body)
}

/// An answer that announces `length` bytes.
pub(crate) fn raw(status: u16, headers: &[(&str, &str)], length: usize, body: &[u8]) -> Reply {
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let bytes = [format!("{head}\r\n").as_bytes(), body].concat();
    Reply { bytes, hold: false }
}

impl Reply {
    /// Sends no more, and does not hang up.
    pub(crate) fn then_stall(mut self) -> Self {
        self.hold = true;
        self
    }

    /// Nothing but these bytes.
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            hold: false,
        }
    }
}

/// A server on loopback; stops with the test.
pub(crate) struct Server {
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with `answer`, which gets the request and its number from 0.
    pub(crate) async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move { serve(stream, &*answer, &log).await });
            }
        });
        Self { host, seen }
    }

    /// Returns what was asked, without the question whether somebody is there.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Request, usize) -> Reply + Send + Sync),
    log: &Mutex<Vec<Request>>,
) -> Option<()> {
    let request = read(&mut stream).await?;
    let answer = if request.path == "/v2/" {
        reply(200, &[], b"")
    } else {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        answer(&request, number)
    };
    stream.write_all(&answer.bytes).await.ok()?;
    if answer.hold {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await.ok()
}

/// Reads one request; `None` for what is no HTTP, such as TLS.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let tls = bytes.first() == Some(&0x16);
        if tls || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let mut request = Request {
        method,
        path,
        headers: lines.filter_map(pair).collect(),
        body: bytes[end..].to_vec(),
    };
    let length: usize = request.header("content-length").map_or(0, |l| l.parse().unwrap());
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}
