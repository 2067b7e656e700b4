//! What one call sees and what it decides; the switch applies decisions, in total code.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::net::SocketAddr;

use super::signal::{Gone, LegOrder, Refusal};
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
    Closed { leg: LegId, quality: LegQuality },
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
}
