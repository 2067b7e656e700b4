//! One UDP listener: a thread of its own that reads it, and the way out of it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::admission::Verdict;
use super::station::{PING, PONG, Station};
use crate::model::{Path, Transport};
use crate::sip::parse::is_keep_alive;

/// The largest datagram that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How often a receiving thread looks whether it is to stop.
const STOP_LOOK: Duration = Duration::from_millis(200);

/// Kernel buffer asked for on each socket: a burst of thousands of messages while the loop is busy.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// A bound socket.
pub(super) struct UdpListener {
    socket: UdpSocket,
}

impl UdpListener {
    pub(super) fn bind(address: SocketAddr) -> io::Result<(UdpListener, SocketAddr)> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // A listener is of one kind, so that Via, Contact and SDP name an address that the far end can reach.
            socket.set_only_v6(true)?;
        }
        // A smaller buffer than asked for is the system's choice and no reason not to start.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&address.into())?;
        let socket: UdpSocket = socket.into();
        socket.set_read_timeout(Some(STOP_LOOK))?;
        let bound = socket.local_addr()?;
        Ok((UdpListener { socket }, bound))
    }

    /// Sends one datagram; whether the system took it. If not, the transaction will send it again.
    pub(super) fn send(&self, peer: SocketAddr, bytes: &[u8]) -> bool {
        // The first error may be another datagram's, told late; the second is this one's.
        self.socket.send_to(bytes, peer).or_else(|_| self.socket.send_to(bytes, peer)).is_ok()
    }

    /// Reads until told to stop.
    pub(super) fn run(&self, index: u8, station: &Arc<Station>, stop: &AtomicBool) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !stop.load(Ordering::Relaxed) {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, peer)) => {
                    let path = Path { listener: index, transport: Transport::Udp, peer };
                    self.take(path, buffer.get(..length).unwrap_or_default(), station);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    tracing::error!(%error, listener = index, "reading a SIP socket failed; trying again");
                    std::thread::sleep(STOP_LOOK);
                }
            }
        }
    }

    fn take(&self, path: Path, datagram: &[u8], station: &Arc<Station>) {
        if station.admit(path.peer.ip()) != Verdict::Taken {
            return;
        }
        if datagram == PING {
            self.send(path.peer, PONG);
        } else if !is_keep_alive(datagram) {
            station.hand_up(path, Bytes::copy_from_slice(datagram));
        }
    }
}

/// A time-out, a signal, or an ICMP "port unreachable" for something sent before: nothing to tell.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
    )
}
