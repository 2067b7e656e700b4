//! One open stream, TCP or TLS: its messages go up as they become whole, what is queued is written, both in bounded time.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::admission::Verdict;
use super::connections::{Place, Wire};
use super::framing::{Frame, Framing, Torn};
use super::station::{PONG, Station};
use crate::model::Path;
use crate::sip::{Message, Method, compose};

/// One write must be done after so long: a far end that reads nothing is gone.
pub(super) const WRITE_DURATION_MAX: Duration = Duration::from_secs(10);

/// What is queued at the end has so long to be written, and the far end to hang up.
pub(super) const FAREWELL_DURATION_MAX: Duration = Duration::from_secs(2);

/// A source that sends too much is read again after so long.
const SLOWED_FOR: Duration = Duration::from_millis(50);

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// What is thrown away at most while a refused far end hangs up, in bytes.
const DISCARDED_BYTES_MAX: u64 = 1 << 20;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// The far end, which must soon say something.
    ByPeer,
    /// Vigie, which says something first.
    ByUs,
}

/// How a connection came to its end.
pub(super) enum End {
    /// Nothing more can be read; what is queued may still be written.
    Read(String),
    /// Nothing more can be written.
    Write(String),
    /// The table wants it to end.
    Told,
}

/// Serves a stream to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(station: &Arc<Station>, io: S, place: Place, opened: Opened) {
    let Place { path, id, wire, queue } = place;
    let (mut reader, writer) = tokio::io::split(io);
    let mut writing = pin!(write(writer, queue, &wire));
    let end = tokio::select! {
        why = read(station, (path, &wire), &mut reader, opened) => End::Read(why),
        why = &mut writing => End::Write(why),
        () = wire.ended.notified() => End::Told,
        () = station.stopped() => End::Read("Vigie is stopping".into()),
    };
    match end {
        End::Read(why) => {
            // Out of the table nothing more is queued, and the writer ends with what there is.
            station.leave(path, id, &why);
            let farewell = async {
                writing.await;
                // Closed with bytes unread, the system would take back the answer just sent (RFC 9293 §3.6.1).
                tokio::io::copy(&mut reader.take(DISCARDED_BYTES_MAX), &mut tokio::io::sink()).await
            };
            let _ = timeout(FAREWELL_DURATION_MAX, farewell).await;
        }
        End::Write(why) => station.leave(path, id, &why),
        End::Told => {}
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Bytes>, wire: &Wire) -> String {
    while let Some(bytes) = queue.recv().await {
        let writing = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        match timeout(WRITE_DURATION_MAX, writing).await {
            Ok(Ok(())) => wire.written(bytes.len()),
            Ok(Err(error)) => return format!("writing failed: {error}"),
            Err(_) => return "the far end does not read what it is sent".into(),
        }
    }
    // The far end may have hung up before us.
    let _ = writer.shutdown().await;
    "the connection was closed".into()
}

async fn read(
    station: &Arc<Station>,
    (path, wire): (Path, &Wire),
    reader: &mut (impl AsyncRead + Unpin),
    opened: Opened,
) -> String {
    // Whoever sends a message byte by byte would hold the connection for ever.
    let (whole_max, idle_max) = (station.settings.message_duration_max, station.settings.connection_idle_max);
    let mut framing = Framing::default();
    let mut awaited_until = match opened {
        Opened::ByPeer => Some(Instant::now() + whole_max),
        Opened::ByUs => None,
    };
    loop {
        loop {
            match framing.next() {
                Ok(Some(frame)) => {
                    awaited_until = None;
                    if let Err(why) = take(station, (path, wire), Some(frame)).await {
                        return why;
                    }
                }
                Ok(None) => break,
                Err(torn) => return refuse(station, path, &torn),
            }
        }
        if framing.is_amid() {
            awaited_until.get_or_insert_with(|| Instant::now() + whole_max);
        }
        let until = awaited_until.unwrap_or_else(|| Instant::now() + idle_max);
        framing.room().reserve(READ_BYTES);
        match timeout_at(until, reader.read_buf(framing.room())).await {
            Ok(Ok(0)) => return "the far end closed the connection".into(),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return format!("reading failed: {error}"),
            Err(_) if awaited_until.is_some() => return "no whole message came in time".into(),
            Err(_) => return "nothing came for a long time".into(),
        }
    }
}

/// Hands one frame up; `None` is one that is only counted. A source that sends too much is not read for a moment: it
/// is slowed, and loses nothing.
pub(super) async fn take(
    station: &Arc<Station>,
    (path, wire): (Path, &Wire),
    frame: Option<Frame>,
) -> Result<(), String> {
    loop {
        match station.admit(path.peer.ip()) {
            Verdict::Taken => break,
            Verdict::TooMany => sleep(SLOWED_FOR).await,
            Verdict::Banned => return Err("its address is banned for a while".into()),
        }
    }
    match frame {
        Some(Frame::Message(bytes)) => {
            wire.mark_known();
            station.hand_up(path, bytes);
        }
        Some(Frame::Ping) => {
            station.connections.offer(path, Bytes::from_static(PONG));
        }
        None => {}
    }
    Ok(())
}

/// Answers what tore the stream, where that can be; nothing behind it can be read.
fn refuse(station: &Arc<Station>, path: Path, torn: &Torn) -> String {
    metrics::counter!("vigie_sip_malformed_total").increment(1);
    if let Some(answer) = torn.head.as_ref().and_then(|head| refusal(path, head, torn.why)) {
        station.connections.offer(path, answer);
    }
    format!("it sent what cannot be read: {}", torn.why)
}

/// The 400 to a request whose end is unknown; `None` for a response, an ACK, and what cannot be answered.
fn refusal(path: Path, head: &Bytes, why: &str) -> Option<Bytes> {
    match Message::parse(head) {
        Ok(Message::Request(mut request)) if request.method != Method::Ack => {
            compose::stamp_via(&mut request, path.peer);
            let mut answer = compose::response(&request, 400, Some(&compose::stateless_tag(&request)));
            answer.reason = why.to_owned();
            Some(answer.to_bytes())
        }
        Ok(Message::Request(_) | Message::Response(_)) => None,
        Err(malformed) => malformed.answer(path).map(|(_, bytes)| bytes),
    }
}
