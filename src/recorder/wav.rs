//! Where the samples of a WAV lie (RIFF, 16-bit PCM), for whoever wants them from a second on.

use std::io::{self, Read, Seek, SeekFrom};

/// Chunks looked at before the samples: ours has two.
const CHUNKS_MAX: usize = 32;
/// A header of our own: RIFF, `fmt `, `data`.
pub const HEADER_BYTES: u64 = 44;

/// A WAV's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Samples a second.
    pub rate_hz: u32,
    /// Sides, or voices.
    pub voices: u16,
    /// Where the samples begin.
    pub begin: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Wav {
    /// Looks for the samples; [`io::ErrorKind::InvalidData`] when it is no WAV of 16-bit PCM.
    pub fn find(file: &mut (impl Read + Seek)) -> io::Result<Wav> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no WAV of 16-bit PCM");
        file.seek(SeekFrom::Start(0))?;
        let mut riff = [0; 12];
        file.read_exact(&mut riff)?;
        if riff.get(..4) != Some(b"RIFF") || riff.get(8..) != Some(b"WAVE") {
            return Err(wrong());
        }
        let mut format = None;
        let mut at = 12;
        for _ in 0..CHUNKS_MAX {
            let mut head = [0; 8];
            file.read_exact(&mut head)?;
            let [a, b, c, d, size @ ..] = head;
            let bytes = u64::from(u32::from_le_bytes(size));
            at += 8;
            match (&[a, b, c, d], format) {
                (b"fmt ", _) => {
                    let mut fields = [0; 16];
                    file.read_exact(&mut fields)?;
                    let [kind, kind_high, voices, voices_high, r0, r1, r2, r3, .., bits, bits_high] = fields;
                    let word = |low, high| u16::from_le_bytes([low, high]);
                    // 0xfffe is the same with more said of it (WAVEFORMATEXTENSIBLE).
                    let is_pcm = matches!(word(kind, kind_high), 1 | 0xfffe) && word(bits, bits_high) == 16;
                    let (rate_hz, voices) = (u32::from_le_bytes([r0, r1, r2, r3]), word(voices, voices_high));
                    format = Some((rate_hz, voices)).filter(|_| is_pcm && rate_hz > 0 && voices > 0);
                }
                (b"data", Some((rate_hz, voices))) => return Ok(Wav { rate_hz, voices, begin: at, bytes }),
                (b"data", None) => return Err(wrong()),
                _ => {}
            }
            at += bytes.next_multiple_of(2);
            file.seek(SeekFrom::Start(at))?;
        }
        Err(wrong())
    }

    /// Bytes of one moment, all voices.
    pub fn block_bytes(&self) -> u64 {
        u64::from(self.voices) * 2
    }

    /// The same from a second on; its end when it is shorter.
    pub fn from(self, seconds: u64) -> Wav {
        let skipped = seconds.saturating_mul(u64::from(self.rate_hz) * self.block_bytes()).min(self.bytes);
        Wav { begin: self.begin + skipped, bytes: self.bytes - skipped, ..self }
    }

    /// The header of a WAV with these samples alone.
    pub fn header(&self) -> Vec<u8> {
        let block = self.block_bytes() as u16;
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(b"RIFF");
        header.extend_from_slice(&((self.bytes + HEADER_BYTES - 8) as u32).to_le_bytes());
        header.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
        header.extend_from_slice(&self.voices.to_le_bytes());
        header.extend_from_slice(&self.rate_hz.to_le_bytes());
        header.extend_from_slice(&(self.rate_hz * u32::from(block)).to_le_bytes());
        header.extend_from_slice(&block.to_le_bytes());
        header.extend_from_slice(b"\x10\0data");
        header.extend_from_slice(&(self.bytes as u32).to_le_bytes());
        header
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_header_of_ours_is_found_again_and_a_later_second_begins_where_it_should() {
        let wav = Wav { rate_hz: 8000, voices: 2, begin: HEADER_BYTES, bytes: 96_000 };
        let header = wav.header();
        assert_eq!(header.len() as u64, HEADER_BYTES);
        assert_eq!(Wav::find(&mut Cursor::new(&header)).expect("a WAV"), wav);
        assert_eq!(wav.from(2), Wav { begin: 44 + 64_000, bytes: 32_000, ..wav });
        assert_eq!(wav.from(4).bytes, 0);
        assert!(Wav::find(&mut Cursor::new(b"RIFFxxxxWAVX")).is_err());
    }
}
