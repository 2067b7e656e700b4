//! A caller leaves a message: prompted, recorded like any other call, ended by `#`, the hang-up or the longest message.

use super::decision::{CallInput, Decision};
use super::ending::{self, Ending};
use super::life::{Call, SOUND_DURATION_MAX, State};
use super::ways;
use crate::model::centre::RecordingPolicy;
use crate::model::media::AfterSounds;
use crate::model::{EndedBy, MediaCommand, Now, Outcome, SoundId};

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The prompt is heard.
    Prompted,
    /// It is being recorded.
    Spoken,
}

/// The caller hears `say` and the line's prompt; then the message is recorded, also on a line that is not.
pub fn begin(call: &mut Call, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    ways::leave_room(call, now, out);
    call.accept_caller(now, out);
    call.record.wait_ended_at.get_or_insert(now.utc);
    let sounds: Vec<SoundId> = say.into_iter().chain(call.line.voice.voicemail.prompt.clone()).collect();
    call.state = State::Voicemail(Message::Prompted);
    if sounds.is_empty() {
        return record(call, now, out);
    }
    call.play(call.caller_leg(), sounds, AfterSounds::Report, out);
    call.deadline = Some(now.moment + SOUND_DURATION_MAX);
}

fn record(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let leg = call.caller_leg();
    call.state = State::Voicemail(Message::Spoken);
    call.deadline = Some(now.moment + call.line.voice.voicemail.duration_max);
    // The caller asks for it, whatever the line's calls are.
    call.record.recording = RecordingPolicy::Always;
    out.push(Decision::Media(MediaCommand::Quiet { leg }));
    call.record_leg(leg, now, out);
    out.push(Decision::Keep);
}

/// The caller leaves a message.
pub fn step(call: &mut Call, message: Message, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let detail = "the caller left a message";
    let is_spoken = message == Message::Spoken;
    match input {
        CallInput::Played { leg } if leg.number == 0 && !is_spoken => record(call, now, out),
        CallInput::Due if !is_spoken => record(call, now, out),
        CallInput::Due => end(call, EndedBy::Message, "the message was as long as it may be", now, out),
        CallInput::Dtmf { leg, digit: '#' } if leg.number == 0 => match message {
            Message::Prompted => record(call, now, out),
            Message::Spoken => end(call, EndedBy::Caller, detail, now, out),
        },
        CallInput::Ended { leg, .. } if leg.number == 0 && is_spoken => {
            end(call, EndedBy::Caller, detail, now, out);
        }
        CallInput::Ended { leg, .. } if leg.number == 0 => ending::abandon(call, now, out),
        CallInput::Silent { leg } if leg.number == 0 && is_spoken => {
            end(call, EndedBy::Silence, detail, now, out);
        }
        CallInput::Silent { leg } if leg.number == 0 => ending::caller_is_silent(call, now, out),
        CallInput::Closed { leg, .. } if leg.number == 0 => ending::media_is_lost(call, now, out),
        CallInput::End(by) => {
            let outcome = if is_spoken { Outcome::Voicemail } else { Outcome::Interrupted };
            ending::end(call, Ending::new(outcome, by), now, out);
        }
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

fn end(call: &mut Call, by: EndedBy, detail: &str, now: Now, out: &mut Vec<Decision>) {
    ending::end(call, Ending::new(Outcome::Voicemail, by).saying(detail), now, out);
}
