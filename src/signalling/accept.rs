//! The doors for streams: connections are taken within their limits, greeted (TLS, WebSocket) in bounded time, and served.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, sleep, timeout};

use super::admission::Verdict;
use super::connections::Place;
use super::identity::Identity;
use super::station::Station;
use super::stream::{self, Opened};
use super::websocket;
use crate::model::{Path, Transport};

/// Connections that wait to be taken: a whole centre that connects again after a restart.
pub(super) const BACKLOG: i32 = 1024;

/// TLS, and then a WebSocket, must be agreed on after so long each.
const GREETING_DURATION_MAX: Duration = Duration::from_secs(10);

/// After an error of the system (too many open files), the next connection is taken after so long.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A far end that is gone without a word is noticed after about two minutes: probes begin after a quiet time, and so
/// many without an answer are the end.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES_MAX: u32 = 4;

/// What was sent and never acknowledged ends a connection after so long, in milliseconds.
const UNACKNOWLEDGED_MS_MAX: u32 = 20_000;

/// Takes connections until everything is to end.
pub(super) async fn run(station: Arc<Station>, listener: TcpListener, door: Door) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = station.stopped() => return,
        };
        match accepted {
            Ok((io, peer)) => take(&station, io, peer, &door),
            Err(error) => {
                refused("system");
                tracing::error!(%error, listener = door.index, "taking a SIP connection failed; trying again");
                sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// One listener's door.
#[derive(Clone)]
pub(super) struct Door {
    pub index: u8,
    pub transport: Transport,
    /// What it shows of itself, when it speaks TLS.
    pub identity: Option<Arc<Identity>>,
}

fn take(station: &Arc<Station>, io: TcpStream, peer: SocketAddr, door: &Door) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let path = Path { listener: door.index, transport: door.transport, peer };
    let Some(counts) = station.counts(peer.ip(), door.index) else { return refused("banned") };
    // To open and close connections is as good a flood as any.
    if station.admit(peer.ip()) == Verdict::TooMany {
        return refused("source-rate");
    }
    let (place, is_replaced) = station.connections.enter(path, counts);
    if is_replaced {
        station.cut(path, "the far end opened the connection anew");
    }
    match place {
        Ok(place) => {
            tokio::spawn(greet(station.clone(), io, place, door.clone()));
        }
        Err(no_place) => refused(no_place.name()),
    }
}

/// Agrees on what the transport needs and serves the connection.
async fn greet(station: Arc<Station>, io: TcpStream, place: Place, door: Door) {
    if let Err(error) = prepare(&io) {
        return station.leave(place.path, place.id, &format!("the connection could not be prepared: {error}"));
    }
    match &door.identity {
        // The configuration does not let it come to this; what is meant to be secret is never said aloud.
        None if door.transport.is_secure() => station.leave(place.path, place.id, "the listener has no certificate"),
        None => talk(&station, io, place).await,
        Some(identity) => match agree(&station, &place, "tls", identity.acceptor().accept(io)).await {
            Some(io) => talk(&station, io, place).await,
            None => station.leave(place.path, place.id, "TLS failed"),
        },
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(station: &Arc<Station>, io: S, place: Place) {
    let Some(listener) = station.listener(place.path.listener) else { return };
    if !listener.transport.is_web_socket() {
        return stream::serve(station, io, place, Opened::ByPeer).await;
    }
    match agree(station, &place, "web-socket", websocket::agree(io, listener)).await {
        Some(socket) => websocket::serve(station, socket, place).await,
        None => station.leave(place.path, place.id, "the WebSocket was refused"),
    }
}

/// Waits for an agreement in bounded time; that there is none is counted and told to the log.
async fn agree<T, E: Display>(
    station: &Station,
    place: &Place,
    what: &'static str,
    agreement: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    let error = tokio::select! {
        outcome = timeout(GREETING_DURATION_MAX, agreement) => match outcome {
            Ok(Ok(agreed)) => return Some(agreed),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        },
        () = place.wire.ended.notified() => return None,
        () = station.stopped() => return None,
    };
    refused(what);
    if station.may_log() {
        let Path { listener, peer, .. } = place.path;
        tracing::warn!(%peer, listener, error, "a SIP connection was not agreed on ({what})");
    }
    None
}

/// Small messages go out at once, and a far end that is gone is noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, PROBES_MAX)?;
    sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS_MAX)?;
    Ok(())
}

/// Counts a connection that was not taken.
pub(super) fn refused(reason: &'static str) {
    metrics::counter!("vigie_sip_connections_refused_total", "reason" => reason).increment(1);
}
