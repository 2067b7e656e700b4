//! A regulator's own call to a feature code that was done at once: confirmed, by a word where there is one, and hung up.

use std::time::Duration;

use super::decision::{CallInput, Decision};
use super::signal::{Dialled, LegOrder, Unserved};
use crate::model::media::AfterSounds;
use crate::model::{EndedBy, LegId, MediaCommand, Moment, Now, RemoteMedia, SoundId};

/// The longest that such a call lasts.
pub const ERRAND_DURATION_MAX: Duration = Duration::from_secs(15);

/// Such a call while it lives.
#[derive(Clone, Debug)]
pub struct Errand {
    leg: LegId,
    sound: Option<SoundId>,
    remote: RemoteMedia,
    /// When it is ended, whatever it does.
    pub deadline: Moment,
}

impl Errand {
    /// The code was done; opens a port to say so with `sound`, where the centre has it.
    pub fn begin(dialled: Dialled, sound: Option<SoundId>, now: Now, out: &mut Vec<Decision>) -> Errand {
        out.push(Decision::Media(MediaCommand::Open { leg: dialled.leg }));
        Errand { leg: dialled.leg, sound, remote: dialled.remote, deadline: now.moment + ERRAND_DURATION_MAX }
    }

    /// One input.
    pub fn step(&mut self, input: CallInput, out: &mut Vec<Decision>) {
        let leg = self.leg;
        match input {
            CallInput::Opened { rtp, .. } => {
                out.push(Decision::Media(MediaCommand::Aim { leg, remote: self.remote.clone() }));
                out.push(Decision::Leg(LegOrder::Accept { leg, local: rtp }));
                match self.sound.clone() {
                    Some(sound) => {
                        let after = AfterSounds::Report;
                        out.push(Decision::Media(MediaCommand::Play { leg, sounds: vec![sound], after }));
                    }
                    None => self.finish(out),
                }
            }
            CallInput::OpenFailed { .. } => {
                out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Overloaded }));
                out.push(Decision::Over);
            }
            CallInput::Played { .. } | CallInput::Due | CallInput::End(_) => self.finish(out),
            CallInput::Ended { .. } | CallInput::Closed { .. } => {
                out.push(Decision::Media(MediaCommand::Close { leg }));
                out.push(Decision::Over);
            }
            CallInput::Reoffered { remote, .. } => {
                out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
            }
            CallInput::Dtmf { .. }
            | CallInput::Silent { .. }
            | CallInput::Ringing { .. }
            | CallInput::Accepted { .. }
            | CallInput::Refused { .. }
            | CallInput::Confirmed { .. }
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

    /// A fault of our own: refused or hung up, whichever it is time for.
    pub fn fail(&self, out: &mut Vec<Decision>) {
        out.push(Decision::Leg(LegOrder::Hangup { leg: self.leg, why: EndedBy::Fault }));
        out.push(Decision::Media(MediaCommand::Close { leg: self.leg }));
        out.push(Decision::Over);
    }

    fn finish(&self, out: &mut Vec<Decision>) {
        out.push(Decision::Leg(LegOrder::Hangup { leg: self.leg, why: EndedBy::Message }));
        out.push(Decision::Media(MediaCommand::Close { leg: self.leg }));
        out.push(Decision::Over);
    }
}
