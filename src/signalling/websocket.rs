//! SIP over WebSocket (RFC 7118): the opening handshake, and then one message a frame.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HOST, HeaderMap, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::connections::{Place, Wire};
use super::framing::Frame;
use super::station::{PING, Station};
use super::stream::{self, End, FAREWELL_DURATION_MAX, WRITE_DURATION_MAX};
use crate::config::settings::ListenerSettings;
use crate::model::Path;
use crate::sip::parse::{MESSAGE_LENGTH_MAX, is_keep_alive};

/// What both sides say they speak (RFC 7118 §4).
const SUBPROTOCOL: &str = "sip";

/// How often the far end is pinged: proxies on the way close what is silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(25);

/// After so long without a frame, not even a pong, the far end is gone.
const SILENCE_MAX: Duration = Duration::from_secs(80);

/// The first message must come after so long: a page may ask its user for a password first.
const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(60);

/// Buffers of one connection, in bytes: SIP messages are small.
const BUFFER_BYTES: usize = 8 << 10;

/// Bytes that the library may keep for a far end that reads slowly: the queue has its own bound.
const WRITE_BYTES_MAX: usize = 4 * MESSAGE_LENGTH_MAX;

type Sink<S> = SplitSink<WebSocketStream<S>, Message>;

/// Agrees on SIP with a far end that may speak it here.
pub(super) async fn agree<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    listener: &ListenerSettings,
) -> Result<WebSocketStream<S>, tungstenite::Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_LENGTH_MAX))
        .max_frame_size(Some(MESSAGE_LENGTH_MAX));
    let origins = &listener.origins;
    #[allow(clippy::result_large_err, reason = "the library's own type of answer")]
    let check = |request: &Request, mut response: Response| match refusal(request.headers(), origins) {
        Some((status, why)) => Err(refuse(status, why)),
        None => {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
            Ok(response)
        }
    };
    accept_hdr_async_with_config(io, check, Some(config)).await
}

fn refuse(status: StatusCode, why: &'static str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

/// Why a WebSocket is not opened.
fn refusal(headers: &HeaderMap, origins: &[String]) -> Option<(StatusCode, &'static str)> {
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !protocols.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case(SUBPROTOCOL)) {
        return Some((StatusCode::BAD_REQUEST, "the subprotocol `sip` is spoken here (RFC 7118)"));
    }
    let origin = match one(headers, ORIGIN) {
        Ok(origin) => origin?.to_ascii_lowercase(),
        Err(refusal) => return Some(refusal),
    };
    let Ok(host) = one(headers, HOST) else { return Some(AMBIGUOUS) };
    let page = origin.split_once("://").map_or("", |(_, page)| host_of(page));
    let is_own = host.is_some_and(|host| !page.is_empty() && host_of(host).eq_ignore_ascii_case(page));
    let is_welcome = is_own || origins.contains(&origin);
    (!is_welcome).then_some((StatusCode::FORBIDDEN, "pages of this origin may not call here: see `origins`"))
}

const AMBIGUOUS: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "a header is there twice, or no text");

/// The one value of a header; only browsers send an Origin, and they send one.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, (StatusCode, &'static str)> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| AMBIGUOUS),
        (Some(_), Some(_)) => Err(AMBIGUOUS),
    }
}

/// The host of `host:port`, where an IPv6 address is in brackets.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// Serves a WebSocket to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    station: &Arc<Station>,
    socket: WebSocketStream<S>,
    place: Place,
) {
    let Place { path, id, wire, queue } = place;
    let (sink, mut source) = socket.split();
    let mut writing = pin!(write(sink, queue, &wire));
    let end = tokio::select! {
        why = read(station, (path, &wire), &mut source) => End::Read(why),
        why = &mut writing => End::Write(why),
        () = wire.ended.notified() => End::Told,
        () = station.stopped() => End::Read("Vigie is stopping".into()),
    };
    match end {
        End::Read(why) => {
            station.leave(path, id, &why);
            let _ = timeout(FAREWELL_DURATION_MAX, writing).await;
        }
        End::Write(why) => station.leave(path, id, &why),
        End::Told => {}
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut sink: Sink<S>,
    mut queue: mpsc::Receiver<Bytes>,
    wire: &Wire,
) -> String {
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (message, length) = tokio::select! {
            next = queue.recv() => match next {
                Some(bytes) => (message_of(&bytes), bytes.len()),
                None => break,
            },
            _ = pings.tick() => (Message::Ping(Bytes::new()), 0),
        };
        match timeout(WRITE_DURATION_MAX, sink.send(message)).await {
            Ok(Ok(())) => wire.written(length),
            Ok(Err(error)) => return format!("writing failed: {error}"),
            Err(_) => return "the far end does not read what it is sent".into(),
        }
    }
    // The far end may have hung up before us.
    let _ = sink.close().await;
    "the connection was closed".into()
}

/// RFC 7118 §5: a text frame when the message is UTF-8, else a binary one.
fn message_of(bytes: &Bytes) -> Message {
    Utf8Bytes::try_from(bytes.clone()).map_or_else(|_| Message::Binary(bytes.clone()), Message::Text)
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    station: &Arc<Station>,
    (path, wire): (Path, &Wire),
    source: &mut SplitStream<WebSocketStream<S>>,
) -> String {
    let mut spoken_until = Instant::now() + FIRST_MESSAGE_MAX;
    loop {
        let until = spoken_until.min(Instant::now() + SILENCE_MAX);
        let next = match timeout_at(until, source.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return format!("reading failed: {error}"),
            Ok(None) => return "the far end closed the connection".into(),
            Err(_) => return "nothing came for a long time".into(),
        };
        let frame = match next {
            Message::Text(text) => frame_of(Bytes::from(text)),
            Message::Binary(bytes) => frame_of(bytes),
            Message::Close(_) => return "the far end closed the connection".into(),
            // The library answers a ping by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        };
        let is_spoken = frame.is_some();
        if let Err(why) = stream::take(station, (path, wire), frame).await {
            return why;
        }
        if is_spoken {
            spoken_until = Instant::now() + station.settings.connection_idle_max;
        }
    }
}

fn frame_of(bytes: Bytes) -> Option<Frame> {
    if &bytes[..] == PING {
        return Some(Frame::Ping);
    }
    (!is_keep_alive(&bytes)).then_some(Frame::Message(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(HeaderName, &'static str)], origins: &[&str]) -> Option<u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        refusal(&map, &origins).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn a_page_of_another_host_is_refused_unless_it_is_listed() {
        let sip = (SEC_WEBSOCKET_PROTOCOL, "xmpp, sip");
        let host = (HOST, "desk.example:7443");
        let from = |origin| status(&[sip.clone(), host.clone(), (ORIGIN, origin)], &["https://other.example"]);
        assert_eq!(status(&[sip.clone(), host.clone()], &[]), None);
        assert_eq!(
            [from("https://Desk.example"), from("http://desk.example:80"), from("https://other.example")],
            [None; 3]
        );
        for wrong in
            ["https://evil.example", "https://desk.example.evil.example", "null", "https://other.example:1", ""]
        {
            assert_eq!(from(wrong), Some(403), "{wrong}");
        }
        let twice = (ORIGIN, "https://other.example");
        assert_eq!(status(&[sip.clone(), host, twice.clone(), twice], &["https://other.example"]), Some(400));
        assert_eq!(status(&[(ORIGIN, "https://[2001:db8::1]"), (HOST, "[2001:db8::1]:5066"), sip], &[]), None);
    }

    #[test]
    fn a_websocket_that_does_not_speak_sip_is_refused() {
        assert_eq!(status(&[(SEC_WEBSOCKET_PROTOCOL, "chat")], &[]), Some(400));
        assert_eq!(status(&[], &[]), Some(400));
    }
}
