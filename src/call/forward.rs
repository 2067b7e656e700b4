//! A caller is put through to an outside number without a regulator: the SAMU by a key, or wherever the line says.

use std::net::SocketAddr;

use super::consult::CONSULT_RING_MAX;
use super::decision::{CallInput, Decision};
use super::ending::{self, Ending};
use super::leg::{Leg, LegState};
use super::life::{Call, LEGS_MAX, State};
use super::onward::{self, Unmet};
use super::signal::Party;
use super::{talking, ways};
use crate::model::{
    EndedBy, EventKind, LegId, MediaCommand, Moment, Now, Outcome, RemoteMedia, Side, SoundId, TrunkId,
};
use crate::routing;

/// A caller for whom it rings at an outside number.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    trunk: TrunkId,
    number: String,
    /// The leg that is dialled.
    leg: LegId,
    until: Moment,
    if_failed: IfFailed,
}

/// What becomes of a caller whom the outside number does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfFailed {
    /// Waits, in the place that it had.
    Wait,
    /// Hears the last message of the line that could not serve it.
    End(Unmet),
}

/// The number is dialled; the caller hears `say` and then music. Nobody else rings for the caller meanwhile.
pub fn begin(
    call: &mut Call,
    number: &str,
    (say, if_failed): (Vec<SoundId>, IfFailed),
    now: Now,
    out: &mut Vec<Decision>,
) {
    ways::leave_room(call, now, out);
    let leg = LegId { call: call.id, number: call.legs.len() as u16 };
    let dialled = routing::outside(&call.centre, number).filter(|_| leg.number < LEGS_MAX);
    let Some((trunk, number)) = dialled else { return give_up(call, if_failed, now, out) };
    let mut outside = Leg::new(leg, Side::Outside, now);
    outside.dialled = Some(number.clone());
    call.legs.push(outside);
    out.push(Decision::Media(MediaCommand::Open { leg }));
    ways::play_then_music(call, say, out);
    let until = now.moment + CONSULT_RING_MAX;
    call.deadline = Some(until);
    call.state = State::Forwarding(Box::new(Forward { trunk, number, leg, until, if_failed }));
}

/// It rings at the outside number.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &call.state else { return };
    let dialled = forward.leg;
    match input {
        CallInput::Opened { leg, rtp } if leg == dialled => dial(call, rtp, out),
        CallInput::Accepted { leg, remote } if leg == dialled => answered(call, remote, now, out),
        CallInput::OpenFailed { leg, .. } | CallInput::Refused { leg, .. } | CallInput::Ended { leg, .. }
            if leg == dialled =>
        {
            failed(call, now, out);
        }
        CallInput::Due => {
            call.hang_up(dialled, EndedBy::NoAnswer, now, out);
            failed(call, now, out);
        }
        CallInput::Ended { leg, .. } if leg.number == 0 => ending::abandon(call, now, out),
        CallInput::Silent { leg } if leg.number == 0 => ending::caller_is_silent(call, now, out),
        CallInput::Closed { leg, .. } if leg.number == 0 => ending::media_is_lost(call, now, out),
        CallInput::Closed { leg, .. } if leg == dialled => failed(call, now, out),
        CallInput::End(by) => ending::end(call, Ending::new(Outcome::Interrupted, by), now, out),
        CallInput::RecordingFailed(reason) => ending::fail_recording(call, reason, out),
        CallInput::Opened { .. }
        | CallInput::OpenFailed { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Ended { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::Sealed(_) => {}
    }
}

fn dial(call: &mut Call, rtp: SocketAddr, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &call.state else { return };
    let (leg, to) = (forward.leg, Party::Number { trunk: forward.trunk.clone(), number: forward.number.clone() });
    if call.leg(leg).is_some_and(|leg| leg.state == LegState::Opening) {
        call.dial(leg, to, rtp, out);
    }
}

fn answered(call: &mut Call, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &call.state else { return };
    let (leg, to) = (forward.leg, forward.number.clone());
    if let Some(answered) = call.leg_mut(leg) {
        answered.connect(remote.clone(), now);
    }
    call.accept_caller(now, out);
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    call.state = State::Talking { leg };
    talking::set_deadline(call);
    let caller = call.caller_leg();
    call.record_leg(caller, now, out);
    call.record_leg(leg, now, out);
    talking::join(call, leg, out);
    note_outside(call, leg, to, now, out);
    out.push(Decision::Keep);
}

/// An outside number has the caller, whom no regulator had: the wait is over, and the person is owed nothing.
pub fn note_outside(call: &mut Call, leg: LegId, to: String, now: Now, out: &mut Vec<Decision>) {
    call.record.wait_ended_at.get_or_insert(now.utc);
    if let Some(outside) = call.leg_mut(leg) {
        outside.dialled.get_or_insert_with(|| to.clone());
    }
    out.push(Decision::Served);
    call.tell(EventKind::CallForwarded { to }, out);
}

fn failed(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &call.state else { return };
    let if_failed = forward.if_failed;
    give_up(call, if_failed, now, out);
}

fn give_up(call: &mut Call, if_failed: IfFailed, now: Now, out: &mut Vec<Decision>) {
    match if_failed {
        IfFailed::Wait => ways::wait(call, Vec::new(), now, out),
        IfFailed::End(why) => onward::end(call, why, now, out),
    }
}
