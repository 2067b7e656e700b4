//! One beat of the decisions: the [`Input`] that reaches them, the [`Action`]s that they ask for.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::command::{Command, Reply};
use super::event::Event;
use super::explain::{ForecastDay, RoutingNote};
use super::ids::{CallId, DeviceId, RegulatorId, Ticket, TrunkId};
use super::media::{MediaCommand, MediaReport};
use super::person::AbandonedCaller;
use super::record::{CallRecord, OfferRecord};
use super::recording::{RecorderCommand, RecorderReport, SealedRecording};
use super::regulator::{Binding, RegulatorState};
use super::standing::StandingOrder;
use super::time::{Moment, Utc};

/// Which way a SIP message goes: the listener, by its index in the configuration, and the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Path {
    /// Index of the listener in `[sip] listen`.
    pub listener: u8,
    /// UDP, TCP…
    pub transport: Transport,
    /// The far end.
    pub peer: SocketAddr,
}

/// What carries SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Datagrams: lost and repeated ones are the transactions' work.
    Udp,
    /// A stream (RFC 3261 §18.3).
    Tcp,
    /// A stream over TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// As Via writes it: `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// As a URI's `transport` parameter and the configuration write it: `udp`, `tcp`…
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// Reads [`Transport::name`], in any case.
    pub fn parse(text: &str) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .find(|transport| transport.name().eq_ignore_ascii_case(text))
    }

    /// Whether what is sent arrives once and in order, so that no transaction repeats it (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        self != Transport::Udp
    }

    /// Whether nobody between the ends can read it.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Whether each message comes in a frame of a WebSocket.
    pub fn is_web_socket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// The port without one in a URI (RFC 3261 §19.1.2, RFC 7118 §5.3).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }
}

/// One place where a trunk can be reached, as DNS or its configuration says (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Over this.
    pub transport: Transport,
    /// There.
    pub address: SocketAddr,
}

/// What reaches the decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A SIP message as it came from the socket.
    Sip { path: Path, bytes: Bytes },
    /// Nothing can be sent that way now: the connection was refused, closed or lost, or the address says that nobody
    /// listens (RFC 3261 §17.1.4). Told once for each connection that ends, whoever ended it.
    Cut { path: Path, why: String },
    /// Where a trunk can be reached, the best place first (RFC 3263 §4); empty when its name could not be resolved, and
    /// then `why` says so.
    Resolved { trunk: TrunkId, targets: Vec<Target>, why: Option<String> },
    /// The media plane reports.
    Media(MediaReport),
    /// The recorder reports.
    Recorder(RecorderReport),
    /// Somebody asks.
    Command { ticket: Ticket, command: Command },
    /// What storage remembered from before the start.
    Remembered(Remembered),
    /// Time has passed: deadlines are looked at.
    Tick,
}

/// What the database remembers over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Registrations that have not expired.
    pub bindings: Vec<Binding>,
    /// The regulators' last states: pauses survive a restart.
    pub regulators: Vec<(RegulatorId, RegulatorState, Utc)>,
    /// The highest event sequence of each regulator.
    pub regulator_sequences: Vec<(RegulatorId, u32)>,
    /// Callers who hung up unserved and whose tasks are open, or whose wait is still kept.
    #[serde(default)]
    pub abandoned: Vec<AbandonedCaller>,
    /// How true the forecasts of the last day were, and what they are scaled by.
    #[serde(default)]
    pub forecasts: Option<ForecastDay>,
    /// What people have ordered until further notice.
    #[serde(default)]
    pub orders: Vec<StandingOrder>,
    /// Call-backs that stood in line, the oldest first.
    #[serde(default)]
    pub call_backs: Vec<OpenCallBack>,
}

/// A call-back that stood in line when Vigie was stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenCallBack {
    /// As it is stored.
    pub record: Box<CallRecord>,
    /// The number of its last event.
    pub sequence: u32,
    /// The number of the last note of its wait.
    pub notes: u16,
}

/// What the decisions ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Send these bytes.
    Send { path: Path, bytes: Bytes },
    /// Look a trunk's name up again now: none of its places answers.
    Resolve { trunk: TrunkId },
    /// Take nothing from this address until then (never a trunk's); with `None`, take it again.
    Ban { source: IpAddr, until: Option<Moment> },
    /// Ask the media plane.
    Media(MediaCommand),
    /// Ask the recorder.
    Recorder(RecorderCommand),
    /// Remember these together: one transaction.
    Store(Vec<Fact>),
    /// Answer a command.
    Reply { ticket: Ticket, reply: Reply },
    /// Tell whoever runs this, once, at the edge.
    Alarm(Alarm),
    /// A line for the log about something that is no alarm: a refused registration, say. Holds no caller's number or name.
    Notice(String),
    /// Count.
    Count(Counter),
}

/// What is to be remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// The call as known so far (insert or replace).
    Call(Box<CallRecord>),
    /// An offer of a call (insert or replace by its number).
    Offer { call: CallId, offer: Box<OfferRecord> },
    /// An event, and a row of the outbox for each endpoint.
    Event(Box<Event>),
    /// A recording was sealed.
    Recording(Box<SealedRecording>),
    /// A recording was expected and is not there.
    RecordingFailed { call: CallId, at: Utc, reason: String },
    /// A device registered or refreshed.
    Binding(Binding),
    /// A device is gone.
    BindingGone { regulator: RegulatorId, device: DeviceId },
    /// A regulator's state.
    Regulator { regulator: RegulatorId, state: RegulatorState, since: Utc },
    /// A SIP message of a call, for its ladder; secrets already masked.
    SipMessage(SipTrace),
    /// Somebody who hung up unserved (insert or replace).
    Abandoned(Box<AbandonedCaller>),
    /// A turn of a call's wait (insert or replace by its number).
    Routing { call: CallId, note: Box<RoutingNote> },
    /// How true a day's forecasts have been so far (insert or replace by the day).
    Forecast(ForecastDay),
    /// Somebody's order that holds until further notice (insert or replace by its key).
    Ordered(Box<StandingOrder>),
    /// The order of this key holds no more.
    Withdrawn(String),
    /// What somebody did by phone, for the audit.
    Deed(Box<Deed>),
}

/// What somebody did by phone: a feature code that touched a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// When.
    pub at: Utc,
    /// Who.
    pub by: RegulatorId,
    /// What, in the audit's words: `call.samu`, `call.listen`…
    pub act: String,
    /// Which call it touched.
    pub call: Option<CallId>,
    /// To whom, with whom.
    pub detail: String,
}

/// One SIP message in a call's ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SipTrace {
    /// Which call.
    pub call: CallId,
    /// Which leg, by number.
    pub leg: u16,
    /// When.
    pub at: Utc,
    /// Received by Vigie, or sent.
    pub received: bool,
    /// The far end.
    pub peer: SocketAddr,
    /// The message, at most [`TRACE_LENGTH_MAX`] bytes, `Authorization` values masked, invalid UTF-8 replaced.
    pub text: String,
}

/// The most of one SIP message kept in a ladder, in bytes.
pub const TRACE_LENGTH_MAX: usize = 4096;
/// The most messages kept for one call: enough for 20 offers, and a peer cannot fill the disk.
pub const TRACE_MESSAGES_MAX: u16 = 200;

/// Something a person should look at. Its text holds no caller's number or name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// What kind, as a stable word for monitoring: `unknown-ddi`, `call-fault`…
    pub kind: String,
    /// The call concerned.
    pub call: Option<CallId>,
    /// What happened and what to do, for the person reading it at three in the morning.
    pub text: String,
}

impl Alarm {
    /// Whether it tells the end of a trouble: `storage-back`, `endpoint-back`.
    pub fn is_relief(&self) -> bool {
        self.kind.ends_with("-back")
    }
}

/// What the decisions count; a metric each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Counter {
    /// SIP messages that could not be parsed.
    SipMalformed,
    /// Requests refused for want of credentials or of a trunk.
    SipUnauthorised,
    /// SIP messages sent again.
    SipRetransmitted,
    /// Calls received from a trunk.
    CallsReceived,
    /// Calls answered by a regulator.
    CallsAnswered,
    /// Calls abandoned.
    CallsAbandoned,
    /// Offers made.
    OffersMade,
    /// Offers that ended without an answer.
    OffersUnanswered,
    /// Calls handed on to somebody else.
    CallsTransferred,
    /// Calls refused with 503 for want of room: over a limit of calls, or of calls a second.
    CallsRefused,
    /// Sources or accounts that were banned for a while.
    SipBanned,
    /// Registrations and calls refused with 503: their account asks for too many a second.
    SipAccountRefused,
}
