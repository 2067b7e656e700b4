//! G.711 by tables: A-law and µ-law to linear samples, back, and straight from one to the other.

use crate::model::Codec;

static ALAW_LINEAR: [i16; 256] = table_linear(true);
static ULAW_LINEAR: [i16; 256] = table_linear(false);
static ALAW_TO_ULAW: [u8; 256] = table_across(true);
static ULAW_TO_ALAW: [u8; 256] = table_across(false);

/// The two laws of G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// A-law, as in Europe.
    A,
    /// µ-law, as in North America and Japan.
    Mu,
}

impl Law {
    /// The law of a codec; `None` when it is not G.711.
    pub fn of(codec: Codec) -> Option<Law> {
        match codec {
            Codec::Pcma => Some(Law::A),
            Codec::Pcmu => Some(Law::Mu),
            Codec::G722 | Codec::Opus => None,
        }
    }
}

/// What silence is in a law: the code of a zero sample.
pub fn silence(law: Law) -> u8 {
    match law {
        Law::A => 0xd5,
        Law::Mu => 0xff,
    }
}

/// The 16-bit linear sample of a code.
pub fn decode(law: Law, code: u8) -> i16 {
    match law {
        Law::A => ALAW_LINEAR[code as usize],
        Law::Mu => ULAW_LINEAR[code as usize],
    }
}

/// The code of a 16-bit linear sample.
pub fn encode(law: Law, sample: i16) -> u8 {
    match law {
        Law::A => encode_alaw(sample),
        Law::Mu => encode_ulaw(sample),
    }
}

/// Writes `payload` in the other law into `out`; stops at the shorter of the two and returns the bytes written.
pub fn transcode(from: Law, to: Law, payload: &[u8], out: &mut [u8]) -> usize {
    let length = payload.len().min(out.len());
    let table = match (from, to) {
        (Law::A, Law::Mu) => &ALAW_TO_ULAW,
        (Law::Mu, Law::A) => &ULAW_TO_ALAW,
        (Law::A, Law::A) | (Law::Mu, Law::Mu) => {
            out[..length].copy_from_slice(&payload[..length]);
            return length;
        }
    };
    for (target, code) in out.iter_mut().zip(payload) {
        *target = table[*code as usize];
    }
    length
}

/// ITU-T G.711 table 1: 13 segments, even bits inverted.
const fn decode_alaw(code: u8) -> i16 {
    let bits = code ^ 0x55;
    let segment = (bits & 0x70) >> 4;
    let step = ((bits & 0x0f) as i16) << 4;
    let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    if bits & 0x80 != 0 { magnitude } else { -magnitude }
}

/// ITU-T G.711 table 2: 15 segments, all bits inverted, biased by 33 of 8159 (132 in 16 bits).
const fn decode_ulaw(code: u8) -> i16 {
    let bits = !code;
    let magnitude = ((((bits & 0x0f) as i16) << 3) + 0x84) << ((bits & 0x70) >> 4);
    if bits & 0x80 != 0 { 0x84 - magnitude } else { magnitude - 0x84 }
}

const fn encode_alaw(sample: i16) -> u8 {
    let magnitude = (if sample < 0 { !sample } else { sample } as u16) >> 4;
    let code = if magnitude < 16 {
        magnitude as u8
    } else {
        let segment = magnitude.ilog2() - 3;
        (segment as u8) << 4 | (magnitude >> (segment - 1)) as u8 & 0x0f
    };
    code ^ if sample < 0 { 0x55 } else { 0xd5 }
}

const fn encode_ulaw(sample: i16) -> u8 {
    let clipped = if sample.unsigned_abs() > 32_635 { 32_635 } else { sample.unsigned_abs() };
    let magnitude = clipped + 0x84;
    let segment = magnitude.ilog2() - 7;
    let code = (segment as u8) << 4 | (magnitude >> (segment + 3)) as u8 & 0x0f;
    !(code | if sample < 0 { 0x80 } else { 0 })
}

const fn table_linear(alaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if alaw { decode_alaw(code as u8) } else { decode_ulaw(code as u8) };
        code += 1;
    }
    table
}

const fn table_across(from_alaw: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] =
            if from_alaw { encode_ulaw(decode_alaw(code as u8)) } else { encode_alaw(decode_ulaw(code as u8)) };
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Law; 2] = [Law::A, Law::Mu];

    #[test]
    fn the_ends_of_both_scales_are_those_of_g711() {
        assert_eq!((decode(Law::A, 0xaa), decode(Law::A, 0x2a)), (32_256, -32_256));
        assert_eq!((decode(Law::Mu, 0x80), decode(Law::Mu, 0x00)), (32_124, -32_124));
        assert_eq!((encode(Law::A, i16::MAX), encode(Law::A, i16::MIN)), (0xaa, 0x2a));
        assert_eq!((encode(Law::Mu, i16::MAX), encode(Law::Mu, i16::MIN)), (0x80, 0x00));
    }

    #[test]
    fn silence_is_the_code_of_zero() {
        assert!(BOTH.iter().all(|codec| encode(*codec, 0) == silence(*codec)));
    }

    #[test]
    fn every_code_survives_linear_and_back() {
        for code in 0..=255 {
            assert_eq!(encode(Law::A, decode(Law::A, code)), code);
            // µ-law has two zeros; the negative one comes back as the positive one.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(encode(Law::Mu, decode(Law::Mu, code)), expected);
        }
    }

    #[test]
    fn encoding_is_never_further_off_than_one_step_of_its_segment() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            for codec in BOTH {
                let off = (decode(codec, encode(codec, sample)) as i32 - sample as i32).abs();
                assert!(
                    off <= 16 + sample.unsigned_abs() as i32 / 16 && off <= 1024,
                    "{codec:?} {sample} off by {off}"
                );
            }
        }
    }

    #[test]
    fn transcoding_keeps_the_sound() {
        for (from, to) in [(Law::A, Law::Mu), (Law::Mu, Law::A)] {
            for code in 0..=255 {
                let mut out = [0];
                assert_eq!(transcode(from, to, &[code], &mut out), 1);
                let (before, after) = (decode(from, code) as i32, decode(to, out[0]) as i32);
                assert!(
                    (before - after).abs() <= 16 + before.abs() / 16,
                    "{from:?} {code:#x}: {before} became {after}"
                );
            }
        }
    }
}
