//! Further parties of a conversation: a doctor on the road, the SAMU, a colleague, a supervisor. They ring, join, leave, and
//! may have the caller when the regulator goes.

use std::net::SocketAddr;

use super::consult::{CONSULT_RING_MAX, Partner};
use super::decision::{CallInput, Decision, RoomChange};
use super::leg::LegState;
use super::life::{Call, LEGS_MAX, MEDIA_ANSWER_MAX};
use super::offer::Refusals;
use super::pausing;
use super::signal::{Gone, LegOrder, Refusal, RefusalKind, Unserved};
use super::talking;
use super::transfer::{self, Leave};
use crate::model::control::Supervision;
use crate::model::event::{TransferKind, TransferParty};
use crate::model::{EndedBy, EventKind, LegId, MediaCommand, Moment, Now, OfferEnd, RegulatorId, RemoteMedia, Side};

/// Further parties of one call at once: with the caller and the regulator as many as a mix may have.
pub const GUESTS_MAX: usize = crate::model::MIX_LEGS_MAX - 2;

/// What somebody has joined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To talk with both: the doctor on the road, a colleague.
    Help,
    /// To have the caller: the SAMU.
    HandOff,
    /// To look after the regulator.
    Supervision(Supervision),
}

/// Where a further party is.
#[derive(Clone, Debug, PartialEq)]
pub enum GuestState {
    /// It rings there.
    Ringing {
        /// The legs that have not come to nothing.
        legs: Vec<LegId>,
        /// What the others said.
        refusals: Refusals,
    },
    /// The person's own phone has dialled; its port is being opened.
    Coming {
        /// Its leg.
        leg: LegId,
        /// What its SDP offered.
        remote: Box<RemoteMedia>,
    },
    /// In the conversation.
    Live {
        /// Over this leg.
        leg: LegId,
    },
}

/// A further party.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// Who.
    pub to: Partner,
    /// What for.
    pub purpose: Purpose,
    /// Where it is.
    pub state: GuestState,
    /// When it is given up, unless it has come by then.
    pub until: Moment,
}

impl Guest {
    fn is_of(&self, leg: LegId) -> bool {
        match &self.state {
            GuestState::Ringing { legs, .. } => legs.contains(&leg),
            GuestState::Coming { leg: own, .. } | GuestState::Live { leg: own } => *own == leg,
        }
    }

    /// The leg that it talks over.
    pub fn live_leg(&self) -> Option<LegId> {
        match self.state {
            GuestState::Live { leg } => Some(leg),
            GuestState::Ringing { .. } | GuestState::Coming { .. } => None,
        }
    }

    /// Whether everybody hears it, so that it can have the caller.
    pub fn speaks(&self) -> bool {
        match self.purpose {
            Purpose::Help | Purpose::HandOff => true,
            Purpose::Supervision(Supervision::BargeIn | Supervision::TakeOver) => true,
            Purpose::Supervision(Supervision::Listen | Supervision::Whisper) => false,
        }
    }

    fn party(&self) -> TransferParty {
        party_of(&self.to)
    }
}

/// A party as events name it.
pub fn party_of(to: &Partner) -> TransferParty {
    match to {
        Partner::Regulator { id, .. } => TransferParty::Regulator(id.clone()),
        Partner::Number { number, .. } => TransferParty::Number(number.clone()),
    }
}

/// Somebody is to be rung and to join.
#[derive(Clone, Debug, PartialEq)]
pub struct Invite {
    /// Who; a regulator is lent to this call by the waiting room.
    pub to: Partner,
    /// What for.
    pub purpose: Purpose,
}

/// It rings there; those who talk go on talking meanwhile.
pub fn invite(call: &mut Call, invite: Invite, now: Now, out: &mut Vec<Decision>) {
    let Invite { to, purpose } = invite;
    let mut legs = to.legs(call.id, call.legs.len() as u16, now);
    if call.legs.len() + legs.len() > LEGS_MAX as usize || legs.is_empty() {
        return give_back(&to, OfferEnd::Cancelled, out);
    }
    if let Purpose::Supervision(_) = purpose {
        legs.iter_mut().for_each(|leg| leg.side = Side::Supervisor);
    }
    let ringing: Vec<LegId> = legs.iter().map(|leg| leg.id).collect();
    out.extend(ringing.iter().map(|leg| Decision::Media(MediaCommand::Open { leg: *leg })));
    call.legs.extend(legs);
    if let Some(regulator) = to.regulator() {
        call.name_regulator(&regulator.clone());
    }
    let state = GuestState::Ringing { legs: ringing, refusals: Refusals::default() };
    call.guests.push(Guest { to, purpose, state, until: now.moment + CONSULT_RING_MAX });
    talking::set_deadline(call);
    out.push(Decision::Keep);
}

/// Somebody who comes by an own phone, over a leg that is in this call already.
#[derive(Clone, Debug, PartialEq)]
pub struct Coming {
    /// Who; lent to this call.
    pub by: RegulatorId,
    /// The leg.
    pub leg: LegId,
    /// What its SDP offered.
    pub remote: Box<RemoteMedia>,
    /// What for.
    pub purpose: Purpose,
}

/// The phone's port is opened.
pub fn come(call: &mut Call, coming: Coming, now: Now, out: &mut Vec<Decision>) {
    let Coming { by, leg, remote, purpose } = coming;
    call.name_regulator(&by);
    out.push(Decision::Media(MediaCommand::Open { leg }));
    let to = Partner::Regulator { id: by, devices: Vec::new() };
    let state = GuestState::Coming { leg, remote };
    call.guests.push(Guest { to, purpose, state, until: now.moment + MEDIA_ANSWER_MAX });
    talking::set_deadline(call);
}

/// Somebody who was asked over another call, and whose legs are in this call now.
#[derive(Clone, Debug, PartialEq)]
pub struct Brought {
    /// Who.
    pub to: Partner,
    /// The legs there.
    pub legs: Vec<LegId>,
    /// Whether the first of them talks already; else they ring.
    pub talks: bool,
}

/// Whom the regulator has asked joins, or does so when the phone is picked up.
pub fn bring(call: &mut Call, host: LegId, brought: Brought, now: Now, out: &mut Vec<Decision>) {
    let Brought { to, legs, talks } = brought;
    if let Some(regulator) = to.regulator() {
        call.name_regulator(&regulator.clone());
    }
    let (purpose, until) = (Purpose::Help, now.moment + CONSULT_RING_MAX);
    let state = match legs.first().copied().filter(|_| talks) {
        Some(leg) => GuestState::Live { leg },
        None => GuestState::Ringing { legs, refusals: Refusals::default() },
    };
    let live = match &state {
        GuestState::Live { leg } => Some(*leg),
        GuestState::Ringing { .. } | GuestState::Coming { .. } => None,
    };
    call.guests.push(Guest { to, purpose, state, until });
    talking::set_deadline(call);
    if let Some(leg) = live {
        out.push(Decision::Media(MediaCommand::Unbridge { leg }));
        joined(call, (host, call.guests.len() - 1), leg, now, out);
    }
}

/// What concerns a further party's leg is dealt with here; what does not is given back.
pub fn step(call: &mut Call, host: LegId, input: CallInput, now: Now, out: &mut Vec<Decision>) -> Option<CallInput> {
    let place = |leg: LegId| call.guests.iter().position(|guest| guest.is_of(leg));
    let Some((at, leg)) = input.leg().and_then(|leg| Some((place(leg)?, leg))) else { return Some(input) };
    match input {
        CallInput::Opened { rtp, .. } => opened(call, (host, at), (leg, rtp), now, out),
        CallInput::Accepted { remote, .. } => answered(call, (host, at), (leg, remote), now, out),
        CallInput::Refused { refusal, .. } => refused(call, (host, at), (leg, refusal), now, out),
        CallInput::OpenFailed { why, .. } => {
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail: why };
            refused(call, (host, at), (leg, refusal), now, out);
        }
        CallInput::Ended { by, detail, .. } => {
            let detail = detail.unwrap_or_else(|| "the device ended the call".into());
            gone(call, (host, at), (leg, by == Gone::Lost, detail), now, out);
        }
        CallInput::Silent { .. } => {
            call.hang_up(leg, EndedBy::Silence, now, out);
            gone(call, (host, at), (leg, true, "no sound came".into()), now, out);
        }
        CallInput::Closed { .. } => gone(call, (host, at), (leg, true, "its media was lost".into()), now, out),
        CallInput::Reoffered { .. } => {
            talking::join(call, host, out);
            let is_held = call.leg(leg).is_some_and(super::leg::Leg::is_held);
            talking::note_hold(call, leg, is_held, out);
        }
        CallInput::Ringing { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::End(_)
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_)
        | CallInput::Due => {}
    }
    None
}

/// A port is open: the leg is dialled, or the phone that has dialled is accepted.
fn opened(call: &mut Call, (host, at): Seat, (leg, rtp): (LegId, SocketAddr), now: Now, out: &mut Vec<Decision>) {
    let Some(guest) = call.guests.get_mut(at) else { return };
    match &guest.state {
        GuestState::Ringing { .. } => {
            let to = guest.to.clone();
            let opening = call.leg(leg).filter(|leg| leg.state == LegState::Opening);
            if let Some(party) = opening.and_then(|leg| to.party(leg)) {
                call.dial(leg, party, rtp, out);
            }
        }
        GuestState::Coming { remote, .. } => {
            let remote = RemoteMedia::clone(remote);
            guest.state = GuestState::Live { leg };
            if let Some(regulator) = guest.to.regulator().cloned() {
                out.push(Decision::Room(RoomChange::Answered { regulator }));
            }
            if let Some(coming) = call.leg_mut(leg) {
                coming.connect(remote.clone(), now);
            }
            out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
            out.push(Decision::Leg(LegOrder::Accept { leg, local: rtp }));
            joined(call, (host, at), leg, now, out);
        }
        GuestState::Live { .. } => {}
    }
}

/// Picked up: the other devices stop ringing, all are joined.
fn answered(call: &mut Call, (host, at): Seat, (leg, remote): (LegId, RemoteMedia), now: Now, out: &mut Vec<Decision>) {
    let Some(guest) = call.guests.get_mut(at) else { return };
    let ringing = match &mut guest.state {
        GuestState::Ringing { legs, .. } => std::mem::take(legs),
        GuestState::Coming { .. } | GuestState::Live { .. } => return,
    };
    guest.state = GuestState::Live { leg };
    if let Some(regulator) = guest.to.regulator().cloned() {
        out.push(Decision::Room(RoomChange::Answered { regulator }));
    }
    for other in ringing.into_iter().filter(|other| *other != leg) {
        call.hang_up(other, EndedBy::AnsweredElsewhere, now, out);
    }
    if let Some(answered) = call.leg_mut(leg) {
        answered.connect(remote.clone(), now);
    }
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    joined(call, (host, at), leg, now, out);
}

/// A further party is there: heard as its purpose says, and told.
fn joined(call: &mut Call, (host, at): Seat, leg: LegId, now: Now, out: &mut Vec<Decision>) {
    let Some(guest) = call.guests.get(at).cloned() else { return };
    talking::set_deadline(call);
    match (guest.purpose, guest.to.regulator().cloned()) {
        (Purpose::Supervision(way), Some(by)) => supervised(call, (host, at), (by, way), now, out),
        (Purpose::Supervision(_) | Purpose::Help | Purpose::HandOff, _) => {
            set_recorded(call, leg, true, now, out);
            talking::join(call, host, out);
            call.tell(EventKind::CallJoined { party: guest.party(), leg: leg.number }, out);
            out.push(Decision::Keep);
        }
    }
}

/// A supervisor takes part in this way from now on.
pub fn supervised(
    call: &mut Call,
    (host, at): Seat,
    (by, way): (RegulatorId, Supervision),
    now: Now,
    out: &mut Vec<Decision>,
) {
    let Some(guest) = call.guests.get_mut(at) else { return };
    guest.purpose = Purpose::Supervision(way);
    let (Some(leg), speaks) = (guest.live_leg(), guest.speaks()) else { return };
    set_recorded(call, leg, speaks, now, out);
    call.tell(EventKind::CallSupervised { by, way, leg: leg.number }, out);
    match way {
        Supervision::TakeOver => take_over(call, (host, at), now, out),
        Supervision::Listen | Supervision::Whisper | Supervision::BargeIn => {
            talking::join(call, host, out);
            out.push(Decision::Keep);
        }
    }
}

/// The regulator is let go: whoever joined has the caller.
pub fn take_over(call: &mut Call, (host, at): Seat, now: Now, out: &mut Vec<Decision>) {
    promote(call, (host, at), now, out);
    call.leaving.retain(|(leaving, _)| *leaving != host);
    talking::set_deadline(call);
    call.hang_up(host, EndedBy::AnsweredElsewhere, now, out);
}

/// Brings a leg's voice into the recording, or takes it out while the caller does not hear it.
fn set_recorded(call: &mut Call, leg: LegId, on: bool, now: Now, out: &mut Vec<Decision>) {
    let was_recorded = call.leg(leg).is_some_and(|leg| leg.recorded);
    match (on, was_recorded) {
        (true, false) => call.record_leg(leg, now, out),
        (on, true) => pausing::tap(call, leg, on, out),
        (false, false) => {}
    }
}

/// One device came to nothing; the party does when the person declined or no device is left.
fn refused(call: &mut Call, (host, at): Seat, (leg, refusal): (LegId, Refusal), now: Now, out: &mut Vec<Decision>) {
    let Some(guest) = call.guests.get_mut(at) else { return };
    let (legs, refusals) = match &mut guest.state {
        GuestState::Ringing { legs, refusals } => (legs, refusals),
        GuestState::Coming { .. } | GuestState::Live { .. } => {
            return gone(call, (host, at), (leg, true, refusal.detail), now, out);
        }
    };
    legs.retain(|ringing| *ringing != leg);
    match refusal.kind {
        RefusalKind::Declined => return fail(call, at, (OfferEnd::Refused, refusal.detail), now, out),
        RefusalKind::Busy => refusals.busy = Some(refusal.detail),
        RefusalKind::Unreachable => refusals.unreachable = Some(refusal.detail),
    }
    if !legs.is_empty() {
        return;
    }
    match std::mem::take(refusals) {
        Refusals { busy: Some(detail), .. } => fail(call, at, (OfferEnd::Refused, detail), now, out),
        Refusals { busy: None, unreachable } => {
            fail(call, at, (OfferEnd::Failed, unreachable.unwrap_or_default()), now, out);
        }
    }
}

/// Whoever was to join does not come: the caller is with the regulator, as before.
fn fail(call: &mut Call, at: usize, (end, detail): (OfferEnd, String), now: Now, out: &mut Vec<Decision>) {
    if at >= call.guests.len() {
        return;
    }
    let guest = call.guests.remove(at);
    let why = match end {
        OfferEnd::TimedOut => EndedBy::NoAnswer,
        OfferEnd::Failed => EndedBy::DeviceLost,
        OfferEnd::Cancelled | OfferEnd::Accepted | OfferEnd::Refused => EndedBy::Refused,
    };
    hang_up(call, &guest, why, now, out);
    give_back(&guest.to, end, out);
    call.tell(EventKind::CallJoinFailed { party: guest.party(), detail }, out);
    talking::set_deadline(call);
    out.push(Decision::Keep);
}

/// A further party has left, or its phone vanished.
fn gone(
    call: &mut Call,
    (host, at): Seat,
    (leg, is_lost, detail): (LegId, bool, String),
    now: Now,
    out: &mut Vec<Decision>,
) {
    match call.guests.get(at).map(|guest| &guest.state) {
        None => return,
        Some(GuestState::Ringing { .. }) => {
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail };
            return refused(call, (host, at), (leg, refusal), now, out);
        }
        Some(GuestState::Coming { .. } | GuestState::Live { .. }) => {}
    }
    let guest = call.guests.remove(at);
    if let Some(regulator) = guest.to.regulator().cloned() {
        let end = OfferEnd::Cancelled;
        out.push(Decision::Room(RoomChange::OfferEnded { regulator: regulator.clone(), end }));
        out.push(Decision::Room(match is_lost {
            true => RoomChange::Lost { regulator },
            false => RoomChange::Released { regulator },
        }));
    }
    left(call, host, &guest, leg, out);
}

fn left(call: &mut Call, host: LegId, guest: &Guest, leg: LegId, out: &mut Vec<Decision>) {
    call.held.retain(|held| *held != leg);
    talking::set_deadline(call);
    talking::join(call, host, out);
    if guest.live_leg().is_some() {
        call.tell(EventKind::CallLeft { party: guest.party(), leg: leg.number }, out);
    }
    out.push(Decision::Keep);
}

/// Takes out a further party: the one of this leg, or the last that came.
pub fn take_out(call: &mut Call, host: LegId, leg: Option<u16>, now: Now, out: &mut Vec<Decision>) {
    let is_it = |guest: &Guest| match leg {
        Some(number) => guest.is_of(LegId { call: call.id, number }),
        None => !matches!(guest.purpose, Purpose::Supervision(_)),
    };
    let Some(at) = call.guests.iter().rposition(is_it) else { return };
    let guest = call.guests.remove(at);
    hang_up(call, &guest, EndedBy::Operator, now, out);
    give_back(&guest.to, OfferEnd::Cancelled, out);
    let leg = guest.live_leg().unwrap_or(host);
    left(call, host, &guest, leg, out);
}

fn hang_up(call: &mut Call, guest: &Guest, why: EndedBy, now: Now, out: &mut Vec<Decision>) {
    match &guest.state {
        GuestState::Ringing { legs, .. } => legs.iter().for_each(|leg| call.hang_up(*leg, why, now, out)),
        GuestState::Live { leg } => call.hang_up(*leg, why, now, out),
        GuestState::Coming { leg, .. } => {
            let leg = *leg;
            if let Some(coming) = call.leg_mut(leg).filter(|leg| leg.is_alive()) {
                coming.end(why, None, now);
                out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Unavailable }));
                out.push(Decision::Media(MediaCommand::Close { leg }));
            }
        }
    }
}

/// Each of these holds only for who rings for this call or talks on it: all others are left as they are.
fn give_back(to: &Partner, end: OfferEnd, out: &mut Vec<Decision>) {
    if let Some(regulator) = to.regulator().cloned() {
        out.push(Decision::Room(RoomChange::OfferEnded { regulator: regulator.clone(), end }));
        out.push(Decision::Room(RoomChange::Released { regulator }));
    }
}

/// All further parties go: the call ends, or the caller goes where they do not follow.
pub fn dismiss(call: &mut Call, why: EndedBy, now: Now, out: &mut Vec<Decision>) {
    for guest in std::mem::take(&mut call.guests) {
        hang_up(call, &guest, why, now, out);
        give_back(&guest.to, OfferEnd::Cancelled, out);
    }
    call.on_hold = false;
}

/// Gives up whoever has not come by now.
pub fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let is_late = |guest: &Guest| guest.live_leg().is_none() && guest.until <= now.moment;
    while let Some(at) = call.guests.iter().position(is_late) {
        fail(call, at, (OfferEnd::TimedOut, "nobody picked up in time".into()), now, out);
    }
}

/// When the next is given up.
pub fn deadline(call: &Call) -> Option<Moment> {
    call.guests.iter().filter(|guest| guest.live_leg().is_none()).map(|guest| guest.until).min()
}

/// The regulator's phone has hung up or is gone: whoever joined has the caller; whoever rings will, or the caller waits
/// again. Whether there is anybody.
pub fn succeed(call: &mut Call, host: LegId, is_lost: bool, now: Now, out: &mut Vec<Decision>) -> bool {
    let is_heir = |guest: &&Guest| guest.speaks();
    let is_live = |guest: &Guest| is_heir(&guest) && guest.live_leg().is_some();
    if let Some(at) = call.guests.iter().position(is_live) {
        if is_lost && let Some(regulator) = call.leg(host).and_then(|leg| leg.regulator.clone()) {
            out.push(Decision::Room(RoomChange::Lost { regulator }));
        } else {
            talking::release(call, host, out);
        }
        promote(call, (host, at), now, out);
        return true;
    }
    let rings = |guest: &Guest| is_heir(&guest) && matches!(guest.state, GuestState::Ringing { .. });
    if is_lost || !call.guests.iter().any(rings) {
        return false;
    }
    let hand_off = call.guests.iter().position(|guest| rings(guest) && guest.purpose == Purpose::HandOff);
    let Some(at) = hand_off.or_else(|| call.guests.iter().position(rings)) else { return false };
    let guest = call.guests.remove(at);
    dismiss(call, EndedBy::AnsweredElsewhere, now, out);
    if let GuestState::Ringing { legs, refusals } = guest.state {
        transfer::ring_on(call, (host, guest.to), (legs, refusals, guest.until), now, out);
    }
    talking::release(call, host, out);
    true
}

/// A further party has the caller from now on; the phone that had is told, where it is still there.
fn promote(call: &mut Call, (host, at): Seat, now: Now, out: &mut Vec<Decision>) {
    let Some(leg) = call.guests.get(at).and_then(Guest::live_leg) else { return };
    let guest = call.guests.remove(at);
    call.on_hold = false;
    let offer = guest.to.regulator().cloned().map(|regulator| {
        if let Some(leg) = call.leg_mut(leg) {
            leg.side = Side::Regulator;
        }
        out.push(Decision::Room(RoomChange::TakesOver { regulator: regulator.clone() }));
        transfer::offer_record(call, &regulator, host, now, out)
    });
    set_recorded(call, leg, true, now, out);
    transfer::follow(call, leg, Leave { by: host, answer_to: None }, now, out);
    transfer::tell(call, (host, leg), (&guest.to, TransferKind::Attended, offer), now, out);
}

/// The regulator's leg, and the place of a further party among those of the call.
type Seat = (LegId, usize);
