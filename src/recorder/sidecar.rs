//! The sidecar: what a recording is, in the shape of a vCon (IETF draft-ietf-vcon-vcon-core) with a block of our own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::{PartyEvent, history_of, parties_of};
use super::kept::Kept;
use super::layout::{AUDIO_FILE, frames_file};
use super::one_sided::Silence;
use super::peaks::PeaksFile;
use super::place::{GapReason, STEP_HZ};
use super::render::{Rendered, RenderedLeg};
use crate::model::{AskedBy, CallId, CallRecord, RegulatorId, Side, Utc};
use crate::vault::KEY_FILE;

/// The draft's version whose names are used.
const VCON_VERSION: &str = "0.3.0";
/// The most gaps listed one by one: a leg that lost every other packet must not make a sidecar of megabytes.
pub const GAPS_MAX: usize = 1000;

/// The whole sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The draft's version.
    pub vcon: String,
    /// The call's id.
    pub uuid: CallId,
    /// When it was sealed (RFC 3339).
    pub created_at: String,
    /// The names of blocks that the draft does not know.
    pub extensions: Vec<String>,
    /// Who spoke: first the caller.
    pub parties: Vec<Party>,
    /// The one recording.
    pub dialog: Vec<Dialog>,
    /// Everything else.
    pub vigie: Block,
}

/// Who spoke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// E.164, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tel: Option<String>,
    /// The caller's display name; a regulator's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `caller`, `regulator`, `supervisor` or `outside`.
    pub role: String,
}

/// The recording as the draft describes one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialog {
    /// `recording`.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339 with the site's offset.
    pub start: String,
    /// Seconds.
    pub duration: f64,
    /// Indices of the parties: of the left, then of the right channel.
    pub parties: Vec<usize>,
    /// Index of who called.
    pub originator: usize,
    /// `audio/x-wav`.
    pub mediatype: String,
    /// Beside the sidecar.
    pub filename: String,
    /// `sha512-` and base64url of the file's SHA-512.
    pub content_hash: String,
    /// Who came, was held, was handed on and left, in the order of its happening.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub party_history: Vec<PartyEvent>,
}

/// What the draft has no place for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The version of Vigie that sealed it.
    pub software: String,
    /// The machine that sealed it.
    pub node: String,
    /// Its place in the machine's seal log.
    pub seal_sequence: u64,
    /// When, in microseconds since 1970 UTC.
    #[serde(rename = "sealed_at_us", alias = "sealed_at")]
    pub sealed_at: Utc,
    /// The recording's clock begins here, in microseconds since 1970 UTC.
    #[serde(rename = "started_at_us", alias = "started_at")]
    pub started_at: Utc,
    /// The same instant on the clock of the frames' arrival, in microseconds.
    #[serde(rename = "started_at_arrival_us", alias = "started_at_arrival")]
    pub started_at_arrival: u64,
    /// Finished after a crash.
    pub recovered: bool,
    /// The call's times, RFC 3339: each with the site's offset, and as `…_utc` in UTC.
    pub times: BTreeMap<String, String>,
    /// From the waiting room to the answer.
    pub wait_ms: Option<u64>,
    /// From the answer to the end.
    pub talk_ms: Option<u64>,
    /// The SIP Call-ID of every leg.
    pub sip_call_ids: Vec<String>,
    /// How WAV and frame files are encrypted; without it they are plain. Hashes and lengths of files are always of what
    /// rests on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The WAV.
    pub audio: Audio,
    /// Its outline, how loud each tenth of a second is; recordings of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peaks: Option<PeaksFile>,
    /// The frame files: the master that the WAV was rendered from.
    pub frames: Vec<Frames>,
    /// Holes in the sound, at most [`GAPS_MAX`].
    pub gaps: Vec<Gap>,
    /// How many there are in all.
    pub gaps_total: u32,
    /// When nothing was recorded, by somebody's wish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// Every offer with its reasoning; times with offset.
    pub offers: Vec<Value>,
    /// The call record: caller as given and in E.164, P-Asserted-Identity, DDI, line, association, region, skills,
    /// regulator, legs with codecs, loss and jitter; times in microseconds since 1970 UTC, named `…_at_us`.
    #[serde(with = "super::record_in_us")]
    pub record: Box<CallRecord>,
}

/// How audio rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `AES-256-GCM STREAM`.
    pub cipher: String,
    /// Beside the sidecar; it is no part of the seal, since a rotation wraps the key anew.
    pub key_file: String,
    /// The key's name.
    pub key: String,
    /// Bytes of the WAV, decrypted.
    pub plain_bytes: u64,
    /// SHA-256 of the WAV, decrypted, hexadecimal.
    pub plain_sha256: String,
}

/// The WAV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// Beside the sidecar.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// SHA-256 of the samples alone (`sox audio.wav -t raw - | sha256sum`), hexadecimal.
    pub essence_sha256: String,
    /// Samples a second.
    pub rate_hz: u32,
    /// Samples a side.
    pub samples: u64,
    /// Length on the clock.
    pub duration_ms: u64,
    /// What left and right are.
    pub sides: Vec<String>,
    /// RMS of left and right; -120 is digital silence.
    pub levels_dbfs: [f64; 2],
}

/// One frame file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frames {
    /// Beside the sidecar.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// The leg's number in the call.
    pub leg: u16,
    /// Left or right.
    pub side: Side,
    /// Who.
    pub regulator: Option<RegulatorId>,
    /// It came in so long after the recording's begin.
    #[serde(default)]
    pub part_start_ms: u64,
    /// It left, or the recording ended.
    #[serde(default)]
    pub part_end_ms: u64,
    /// Its last sound ended; absent when there was none.
    #[serde(default)]
    pub heard_until_ms: Option<u64>,
    /// Packets from addresses that its SDP did not give: dropped.
    #[serde(default)]
    pub strangers: u64,
    /// The codecs seen.
    pub codecs: Vec<String>,
    /// Frames in the file.
    pub frames: u64,
    /// Telephone-events among them.
    pub events: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Frames that the full ring refused.
    pub refused: u64,
    /// How often timestamps and clock had drifted over 200 ms apart.
    pub clock_adjustments: u64,
}

/// A hole in the sound of one leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// In the WAV.
    pub start_ms: u64,
    /// How long.
    pub length_ms: u64,
    /// Left or right.
    pub side: Side,
    /// The leg's number in the call.
    pub leg: u16,
    /// Why.
    pub reason: GapReason,
}

/// A pause of the whole recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// In the WAV.
    pub start_ms: u64,
    /// How long.
    pub length_ms: u64,
    /// From when, RFC 3339 with the site's offset.
    pub from: String,
    /// Until when; absent when the call ended in the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who asked.
    pub by: AskedBy,
    /// Why, in the asker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<AskedBy>,
}

/// Where and when a seal is made.
#[derive(Clone, Debug)]
pub struct SealPlace<'a> {
    /// The machine's name.
    pub node: &'a str,
    /// Its seal log's next number.
    pub sequence: u64,
    /// The instant.
    pub at: Utc,
    /// The site's time zone.
    pub zone: &'a TimeZone,
    /// After a crash.
    pub recovered: bool,
}

impl Sidecar {
    /// The sidecar of a rendered recording; `hashes` are length and SHA-256 of each leg's frame file, in order of `rendered.legs`.
    pub fn build(kept: &Kept, rendered: &Rendered, hashes: &[(u64, String)], place: &SealPlace<'_>) -> Sidecar {
        let record = &kept.record;
        let holes = rendered.holes();
        let gap = |(leg, side, hole): &(u16, Side, super::place::Hole)| Gap {
            start_ms: milliseconds(hole.start),
            length_ms: milliseconds(hole.length),
            side: *side,
            leg: *leg,
            reason: hole.reason,
        };
        let frames = rendered.legs.iter().zip(hashes).map(|(leg, hash)| frames_of(kept, leg, hash)).collect();
        let block = Block {
            software: crate_version(),
            node: place.node.to_owned(),
            seal_sequence: place.sequence,
            sealed_at: place.at,
            started_at: kept.begun.utc,
            started_at_arrival: kept.begun.moment.0,
            recovered: place.recovered,
            times: times_of(kept, rendered, place),
            wait_ms: record.wait_ms(),
            talk_ms: record.talk_ms(),
            sip_call_ids: record.legs.iter().map(|leg| leg.sip_call_id.clone()).collect(),
            encryption: rendered.encrypted.as_ref().map(|encrypted| Encryption {
                cipher: "AES-256-GCM STREAM".into(),
                key_file: KEY_FILE.into(),
                key: encrypted.key.clone(),
                plain_bytes: encrypted.bytes,
                plain_sha256: encrypted.sha256.clone(),
            }),
            audio: audio_of(rendered),
            peaks: Some(rendered.peaks.clone()),
            frames,
            gaps: holes.iter().take(GAPS_MAX).map(gap).collect(),
            gaps_total: holes.len() as u32,
            pauses: pauses_of(kept, steps_of(rendered), place.zone),
            offers: record.offers.iter().map(|offer| with_offsets(offer, place.zone)).collect(),
            record: record.clone(),
        };
        let parties = parties_of(kept);
        let dialog = Dialog {
            kind: "recording".into(),
            start: kept.begun.utc.with_offset(place.zone),
            duration: rendered.duration_ms() as f64 / 1000.0,
            parties: (0..parties.len()).collect(),
            originator: 0,
            mediatype: "audio/x-wav".into(),
            filename: AUDIO_FILE.into(),
            content_hash: content_hash(&rendered.sha512),
            party_history: history_of(kept, rendered, place.zone),
        };
        Sidecar {
            vcon: VCON_VERSION.into(),
            uuid: kept.call,
            created_at: place.at.with_offset(place.zone),
            extensions: vec!["vigie".into()],
            parties,
            dialog: vec![dialog],
            vigie: block,
        }
    }

    /// The legs that were not heard, or not to their end.
    pub fn silences(&self) -> Vec<Silence> {
        self.vigie.frames.iter().filter_map(Silence::of).collect()
    }
}

/// Samples as milliseconds.
fn milliseconds(samples: i64) -> u64 {
    (samples / (i64::from(STEP_HZ) / 1000)).max(0) as u64
}

/// The recording's length in steps of its clock.
fn steps_of(rendered: &Rendered) -> i64 {
    rendered.samples as i64 / i64::from(rendered.rate_hz / STEP_HZ).max(1)
}

/// The hash of a file as a vCon writes it.
pub fn content_hash(sha512: &[u8; 64]) -> String {
    format!("sha512-{}", URL_SAFE_NO_PAD.encode(sha512))
}

fn crate_version() -> String {
    concat!("vigie ", env!("CARGO_PKG_VERSION")).to_owned()
}

fn times_of(kept: &Kept, rendered: &Rendered, place: &SealPlace<'_>) -> BTreeMap<String, String> {
    let record = &kept.record;
    let end = Utc(kept.begun.utc.0 + rendered.duration_ms() as i64 * 1000);
    let times = [
        ("received_at", Some(record.received_at)),
        ("accepted_at", record.accepted_at),
        ("queued_at", record.queued_at),
        ("answered_at", record.answered_at),
        ("ended_at", record.ended_at),
        ("recording_started_at", Some(kept.begun.utc)),
        ("recording_ended_at", Some(end)),
        ("sealed_at", Some(place.at)),
    ];
    let known = times.into_iter().filter_map(|(name, at)| Some((name, at?)));
    let told = known
        .flat_map(|(name, at)| [(name.to_owned(), at.with_offset(place.zone)), (format!("{name}_utc"), at.rfc3339())]);
    told.collect()
}

fn audio_of(rendered: &Rendered) -> Audio {
    Audio {
        file: AUDIO_FILE.into(),
        bytes: rendered.bytes,
        sha256: rendered.sha256.clone(),
        essence_sha256: rendered.essence_sha256.clone(),
        rate_hz: rendered.rate_hz,
        samples: rendered.samples,
        duration_ms: rendered.duration_ms(),
        sides: vec!["caller".into(), "everyone else".into()],
        levels_dbfs: rendered.levels_dbfs,
    }
}

fn frames_of(kept: &Kept, leg: &RenderedLeg, (bytes, sha256): &(u64, String)) -> Frames {
    let placement = &leg.placement;
    Frames {
        file: frames_file(leg.leg),
        bytes: *bytes,
        sha256: sha256.clone(),
        leg: leg.leg,
        side: leg.side,
        regulator: kept.regulator_of(leg.leg),
        part_start_ms: milliseconds(leg.part.joined),
        part_end_ms: milliseconds(end_of_part(kept, leg)),
        heard_until_ms: (!placement.placed.is_empty()).then(|| milliseconds(placement.end())),
        strangers: kept.leg_record(leg.leg).map_or(0, |leg| leg.quality.strangers),
        codecs: leg.codecs.iter().map(|codec| codec.name().to_owned()).collect(),
        frames: leg.frames,
        events: leg.events,
        lost: placement.lost,
        duplicates: placement.duplicates,
        reordered: placement.reordered,
        refused: placement.refused,
        clock_adjustments: placement.adjustments,
    }
}

/// When a leg left; one that left in a pause, when the pause began: nothing could be heard of it from then on.
fn end_of_part(kept: &Kept, leg: &RenderedLeg) -> i64 {
    let left = leg.part.left;
    let paused = kept.spans_paused(left).into_iter().find(|(from, to)| *from < left && *to >= left);
    paused.map_or(left, |(from, _)| from.max(leg.part.joined))
}

fn pauses_of(kept: &Kept, samples: i64, zone: &TimeZone) -> Vec<Pause> {
    let told = kept.pauses.iter().zip(kept.spans_paused(samples)).map(|(pause, (start, end))| Pause {
        start_ms: milliseconds(start),
        length_ms: milliseconds(end - start),
        from: pause.from.utc.with_offset(zone),
        to: pause.to.map(|to| to.utc.with_offset(zone)),
        by: pause.by.clone(),
        reason: pause.reason.clone(),
        resumed_by: pause.resumed_by.clone(),
    });
    told.collect()
}

/// An offer as the record has it, its times written for people.
fn with_offsets(offer: &crate::model::OfferRecord, zone: &TimeZone) -> Value {
    let mut told = serde_json::to_value(offer).unwrap_or_default();
    for (name, at) in [("offered_at", Some(offer.offered_at)), ("ended_at", offer.ended_at)] {
        if let (Some(field), Some(at)) = (told.get_mut(name), at) {
            *field = Value::String(at.with_offset(zone));
        }
    }
    told
}
