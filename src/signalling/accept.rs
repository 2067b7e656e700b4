//! The doors for streams: connections are taken within their limits, greeted (TLS, WebSocket) in bounded time, and served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, sleep};

use super::connections::Place;
use super::station::Station;
use super::stream::{self, Opened};
use crate::model::{Path, Transport};

/// Connections that wait to be taken: a whole centre that connects again after a restart.
pub(super) const BACKLOG: i32 = 1024;

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
}

fn take(station: &Arc<Station>, io: TcpStream, peer: SocketAddr, door: &Door) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let path = Path { listener: door.index, transport: door.transport, peer };
    let Some(counts) = station.counts(peer.ip(), door.index) else { return refused("banned") };
    let (place, is_replaced) = station.connections.enter(path, counts);
    if is_replaced {
        station.cut(path, "the far end opened the connection anew");
    }
    match place {
        Ok(place) => {
            tokio::spawn(greet(station.clone(), io, place));
        }
        Err(no_place) => refused(no_place.name()),
    }
}

/// Agrees on what the transport needs and serves the connection.
async fn greet(station: Arc<Station>, io: TcpStream, place: Place) {
    if let Err(error) = prepare(&io) {
        return station.leave(place.path, place.id, &format!("the connection could not be prepared: {error}"));
    }
    stream::serve(&station, io, place, Opened::ByPeer).await;
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
