//! A redacted copy: the recording with spans of silence, made of the original each time it is wanted and never kept beside it.
//!
//! What is kept is an addendum with its own seal: the spans, and what the copy hashes to. The original is untouched, and
//! with encryption on nothing plain comes to rest.

use std::io::{self, Read, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::verify::find_samples;
use crate::model::CallId;
use crate::recorder::deposit::Addendum;
use crate::recorder::render::hex;
use crate::recorder::tag;

/// The kind of its addendum.
pub const KIND: &str = "redaction";
/// The most spans of one copy: a name in every sentence of an hour.
pub const SPANS_MAX: usize = 1000;
/// The head of a WAV as hound writes it is much shorter.
const HEAD_BYTES: usize = 4096;
/// Two sides of 16 bits.
const FRAME_BYTES: u64 = 4;
/// Where a WAV's format chunk says the samples a second, as hound writes it.
const RATE_AT: Range<usize> = 24..28;
/// Samples read at once, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// A span that is silent in the copy, on the recording's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// From here on.
    pub start_ms: u64,
    /// Until before here.
    pub end_ms: u64,
}

/// What a copy is made by.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of which recording.
    pub call: CallId,
    /// The essence hash of the original, named in the copy's tag.
    pub original: String,
    /// What is silent.
    pub spans: Vec<Span>,
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of its samples.
    pub essence_sha256: String,
}

/// A copy as its addendum's `body` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// Of which recording.
    pub call: CallId,
    /// The essence hash of the original.
    pub original_essence_sha256: String,
    /// What is silent, on both sides.
    pub spans: Vec<Span>,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of its samples (`sox redacted.wav -t raw - | sha256sum`).
    pub essence_sha256: String,
}

impl Redaction {
    /// The copy that an addendum seals, if it is of that kind.
    pub fn of(addendum: &Addendum) -> Option<Redaction> {
        let is_one = addendum.kind == KIND;
        is_one.then(|| serde_json::from_value(addendum.body.clone()).ok()).flatten()
    }

    /// How it is made.
    pub fn plan(&self) -> Plan {
        Plan { call: self.call, original: self.original_essence_sha256.clone(), spans: self.spans.clone() }
    }
}

/// Writes the copy of `audio`: the same head, the same samples but for zeros in the spans, and a tag of its own.
///
/// # Errors
/// When reading or writing fails, or `audio` is no WAV as Vigie writes it.
pub fn write(mut audio: impl Read, plan: Plan, out: &mut impl Write) -> io::Result<Made> {
    let amiss = || io::Error::new(io::ErrorKind::InvalidData, "the audio is no WAV as Vigie writes it");
    let mut head = Vec::new();
    audio.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let samples = find_samples(&head).ok_or_else(amiss)?;
    let rate = head.get(RATE_AT).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes).ok_or_else(amiss)?;
    let start = samples.start as usize;
    let length = samples.end - samples.start;
    let comment = |essence: &str| {
        format!(r#"{{"call":"{}","redacted_of":"{}","essence_sha256":"{essence}"}}"#, plan.call, plan.original)
    };
    let tag_length = tag::chunk_with(plan.call, &comment(&hex(&[0; 32]))).len() as u64;
    let riff = u32::try_from(samples.end + tag_length - 8).map_err(|_| amiss())?;
    let mut begin = head.get(..start).ok_or_else(amiss)?.to_vec();
    if let Some(field) = begin.get_mut(4..8) {
        field.copy_from_slice(&riff.to_le_bytes());
    }
    let (mut whole, mut essence) = (Sha256::new(), Sha256::new());
    whole.update(&begin);
    out.write_all(&begin)?;
    let silent: Vec<Range<u64>> = plan.spans.iter().map(|span| bytes_of(*span, rate)).collect();
    let mut rest = head.get(start..).unwrap_or_default().chain(audio).take(length);
    let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0u64);
    loop {
        let read = rest.read(&mut piece)?;
        let Some(bytes) = piece.get_mut(..read).filter(|bytes| !bytes.is_empty()) else { break };
        for range in &silent {
            let from = range.start.saturating_sub(at).min(read as u64) as usize;
            let to = range.end.saturating_sub(at).min(read as u64) as usize;
            if let Some(silenced) = bytes.get_mut(from..to) {
                silenced.fill(0);
            }
        }
        whole.update(&*bytes);
        essence.update(&*bytes);
        out.write_all(bytes)?;
        at += read as u64;
    }
    if at != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let essence_sha256 = hex(&essence.finalize());
    let tag = tag::chunk_with(plan.call, &comment(&essence_sha256));
    whole.update(&tag);
    out.write_all(&tag)?;
    Ok(Made { bytes: samples.end + tag.len() as u64, sha256: hex(&whole.finalize()), essence_sha256 })
}

/// The bytes of the samples within a span; a sample of which only a part lies inside is silent, too.
fn bytes_of(span: Span, rate: u32) -> Range<u64> {
    let rate = u64::from(rate);
    let (from, to) = (span.start_ms.saturating_mul(rate) / 1000, span.end_ms.saturating_mul(rate).div_ceil(1000));
    from.saturating_mul(FRAME_BYTES)..to.saturating_mul(FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(seconds: u32) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = io::Cursor::new(Vec::new());
        let mut wav = hound::WavWriter::new(&mut bytes, spec).expect("a WAV");
        (0..seconds * 16_000).for_each(|n| wav.write_sample((n % 1000) as i16 + 1).expect("a sample"));
        wav.finalize().expect("a whole WAV");
        bytes.into_inner()
    }

    #[test]
    fn only_the_spans_are_silent_and_the_copy_says_whose_it_is() {
        let original = wav(3);
        let spans = vec![Span { start_ms: 500, end_ms: 1000 }, Span { start_ms: 2900, end_ms: 9000 }];
        let plan = Plan { call: CallId(uuid::Uuid::from_u128(7)), original: "abcd".into(), spans };
        let mut copy = Vec::new();
        let made = write(&original[..], plan, &mut copy).expect("made");
        assert_eq!((made.bytes, made.sha256), (copy.len() as u64, hex(&Sha256::digest(&copy))));
        let samples: Vec<i16> =
            hound::WavReader::new(&copy[..]).expect("a WAV").into_samples().map(|s| s.expect("a sample")).collect();
        assert_eq!(samples.len(), 48_000);
        for (at, sample) in samples.iter().enumerate() {
            let ms = at / 16;
            let is_silent = (500..1000).contains(&ms) || ms >= 2900;
            assert_eq!(*sample == 0, is_silent, "sample {at}");
            assert!(is_silent || *sample == (at % 1000) as i16 + 1, "sample {at}");
        }
        assert!(String::from_utf8_lossy(&copy[copy.len() - 300..]).contains(r#""redacted_of":"abcd""#));
    }

    #[test]
    fn what_is_cut_short_or_no_wav_makes_no_copy() {
        let original = wav(1);
        let plan = || Plan { call: CallId(uuid::Uuid::from_u128(7)), original: String::new(), spans: Vec::new() };
        for bytes in [&original[..original.len() - 1], &original[..20], b"", b"RIFFxxxxWAVE"] {
            assert!(write(bytes, plan(), &mut io::sink()).is_err());
        }
    }
}
