//! A recording as the recorder tells of it when it is sealed; nothing of it was ever recorded.

use vigie::model::{CallId, CallRecord, SealedRecording, Utc};

pub fn sealed(call: CallId, seal_sequence: u64, now: Utc, record: &CallRecord) -> SealedRecording {
    SealedRecording {
        call,
        path: format!("2026/11/21/{call}/audio.wav"),
        sidecar: format!("2026/11/21/{call}/recording.json"),
        started_at: now,
        duration_ms: 1_000,
        size_bytes: 32_044,
        audio_sha256: "00".repeat(32),
        wav: None,
        essence_sha256: "11".repeat(32),
        seal: "22".repeat(32),
        seal_sequence,
        sealed_at: now,
        levels_dbfs: [-20.0, -20.0],
        gaps: 0,
        recovered: false,
        record: Box::new(record.clone()),
    }
}
