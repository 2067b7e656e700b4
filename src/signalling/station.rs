//! What every socket, connection and sender shares: the listeners, the table of connections, admission, and the way up.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::admission::{Admission, Verdict};
use super::connections::{Connections, Counts, NoPlace, Offered};
use super::tls_peers::TlsPeers;
use super::udp::UdpListener;
use super::{Received, Report, Sender, connect, triage};
use crate::clock;
use crate::config::settings::{ListenerSettings, SipSettings};
use crate::model::{Moment, Path, Transport, TrunkId};

/// Two line ends, by which a phone asks whether the way is open (RFC 5626 §3.5.1).
pub(super) const PING: &[u8] = b"\r\n\r\n";
/// The answer to it.
pub(super) const PONG: &[u8] = b"\r\n";

/// Connections that failed are told to the log at most so often: all of them are counted.
const LOG_LINES_MAX: u32 = 10;
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The listeners and all that is open.
pub(super) struct Station {
    pub settings: SipSettings,
    /// Where each listener is bound, by its index.
    pub bound: Vec<SocketAddr>,
    /// The UDP sockets, by the listener's index.
    pub udp: Vec<Option<UdpListener>>,
    pub connections: Connections,
    pub tls_peers: TlsPeers,
    admission: Mutex<Admission>,
    /// Since when lines are counted, and how many there were.
    logged: Mutex<(Moment, u32)>,
    running: OnceLock<Running>,
    /// Looked up by their names once: each message is counted.
    received: metrics::Counter,
    sent: metrics::Counter,
}

/// Takes what signalling tells, with the way back.
pub(super) type Tell = dyn Fn(&Sender, Report) + Send + Sync;

/// What there is from the start on.
pub(super) struct Running {
    /// Where what happens is told.
    pub report: Box<Tell>,
    /// What streams run on; none is needed for UDP alone.
    pub runtime: Option<Handle>,
    /// Becomes true when everything is to end.
    pub stopping: watch::Receiver<bool>,
}

impl Station {
    pub(super) fn new(settings: &SipSettings, bound: Vec<SocketAddr>, udp: Vec<Option<UdpListener>>) -> Station {
        Station {
            settings: settings.clone(),
            bound,
            udp,
            connections: Connections::new(settings.connections_max),
            tls_peers: TlsPeers::default(),
            admission: Mutex::new(Admission::new(Vec::new(), settings.source_rate_max)),
            logged: Mutex::new((Moment(0), 0)),
            running: OnceLock::new(),
            received: metrics::counter!("vigie_sip_received_total"),
            sent: metrics::counter!("vigie_sip_sent_total"),
        }
    }

    /// From now on what comes is told.
    pub(super) fn run(&self, admission: Admission, running: Running) {
        *self.admission() = admission;
        // There is one start: `Listeners::start` takes the listeners away.
        let _ = self.running.set(running);
    }

    /// The settings of a listener.
    pub(super) fn listener(&self, index: u8) -> Option<&ListenerSettings> {
        self.settings.listen.get(index as usize)
    }

    /// Whether a message of this source is taken now.
    pub(super) fn admit(&self, source: IpAddr) -> Verdict {
        let verdict = self.admission().admit(source, clock::moment());
        match verdict {
            Verdict::Taken => self.received.increment(1),
            Verdict::TooMany => metrics::counter!("vigie_sip_source_refused_total").increment(1),
            Verdict::Banned => metrics::counter!("vigie_sip_banned_dropped_total").increment(1),
        }
        verdict
    }

    /// Where a trunk's name leads now.
    pub(super) fn know_trunk(&self, trunk: &TrunkId, addresses: Vec<IpAddr>) {
        self.admission().learn(trunk, addresses);
    }

    pub(super) fn is_trunk(&self, address: IpAddr) -> bool {
        self.admission().is_trunk(address)
    }

    /// Against which limits a connection of this source counts; `None` when it is banned.
    pub(super) fn counts(&self, source: IpAddr, listener: u8) -> Option<Counts> {
        let admission = self.admission();
        if admission.is_trunk(source) {
            return Some(Counts::Free);
        }
        let source_max = self.listener(listener)?.connections_per_source_max;
        (!admission.is_banned(source, clock::moment())).then_some(Counts::Source { source_max })
    }

    /// Takes nothing from `source` until then; with `None`, takes it again.
    pub(super) fn ban(self: &Arc<Station>, source: IpAddr, until: Option<Moment>) {
        let source = source.to_canonical();
        if self.admission().ban(source, until, clock::moment()) {
            for path in self.connections.close_source(source) {
                self.cut(path, "its address is banned for a while");
            }
        }
    }

    /// Hands a message up.
    pub(super) fn hand_up(self: &Arc<Station>, path: Path, bytes: Bytes) {
        let (urgency, from_trunk) = (triage::urgency(&bytes), self.is_trunk(path.peer.ip()));
        self.report(Report::Received(Received { path, bytes, urgency, from_trunk }));
    }

    /// Tells that nothing can be sent that way now.
    pub(super) fn cut(self: &Arc<Station>, path: Path, why: impl Into<String>) {
        metrics::counter!("vigie_sip_cut_total", "transport" => path.transport.name()).increment(1);
        self.report(Report::Cut { path, why: why.into() });
    }

    /// Takes a connection out of the table, and tells it if it was still there.
    pub(super) fn leave(self: &Arc<Station>, path: Path, id: u64, why: &str) {
        if self.connections.leave(path, id) {
            self.cut(path, why);
        }
    }

    /// Waits until everything is to end.
    pub(super) async fn stopped(&self) {
        match self.running.get() {
            Some(running) => {
                // An error means that whoever could say so is gone: that is an end as well.
                let _ = running.stopping.clone().wait_for(|stop| *stop).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Sends one message. What cannot be sent is counted, and for a stream told as a cut.
    pub(super) fn send(self: &Arc<Station>, path: Path, bytes: &Bytes) {
        let is_sent = match path.transport {
            Transport::Udp => match self.udp.get(path.listener as usize) {
                Some(Some(listener)) => listener.send(path.peer, bytes),
                Some(None) | None => false,
            },
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => self.send_on_stream(path, bytes),
        };
        if is_sent {
            self.sent.increment(1);
        } else {
            metrics::counter!("vigie_sip_unsent_total").increment(1);
        }
    }

    fn send_on_stream(self: &Arc<Station>, path: Path, bytes: &Bytes) -> bool {
        let why = match self.connections.offer(path, bytes.clone()) {
            Offered::Queued => return true,
            Offered::Full => "the far end does not read what it is sent",
            Offered::Absent if path.transport.is_web_socket() => {
                "the WebSocket is closed, and only the far end can open it"
            }
            Offered::Absent => match self.open(path) {
                Ok(()) if self.connections.offer(path, bytes.clone()) == Offered::Queued => return true,
                Ok(()) => "the connection was lost while it was opened",
                Err(why) => why,
            },
        };
        self.cut(path, why);
        false
    }

    /// Begins to open a connection, unless another thread just has; what is sent meanwhile waits in its queue.
    fn open(self: &Arc<Station>, path: Path) -> Result<(), &'static str> {
        let running = self.running.get().ok_or("signalling has not started")?;
        let runtime = running.runtime.as_ref().ok_or("no listener speaks this transport")?;
        if self.listener(path.listener).is_none_or(|listener| listener.transport != path.transport) {
            return Err("no listener speaks this transport");
        }
        match self.connections.enter(path, Counts::Outbound).0 {
            Ok(place) => {
                runtime.spawn(connect::open(self.clone(), place));
                Ok(())
            }
            Err(NoPlace::There) => Ok(()),
            Err(NoPlace::Source | NoPlace::Total) => Err("too many connections are open"),
        }
    }

    /// Whether strangers may cause another line in the log now: a scan of ports must not fill it.
    pub(super) fn may_log(&self) -> bool {
        let now = clock::moment();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(logged.0) >= LOG_EVERY {
            *logged = (now, 0);
        }
        logged.1 += 1;
        logged.1 <= LOG_LINES_MAX
    }

    fn report(self: &Arc<Station>, report: Report) {
        if let Some(running) = self.running.get() {
            (running.report)(&Sender { station: self.clone() }, report);
        }
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
