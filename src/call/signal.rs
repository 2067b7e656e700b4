//! What the user agent tells the switch and what the switch asks of it: the life of legs, without a word of SIP.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::net::SocketAddr;

use crate::model::{CallId, Caller, Codec, DeviceId, EndedBy, LegId, RegulatorId, RemoteMedia, TrunkId};

/// What happened to a leg or a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A call comes in from a trunk; provisional answers are the user agent's own affair.
    Incoming(Box<Incoming>),
    /// A regulator dialled a feature code (`*10`, `*11`) or anything else from a registered, authenticated device.
    Dialled(Box<Dialled>),
    /// The far end of a dialled leg rings.
    Ringing { leg: LegId },
    /// The far end of a dialled leg picked up.
    Accepted { leg: LegId, remote: RemoteMedia },
    /// A dialled leg came to nothing. Nothing more will be said of it.
    Refused { leg: LegId, refusal: Refusal },
    /// Our acceptance of an incoming leg was confirmed (the ACK came).
    Confirmed { leg: LegId },
    /// The far end changed its media in mid-call (hold, resume, new address); the user agent has answered it.
    Reoffered { leg: LegId, remote: RemoteMedia },
    /// The far end is gone: BYE, CANCEL before acceptance, missing ACK. Nothing more will be said of the leg.
    Ended { leg: LegId, by: Gone, detail: Option<String> },
    /// A device registered or refreshed.
    Registered { regulator: RegulatorId, device: DeviceId, refreshed: bool },
    /// A device's binding expired or was removed.
    Unregistered { regulator: RegulatorId, device: DeviceId },
}

/// A call from a trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Its leg: number 0 of a new call.
    pub leg: LegId,
    /// The trunk, known by source address.
    pub trunk: TrunkId,
    /// The user part of the Request-URI (or the `tel:` number), verbatim.
    pub ddi: String,
    /// Who calls; `e164` is filled by the user agent from the trunk's number plan.
    pub caller: Caller,
    /// The SIP Call-ID.
    pub sip_call_id: String,
    /// What the SDP offered, agreed to as far as the user agent can.
    pub remote: RemoteMedia,
}

/// A call from a regulator's own device.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialled {
    /// Its leg: number 0 of a new call id that no record is kept of.
    pub leg: LegId,
    /// Who dialled.
    pub regulator: RegulatorId,
    /// What: `*11`.
    pub digits: String,
    /// What the SDP offered.
    pub remote: RemoteMedia,
}

/// Why a dialled leg came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it means for the offer.
    pub kind: RefusalKind,
    /// For people: `486 Busy Here`, `no answer to the INVITE in 32 s`.
    pub detail: String,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// 486, 600: on another call.
    Busy,
    /// 603, 480 and the other final refusals: declined.
    Declined,
    /// 408, 5xx, no answer at all, no route, a binding that vanished: the device is dead.
    Unreachable,
}

/// How a leg ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The far end hung up.
    HungUp,
    /// The caller cancelled before acceptance.
    Cancelled,
    /// The ACK of our 200 never came; the user agent has sent the BYE.
    NoAck,
    /// A request of ours within the dialog was answered 408 or 481, or not at all.
    Lost,
}

/// What the switch asks of the user agent. All are total: an order for a leg that is gone is left.
#[derive(Clone, Debug, PartialEq)]
pub enum LegOrder {
    /// Accept an incoming leg (200 with our SDP; `local` is its RTP socket).
    Accept { leg: LegId, local: SocketAddr },
    /// Refuse an incoming leg.
    Refuse { leg: LegId, why: Unserved },
    /// Dial a device of a regulator.
    Dial(Box<Dial>),
    /// Hang up: CANCEL while it rings (even before its first answer), BYE afterwards. Nothing more will be said of the leg.
    Hangup { leg: LegId, why: EndedBy },
}

/// Why an incoming leg is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// 503 with Retry-After: stopping, over a limit, or no port.
    Overloaded,
    /// 403: not allowed.
    Forbidden,
    /// 404: a regulator dialled what is no feature code.
    NotFound,
    /// 480: nobody there.
    Unavailable,
    /// 500: a fault of our own.
    Fault,
}

/// A leg to a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// The leg's name, given by the switch.
    pub leg: LegId,
    /// Whose device.
    pub regulator: RegulatorId,
    /// Which device.
    pub device: DeviceId,
    /// Our RTP socket for it.
    pub local: SocketAddr,
    /// The codec to prefer: the caller's.
    pub prefer: Codec,
    /// The caller, to be shown.
    pub caller: Caller,
    /// Shown before the caller: the line's name.
    pub label: String,
    /// The call, for an `X-Vigie-Call` header that a softphone may pass to dispatch.
    pub call: CallId,
}
