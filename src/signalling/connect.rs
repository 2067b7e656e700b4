//! Opening a connection to a trunk or a phone: one attempt, in bounded time, from the listener's own address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, timeout};

use super::connections::Place;
use super::station::Station;
use super::stream::{self, Opened};
use super::{accept, tls_peers};
use crate::model::{Path, Transport};

/// A connection must be open after so long, TLS included: the next of a trunk's places waits for its turn.
const CONNECT_DURATION_MAX: Duration = Duration::from_secs(4);

/// Opens a connection and serves it; when it cannot be opened, that is told.
pub(super) async fn open(station: Arc<Station>, mut place: Place) {
    let (path, id, wire) = (place.path, place.id, place.wire.clone());
    let attempt = async {
        let stream = connect(&station, path).await.map_err(|error| format!("no connection: {error}"))?;
        match path.transport {
            Transport::Tls => {
                let secured = tls_peers::secure(&station.tls_peers, path.peer, stream).await;
                secured.map(Link::Tls).map_err(|error| {
                    // Told as often as it is tried: a trunk that cannot be reached is no stranger's doing.
                    tracing::warn!(peer = %path.peer, %error, "TLS to this peer failed");
                    format!("TLS failed: {error}")
                })
            }
            Transport::Tcp | Transport::Udp | Transport::Ws | Transport::Wss => Ok(Link::Tcp(stream)),
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(CONNECT_DURATION_MAX, attempt) => outcome,
        () = wire.ended.notified() => return,
        () = station.stopped() => return station.leave(path, id, "Vigie is stopping"),
    };
    match outcome {
        Ok(Ok(Link::Tcp(io))) => stream::serve(&station, io, place, Opened::ByUs).await,
        Ok(Ok(Link::Tls(io))) => stream::serve(&station, *io, place, Opened::ByUs).await,
        Ok(Err(why)) => {
            place.queue.close();
            station.leave(path, id, &why);
        }
        Err(_) => station.leave(path, id, "no connection: no answer in time"),
    }
}

enum Link {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(station: &Station, path: Path) -> io::Result<TcpStream> {
    let socket = if path.peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(own) = station.bound.get(path.listener as usize).filter(|own| !own.ip().is_unspecified()) {
        socket.bind(SocketAddr::new(own.ip(), 0))?;
    }
    let stream = socket.connect(path.peer).await?;
    accept::prepare(&stream)?;
    Ok(stream)
}
