//! Recording in the decisions' words: what the recorder is asked, what it reports.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::ids::{CallId, LegId, RegulatorId};
use super::record::{CallRecord, Side};
use super::time::{Now, Utc};

/// What the decisions ask of the recorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecorderCommand {
    /// A call is bridged and recorded from `at` on. `so_far` is kept on disk at once, so that a recovered recording has its metadata.
    Begin { call: CallId, at: Now, so_far: Box<CallRecord> },
    /// Frames of this leg belong to the recording.
    Leg { leg: LegId, side: Side, regulator: Option<RegulatorId> },
    /// Something happened between the parties while they were recorded: held, resumed, handed on, supervised.
    Turn { call: CallId, at: Utc, what: Box<EventKind> },
    /// From `at` on nothing is recorded, by somebody's wish; the media plane keeps the legs' frames to itself meanwhile.
    Pause { call: CallId, at: Now, by: AskedBy, reason: Option<String> },
    /// From `at` on it is recorded again.
    Resume { call: CallId, at: Now, by: AskedBy },
    /// No more frames will come; render, seal and report.
    Finish { call: CallId, at: Now, record: Box<CallRecord> },
}

/// Whether an event is part of the parties' history in a recording, beside their coming and going.
pub fn is_turn(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::CallHeld { .. }
            | EventKind::CallResumed { .. }
            | EventKind::CallTransferred { .. }
            | EventKind::CallSupervised { .. }
    )
}

/// Who asked for something to be done with a live call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedBy {
    /// Whoever holds the API token of this name.
    Token(String),
    /// A regulator, by a key or a code of the own phone.
    Regulator(RegulatorId),
    /// Vigie itself: a time was over, or somebody else has the call.
    Vigie,
}

/// What the recorder reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecorderReport {
    /// The recording is rendered, sealed and on disk.
    Sealed(Box<SealedRecording>),
    /// It could not be; what exists of it is kept.
    Failed { call: CallId, reason: String },
}

/// A WAV as it is before it is encrypted, and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainWav {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// A sealed recording, as storage lists it and `recording.sealed` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedRecording {
    /// Of this call.
    pub call: CallId,
    /// The WAV file, relative to the recordings folder: `YYYY/MM/DD/<call-id>/audio.wav`.
    pub path: String,
    /// The sidecar beside it, relative to the recordings folder.
    pub sidecar: String,
    /// The first instant on the recording's clock.
    pub started_at: Utc,
    /// Length on that clock, in milliseconds.
    pub duration_ms: u64,
    /// Bytes of the WAV's file as it rests on the disk.
    pub size_bytes: u64,
    /// SHA-256 of that file, lower-case hexadecimal.
    pub audio_sha256: String,
    /// The WAV itself, where its file is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wav: Option<PlainWav>,
    /// SHA-256 of the samples alone.
    pub essence_sha256: String,
    /// SHA-256 of the sidecar's exact bytes: the seal.
    pub seal: String,
    /// The seal's place in the node's seal log.
    pub seal_sequence: u64,
    /// When it was sealed.
    pub sealed_at: Utc,
    /// RMS level of the left (caller) and right (regulator) channel, in dBFS; -120 is digital silence.
    pub levels_dbfs: [f64; 2],
    /// Gaps listed in the sidecar.
    pub gaps: u32,
    /// Finished after a crash.
    pub recovered: bool,
    /// The call record as sealed.
    pub record: Box<CallRecord>,
}

impl SealedRecording {
    /// Length of the WAV as whoever listens gets it.
    pub fn wav_bytes(&self) -> u64 {
        self.wav.as_ref().map_or(self.size_bytes, |wav| wav.bytes)
    }

    /// SHA-256 of the WAV as whoever listens gets it.
    pub fn wav_sha256(&self) -> &str {
        self.wav.as_ref().map_or(&self.audio_sha256, |wav| &wav.sha256)
    }

    /// What dispatch is told; the seal's hash in it is an anchor outside.
    pub fn event(&self) -> EventKind {
        EventKind::RecordingSealed {
            path: self.path.clone(),
            duration_ms: self.duration_ms,
            audio_sha256: self.wav_sha256().to_owned(),
            essence_sha256: self.essence_sha256.clone(),
            seal: self.seal.clone(),
            seal_sequence: self.seal_sequence,
            gaps: self.gaps,
            recovered: self.recovered,
        }
    }
}
