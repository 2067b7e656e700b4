//! From the INVITE to the waiting room: the port, the acceptance or early media, the greeting.

use std::net::SocketAddr;
use std::time::Duration;

use super::decision::{CallInput, Decision, RoomChange};
use super::ending::{self, Ending};
use super::leg::Leg;
use super::life::{Call, SOUND_DURATION_MAX, State};
use super::onward::{self, Unmet};
use super::signal::{LegOrder, Unserved};
use super::{ivr, ways};
use crate::model::centre::{Accept, GreetingMode};
use crate::model::media::AfterSounds;
use crate::model::{Counter, EndedBy, EventKind, LegQuality, MediaCommand, Now, Outcome, SoundId};

/// The first decisions of a call.
pub fn begin(call: &mut Call, blocked: Option<String>, now: Now, out: &mut Vec<Decision>) {
    out.push(Decision::Count(Counter::CallsReceived));
    let received = EventKind::received(&call.record);
    call.tell(received, out);
    out.push(Decision::Keep);
    match blocked {
        Some(why) => turn_away(call, why, now, out),
        None => out.push(Decision::Media(MediaCommand::Open { leg: call.caller_leg() })),
    }
}

/// A blocked caller is refused before a port is opened; the record says why.
fn turn_away(call: &mut Call, why: String, now: Now, out: &mut Vec<Decision>) {
    let leg = call.caller_leg();
    out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Declined }));
    if let Some(caller) = call.leg_mut(leg) {
        caller.end(EndedBy::Refused, Some(why.clone()), now);
        caller.close(LegQuality::default());
    }
    ending::end(call, Ending::new(Outcome::Refused, EndedBy::Refused).saying(why), now, out);
}

/// The caller's port is being opened.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Opened { leg, rtp } if leg.number == 0 => accept(call, rtp, now, out),
        CallInput::OpenFailed { why, .. } => refuse(call, why, now, out),
        CallInput::Due => refuse(call, "the media plane did not open a port in time".into(), now, out),
        CallInput::End(by) => {
            out.push(Decision::Leg(LegOrder::Refuse { leg: call.caller_leg(), why: Unserved::Overloaded }));
            ending::end(call, Ending::new(Outcome::Interrupted, by), now, out);
        }
        CallInput::Ended { .. } => ending::abandon(call, now, out),
        CallInput::Opened { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_) => {}
    }
}

fn refuse(call: &mut Call, why: String, now: Now, out: &mut Vec<Decision>) {
    let leg = call.caller_leg();
    out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Overloaded }));
    if let Some(caller) = call.leg_mut(leg).filter(|leg| leg.is_alive()) {
        caller.end(EndedBy::Fault, Some(why.clone()), now);
        out.push(Decision::Media(MediaCommand::Close { leg }));
    }
    ending::end(call, Ending::new(Outcome::Refused, EndedBy::Fault).saying(why), now, out);
}

fn accept(call: &mut Call, rtp: SocketAddr, now: Now, out: &mut Vec<Decision>) {
    let leg = call.caller_leg();
    let State::Opening { remote, open } = std::mem::replace(&mut call.state, State::Greeting) else { return };
    let is_early = call.line.accept == Accept::Answered;
    let watched = !remote.direction.is_held() && !is_early;
    out.push(Decision::Media(MediaCommand::Aim { leg, remote: remote.clone() }));
    out.push(Decision::Media(MediaCommand::Watch { leg, on: watched }));
    if let Some(caller) = call.leg_mut(leg) {
        caller.hear(remote);
    }
    call.early = Some(rtp);
    match call.line.accept {
        Accept::AtOnce => call.accept_caller(now, out),
        Accept::Answered => out.push(Decision::Leg(LegOrder::Progress { leg, local: rtp })),
    }
    if !open {
        return onward::lead(call, Unmet::Closed, now, out);
    }
    let told = call.line.greeting.iter().chain(call.rule.notice()).chain(&call.surge);
    let mut said: Vec<SoundId> = told.cloned().collect();
    if said.is_empty() {
        return begin_waiting(call, now, out);
    }
    call.hears.greeted = true;
    call.hears.noticed |= call.rule.notice().is_some();
    call.deadline = Some(now.moment + SOUND_DURATION_MAX);
    match (call.line.greeting_mode, &call.line.voice.menu) {
        (GreetingMode::Before, _) | (GreetingMode::Meanwhile, Some(_)) => {
            call.play(leg, said, AfterSounds::Report, out);
        }
        (GreetingMode::Meanwhile, None) => {
            said.push(call.line.music.clone());
            call.play(leg, said, AfterSounds::RepeatLast, out);
            enter(call, now, out);
        }
    }
}

/// That the call is recorded, for who was not told yet; whoever asks says it.
pub fn unheard_notice(call: &mut Call) -> Option<SoundId> {
    let notice = call.rule.notice().filter(|_| !call.hears.noticed).cloned();
    call.hears.noticed |= notice.is_some();
    notice
}

/// Who was led on hears to its end, before anybody answers, what was not heard yet: that the call is recorded, and the greeting
/// of the line that takes it; `false`: there is nothing to hear.
pub fn greet(call: &mut Call, say: &[SoundId], now: Now, out: &mut Vec<Decision>) -> bool {
    let is_greeted = call.hears.greeted || call.line.greeting.is_none();
    let mut unheard: Vec<SoundId> = unheard_notice(call).into_iter().collect();
    if !is_greeted {
        unheard.extend(call.line.greeting.iter().chain(&call.surge).cloned());
        call.hears.greeted = true;
    }
    if unheard.is_empty() {
        return false;
    }
    call.state = State::Greeting;
    call.deadline = Some(now.moment + SOUND_DURATION_MAX);
    call.play(call.caller_leg(), say.iter().cloned().chain(unheard).collect(), AfterSounds::Report, out);
    true
}

/// The greeting is heard.
pub fn greeting(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Played { leg } if leg.number == 0 => begin_waiting(call, now, out),
        CallInput::Due => begin_waiting(call, now, out),
        CallInput::Ended { leg, .. } if leg.number == 0 => ending::abandon(call, now, out),
        CallInput::Silent { leg } if leg.number == 0 => ending::caller_is_silent(call, now, out),
        CallInput::End(by) => ending::end(call, Ending::new(Outcome::Interrupted, by), now, out),
        CallInput::Closed { leg, .. } if leg.number == 0 => ending::media_is_lost(call, now, out),
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
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_) => {}
    }
}

/// The caller chooses, where the line has a menu, or waits.
fn begin_waiting(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    match call.line.voice.menu.clone() {
        Some(menu) => ivr::begin(call, &menu, Vec::new(), now, out),
        None => ways::wait(call, Vec::new(), now, out),
    }
}

/// The caller is recorded from the waiting room on, where the line says so.
pub fn record_wait(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let caller = call.caller_leg();
    if call.rule.waiting && call.leg(caller).is_some_and(Leg::is_alive) {
        call.record_leg(caller, now, out);
    }
}

/// The call enters the waiting room.
pub fn enter(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    call.record.queued_at = Some(now.utc);
    // A person who was not served a while ago goes on waiting where that wait ended.
    call.queued = now.before(Duration::from_millis(call.record.person.kept_wait_ms));
    call.state = State::Waiting;
    call.waits_until = now.moment + call.line.waiting_max;
    call.deadline = Some(call.waits_until);
    let queued = EventKind::queued(&call.record, &call.demand.needs);
    call.tell(queued, out);
    record_wait(call, now, out);
    out.push(Decision::Keep);
    out.push(Decision::Room(RoomChange::Enter { since: call.queued }));
}
