//! What one call sees and what it decides; the switch applies decisions, in total code.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::net::SocketAddr;

use super::callback::Plan;
use super::messages::VoiceInput;
use super::persons::Parting;
use super::signal::{Gone, LegOrder, Refusal};
use super::steering::Steer;
use super::transfer::{HandOn, HandedOver, TakeOver};
use crate::model::event::EventKind;
use crate::model::{
    Counter, EndedBy, LegId, LegQuality, MediaCommand, Now, OfferEnd, OfferRecord, RecorderCommand, RegulatorId,
    RemoteMedia, SealedRecording,
};
use crate::waiting::Choice;

/// What reaches one call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallInput {
    /// A leg's RTP port is open.
    Opened { leg: LegId, rtp: SocketAddr },
    /// No port could be opened.
    OpenFailed { leg: LegId, why: String },
    /// All sounds were played to a leg.
    Played { leg: LegId },
    /// A key was pressed.
    Dtmf { leg: LegId, digit: char },
    /// No RTP came for the configured time.
    Silent { leg: LegId },
    /// A leg's ports are closed.
    Closed { leg: LegId, quality: Box<LegQuality> },
    /// A device rings.
    Ringing { leg: LegId },
    /// A device was picked up.
    Accepted { leg: LegId, remote: RemoteMedia },
    /// A device came to nothing.
    Refused { leg: LegId, refusal: Refusal },
    /// The caller's ACK came.
    Confirmed { leg: LegId },
    /// A far end changed its media.
    Reoffered { leg: LegId, remote: RemoteMedia },
    /// A far end is gone.
    Ended { leg: LegId, by: Gone, detail: Option<String> },
    /// The waiting room found a regulator.
    Chosen(Box<Choice>),
    /// A regulator hands the caller on; the other party rings, or is to be rung.
    HandOn(Box<HandOn>),
    /// The other party of a regulator's own call has been given a leg in this call: the caller is handed on to it.
    HandedOver(Box<HandedOver>),
    /// A phone is to take the place of the one that talks.
    TakeOver(Box<TakeOver>),
    /// What the caller is to hear of the wait, or of a wish.
    Voice(VoiceInput),
    /// Somebody asks for something to be done with the call.
    Steer(Box<Steer>),
    /// Nobody who could ever answer is on duty any more.
    Nobody,
    /// The offered regulator's last device is gone.
    DevicesGone,
    /// An operator, or the end of the server, ends the call.
    End(EndedBy),
    /// The recording is sealed.
    Sealed(Box<SealedRecording>),
    /// The recording could not be made.
    RecordingFailed(String),
    /// The call's own deadline is reached.
    Due,
}

impl CallInput {
    /// The leg that it is about.
    pub fn leg(&self) -> Option<LegId> {
        match self {
            CallInput::Opened { leg, .. }
            | CallInput::OpenFailed { leg, .. }
            | CallInput::Played { leg }
            | CallInput::Dtmf { leg, .. }
            | CallInput::Silent { leg }
            | CallInput::Closed { leg, .. }
            | CallInput::Ringing { leg }
            | CallInput::Accepted { leg, .. }
            | CallInput::Refused { leg, .. }
            | CallInput::Confirmed { leg }
            | CallInput::Reoffered { leg, .. }
            | CallInput::Ended { leg, .. } => Some(*leg),
            CallInput::Chosen(_)
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
            | CallInput::Due => None,
        }
    }

    /// The same of a leg under another name.
    pub fn of_leg(self, leg: LegId) -> CallInput {
        match self {
            CallInput::Opened { rtp, .. } => CallInput::Opened { leg, rtp },
            CallInput::OpenFailed { why, .. } => CallInput::OpenFailed { leg, why },
            CallInput::Played { .. } => CallInput::Played { leg },
            CallInput::Dtmf { digit, .. } => CallInput::Dtmf { leg, digit },
            CallInput::Silent { .. } => CallInput::Silent { leg },
            CallInput::Closed { quality, .. } => CallInput::Closed { leg, quality },
            CallInput::Ringing { .. } => CallInput::Ringing { leg },
            CallInput::Accepted { remote, .. } => CallInput::Accepted { leg, remote },
            CallInput::Refused { refusal, .. } => CallInput::Refused { leg, refusal },
            CallInput::Confirmed { .. } => CallInput::Confirmed { leg },
            CallInput::Reoffered { remote, .. } => CallInput::Reoffered { leg, remote },
            CallInput::Ended { by, detail, .. } => CallInput::Ended { leg, by, detail },
            other @ (CallInput::Chosen(_)
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
            | CallInput::Due) => other,
        }
    }
}

/// What one call asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Ask the user agent.
    Leg(LegOrder),
    /// Ask the media plane.
    Media(MediaCommand),
    /// Ask the recorder.
    Recorder(RecorderCommand),
    /// Change the waiting room.
    Room(RoomChange),
    /// Tell dispatch; the switch numbers it.
    Event(Box<EventKind>),
    /// Store the call as it is now.
    Keep,
    /// Store an offer as it is now.
    KeepOffer(Box<OfferRecord>),
    /// Store the sealed recording.
    KeepRecording(Box<SealedRecording>),
    /// Store that there is none.
    KeepFailure(String),
    /// Somebody talks with the caller: nothing is owed to the person any more.
    Served,
    /// The caller is gone without having been served.
    Parted(Parting),
    /// Put a call-back of this call's caller in line.
    Recall(Plan),
    /// Count.
    Count(Counter),
    /// Forget the call: nothing more is owed.
    Over,
}

/// What a call changes in the waiting room.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomChange {
    /// The caller begins to wait, in the place of one who came at `since`.
    Enter { since: Now },
    /// The caller no longer waits.
    Leave,
    /// The offer came to nothing: the caller is back in its place.
    OfferEnded { regulator: RegulatorId, end: OfferEnd },
    /// The regulator talks; the caller no longer waits.
    Answered { regulator: RegulatorId },
    /// The regulator is free again.
    Released { regulator: RegulatorId },
    /// The regulator's phone vanished in mid-call.
    Lost { regulator: RegulatorId },
    /// The place and the likely wait are to be told: [`VoiceInput::Foreseen`] follows.
    Foresee,
    /// The caller wants to be called back: [`VoiceInput`] says whether that can be.
    AskCallBack,
    /// Whoever joined, or rings to join, has the caller as if the waiting room had given him.
    TakesOver { regulator: RegulatorId },
    /// The caller who waits needs something else from now on ([`Call::demand`](super::life::Call::demand)).
    Redemand,
}
