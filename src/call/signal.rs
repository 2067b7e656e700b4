//! What the user agent tells the switch and what the switch asks of it: the life of legs, without a word of SIP.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    CallContext, CallId, Caller, Codec, DeviceId, Direction, E164, EndedBy, LegId, RegulatorId, RemoteMedia, TrunkId,
};

/// What happened to a leg or a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A call comes in from a trunk; provisional answers are the user agent's own affair.
    Incoming(Box<Incoming>),
    /// A regulator dialled a feature code (`*10`, `*11`), a colleague or a number from a registered, authenticated device.
    Dialled(Box<Dialled>),
    /// The far end of a dialled leg rings; `early` is where it sends sound of its own before it picks up (RFC 3960),
    /// told again when that changes.
    Ringing { leg: LegId, early: Option<RemoteMedia> },
    /// The far end of a dialled leg picked up.
    Accepted { leg: LegId, remote: RemoteMedia },
    /// A dialled leg came to nothing. Nothing more will be said of it.
    Refused { leg: LegId, refusal: Refusal },
    /// Our acceptance of an incoming leg was confirmed (the ACK came).
    Confirmed { leg: LegId },
    /// The far end changed its media in mid-call (hold, resume, new address); the user agent has answered it.
    Reoffered { leg: LegId, remote: RemoteMedia },
    /// A key was pressed, told by SIP INFO; what came as RFC 4733 comes from the media plane.
    Dtmf { leg: LegId, digit: char },
    /// A key that [`LegOrder::Key`] was to tell cannot be told by signalling: the far end does not take it so.
    KeyUntold { leg: LegId, digit: char, duration_ms: u32 },
    /// The far end asks by REFER (RFC 3515) that whoever it talks with be handed on; [`LegOrder::Transfer`] answers.
    TransferAsked { leg: LegId, to: TransferTo },
    /// The far end is gone: BYE, CANCEL before acceptance, missing ACK. Nothing more will be said of the leg.
    Ended { leg: LegId, by: Gone, detail: Option<String> },
    /// A device registered or refreshed.
    Registered { regulator: RegulatorId, device: DeviceId, refreshed: bool },
    /// A device's binding expired or was removed.
    Unregistered { regulator: RegulatorId, device: DeviceId },
}

/// To whom a REFER hands the other party on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferTo {
    /// The user part of Refer-To: a regulator's id, or a number (RFC 5589 §6, blind).
    User(String),
    /// Whoever talks with this leg, which is the same person's other leg (Replaces in Refer-To: RFC 5589 §7, attended).
    PartnerOf(LegId),
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
    /// What else the trunk says of the call.
    pub context: Box<CallContext>,
}

/// A call from a regulator's own device.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialled {
    /// Its leg: number 0 of a new call id that no record is kept of.
    pub leg: LegId,
    /// Who dialled.
    pub regulator: RegulatorId,
    /// From which device, when its address is a registered one's.
    pub device: Option<DeviceId>,
    /// What: `*11`, `bruno`, `+33612345678`.
    pub digits: String,
    /// The leg that this one is to take the place of (Replaces, RFC 3891).
    pub replaces: Option<LegId>,
    /// The SIP Call-ID.
    pub sip_call_id: String,
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
    /// Let an incoming leg hear us before it is accepted (183 with our SDP); [`LegOrder::Accept`] may follow.
    Progress { leg: LegId, local: SocketAddr },
    /// Tell an incoming leg that it rings at somebody's (180).
    Ring { leg: LegId },
    /// Refuse an incoming leg.
    Refuse { leg: LegId, why: Unserved },
    /// Offer a leg new media in mid-call: a codec, or another direction seen from us (RFC 3264 §8);
    /// [`Signal::Reoffered`] follows when the far end agrees to something else than before.
    Reoffer { leg: LegId, codec: Codec, direction: Direction },
    /// How far what a REFER asked has come; the first answers the REFER itself. After `Refused`, `Done` or `Failed`
    /// nothing more may be said of it.
    Transfer { leg: LegId, step: TransferStep },
    /// Tell the far end of a leg a key by SIP INFO; [`Signal::KeyUntold`] follows when it takes none.
    Key { leg: LegId, digit: char, duration_ms: u32 },
    /// A leg goes on under another name, in another call.
    Rename { from: LegId, to: LegId },
    /// Dial a device of a regulator.
    Dial(Box<Dial>),
    /// Hang up: CANCEL while it rings (even before its first answer), BYE afterwards. Nothing more will be said of the leg.
    Hangup { leg: LegId, why: EndedBy },
}

/// How far a transfer has come (RFC 3515 §2.4.4: the status lines of NOTIFY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// Not allowed, or cannot be done now: the REFER itself is refused.
    Refused(Unserved),
    /// Taken: 202, and a NOTIFY with 100.
    Trying,
    /// The other party rings: 180.
    Ringing,
    /// The other party answered and has the caller: 200. The REFER's sender may hang up.
    Done,
    /// It came to nothing; the caller is still with whoever asked. The status is that of the other party's refusal.
    Failed(u16),
}

/// Why an incoming leg is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// 503 with Retry-After: stopping, over a limit, or no port.
    Overloaded,
    /// 403: not allowed.
    Forbidden,
    /// 404: a regulator dialled what is nobody and nothing.
    NotFound,
    /// 486: whoever was dialled is busy.
    Busy,
    /// 603: whoever was dialled declined.
    Declined,
    /// 480: nobody there.
    Unavailable,
    /// 500: a fault of our own.
    Fault,
}

/// Whom a leg is dialled to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Party {
    /// A regulator's device.
    Device { regulator: RegulatorId, device: DeviceId },
    /// A number over a trunk, in E.164 or as its `dials` has it.
    Number { trunk: TrunkId, number: String },
}

/// A leg to a device or a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// The leg's name, given by the switch.
    pub leg: LegId,
    /// To whom.
    pub to: Party,
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
    /// What the trunk said of the call, of which the phone is told what it can show (User-to-User, Call-Info).
    pub context: Box<CallContext>,
    /// How it is dialled.
    pub manner: DialManner,
}

/// How a leg is dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialManner {
    /// A device is asked to pick up by itself after so long; without it, it rings.
    pub auto_answer_after: Option<Duration>,
    /// The number of ours that an outside party sees; without it the trunk's own.
    pub number_shown: Option<E164>,
}
