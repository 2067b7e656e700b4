//! One leg: its dialog, its media and where it stands.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::signal::Party;
use crate::model::{EndedBy, LegId, Moment, Path, RegulatorId, TrunkId};
use crate::sip::sdp::Description;
use crate::sip::transaction::{ClientKey, ServerKey};
use crate::sip::{Headers, Request, Response, SessionExpires};

use super::agreed::LegMedia;
use super::dialog::Dialog;
use super::early::Early;
use super::forks::Fork;
use super::lifetime::Lifetime;
use super::reoffer::Asking;
use super::rules::{HOLD_PROBE_EVERY, PATIENCE, T1, T2};

/// Forks of one INVITE that are kept apart: a phone has few.
pub(super) const FORKS_MAX: usize = 8;
/// ACKs kept to be sent again: that of the last INVITE, and of the one before it.
const ACKS_MAX: usize = 2;

/// One leg.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Leg {
    pub id: LegId,
    pub dialog: Dialog,
    pub stage: Stage,
    pub media: LegMedia,
    /// The trunk that an incoming call came over, or that a number was dialled over: the leg counts in its limit.
    pub trunk: Option<TrunkId>,
    /// Whether its messages are kept; those of a feature code are not, since no call record is.
    pub has_ladder: bool,
    /// What the far end can do, as its last messages say.
    pub far: Far,
    /// Incoming: what was answered before the final answer (RFC 3262).
    pub early: Early,
    /// Dialled: the early dialogs, one for each To tag that answered (RFC 3261 §12.1.2).
    pub forks: Vec<Fork>,
    /// Dialled: the INVITE as it was sent, to be sent again otherwise (422); without its Via.
    pub invite: Option<Box<Request>>,
    /// Our ACKs, sent again for every repetition of a 2xx.
    pub acks: Vec<Ack>,
    /// The To tags of other forks that we have hung up.
    pub hung_up: Vec<String>,
    /// How long the dialog lives unrefreshed (RFC 4028), when that was agreed on.
    pub lifetime: Option<Lifetime>,
    /// Our own changes within the dialog.
    pub asking: Asking,
    /// Keys that it is to be told by INFO, with their lengths in milliseconds; the first one is under way.
    #[serde(default)]
    pub keys: VecDeque<(char, u32)>,
    /// How we know that a far end on hold is still there.
    pub probe: Probe,
    /// Our requests whose answers are awaited.
    pub asks: Vec<ClientKey>,
    /// Whom an outgoing leg was dialled to, or who dialled an incoming one; `None` for a caller.
    pub party: Option<Party>,
    /// The regulator whose leg it is, dialled or dialling; `None` for a caller and for a number.
    pub owner: Option<RegulatorId>,
    /// Why it is being cancelled, for the BYE that follows should a 200 cross our CANCEL.
    pub given_up: Option<EndedBy>,
}

/// What a far end can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Far {
    /// It takes UPDATE (its Allow names it).
    pub takes_update: bool,
    /// It knows session timers (RFC 4028).
    pub knows_timer: bool,
    /// It knows reliable provisional answers (RFC 3262).
    pub knows_100rel: bool,
    /// It takes keys by INFO: it tells its own so, or names such a body.
    #[serde(default)]
    pub takes_keys: bool,
}

/// What a request of ours within a leg was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// The INVITE that dials the leg.
    Dial,
    /// An OPTIONS to a far end on hold.
    Probe,
    /// An UPDATE or re-INVITE that keeps the session alive (RFC 4028).
    Refresh,
    /// A re-INVITE that offers other media.
    Reoffer,
    /// A PRACK (RFC 3262).
    Prack,
    /// A NOTIFY of how far a transfer has come (RFC 3515).
    Notify,
    /// An INFO that tells a key.
    Key,
}

/// A far end on hold need not send RTP, so its silence proves nothing: it is asked now and then.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Probe {
    /// Not on hold: the media plane hears whether it lives.
    Needless,
    /// To be asked then.
    Due(Moment),
    /// Asked.
    Asked,
}

/// Where a leg stands.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Incoming: no final answer yet.
    Invited(Box<Invited>),
    /// Incoming: our 200 is out, its ACK not yet in.
    Accepted(Unacked),
    /// Incoming: hung up by us before the ACK, which the BYE waits for (RFC 3261 §15).
    Leaving(Unacked),
    /// Dialled: no final answer yet. Without any response the device is given up at `dead_at`.
    Dialling { invite: ClientKey, has_rung: bool, dead_at: Option<Moment> },
    /// Dialled: cancelled, or to be as soon as the first answer comes.
    Cancelling,
    /// Both sides talk; a re-INVITE of the far end may wait for its ACK.
    Confirmed { reoffered: Option<Unacked> },
    /// Over; late messages still find it.
    Ended,
}

/// An INVITE that waits for our answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Invited {
    pub key: ServerKey,
    pub request: Request,
    /// What it offers; without it our 200 makes the offer (RFC 3261 §13.3.1.4).
    pub offer: Option<Description>,
    /// How long the call will live unrefreshed once it is accepted (RFC 4028).
    pub granted: Option<SessionExpires>,
}

/// A 200 of ours that waits for its ACK (RFC 3261 §13.3.1.4).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Unacked {
    pub key: ServerKey,
    pub number: u32,
    pub ok: Response,
    /// Whether the 200 made the SDP offer, so that the ACK brings the answer.
    pub is_offer: bool,
    wait: Duration,
    next: Moment,
    until: Moment,
}

/// An ACK that was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ack {
    /// The INVITE's number.
    pub number: u32,
    pub to_tag: Option<String>,
    pub path: Path,
    pub bytes: Bytes,
}

impl Far {
    /// Takes over what a message of the far end says of itself; what it does not speak of stays.
    pub(super) fn read(&mut self, headers: &Headers) {
        if headers.has("Allow") {
            self.takes_update = headers.has_token("Allow", "UPDATE");
        }
        let names = |tag: &str| headers.has_token("Supported", tag) || headers.has_token("Require", tag);
        self.knows_timer |= names("timer");
        self.knows_100rel |= names("100rel");
        // RFC 6086 §5.2.3 names packages; without one, phones name the body that they read.
        self.takes_keys |= headers.has_token("Accept", "application/dtmf-relay")
            || ["dtmf", "infoDtmf"].iter().any(|package| headers.has_token("Recv-Info", package));
    }
}

impl Leg {
    /// A leg of nobody's yet, whose messages are kept.
    pub(super) fn new(id: LegId, dialog: Dialog, stage: Stage, media: LegMedia) -> Leg {
        Leg {
            id,
            dialog,
            stage,
            media,
            trunk: None,
            has_ladder: true,
            far: Far::default(),
            early: Early::default(),
            forks: Vec::new(),
            invite: None,
            acks: Vec::new(),
            hung_up: Vec::new(),
            lifetime: None,
            asking: Asking::default(),
            keys: VecDeque::new(),
            probe: Probe::Needless,
            asks: Vec::new(),
            party: None,
            owner: None,
            given_up: None,
        }
    }

    /// Keeps an ACK that was sent.
    pub(super) fn keep_ack(&mut self, ack: Ack) {
        if self.acks.len() >= ACKS_MAX {
            self.acks.remove(0);
        }
        self.acks.push(ack);
    }

    /// The ACK of the INVITE that this 2xx answers, when it was sent before.
    pub(super) fn ack_of(&self, ok: &Response) -> Option<&Ack> {
        let (number, tag) = (ok.headers.cseq()?.number, ok.to_tag());
        self.acks.iter().find(|ack| ack.number == number && ack.to_tag == tag)
    }

    /// The leg, when its messages are kept.
    pub(super) fn traced(&self) -> Option<LegId> {
        self.has_ladder.then_some(self.id)
    }

    pub(super) fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Ended)
    }

    /// Begins to ask after a far end that has put us on hold, and ends with the hold.
    pub(super) fn review_probe(&mut self, now: Moment) {
        let is_held = self.media.remote.as_ref().is_some_and(|remote| remote.direction.is_held());
        match (&self.stage, &self.probe) {
            (Stage::Confirmed { .. }, Probe::Due(_) | Probe::Asked) if is_held => {}
            (Stage::Confirmed { .. }, Probe::Needless) if is_held => self.probe = Probe::Due(now + HOLD_PROBE_EVERY),
            _ => self.probe = Probe::Needless,
        }
    }

    /// When the leg wants the clock; what has ended is forgotten after [`PATIENCE`], which the table sees to.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let unacked = |unacked: &Unacked| unacked.next.min(unacked.until);
        match &self.stage {
            Stage::Invited(_) => self.early.deadline(),
            Stage::Accepted(ours) | Stage::Leaving(ours) => Some(unacked(ours)),
            Stage::Confirmed { reoffered } => {
                let settled =
                    [self.probe_due(), self.asking.deadline(), self.lifetime.as_ref().map(Lifetime::deadline)];
                reoffered.as_ref().map(unacked).into_iter().chain(settled.into_iter().flatten()).min()
            }
            Stage::Dialling { dead_at, .. } => *dead_at,
            Stage::Cancelling => None,
            Stage::Ended => self.asking.cancel_at(),
        }
    }

    /// When the far end is to be asked whether it is still there.
    pub(super) fn probe_due(&self) -> Option<Moment> {
        match self.probe {
            Probe::Due(at) => Some(at),
            Probe::Needless | Probe::Asked => None,
        }
    }

    /// The 200 that waits for its ACK.
    pub(super) fn unacked(&mut self) -> Option<&mut Unacked> {
        match &mut self.stage {
            Stage::Accepted(unacked) | Stage::Leaving(unacked) => Some(unacked),
            Stage::Confirmed { reoffered } => reoffered.as_mut(),
            Stage::Invited(_) | Stage::Dialling { .. } | Stage::Cancelling | Stage::Ended => None,
        }
    }
}

impl Unacked {
    pub(super) fn new(key: ServerKey, number: u32, ok: Response, is_offer: bool, now: Moment) -> Unacked {
        Unacked { key, number, ok, is_offer, wait: T1, next: now + T1, until: now + PATIENCE }
    }

    /// No ACK came in time.
    pub(super) fn is_lost(&self, now: Moment) -> bool {
        now >= self.until
    }

    /// The 200 is due again; the next wait is twice as long, T2 at most.
    pub(super) fn is_due(&mut self, now: Moment) -> bool {
        if now < self.next {
            return false;
        }
        self.wait = (self.wait * 2).min(T2);
        self.next = now + self.wait;
        true
    }
}
