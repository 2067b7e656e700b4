//! Opus in Ogg (RFC 3533, RFC 7845): a light copy of a recording to listen to, made while it is sent.

use std::io::{self, Read, Seek, SeekFrom};

use ropus::{Application, Bitrate, Channels, Encoder};

use super::wav::Wav;

/// Two sides of telephone speech.
const BITS_PER_SECOND: u32 = 48_000;
/// Half the time of the best, for a difference that nobody hears in a preview.
const COMPLEXITY: u8 = 3;
/// Packets of 20 ms.
const PACKETS_A_SECOND: u64 = 50;
/// Packets a page: one second, so that the first sound leaves soon.
const PACKETS_A_PAGE: usize = 50;
/// Ogg counts Opus at this rate, whatever it was made from (RFC 7845 §4).
const CLOCK_HZ: u64 = 48_000;
/// No packet is longer, so that a second of them always fits the 255 pieces of a page (RFC 3533 §6): ten times the usual.
const PACKET_BYTES_MAX: usize = 4 * 255;
/// What tells one stream of a file from another; there is one.
const SERIAL: u32 = 0x5649_4745;

/// The pages of a recording's preview, from a second on.
pub struct Preview<R> {
    source: R,
    wav: Wav,
    encoder: Encoder,
    state: State,
    page: u32,
    granule: u64,
    left: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Tags,
    Sound,
    Over,
}

impl<R: Read + Seek> Preview<R> {
    /// Of the WAV `source`, from so many seconds on.
    ///
    /// # Errors
    /// When it is no WAV that Vigie writes, or cannot be read.
    pub fn open(mut source: R, from_s: u64) -> io::Result<Preview<R>> {
        let wav = Wav::find(&mut source)?.from(from_s);
        source.seek(SeekFrom::Start(wav.begin))?;
        let voices = if wav.voices == 2 { Channels::Stereo } else { Channels::Mono };
        if wav.voices > 2 || !CLOCK_HZ.is_multiple_of(u64::from(wav.rate_hz)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no WAV as Vigie records: two sides, 8 to 48 kHz"));
        }
        let encoder = Encoder::builder(wav.rate_hz, voices, Application::Voip)
            .bitrate(Bitrate::Bits(BITS_PER_SECOND))
            .complexity(COMPLEXITY)
            .build()
            .map_err(|error| io::Error::other(format!("the Opus encoder does not begin: {error:?}")))?;
        Ok(Preview { source, wav, encoder, state: State::Head, page: 0, granule: 0, left: wav.bytes })
    }

    fn skip(&self) -> u64 {
        u64::from(self.encoder.lookahead()) * CLOCK_HZ / u64::from(self.wav.rate_hz)
    }

    fn head(&self) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(self.wav.voices as u8);
        head.extend_from_slice(&(self.skip() as u16).to_le_bytes());
        head.extend_from_slice(&self.wav.rate_hz.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        head
    }

    /// The next second, encoded; whether it is the last. After the recording's end silence is put in until its last sample
    /// is out of the encoder.
    fn sound(&mut self) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let frame = (u64::from(self.wav.rate_hz) / PACKETS_A_SECOND * self.wav.block_bytes()) as usize;
        let mut packets = Vec::with_capacity(PACKETS_A_PAGE);
        let mut bytes = vec![0; frame];
        while packets.len() < PACKETS_A_PAGE && self.granule < self.length() {
            let length = self.left.min(frame as u64) as usize;
            bytes.fill(0);
            self.source.read_exact(bytes.get_mut(..length).unwrap_or_default())?;
            self.left -= length as u64;
            let pcm: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
            let mut packet = vec![0; PACKET_BYTES_MAX];
            let coded = self.encoder.encode(&pcm, &mut packet);
            let coded = coded.map_err(|error| io::Error::other(format!("encoding Opus: {error:?}")))?;
            packet.truncate(coded);
            packets.push(packet);
            self.granule += CLOCK_HZ / PACKETS_A_SECOND;
        }
        Ok((packets, self.granule >= self.length()))
    }

    /// Where the last sample lies on Ogg's clock.
    fn length(&self) -> u64 {
        self.wav.bytes / self.wav.block_bytes() * (CLOCK_HZ / u64::from(self.wav.rate_hz)) + self.skip()
    }

    fn write(&mut self, packets: &[Vec<u8>], flags: u8, granule: u64) -> Vec<u8> {
        let page = page_of(packets, (flags, granule, self.page));
        self.page += 1;
        page
    }
}

impl<R: Read + Seek> Iterator for Preview<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        match self.state {
            State::Head => {
                self.state = State::Tags;
                let head = self.head();
                Some(Ok(self.write(&[head], 2, 0)))
            }
            State::Tags => {
                self.state = State::Sound;
                let tags = b"OpusTags\x05\0\0\0vigie\0\0\0\0".to_vec();
                Some(Ok(self.write(&[tags], 0, 0)))
            }
            State::Sound => {
                let (packets, is_last) = match self.sound() {
                    Ok(sound) => sound,
                    Err(error) => {
                        self.state = State::Over;
                        return Some(Err(error));
                    }
                };
                if is_last {
                    self.state = State::Over;
                }
                // The last page says where the sound ends within its last packet (RFC 7845 §4.4).
                let granule = self.granule.min(self.length());
                Some(Ok(self.write(&packets, if is_last { 4 } else { 0 }, granule)))
            }
            State::Over => None,
        }
    }
}

/// One page (RFC 3533 §6) with whole packets: its flags, its time, its number.
fn page_of(packets: &[Vec<u8>], (flags, granule, number): (u8, u64, u32)) -> Vec<u8> {
    let mut lacing = Vec::new();
    for packet in packets {
        lacing.extend(std::iter::repeat_n(255u8, packet.len() / 255));
        lacing.push((packet.len() % 255) as u8);
    }
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend_from_slice(&granule.to_le_bytes());
    page.extend_from_slice(&SERIAL.to_le_bytes());
    page.extend_from_slice(&number.to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.push(lacing.len() as u8);
    page.extend_from_slice(&lacing);
    packets.iter().for_each(|packet| page.extend_from_slice(packet));
    let sum = checksum(&page).to_le_bytes();
    if let Some(place) = page.get_mut(22..26) {
        place.copy_from_slice(&sum);
    }
    page
}

/// Ogg's CRC-32: polynomial 0x04c11db7, nothing reflected, nothing inverted (RFC 3533 §6).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::wav::HEADER_BYTES;
    use super::*;

    /// Three and a half seconds of a tone on the left.
    fn tone() -> Vec<u8> {
        let wav = Wav { rate_hz: 8000, voices: 2, begin: HEADER_BYTES, bytes: 28_000 * 4 };
        let mut bytes = wav.header();
        for n in 0..28_000u32 {
            let left = (f64::from(n) * 440.0 / 8000.0 * std::f64::consts::TAU).sin() * 8000.0;
            bytes.extend_from_slice(&(left as i16).to_le_bytes());
            bytes.extend_from_slice(&[0, 0]);
        }
        bytes
    }

    #[test]
    fn a_preview_is_whole_pages_whose_last_says_how_long_it_is() {
        for (from_s, length) in [(0, 28_000), (2, 12_000), (3, 4_000)] {
            let pages: Vec<Vec<u8>> =
                Preview::open(Cursor::new(tone()), from_s).expect("a WAV").map(|page| page.expect("a page")).collect();
            for (number, page) in pages.iter().enumerate() {
                let mut blank = page.clone();
                let sum = u32::from_le_bytes(page[22..26].try_into().expect("four"));
                blank[22..26].fill(0);
                assert_eq!((&page[..4], checksum(&blank)), (&b"OggS"[..], sum), "page {number}");
                assert_eq!(u32::from_le_bytes(page[18..22].try_into().expect("four")), number as u32);
            }
            let last = pages.last().expect("a page");
            assert_eq!((last[5], pages[0][5]), (4, 2));
            assert_eq!(u64::from_le_bytes(last[6..14].try_into().expect("eight")), length * 6 + 312, "from {from_s} s");
        }
    }

    /// The packets of the pages behind the two of the head.
    fn packets_of(pages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for page in pages.iter().skip(2) {
            let (lacing, mut rest) = page[27..].split_at(usize::from(page[26]));
            let mut length = 0;
            for piece in lacing {
                length += usize::from(*piece);
                if *piece < 255 {
                    let (packet, after) = rest.split_at(length);
                    packets.push(packet.to_vec());
                    (rest, length) = (after, 0);
                }
            }
        }
        packets
    }

    #[test]
    fn what_is_heard_is_the_tone_on_its_side_and_the_copy_is_light() {
        let pages: Vec<Vec<u8>> =
            Preview::open(Cursor::new(tone()), 1).expect("a WAV").map(|page| page.expect("a page")).collect();
        assert!(pages.iter().map(Vec::len).sum::<usize>() * 8 < tone().len());
        let mut decoder = ropus::Decoder::new(48_000, Channels::Stereo).expect("a decoder");
        let mut heard = Vec::new();
        for packet in packets_of(&pages) {
            let mut pcm = vec![0i16; 2 * 960];
            let samples = decoder.decode(&packet, &mut pcm, ropus::DecodeMode::Normal).expect("decoded");
            heard.extend_from_slice(&pcm[..samples * 2]);
        }
        let power = |side: usize| -> f64 {
            let of_side = heard.iter().skip(side + 2 * 9600).step_by(2).take(96_000);
            (of_side.map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / 96_000.0).sqrt()
        };
        assert!((4000.0..7000.0).contains(&power(0)) && power(1) < 400.0, "{} {}", power(0), power(1));
    }

    #[test]
    fn nothing_is_left_behind_the_end_and_what_is_no_recording_has_no_preview() {
        assert_eq!(
            Preview::open(Cursor::new(tone()), 4).expect("a WAV").count(),
            3,
            "head, tags, the encoder's own delay"
        );
        assert!(Preview::open(Cursor::new(b"RIFF".to_vec()), 0).is_err());
    }

    #[test]
    fn the_checksum_is_that_of_ogg() {
        // CRC-32/MPEG-2 without its initial value, of the check string of Rocksoft's model.
        assert_eq!(checksum(b"123456789"), 0x89a1_897f);
    }
}
