//! A recording paused and resumed: of what is said meanwhile nothing is kept anywhere, and the gap is marked with who asked.

use super::decision::Decision;
use super::life::{Call, State};
use crate::model::{AskedBy, EventKind, LegId, MediaCommand, Moment, Now, RecorderCommand};

/// A pause of a call's recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub since: Now,
    /// When it is over by itself.
    pub until: Moment,
}

/// The most pauses of one recording: each is written to its sidecar, and told.
pub const PAUSES_MAX: u16 = 100;

/// Whether the recording may be paused now; else why not, for people.
pub fn can_pause(call: &Call) -> Result<(), &'static str> {
    match call.state {
        State::Talking { .. } if !call.recording => Err("this call is not recorded"),
        State::Talking { .. } if call.rule.pause_max.is_zero() => {
            Err("recordings of this line may not be paused: see `recording_pause_max` of the line")
        }
        State::Talking { .. } if call.pause.is_some() => Err("the recording is paused already"),
        State::Talking { .. } if call.pauses >= PAUSES_MAX => Err("this recording was paused as often as one may be"),
        State::Talking { .. } => Ok(()),
        State::Opening { .. }
        | State::Greeting
        | State::Waiting
        | State::Offering(_)
        | State::Transferring(_)
        | State::Choosing(_)
        | State::Forwarding(_)
        | State::Voicemail(_)
        | State::Postponed
        | State::Recalling(_)
        | State::CallingOut(_)
        | State::Farewell { .. }
        | State::Ending
        | State::Sealing => Err("only a recording of a caller who talks with a regulator can be paused"),
    }
}

/// No frame is kept from now on, until somebody resumes, the time is over, or somebody else has the caller.
pub fn pause(call: &mut Call, (by, reason): (AskedBy, Option<String>), now: Now, out: &mut Vec<Decision>) {
    if can_pause(call).is_err() {
        return;
    }
    let until = now.after(call.rule.pause_max);
    call.pauses += 1;
    call.pause = Some(Pause { since: now, until: until.moment });
    for leg in tapped(call) {
        out.push(Decision::Media(MediaCommand::Record { leg, on: false }));
    }
    let command = RecorderCommand::Pause { call: call.id, at: now, by: by.clone(), reason: reason.clone() };
    out.push(Decision::Recorder(command));
    call.tell(EventKind::RecordingPaused { by, reason, until: until.utc }, out);
}

/// The recording goes on; without a pause there is nothing to do.
pub fn resume(call: &mut Call, by: AskedBy, now: Now, out: &mut Vec<Decision>) {
    let Some(pause) = call.pause.take() else { return };
    out.push(Decision::Recorder(RecorderCommand::Resume { call: call.id, at: now, by: by.clone() }));
    for leg in tapped(call) {
        out.push(Decision::Media(MediaCommand::Record { leg, on: true }));
    }
    let paused_ms = now.utc.since(pause.since.utc).as_millis() as u64;
    call.tell(EventKind::RecordingResumed { by, paused_ms }, out);
}

/// A pause that has lasted as long as it may is over.
pub fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    if call.pause.is_some_and(|pause| pause.until <= now.moment) {
        resume(call, AskedBy::Vigie, now, out);
    }
}

/// Brings a leg's voice into the recording, or takes it out; while the recording is paused, for when it goes on.
pub fn tap(call: &mut Call, leg: LegId, on: bool, out: &mut Vec<Decision>) {
    if let Some(leg) = call.leg_mut(leg) {
        leg.tapped = on;
    }
    if !on || call.pause.is_none() {
        out.push(Decision::Media(MediaCommand::Record { leg, on }));
    }
}

fn tapped(call: &Call) -> Vec<LegId> {
    call.legs.iter().filter(|leg| leg.tapped && leg.is_alive()).map(|leg| leg.id).collect()
}
