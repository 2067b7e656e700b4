//! A caller is put through to an outside number without a regulator: the SAMU by a key, or wherever the line says.

use std::net::SocketAddr;

use super::consult::CONSULT_RING_MAX;
use super::decision::{CallInput, Decision};
use super::ending::{self, Ending};
use super::leg::{Leg, LegState};
use super::life::{Call, LEGS_MAX, SOUND_DURATION_MAX, State};
use super::onward::{self, Unmet};
use super::signal::Party;
use super::{opening, talking, ways};
use crate::model::media::AfterSounds;
use crate::model::{EndedBy, EventKind, LegId, MediaCommand, Now, Outcome, RemoteMedia, Side, SoundId, TrunkId};
use crate::routing;

/// A caller for whom it rings at an outside number.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    trunk: TrunkId,
    number: String,
    /// The leg that is dialled; none while the caller hears that the call is recorded.
    leg: Option<LegId>,
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

/// The number is dialled; the caller hears `say` and then music. Nobody else rings for the caller meanwhile. Who was not told
/// yet that the call is recorded hears that to its end first.
pub fn begin(
    call: &mut Call,
    number: &str,
    (say, if_failed): (Vec<SoundId>, IfFailed),
    now: Now,
    out: &mut Vec<Decision>,
) {
    ways::leave_room(call, now, out);
    let has_room = call.legs.len() < usize::from(LEGS_MAX);
    let dialled = routing::outside(&call.centre, number).filter(|_| has_room);
    let Some((trunk, number)) = dialled else { return give_up(call, if_failed, now, out) };
    let notice = opening::unheard_notice(call);
    call.state = State::Forwarding(Box::new(Forward { trunk, number, leg: None, if_failed }));
    match notice {
        Some(notice) => {
            call.deadline = Some(now.moment + SOUND_DURATION_MAX);
            let told = say.into_iter().chain([notice]).collect();
            call.play(call.caller_leg(), told, AfterSounds::Report, out);
        }
        None => open(call, say, now, out),
    }
}

/// The caller knows that the call is recorded: the number is dialled.
fn open(call: &mut Call, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &mut call.state else { return };
    let leg = LegId { call: call.id, number: call.legs.len() as u16 };
    forward.leg = Some(leg);
    let mut outside = Leg::new(leg, Side::Outside, now);
    outside.dialled = Some(forward.number.clone());
    call.legs.push(outside);
    call.deadline = Some(now.moment + CONSULT_RING_MAX);
    out.push(Decision::Media(MediaCommand::Open { leg }));
    ways::play_then_music(call, say, out);
}

/// It rings at the outside number.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &call.state else { return };
    let dialled = forward.leg;
    match input {
        CallInput::Opened { leg, rtp } if Some(leg) == dialled => dial(call, rtp, out),
        CallInput::Accepted { leg, remote } if Some(leg) == dialled => answered(call, remote, now, out),
        CallInput::OpenFailed { leg, .. } | CallInput::Refused { leg, .. } | CallInput::Ended { leg, .. }
            if Some(leg) == dialled =>
        {
            failed(call, now, out);
        }
        CallInput::Played { leg } if leg.number == 0 && dialled.is_none() => open(call, Vec::new(), now, out),
        CallInput::Due => match dialled {
            Some(dialled) => {
                call.hang_up(dialled, EndedBy::NoAnswer, now, out);
                failed(call, now, out);
            }
            None => open(call, Vec::new(), now, out),
        },
        CallInput::Ended { leg, .. } if leg.number == 0 => ending::abandon(call, now, out),
        CallInput::Silent { leg } if leg.number == 0 => ending::caller_is_silent(call, now, out),
        CallInput::Closed { leg, .. } if leg.number == 0 => ending::media_is_lost(call, now, out),
        CallInput::Closed { leg, .. } if Some(leg) == dialled => failed(call, now, out),
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
    let Some(leg) = forward.leg else { return };
    let to = Party::Number { trunk: forward.trunk.clone(), number: forward.number.clone() };
    if call.leg(leg).is_some_and(|leg| leg.state == LegState::Opening) {
        call.dial(leg, to, rtp, out);
    }
}

fn answered(call: &mut Call, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::Forwarding(forward) = &call.state else { return };
    let Some(leg) = forward.leg else { return };
    let to = forward.number.clone();
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
