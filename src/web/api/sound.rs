//! So many bytes of a recording's audio as the body of an answer; read, and decrypted, off the threads that serve.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use futures_core::Stream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::vault::AudioReader;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Audio from where its reader stands.
pub struct SoundBody {
    left: u64,
    state: State,
}

enum State {
    Waiting(Box<AudioReader>),
    Reading(JoinHandle<(Box<AudioReader>, std::io::Result<Bytes>)>),
    Over,
}

impl SoundBody {
    /// `count` bytes of it.
    pub fn new(reader: AudioReader, count: u64) -> SoundBody {
        SoundBody { left: count, state: State::Waiting(Box::new(reader)) }
    }
}

impl Stream for SoundBody {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
        let mut reading = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Poll::Ready(None),
            State::Waiting(_) if self.left == 0 => return Poll::Ready(None),
            State::Waiting(reader) => {
                let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                spawn_blocking(move || read(reader, wanted))
            }
            State::Reading(reading) => reading,
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.state = State::Reading(reading);
            return Poll::Pending;
        };
        let read = read.map_err(std::io::Error::other).and_then(|(reader, read)| Ok((reader, read?)));
        Poll::Ready(Some(read.map(|(reader, bytes)| {
            self.left = self.left.saturating_sub(bytes.len() as u64);
            self.state = State::Waiting(reader);
            bytes
        })))
    }
}

/// The next bytes. A file that is shorter than it was when it was opened, or has been changed, cuts the connection, so that
/// nobody takes what came for whole.
fn read(mut reader: Box<AudioReader>, wanted: usize) -> (Box<AudioReader>, std::io::Result<Bytes>) {
    let mut bytes = vec![0; wanted];
    let read = match reader.read(&mut bytes) {
        Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => {
            bytes.truncate(length);
            Ok(Bytes::from(bytes))
        }
        Err(error) => Err(error),
    };
    (reader, read)
}
