//! What is made while it is sent: written on a thread that may wait, read by the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;

/// Pieces that may wait for a slow reader; then the writer waits.
const PIECES_MAX: usize = 16;
/// Bytes of one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// The end that is written to.
pub struct Sink(mpsc::Sender<io::Result<Bytes>>);

/// The end that the connection reads.
pub struct Sent(mpsc::Receiver<io::Result<Bytes>>);

/// Both ends.
pub fn pair() -> (Sink, Sent) {
    let (pieces, sent) = mpsc::channel(PIECES_MAX);
    (Sink(pieces), Sent(sent))
}

impl Sink {
    /// Lets `make` write; blocks. When it fails the connection is cut, so that nobody takes a part for the whole.
    pub fn fill(self, make: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
        let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(self.0.clone()));
        if let Err(error) = make(&mut out).and_then(|()| io::Write::flush(&mut out)) {
            tracing::error!("what was being sent broke off: {error}");
            // Whoever asked may have gone: then nobody is to be told.
            let _ = self.0.blocking_send(Err(error));
        }
    }
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Sent {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.0.poll_recv(cx)
    }
}
