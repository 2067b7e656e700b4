//! A regulator calls an outside number, without a caller beside: a call with a story and a recording like any other. The person
//! dials, or is rung first because the API asks for the call.

use std::net::SocketAddr;
use std::sync::Arc;

use super::callback;
use super::consult::{CONSULT_RING_MAX, Partner};
use super::decision::{CallInput, Decision, RoomChange};
use super::ending::{self, Ending};
use super::leg::{Leg, LegState};
use super::life::{self, Call, State};
use super::offer::Refusals;
use super::signal::{LegOrder, Party, Refusal, RefusalKind, Unserved};
use super::{bridge, talking};
use crate::model::{
    CallId, CallRecord, Caller, Centre, Codec, E164, EndedBy, EventKind, LegId, Line, MediaCommand, Moment, Now,
    OfferEnd, Outcome, RegulatorId, RemoteMedia, Side, TrunkId,
};

/// How the regulator comes to the call.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// The own phone has dialled, and offers this; it is accepted when the other side picks up.
    Phone(Box<RemoteMedia>),
    /// These phones are rung first.
    Rung(Vec<LegId>),
}

/// It rings: first at the regulator's, where the API asked for the call, then at the number.
#[derive(Clone, Debug, PartialEq)]
pub struct CallingOut {
    regulator: RegulatorId,
    from: Start,
    /// The regulator's leg, once it is there.
    by: Option<LegId>,
    /// Over which trunk.
    trunk: TrunkId,
    /// As it is dialled there.
    number: String,
    until: Moment,
    refusals: Refusals,
    has_rung: bool,
}

/// What such a call begins with.
pub struct Begin {
    /// Its id.
    pub id: CallId,
    /// Whose call it is; talks on it, or is lent to it.
    pub regulator: RegulatorId,
    /// Over which trunk.
    pub trunk: TrunkId,
    /// Which number, as it is dialled there.
    pub number: String,
    /// The line that it counts to.
    pub line: Arc<Line>,
    /// The centre.
    pub centre: Arc<Centre>,
    /// The software's name and version.
    pub software: String,
}

/// The call, with leg 0 for the other side; its first decisions are those of [`from_phone`] or [`from_desk`].
fn begin(begin: Begin, now: Now, out: &mut Vec<Decision>) -> Call {
    let Begin { id, regulator, trunk, number, line, centre, software } = begin;
    let e164 = E164::parse(&number);
    // Nobody but the carrier picks the phone up that has this number: who answers is the person.
    let caller = Caller { raw: number.clone(), verified: e164.is_some(), e164, ..Caller::default() };
    let mut far = Leg::new(LegId { call: id, number: 0 }, Side::Caller, now);
    far.dialled = Some(number.clone());
    let record = CallRecord {
        ddi_raw: number.clone(),
        dialled_by: Some(regulator.clone()),
        regulator: Some(regulator.clone()),
        ..life::record_of((id, trunk.clone(), caller), (&line, &centre), software, now)
    };
    let until = now.moment + CONSULT_RING_MAX;
    let (from, refusals, calls) = (Start::Rung(Vec::new()), Refusals::default(), regulator.clone());
    let state = CallingOut { regulator, from, by: None, trunk, number, until, refusals, has_rung: false };
    let mut call = Call::of(record, far, State::CallingOut(Box::new(state)), (line, centre), now);
    call.name_regulator(&calls);
    call.deadline = Some(until);
    tell_dialled(&mut call, out);
    call
}

fn tell_dialled(call: &mut Call, out: &mut Vec<Decision>) {
    let CallRecord { caller, line, association, region, .. } = call.record.clone();
    let Some(by) = call.record.dialled_by.clone() else { return };
    let by_name = call.record.names.regulators.get(&by).cloned().unwrap_or_default();
    call.tell(EventKind::CallDialled { by, by_name, to: caller, line, association, region }, out);
    out.push(Decision::Keep);
}

/// The regulator's phone has dialled; its leg goes on in this call as the one that is returned.
pub fn from_phone(what: Begin, mut own: Leg, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) -> (Call, LegId) {
    let mut call = begin(what, now, out);
    let by = LegId { call: call.id, number: 1 };
    own.id = by;
    call.legs.push(own);
    if let State::CallingOut(calling) = &mut call.state {
        (calling.from, calling.by) = (Start::Phone(Box::new(remote)), Some(by));
    }
    out.push(Decision::Media(MediaCommand::Open { leg: by }));
    (call, by)
}

/// The regulator's phones ring first; the person is lent to this call.
pub fn from_desk(what: Begin, to: &Partner, now: Now, out: &mut Vec<Decision>) -> Call {
    let mut call = begin(what, now, out);
    let legs = to.legs(call.id, 1, now);
    let ringing: Vec<LegId> = legs.iter().map(|leg| leg.id).collect();
    out.extend(ringing.iter().map(|leg| Decision::Media(MediaCommand::Open { leg: *leg })));
    call.legs.extend(legs);
    let until = now.moment + call.centre.offers.ring_duration_max;
    if let State::CallingOut(calling) = &mut call.state {
        (calling.from, calling.until) = (Start::Rung(ringing), until);
    }
    call.deadline = Some(until);
    call
}

/// One input while it rings.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &call.state else { return };
    let by = calling.by;
    match input {
        CallInput::Opened { leg, rtp } => opened(call, leg, rtp, out),
        CallInput::Ringing { leg } if leg.number == 0 => rings(call, out),
        CallInput::Accepted { leg, remote } if leg.number == 0 => reached(call, remote, now, out),
        CallInput::Accepted { leg, remote } => picked_up(call, leg, remote, now, out),
        CallInput::OpenFailed { leg, why } if Some(leg) == by => {
            out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Overloaded }));
            give_up(call, (OfferEnd::Cancelled, EndedBy::Fault), why, now, out);
        }
        CallInput::OpenFailed { leg, why } => {
            refused(call, leg, Refusal { kind: RefusalKind::Unreachable, detail: why }, now, out);
        }
        CallInput::Refused { leg, refusal } => refused(call, leg, refusal, now, out),
        CallInput::Ended { leg, .. } | CallInput::Closed { leg, .. } if Some(leg) == by => {
            let detail = "the regulator hung up before anybody picked up";
            give_up(call, (OfferEnd::Cancelled, EndedBy::Regulator), detail.to_owned(), now, out);
        }
        CallInput::Ended { leg, detail, .. } => {
            let detail = detail.unwrap_or_else(|| "the far end ended the call".into());
            refused(call, leg, Refusal { kind: RefusalKind::Unreachable, detail }, now, out);
        }
        CallInput::Closed { leg, .. } => {
            let detail = "its media was lost".to_owned();
            refused(call, leg, Refusal { kind: RefusalKind::Unreachable, detail }, now, out);
        }
        CallInput::DevicesGone => {
            let detail = "the regulator's last phone is gone".to_owned();
            give_up(call, (OfferEnd::Failed, EndedBy::DeviceLost), detail, now, out);
        }
        CallInput::Due => due(call, now, out),
        CallInput::End(why) => {
            give_up(call, (OfferEnd::Cancelled, why), "ended before anybody picked up".to_owned(), now, out);
        }
        CallInput::RecordingFailed(reason) => ending::fail_recording(call, reason, out),
        CallInput::Reoffered { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Ringing { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::Sealed(_) => {}
    }
}

/// A port is open: the regulator's phone is dialled, or waits until the other side picks up; then the number is dialled.
fn opened(call: &mut Call, leg: LegId, rtp: SocketAddr, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &call.state else { return };
    let (trunk, number, by) = (calling.trunk.clone(), calling.number.clone(), calling.by);
    if !call.leg(leg).is_some_and(|leg| leg.state == LegState::Opening) {
        return;
    }
    if leg.number == 0 {
        let prefer = match &calling.from {
            Start::Phone(remote) => remote.codec,
            Start::Rung(_) => by.and_then(|by| call.leg(by)?.remote()).map_or(Codec::Pcma, |remote| remote.codec),
        };
        return callback::dial_number(call, (rtp, prefer), (trunk, number), out);
    }
    match &calling.from {
        Start::Phone(_) => {
            if let Some(own) = call.leg_mut(leg) {
                own.state = LegState::Dialling { local: rtp };
            }
            out.push(Decision::Media(MediaCommand::Open { leg: call.caller_leg() }));
        }
        Start::Rung(_) => {
            let to = call
                .leg(leg)
                .and_then(|leg| Some(Party::Device { regulator: leg.regulator.clone()?, device: leg.device? }));
            if let Some(to) = to {
                call.dial(leg, to, rtp, out);
            }
        }
    }
}

/// It rings at the number: the phone that has dialled hears so.
fn rings(call: &mut Call, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &mut call.state else { return };
    let (Start::Phone(_), Some(leg)) = (&calling.from, calling.by) else { return };
    if !std::mem::replace(&mut calling.has_rung, true) {
        out.push(Decision::Leg(LegOrder::Ring { leg }));
    }
}

/// The regulator has picked up: the number is dialled, and music is heard meanwhile.
fn picked_up(call: &mut Call, leg: LegId, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &mut call.state else { return };
    let Start::Rung(ringing) = &mut calling.from else { return };
    if !ringing.contains(&leg) {
        return;
    }
    let others: Vec<LegId> = std::mem::take(ringing).into_iter().filter(|other| *other != leg).collect();
    let until = now.moment + CONSULT_RING_MAX;
    (calling.by, calling.until) = (Some(leg), until);
    let regulator = calling.regulator.clone();
    call.deadline = Some(until);
    for other in others {
        call.hang_up(other, EndedBy::AnsweredElsewhere, now, out);
    }
    out.push(Decision::Room(RoomChange::Answered { regulator }));
    out.push(Decision::Media(MediaCommand::Aim { leg, remote: remote.clone() }));
    if let Some(answered) = call.leg_mut(leg) {
        answered.connect(remote, now);
    }
    if let Some(answered) = call.leg(leg) {
        bridge::entertain(answered, Some(&call.line.hold_music), out);
    }
    out.push(Decision::Media(MediaCommand::Open { leg: call.caller_leg() }));
    out.push(Decision::Keep);
}

/// The other side has picked up: a conversation like any other from now on.
fn reached(call: &mut Call, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &call.state else { return };
    let (Some(by), leg) = (calling.by, call.caller_leg()) else { return };
    if !call.leg(leg).is_some_and(|far| matches!(far.state, LegState::Dialling { .. })) {
        return;
    }
    let (regulator, from) = (calling.regulator.clone(), calling.from.clone());
    call.record.accepted_at = Some(now.utc);
    if let Some(far) = call.leg_mut(leg) {
        far.connect(remote.clone(), now);
    }
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    if let Start::Phone(remote) = from
        && let Some(own) = call.leg_mut(by)
        && let LegState::Dialling { local } = own.state
    {
        own.connect(RemoteMedia::clone(&remote), now);
        out.push(Decision::Media(MediaCommand::Aim { leg: by, remote: *remote }));
        out.push(Decision::Leg(LegOrder::Accept { leg: by, local }));
    }
    call.state = State::Talking { leg: by };
    talking::set_deadline(call);
    call.record.answered_at = Some(now.utc);
    call.record_leg(leg, now, out);
    call.record_leg(by, now, out);
    talking::join(call, by, out);
    out.push(Decision::Room(RoomChange::TakesOver { regulator: regulator.clone() }));
    out.push(Decision::Served);
    let recorded = call.is_to_be_recorded();
    call.tell(EventKind::CallReached { by: regulator, to: call.record.caller.clone(), recorded }, out);
    out.push(Decision::Keep);
}

/// A phone of the regulator's, or the number, came to nothing.
fn refused(call: &mut Call, leg: LegId, refusal: Refusal, now: Now, out: &mut Vec<Decision>) {
    if leg.number == 0 {
        let why = match refusal.kind {
            RefusalKind::Busy | RefusalKind::Declined => EndedBy::Refused,
            RefusalKind::Unreachable => EndedBy::NoAnswer,
        };
        let told = match refusal.kind {
            RefusalKind::Busy => Unserved::Busy,
            RefusalKind::Declined => Unserved::Declined,
            RefusalKind::Unreachable => Unserved::Unavailable,
        };
        refuse_phone(call, told, now, out);
        return give_up(call, (OfferEnd::Cancelled, why), refusal.detail, now, out);
    }
    let State::CallingOut(calling) = &mut call.state else { return };
    let Start::Rung(ringing) = &mut calling.from else {
        return give_up(call, (OfferEnd::Cancelled, EndedBy::DeviceLost), refusal.detail, now, out);
    };
    ringing.retain(|one| *one != leg);
    let is_last = ringing.is_empty() && calling.by.is_none();
    match refusal.kind {
        RefusalKind::Declined => give_up(call, (OfferEnd::Refused, EndedBy::Refused), refusal.detail, now, out),
        RefusalKind::Busy if is_last => give_up(call, (OfferEnd::Refused, EndedBy::Refused), refusal.detail, now, out),
        RefusalKind::Unreachable if is_last => match std::mem::take(&mut calling.refusals).busy {
            Some(detail) => give_up(call, (OfferEnd::Refused, EndedBy::Refused), detail, now, out),
            None => give_up(call, (OfferEnd::Failed, EndedBy::DeviceLost), refusal.detail, now, out),
        },
        RefusalKind::Busy => calling.refusals.busy = Some(refusal.detail),
        RefusalKind::Unreachable => {}
    }
}

/// The phone that has dialled hears why, as phones are told.
fn refuse_phone(call: &mut Call, why: Unserved, now: Now, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &call.state else { return };
    let (Start::Phone(_), Some(leg)) = (&calling.from, calling.by) else { return };
    if let Some(own) = call.leg_mut(leg).filter(|own| own.is_alive()) {
        own.end(EndedBy::Refused, None, now);
        out.push(Decision::Leg(LegOrder::Refuse { leg, why }));
        out.push(Decision::Media(MediaCommand::Close { leg }));
    }
}

fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &call.state else { return };
    if now.moment < calling.until {
        return;
    }
    let at_desk = calling.by.is_none();
    refuse_phone(call, Unserved::Unavailable, now, out);
    let (end, who) = if at_desk { (OfferEnd::TimedOut, "the regulator") } else { (OfferEnd::Cancelled, "nobody") };
    let detail = if at_desk { format!("{who} did not pick up") } else { format!("{who} picked up at the number") };
    give_up(call, (end, EndedBy::NoAnswer), detail, now, out);
}

/// It comes to nothing: the regulator is what he was before.
fn give_up(call: &mut Call, (end, by): (OfferEnd, EndedBy), detail: String, now: Now, out: &mut Vec<Decision>) {
    let State::CallingOut(calling) = &call.state else { return };
    let regulator = calling.regulator.clone();
    refuse_phone(call, Unserved::Unavailable, now, out);
    // Each of these holds only for who rings for this call or talks on it.
    out.push(Decision::Room(RoomChange::OfferEnded { regulator: regulator.clone(), end }));
    out.push(Decision::Room(RoomChange::Released { regulator }));
    ending::end(call, Ending::new(Outcome::Unreached, by).saying(detail), now, out);
}
