//! The SIP sockets: messages in and out over UDP and streams, admission per source. No decision is made here.

mod accept;
mod admission;
mod connect;
mod connections;
mod framing;
mod identity;
mod recent;
mod resolver;
mod station;
mod stream;
#[cfg(test)]
mod tests;
mod tls_peers;
mod triage;
mod udp;
mod websocket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use recent::RecentInvites;
pub use resolver::{Names, Reached, Resolved, Resolver};
pub use tls_peers::{TlsPeer, TlsPeers};
pub use triage::{Urgency, UrgentNumbers};

use crate::config::certificates::CertificateError;
use crate::config::settings::SipSettings;
use crate::model::centre::AddressBlock;
use crate::model::{Moment, Path, Transport, TrunkId};
use crate::sip::{Message, Method, compose};
use accept::Door;
use admission::Admission;
use identity::Identity;
use station::{Running, Station};
use udp::UdpListener;

/// When a caller refused for overload may try again, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// How long open connections have at the end to write what is queued.
const FAREWELL_DURATION_MAX: Duration = Duration::from_secs(3);

/// How often it is looked whether they have.
const FAREWELL_LOOK: Duration = Duration::from_millis(10);

/// Why signalling could not start.
#[derive(Debug, thiserror::Error)]
pub enum SignallingError {
    /// The address could not be bound.
    #[error(
        "cannot listen for SIP on {} {address}: {source}. If the address is in use, stop the other SIP server \
         (`ss -tulpn | grep :{port}` shows it) or change `listen` in [sip]",
        .transport.via_name(), port = .address.port()
    )]
    Bind {
        /// What it would carry.
        transport: Transport,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A listener's certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No thread could be started.
    #[error("cannot start the thread that receives SIP: {0}")]
    Thread(io::Error),
    /// Streams need the runtime.
    #[error("cannot take SIP connections: {0}. Start signalling inside the runtime")]
    Runtime(io::Error),
}

/// What signalling tells.
#[derive(Debug)]
pub enum Report {
    /// A message was admitted.
    Received(Received),
    /// Nothing can be sent that way now; see [`crate::model::Input::Cut`].
    Cut {
        /// Which way.
        path: Path,
        /// Why, for the log.
        why: String,
    },
}

/// A message that was admitted.
#[derive(Debug)]
pub struct Received {
    /// Which way it came.
    pub path: Path,
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether it belongs to something live or is new work.
    pub urgency: Urgency,
    /// Whether its source is a trunk's, as configured or as looked up.
    pub from_trunk: bool,
}

/// The bound sockets, not yet read.
pub struct Listeners {
    station: Arc<Station>,
    streams: Vec<(Door, std::net::TcpListener)>,
}

/// The way out; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    station: Arc<Station>,
}

/// Everything that reads.
pub struct Signalling {
    station: Arc<Station>,
    stop: Arc<AtomicBool>,
    stopping: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Listeners {
    /// Binds every listener of the configuration.
    ///
    /// # Errors
    /// [`SignallingError::Bind`] names the address that could not be had, [`SignallingError::Certificate`] the file.
    pub fn bind(settings: &SipSettings) -> Result<Listeners, SignallingError> {
        let (mut sockets, mut bound, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        for (index, listener) in settings.listen.iter().enumerate() {
            let (transport, address) = (listener.transport, listener.address);
            let refused = |source| SignallingError::Bind { transport, address, source };
            let (socket, place) = match transport {
                Transport::Udp => {
                    UdpListener::bind(address).map(|(socket, place)| (Some(socket), place)).map_err(refused)?
                }
                Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                    let (socket, place) = bind_stream(address).map_err(refused)?;
                    let identity = listener.tls.as_ref().map(Identity::read).transpose()?.map(Arc::new);
                    streams.push((Door { index: index as u8, transport, identity }, socket));
                    (None, place)
                }
            };
            sockets.push(socket);
            bound.push(place);
        }
        Ok(Listeners { station: Arc::new(Station::new(settings, bound, sockets)), streams })
    }

    /// Where they listen; a port 0 of the configuration has become a real one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.station.bound
    }

    /// The way out.
    pub fn sender(&self) -> Sender {
        Sender { station: self.station.clone() }
    }

    /// Begins to read: what is admitted, and what ends, goes to `tell`, with the way back. Streams run on the runtime
    /// that this is called in.
    ///
    /// # Errors
    /// [`SignallingError::Thread`] when the system gives no thread, [`SignallingError::Runtime`] without a runtime.
    pub fn start(
        self,
        trunks: Vec<AddressBlock>,
        tell: impl Fn(&Sender, Report) + Send + Sync + 'static,
    ) -> Result<Signalling, SignallingError> {
        let Listeners { station, streams } = self;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, stopped) = watch::channel(false);
        let runtime = Handle::try_current();
        let admission = Admission::new(trunks, station.settings.source_rate_max);
        let running = Running { report: Box::new(tell), runtime: runtime.as_ref().ok().cloned(), stopping: stopped };
        station.run(admission, running);
        for (door, socket) in streams {
            let runtime =
                runtime.as_ref().map_err(|error| SignallingError::Runtime(io::Error::other(error.to_string())))?;
            let listener = tokio::net::TcpListener::from_std(socket).map_err(SignallingError::Runtime)?;
            if let Some(identity) = &door.identity {
                runtime.spawn(identity::watch(station.clone(), identity.clone()));
            }
            runtime.spawn(accept::run(station.clone(), listener, door));
        }
        let mut threads = Vec::new();
        for index in (0..station.udp.len()).filter(|index| matches!(station.udp.get(*index), Some(Some(_)))) {
            let (station, stop) = (station.clone(), stop.clone());
            let read = move || {
                if let Some(Some(listener)) = station.udp.get(index) {
                    listener.run(index as u8, &station, &stop);
                }
            };
            let thread = std::thread::Builder::new().name(format!("sip-udp-{index}"));
            threads.push(thread.spawn(read).map_err(SignallingError::Thread)?);
        }
        Ok(Signalling { station, stop, stopping, threads })
    }
}

fn bind_stream(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // After a restart, connections of the run before may still be closing on the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(accept::BACKLOG)?;
    socket.set_nonblocking(true)?;
    let socket: std::net::TcpListener = socket.into();
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

impl Sender {
    /// Sends one message: over the open connection when the path is a stream's, over a new one when there is none and
    /// the transport allows it. What cannot be sent is counted; for a stream it is told as [`Report::Cut`].
    pub fn send(&self, path: Path, bytes: &Bytes) {
        self.station.send(path, bytes);
    }

    /// Takes nothing from `source` until then, and closes its connections; with `None`, takes it again. A trunk's
    /// address is never banned.
    pub fn ban(&self, source: IpAddr, until: Option<Moment>) {
        self.station.ban(source, until);
    }

    /// Where a trunk's name leads now: these addresses are neither limited nor banned.
    pub fn know_trunk(&self, trunk: &TrunkId, addresses: Vec<IpAddr>) {
        self.station.know_trunk(trunk, addresses);
    }

    /// Whether an address is a trunk's, as configured or as looked up.
    pub fn is_trunk(&self, address: IpAddr) -> bool {
        self.station.is_trunk(address)
    }

    /// What is known of the places that are connected to over TLS.
    pub fn tls_peers(&self) -> &TlsPeers {
        &self.station.tls_peers
    }
}

impl Signalling {
    /// Stops reading; what was read has been handed over, what was queued is written if the far end takes it.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // Nobody listens any more only when every connection has ended.
        let _ = self.stopping.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a SIP receiving thread had died");
            }
        }
        let looks = FAREWELL_DURATION_MAX.as_millis() / FAREWELL_LOOK.as_millis();
        for _ in 0..looks {
            if self.station.connections.count() == 0 {
                break;
            }
            std::thread::sleep(FAREWELL_LOOK);
        }
    }
}

/// The 503 for a request that the switchboard has no room for (RFC 3261 §21.5.4), made without remembering anything;
/// `None` for a response, an ACK, or what cannot be read.
pub fn refuse_overload(path: Path, bytes: &Bytes) -> Option<(Path, Bytes)> {
    let Ok(Message::Request(mut request)) = Message::parse(bytes) else { return None };
    if request.method == Method::Ack {
        return None;
    }
    compose::stamp_via(&mut request, path.peer);
    let via = request.headers.via()?;
    let tag = compose::stateless_tag(&request);
    let mut answer = compose::response(&request, 503, Some(&tag));
    answer.headers.push("Retry-After", RETRY_AFTER_SECONDS);
    Some((compose::response_path(path, &via), answer.to_bytes()))
}
