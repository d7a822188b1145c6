//! The body of a blob upload, as often as it must be sent.

use std::io;

use bytes::Bytes;
use bytes::BytesMut;
use futures::Stream;
use futures::stream;
use reqwest::Body;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use crate::BlobSource;

/// Bytes read from a file and handed to the connection at once.
const PIECE: usize = 256 << 10;

/// A blob on its way; tells how far it is.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) source: BlobSource,
    pub(crate) size: u64,
    pub(crate) sent: watch::Sender<u64>,
}

impl Upload {
    /// Returns the body from its first byte on. A file that shrank or grew ends it early.
    pub(crate) fn body(&self) -> Body {
        self.sent.send_replace(0);
        match &self.source {
            BlobSource::Bytes(bytes) => Body::wrap_stream(pieces(bytes.clone(), self.sent.clone())),
            BlobSource::File(_) => Body::wrap_stream(read(self.clone())),
        }
    }
}

fn pieces(bytes: Bytes, sent: watch::Sender<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold((bytes, sent), async |(mut rest, sent)| {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        sent.send_modify(|total| *total += piece.len() as u64);
        Some((Ok(piece), (rest, sent)))
    })
}

fn read(upload: Upload) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let start = (upload, None::<tokio::fs::File>, 0u64);
    stream::try_unfold(start, async |(upload, file, at)| {
        let BlobSource::File(path) = &upload.source else {
            return Ok(None);
        };
        if at == upload.size {
            return Ok(None);
        }
        let mut file = match file {
            Some(file) => file,
            None => tokio::fs::File::open(path).await?,
        };
        let wanted = usize::try_from(upload.size - at).unwrap_or(PIECE).min(PIECE);
        let mut piece = BytesMut::zeroed(wanted);
        let got = file.read(&mut piece).await?;
        if got == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter",
            ));
        }
        piece.truncate(got);
        let at = at + got as u64;
        upload.sent.send_replace(at);
        Ok(Some((piece.freeze(), (upload, Some(file), at))))
    })
}
