//! What is made while it is sent: written on a thread that may wait, read by the connection.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::Problem;

/// Pieces that may wait for a slow reader; then the writer waits.
const PIECES_MAX: usize = 16;
/// Bytes of one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// So many are made at once: each keeps a thread for as long as its reader takes.
const AT_ONCE_MAX: usize = 16;
/// A reader that takes nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// Whoever makes something stands back behind live calls (sched(7)): a listener may wait, a caller's packet may not.
const BACKGROUND_NICE: i32 = 10;

/// One of the places of those who are served at once; asked for before anything dear is done, and before it is told in the
/// audit that somebody listens.
pub struct Place {
    _permit: SemaphorePermit<'static>,
}

/// A place, or that all are taken.
pub fn place() -> Result<Place, Problem> {
    PLACES.try_acquire().map(|permit| Place { _permit: permit }).map_err(|_| {
        Problem::unavailable(format!(
            "{AT_ONCE_MAX} recordings, copies or exports are being fetched already; ask again when one is through"
        ))
    })
}

impl Place {
    /// A body that `make` writes, on a thread of its own that may wait. When it fails the connection is cut, so that nobody
    /// takes a part for the whole.
    pub fn made(
        self,
        make: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Result<Body, Problem> {
        let (to, sent) = mpsc::channel(PIECES_MAX);
        let pieces = Pieces { to, runtime: Handle::current() };
        let thread = std::thread::Builder::new().name("sending".into()).spawn(move || {
            let _place = self;
            // Where it cannot be set, all stays as it is.
            let _ = rustix::process::nice(BACKGROUND_NICE);
            fill(&pieces, make);
        });
        match thread {
            Ok(_) => Ok(Body::from_stream(Sent(sent))),
            Err(error) => Err(Problem::unavailable(format!("no thread can be started to send it: {error}; ask again"))),
        }
    }
}

fn fill(pieces: &Pieces, make: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
    let mut out = io::BufWriter::with_capacity(PIECE_BYTES, pieces);
    let write = AssertUnwindSafe(|| make(&mut out).and_then(|()| io::Write::flush(&mut out)));
    // A panic must not look like the end.
    let done =
        std::panic::catch_unwind(write).unwrap_or_else(|_| Err(io::Error::other("a fault of Vigie; see its log")));
    if let Err(error) = done {
        match error.kind() {
            // Players close when they have heard enough, and seek by asking anew.
            io::ErrorKind::BrokenPipe => tracing::debug!("whoever was being sent a recording has gone"),
            io::ErrorKind::TimedOut => {
                tracing::warn!("a reader of a recording took nothing for {} s and was given up", PATIENCE.as_secs())
            }
            _ => tracing::error!("what was being sent broke off: {error}"),
        }
        // Whoever asked may have gone: then nobody is to be told.
        let _ = pieces.send(Err(error));
    }
}

/// The end that is written to.
struct Pieces {
    to: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
}

impl Pieces {
    fn send(&self, piece: io::Result<Bytes>) -> io::Result<()> {
        match self.runtime.block_on(self.to.send_timeout(piece, PATIENCE)) {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => Err(io::ErrorKind::TimedOut.into()),
            Err(SendTimeoutError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl io::Write for &Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What is written in one stroke does not make a piece as large.
        let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        self.send(Ok(Bytes::copy_from_slice(piece))).map(|()| piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end that the connection reads.
struct Sent(mpsc::Receiver<io::Result<Bytes>>);

impl Stream for Sent {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.0.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: Body) -> Result<usize, axum::Error> {
        axum::body::to_bytes(body, 1 << 20).await.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn what_breaks_off_is_no_whole_answer_and_stalled_readers_keep_few_threads() {
        for _ in 0..2 * AT_ONCE_MAX {
            let whole = place().expect("a place").made(|out| out.write_all(&[7; 200_000])).expect("a thread");
            assert_eq!(read(whole).await.expect("whole"), 200_000);
            let broken = place()
                .expect("a place")
                .made(|out| out.write_all(&[7; 100]).and(Err(io::Error::other("the disk"))))
                .expect("a place");
            assert!(read(broken).await.is_err());
            let fault = place().expect("a place").made(|out| {
                out.write_all(&[7; 100])?;
                panic!("a fault")
            });
            assert!(read(fault.expect("a place")).await.is_err());
            // The thread gives its place back after its last piece.
            while PLACES.available_permits() < AT_ONCE_MAX {
                tokio::task::yield_now().await;
            }
        }
        let stalled: Vec<_> =
            (0..AT_ONCE_MAX).map_while(|_| place().ok()?.made(|out| out.write_all(&[7; 4_000_000])).ok()).collect();
        let refused = place().err().expect("full");
        assert!(refused.detail().contains("ask again"), "{}", refused.detail());
        drop(stalled);
        while PLACES.available_permits() < AT_ONCE_MAX {
            tokio::task::yield_now().await;
        }
    }
}
