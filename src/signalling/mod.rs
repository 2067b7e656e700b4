//! The SIP sockets: datagrams in, datagrams out, admission per source. No decision is made here.

mod admission;
mod triage;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

pub use triage::Urgency;

use crate::clock;
use crate::config::settings::{ListenerSettings, SipSettings};
use crate::model::centre::AddressBlock;
use crate::model::{Path, Transport};
use crate::sip::{Message, Method, compose};
use admission::Admission;

/// The largest datagram that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How often a receiving thread looks whether it is to stop.
const STOP_LOOK: Duration = Duration::from_millis(200);

/// Kernel buffer asked for on each socket: a burst of thousands of messages while the loop is busy.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// When a caller refused for overload may try again, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why signalling could not start.
#[derive(Debug, thiserror::Error)]
pub enum SignallingError {
    /// The address could not be bound.
    #[error(
        "cannot listen for SIP on UDP {address}: {source}. If the address is in use, stop the other SIP server \
         (`ss -ulpn | grep :{port}` shows it) or change `listen` in [sip]", port = .address.port()
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("cannot start the thread that receives SIP: {0}")]
    Thread(io::Error),
}

/// A datagram that was admitted.
#[derive(Debug)]
pub struct Received {
    /// Which way it came.
    pub path: Path,
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether it belongs to something live or is new work.
    pub urgency: Urgency,
}

/// The bound sockets, not yet read.
pub struct Listeners {
    sockets: Vec<Arc<UdpSocket>>,
    addresses: Vec<SocketAddr>,
}

/// The way out; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    sockets: Arc<[Arc<UdpSocket>]>,
}

/// The receiving threads.
pub struct Signalling {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Listeners {
    /// Binds every listener of the configuration.
    ///
    /// # Errors
    /// [`SignallingError::Bind`] names the address that could not be had.
    pub fn bind(settings: &SipSettings) -> Result<Listeners, SignallingError> {
        let mut listeners = Listeners { sockets: Vec::new(), addresses: Vec::new() };
        for ListenerSettings { address, .. } in &settings.listen {
            let (socket, bound) =
                bind(*address).map_err(|source| SignallingError::Bind { address: *address, source })?;
            listeners.sockets.push(Arc::new(socket));
            listeners.addresses.push(bound);
        }
        Ok(listeners)
    }

    /// Where they listen; a port 0 of the configuration has become a real one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The way out.
    pub fn sender(&self) -> Sender {
        Sender { sockets: self.sockets.clone().into() }
    }

    /// Begins to read: each admitted datagram goes to `take`.
    ///
    /// # Errors
    /// [`SignallingError::Thread`] when the system gives no thread.
    pub fn start(
        self,
        settings: &SipSettings,
        trunks: Vec<AddressBlock>,
        take: impl Fn(Received) + Send + Sync + 'static,
    ) -> Result<Signalling, SignallingError> {
        let stop = Arc::new(AtomicBool::new(false));
        let take = Arc::new(take);
        let mut threads = Vec::new();
        for (index, socket) in self.sockets.into_iter().enumerate() {
            let receiver = Receiver {
                socket,
                listener: index as u8,
                admission: Admission::new(trunks.clone(), settings.source_rate_max),
                stop: stop.clone(),
            };
            let take = take.clone();
            let thread = std::thread::Builder::new()
                .name(format!("sip-udp-{index}"))
                .spawn(move || receiver.run(&*take))
                .map_err(SignallingError::Thread)?;
            threads.push(thread);
        }
        Ok(Signalling { stop, threads })
    }
}

fn bind(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // A smaller buffer than asked for is the system's choice and no reason not to start.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    let socket: UdpSocket = socket.into();
    socket.set_read_timeout(Some(STOP_LOOK))?;
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

impl Sender {
    /// Sends one message. A datagram that the system refuses is counted: the transaction will send it again.
    pub fn send(&self, path: Path, bytes: &[u8]) {
        let sent = match path.transport {
            Transport::Udp => self.sockets.get(path.listener as usize).map(|socket| socket.send_to(bytes, path.peer)),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => None,
        };
        match sent {
            Some(Ok(_)) => metrics::counter!("vigie_sip_sent_total").increment(1),
            Some(Err(_)) | None => metrics::counter!("vigie_sip_unsent_total").increment(1),
        }
    }
}

impl Signalling {
    /// Stops reading; what was read has been handed over.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a SIP receiving thread had died");
            }
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

struct Receiver {
    socket: Arc<UdpSocket>,
    listener: u8,
    admission: Admission,
    stop: Arc<AtomicBool>,
}

impl Receiver {
    fn run(mut self, take: &(impl Fn(Received) + ?Sized)) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !self.stop.load(Ordering::Relaxed) {
            let (length, peer) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if is_passing(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, listener = self.listener, "reading a SIP socket failed; trying again");
                    std::thread::sleep(STOP_LOOK);
                    continue;
                }
            };
            let Some(datagram) = buffer.get(..length) else { continue };
            if !self.admission.admit(canonical(peer.ip()), clock::moment()) {
                metrics::counter!("vigie_sip_source_refused_total").increment(1);
                continue;
            }
            metrics::counter!("vigie_sip_received_total").increment(1);
            let path = Path { listener: self.listener, transport: Transport::Udp, peer };
            let urgency = triage::urgency(datagram);
            take(Received { path, bytes: Bytes::copy_from_slice(datagram), urgency });
        }
    }
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: SocketAddr) -> SipSettings {
        SipSettings {
            listen: vec![ListenerSettings {
                transport: Transport::Udp,
                address: listen,
                digest: crate::model::centre::DigestChoice::Both,
            }],
            advertised: None,
            realm: "vigie".into(),
            expires_min: Duration::from_secs(60),
            expires_max: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(300),
            devices_max: 4,
            source_rate_max: 100,
            nameservers: Vec::new(),
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address");
        let error = Listeners::bind(&settings(address)).err().expect("it is in use");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[test]
    fn a_datagram_is_handed_over_and_an_answer_sent_back() {
        let settings = settings("127.0.0.1:0".parse().expect("an address"));
        let listeners = Listeners::bind(&settings).expect("bound");
        let (address, sender) = (listeners.addresses()[0], listeners.sender());
        let (tx, rx) = std::sync::mpsc::channel();
        let signalling = listeners.start(&settings, Vec::new(), move |r| tx.send(r).expect("open")).expect("started");
        let phone = UdpSocket::bind("127.0.0.1:0").expect("a port");
        phone.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        phone.send_to(b"OPTIONS sip:x SIP/2.0\r\n\r\n", address).expect("sent");
        let received = rx.recv_timeout(Duration::from_secs(20)).expect("handed over");
        assert_eq!(received.urgency, Urgency::New);
        sender.send(received.path, b"SIP/2.0 200 OK\r\n\r\n");
        let mut buffer = [0; 100];
        assert_eq!(phone.recv(&mut buffer).expect("answered"), 18);
        signalling.stop();
    }
}
