//! A phone takes the place of the one that talks with the caller (RFC 3891): another device, or a colleague's.

use std::net::SocketAddr;

use super::consult::Partner;
use super::decision::{Decision, RoomChange};
use super::leg::LegState;
use super::life::{Call, MEDIA_ANSWER_MAX, State};
use super::signal::{LegOrder, Unserved};
use super::talking::set_deadline;
use super::transfer::{Leave, follow, offer_record, tell};
use crate::model::event::TransferKind;
use crate::model::{EndedBy, LegId, MediaCommand, Moment, Now, OfferEnd, RegulatorId, RemoteMedia};

/// A phone that has dialled to take a place.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeOver {
    /// Its leg, in this call now.
    pub leg: LegId,
    /// The leg whose place it takes.
    pub of: LegId,
    /// What its SDP offered.
    pub remote: RemoteMedia,
    /// The colleague, when it is not the same person: lent to this call by the waiting room.
    pub lent: Option<RegulatorId>,
}

/// A phone whose port is being opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Taking {
    /// Its leg.
    pub leg: LegId,
    /// When it is given up.
    pub until: Moment,
    remote: RemoteMedia,
    lent: Option<RegulatorId>,
}

/// Its port is opened.
pub fn begin(call: &mut Call, take_over: TakeOver, now: Now, out: &mut Vec<Decision>) {
    let TakeOver { leg, remote, lent, .. } = take_over;
    if call.taking.is_some() {
        return withdraw(call, leg, lent, now, out);
    }
    call.taking = Some(Taking { leg, until: now.moment + MEDIA_ANSWER_MAX, remote, lent });
    set_deadline(call);
    out.push(Decision::Media(MediaCommand::Open { leg }));
}

/// Its port is open: it is accepted and has the caller, and the other is hung up.
pub fn opened(call: &mut Call, leg: LegId, rtp: SocketAddr, now: Now, out: &mut Vec<Decision>) {
    let State::Talking { leg: by } = call.state else { return };
    let Some(Taking { remote, lent, .. }) = call.taking.take_if(|taking| taking.leg == leg) else { return };
    if let Some(taker) = call.leg_mut(leg) {
        taker.connect(remote.clone(), now);
    }
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    out.push(Decision::Leg(LegOrder::Accept { leg, local: rtp }));
    let offer = lent.as_ref().map(|lent| offer_record(call, lent, by, now, out));
    follow(call, leg, Leave { by, answer_to: None }, now, out);
    // RFC 3891 §3: the replaced dialog is ended at once.
    call.leaving.retain(|(leaving, _)| *leaving != by);
    set_deadline(call);
    call.hang_up(by, EndedBy::AnsweredElsewhere, now, out);
    match lent {
        Some(id) => {
            out.push(Decision::Room(RoomChange::Answered { regulator: id.clone() }));
            let to = Partner::Regulator { id, devices: Vec::new() };
            tell(call, (by, leg), (&to, TransferKind::Attended, offer), now, out);
        }
        None => out.push(Decision::Keep),
    }
}

/// This phone does not take the place after all.
pub fn give_up(call: &mut Call, leg: LegId, now: Now, out: &mut Vec<Decision>) {
    if call.taking.as_ref().is_some_and(|taking| taking.leg == leg) {
        give_up_any(call, now, out);
    }
}

/// Whoever was about to take the place does not.
pub fn give_up_any(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let Some(Taking { leg, lent, .. }) = call.taking.take() else { return };
    if let Some(taker) = call.leg_mut(leg).filter(|leg| leg.is_alive()) {
        taker.end(EndedBy::Refused, None, now);
        out.push(Decision::Media(MediaCommand::Close { leg }));
    }
    withdraw(call, leg, lent, now, out);
    set_deadline(call);
}

/// The phone is refused; its person goes back to what he was.
pub fn withdraw(call: &mut Call, leg: LegId, lent: Option<RegulatorId>, now: Now, out: &mut Vec<Decision>) {
    out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Unavailable }));
    if let Some(refused) = call.leg_mut(leg).filter(|leg| leg.is_alive()) {
        refused.end(EndedBy::Refused, None, now);
        // No port was asked for, so none will be told closed.
        refused.state = LegState::Closed;
    }
    if let Some(regulator) = lent {
        out.push(Decision::Room(RoomChange::OfferEnded { regulator, end: OfferEnd::Cancelled }));
    }
}
