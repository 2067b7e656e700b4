//! The end of a call: the last message, the hang-ups, the record, the seal.

use std::time::Duration;

use super::callback::{self, Plan};
use super::decision::{CallInput, Decision, RoomChange};
use super::guests;
use super::leg::LegState;
use super::life::{Call, MEDIA_ANSWER_MAX, SEAL_WAIT_MAX, State};
use super::persons::Parting;
use super::signal::{LegOrder, Unserved};
use super::voicemail::Message;
use crate::model::{Counter, EndedBy, EventKind, LegId, MediaCommand, Now, Outcome, RecorderCommand};

/// The caller hung up before an answer.
pub fn abandon(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    if call.record.answered_at.is_some() {
        return end(call, Ending::new(Outcome::Answered, EndedBy::Caller), now, out);
    }
    // On the same clock as everywhere: from the waiting room on; nothing for who hung up during the greeting.
    let wait_ms = call.record.queued_at.map_or(0, |queued| now.utc.since(queued).as_millis() as u64);
    call.tell(EventKind::CallAbandoned { wait_ms }, out);
    out.push(Decision::Count(Counter::CallsAbandoned));
    let by = call.leg(call.caller_leg()).and_then(|leg| leg.record().ended_by).unwrap_or(EndedBy::Caller);
    end(call, Ending::new(Outcome::Abandoned, by), now, out);
}

/// No RTP came from the caller for the configured time.
pub fn caller_is_silent(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    end(call, Ending::new(Outcome::Abandoned, EndedBy::Silence).saying("no RTP from the caller"), now, out);
}

/// The media plane closed the caller's ports by itself.
pub fn media_is_lost(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    end(call, Ending::new(Outcome::Interrupted, EndedBy::Fault).saying("the caller's media was lost"), now, out);
}

/// A last message is heard.
pub fn farewell(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let State::Farewell { outcome, detail } = &call.state else { return };
    let (outcome, detail) = (*outcome, detail.clone());
    match input {
        CallInput::Played { leg } if leg.number == 0 => {
            end(call, Ending::new(outcome, EndedBy::Message).saying(detail), now, out);
        }
        CallInput::Due => end(call, Ending::new(outcome, EndedBy::Message).saying(detail), now, out),
        CallInput::Ended { leg, .. } if leg.number == 0 => {
            end(call, Ending::new(outcome, EndedBy::Caller).saying(detail), now, out);
        }
        CallInput::Silent { leg } if leg.number == 0 => {
            end(call, Ending::new(outcome, EndedBy::Silence).saying(detail), now, out);
        }
        CallInput::Closed { leg, .. } if leg.number == 0 => {
            end(call, Ending::new(outcome, EndedBy::Fault).saying(detail), now, out);
        }
        CallInput::End(by) => end(call, Ending::new(outcome, by).saying(detail), now, out),
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

/// How a call comes to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// As one word.
    pub outcome: Outcome,
    /// By whom.
    pub by: EndedBy,
    /// In words for people.
    pub detail: Option<String>,
}

impl Ending {
    /// An end that needs no words.
    pub fn new(outcome: Outcome, by: EndedBy) -> Ending {
        Ending { outcome, by, detail: None }
    }

    /// The same end, with words.
    pub fn saying(self, detail: impl Into<String>) -> Ending {
        Ending { detail: Some(detail.into()), ..self }
    }
}

/// Ends the call: it waits no more, every leg is hung up; the rest follows when the media plane has closed them.
pub fn end(call: &mut Call, ending: Ending, now: Now, out: &mut Vec<Decision>) {
    // Here and not where the end is decided: an ended call that still waits would be given to a regulator.
    out.push(Decision::Room(RoomChange::Leave));
    let Ending { outcome, by, detail } = ending;
    let is_owed = outcome != Outcome::Superseded && !callback::goes_on(call, outcome);
    let parting = unserved(call, (outcome, by), now).filter(|_| is_owed);
    // A caller whose regulator vanished waits again, and may overflow or hang up then: answered all the same, or
    // the counts of answered calls and of answers would disagree.
    let was_answered = call.record.answered_at.is_some() && by != EndedBy::Fault;
    call.record.ended_at = Some(now.utc);
    call.record.outcome = Some(if was_answered { Outcome::Answered } else { outcome });
    call.record.ended_by = Some(by);
    call.record.detail = detail;
    out.extend(parting.map(Decision::Parted));
    if call.early.take().is_some() {
        refuse_unaccepted(call, (outcome, by), now, out);
    }
    guests::dismiss(call, by, now, out);
    let legs: Vec<LegId> = call.legs.iter().map(|leg| leg.id).collect();
    for leg in legs {
        call.hang_up(leg, by, now, out);
    }
    if outcome == Outcome::CallBack {
        out.push(Decision::Recall(Plan::first()));
    }
    call.state = State::Ending;
    call.deadline = Some(now.moment + MEDIA_ANSWER_MAX);
    if is_closed(call) {
        tell_end(call, now, out);
    }
}

/// How a caller parts whom nobody has served: still waiting, or cut off in conversation.
fn unserved(call: &Call, (outcome, by): (Outcome, EndedBy), now: Now) -> Option<Parting> {
    // Who has asked for a call-back or heard what there was is owed nothing more than that.
    if matches!(outcome, Outcome::CallBack | Outcome::Informed) {
        return None;
    }
    let kept = Duration::from_millis(call.record.person.kept_wait_ms);
    let so_far = || call.record.queued_at.map_or(kept, |_| now.utc.since(call.queued.utc));
    let is_cut_off = match by {
        EndedBy::Silence | EndedBy::NoAck | EndedBy::DeviceLost | EndedBy::Fault | EndedBy::Shutdown => true,
        EndedBy::Caller
        | EndedBy::Regulator
        | EndedBy::Message
        | EndedBy::AnsweredElsewhere
        | EndedBy::NoAnswer
        | EndedBy::Operator
        | EndedBy::Refused => false,
    };
    match call.state {
        // Who has left a message is owed nothing more than that.
        State::Voicemail(Message::Spoken) => None,
        State::Opening { .. }
        | State::Greeting
        | State::Choosing(_)
        | State::Forwarding(_)
        | State::Voicemail(Message::Prompted)
        | State::Waiting
        | State::Offering(_)
        | State::Postponed
        | State::Recalling(_)
        | State::Farewell { .. } => {
            // A call-back that could not even be tried, three times, or at all.
            let is_promised = call.recall.is_some();
            Some(Parting { wait: so_far(), makes_task: true, is_promised })
        }
        State::Talking { .. } | State::Transferring(_) if is_cut_off => {
            let wait = Duration::from_millis(call.record.wait_ms().unwrap_or_default());
            Some(Parting { wait: wait + kept, makes_task: false, is_promised: false })
        }
        State::Talking { .. } | State::Transferring(_) | State::CallingOut(_) | State::Ending | State::Sealing => None,
    }
}

/// A caller who heard us without being accepted is refused, with what tells its network why.
fn refuse_unaccepted(call: &mut Call, (outcome, by): (Outcome, EndedBy), now: Now, out: &mut Vec<Decision>) {
    let leg = call.caller_leg();
    let Some(caller) = call.leg_mut(leg).filter(|leg| leg.is_alive()) else { return };
    let why = if by == EndedBy::Fault {
        Unserved::Fault
    } else if outcome == Outcome::Overflowed || by == EndedBy::Shutdown {
        Unserved::Overloaded
    } else {
        Unserved::Unavailable
    };
    caller.end(by, None, now);
    out.push(Decision::Leg(LegOrder::Refuse { leg, why }));
    out.push(Decision::Media(MediaCommand::Close { leg }));
}

fn is_closed(call: &Call) -> bool {
    call.legs.iter().all(|leg| leg.state == LegState::Closed)
}

/// The ports are being closed.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Closed { .. } | CallInput::OpenFailed { .. } => {
            if is_closed(call) {
                tell_end(call, now, out);
            }
        }
        CallInput::Due => tell_end(call, now, out),
        CallInput::RecordingFailed(reason) => fail_recording(call, reason, out),
        CallInput::Opened { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
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
        | CallInput::End(_)
        | CallInput::Sealed(_) => {}
    }
}

/// The call record is complete: it is stored and told, and the recorder may seal.
fn tell_end(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    call.record.legs = call.legs.iter().map(super::leg::Leg::record).collect();
    let ended = EventKind::ended(&call.record);
    call.tell(ended, out);
    out.push(Decision::Keep);
    if !call.recording {
        return out.push(Decision::Over);
    }
    let record = Box::new(call.record.clone());
    out.push(Decision::Recorder(RecorderCommand::Finish { call: call.id, at: now, record }));
    call.state = State::Sealing;
    call.deadline = Some(now.moment + SEAL_WAIT_MAX);
}

/// The recording is being sealed.
pub fn sealing(call: &mut Call, input: CallInput, out: &mut Vec<Decision>) {
    match input {
        CallInput::Sealed(sealed) => {
            out.push(Decision::KeepRecording(sealed.clone()));
            call.tell(sealed.event(), out);
            out.push(Decision::Over);
        }
        CallInput::RecordingFailed(reason) => fail_recording(call, reason, out),
        CallInput::Due => {
            if !call.has_failed_recording {
                fail_recording(call, "the recorder did not seal in time".into(), out);
            }
            out.push(Decision::Over);
        }
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
        | CallInput::End(_) => {}
    }
}

/// Told once; the recorder goes on trying, and a seal that comes after all is told as well.
pub fn fail_recording(call: &mut Call, reason: String, out: &mut Vec<Decision>) {
    if call.has_failed_recording {
        return;
    }
    call.has_failed_recording = true;
    out.push(Decision::KeepFailure(reason.clone()));
    call.tell(EventKind::RecordingFailed { reason }, out);
}

/// What the caller was promised before a fault.
fn promised(call: &Call) -> Outcome {
    match &call.state {
        State::Farewell { outcome, .. } => *outcome,
        State::Opening { .. }
        | State::Greeting
        | State::Choosing(_)
        | State::Forwarding(_)
        | State::Voicemail(_)
        | State::Waiting
        | State::Offering(_)
        | State::Postponed
        | State::Recalling(_)
        | State::CallingOut(_)
        | State::Talking { .. }
        | State::Transferring(_)
        | State::Ending
        | State::Sealing => Outcome::Interrupted,
    }
}

/// A fault of our own: the call ends without asking any state's code, and what was recorded is sealed.
pub fn fail(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let legs: Vec<LegId> = call.legs.iter().map(|leg| leg.id).collect();
    for leg in legs {
        call.hang_up(leg, EndedBy::Fault, now, out);
    }
    if call.state == State::Sealing {
        return out.push(Decision::Over);
    }
    // A call that was ending already keeps its own end; told and sealed it must be all the same.
    if call.record.ended_at.is_none() {
        call.record.ended_at = Some(now.utc);
        call.record.outcome = Some(Outcome::Interrupted);
        call.record.ended_by = Some(EndedBy::Fault);
        call.record.detail = Some("a fault in Vigie ended the call".to_owned());
        out.extend(unserved(call, (promised(call), EndedBy::Fault), now).map(Decision::Parted));
    }
    tell_end(call, now, out);
}
