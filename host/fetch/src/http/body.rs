//! The body of an answer as a file.

use std::fs::File;
use std::fs::FileTimes;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use flate2::write::GzDecoder;
use reqwest::Response;
use sha2::Digest as _;
use sha2::Sha256;
use sha2::Sha384;
use sha2::Sha512;

use super::client::failed;
use crate::Caller;
use crate::FetchError;
use crate::Limits;

/// How a body becomes a file.
pub(super) struct Body<'b> {
    pub(super) url: &'b str,
    pub(super) limits: &'b Limits,
    pub(super) algorithm: &'b str,
    pub(super) gzip: bool,
    /// Permission bits of the file.
    pub(super) mode: u32,
    /// When it changed last, in seconds since 1970.
    pub(super) modified: i64,
}

impl Body<'_> {
    /// Writes the file; returns its digest and size.
    pub(super) async fn write(
        &self,
        mut response: Response,
        path: &Path,
        caller: &dyn Caller,
    ) -> Result<(String, u64), FetchError> {
        let total = response.content_length().filter(|_| !self.gzip);
        if total.is_some_and(|total| total > self.limits.bytes) {
            return Err(self.too_large());
        }
        let url = response.url().clone();
        let file = File::create(path).map_err(FetchError::file("write", path))?;
        let sink = Sink {
            file,
            hasher: Hasher::new(self.algorithm),
            size: 0,
        };
        let mut out = Out::new(sink, self.gzip);
        let stall = self.limits.stall;
        loop {
            let chunk = tokio::time::timeout(stall, response.chunk())
                .await
                .map_err(|_| FetchError::Stalled {
                    url: self.url.to_owned(),
                    seconds: stall.as_secs(),
                })?
                .map_err(|error| failed(&url, error))?;
            let Some(chunk) = chunk else { break };
            // Small pieces of a packed body may unpack to much; the bound is looked at in between.
            for piece in chunk.chunks(16 << 10) {
                out.write_all(piece).map_err(FetchError::file("write", path))?;
                if out.sink().size > self.limits.bytes {
                    return Err(self.too_large());
                }
            }
            caller.progress(out.sink().size, total);
        }
        let sink = out.finish().map_err(FetchError::file("write", path))?;
        let time = time_of(self.modified);
        sink.file
            .set_times(FileTimes::new().set_modified(time).set_accessed(time))
            .map_err(FetchError::file("set the time of", path))?;
        // The mode is set and not masked: what the user's umask says is not part of a build.
        sink.file
            .set_permissions(Permissions::from_mode(self.mode))
            .map_err(FetchError::file("set the mode of", path))?;
        Ok((sink.hasher.finish(), sink.size))
    }

    fn too_large(&self) -> FetchError {
        FetchError::TooLarge {
            what: self.url.to_owned(),
            limit: self.limits.bytes,
            unit: "bytes",
        }
    }
}

fn time_of(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    fn new(algorithm: &str) -> Self {
        match algorithm {
            "sha384" => Self::Sha384(Sha384::new()),
            "sha512" => Self::Sha512(Sha512::new()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        let (name, sum) = match self {
            Self::Sha256(hasher) => ("sha256", hasher.finalize().to_vec()),
            Self::Sha384(hasher) => ("sha384", hasher.finalize().to_vec()),
            Self::Sha512(hasher) => ("sha512", hasher.finalize().to_vec()),
        };
        let hex: Vec<String> = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}:{}", hex.concat())
    }
}

struct Sink {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

enum Out {
    Plain(Sink),
    Gzip(Box<GzDecoder<Sink>>),
}

impl Out {
    fn new(sink: Sink, gzip: bool) -> Self {
        if gzip {
            Self::Gzip(Box::new(GzDecoder::new(sink)))
        } else {
            Self::Plain(sink)
        }
    }

    fn sink(&self) -> &Sink {
        match self {
            Self::Plain(sink) => sink,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Sink> {
        match self {
            Self::Plain(sink) => Ok(sink),
            Self::Gzip(decoder) => decoder.finish(),
        }
    }
}
