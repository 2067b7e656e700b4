//! FLAC both ways: the very bytes of the WAV come back, from any place, and other programs read what is written.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::*;
use crate::vault::AudioReader;

/// A WAV of two sides with a chunk behind its samples, as the recorder makes them.
fn wav(rate: u32, left: &[i16], right: &[i16]) -> Vec<u8> {
    let spec = WavSpec { channels: 2, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut bytes = Cursor::new(Vec::new());
    let mut wav = WavWriter::new(&mut bytes, spec).expect("a WAV");
    for (left, right) in left.iter().zip(right) {
        wav.write_sample(*left).expect("a sample");
        wav.write_sample(*right).expect("a sample");
    }
    wav.finalize().expect("a whole WAV");
    let mut bytes = bytes.into_inner();
    bytes.extend(b"LIST\x06\x00\x00\x00INFOab");
    let riff = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&riff.to_le_bytes());
    bytes
}

fn noise(seed: u32, count: usize, scale: i32) -> Vec<i16> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) as i32 % (2 * scale + 1) - scale) as i16
    };
    (0..count).map(|_| next()).collect()
}

fn tone(count: usize, hertz: f64, level: f64) -> Vec<i16> {
    (0..count).map(|n| ((n as f64 * hertz / 8000.0 * std::f64::consts::TAU).sin() * level) as i16).collect()
}

fn packed(wav: &[u8]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    pack(&mut Cursor::new(wav), &mut out).expect("packed");
    out.into_inner()
}

fn open(path: &Path) -> AudioReader {
    AudioReader::open(path, FLAC_FILE, || Ok(None)).expect("opened").unpack().expect("a FLAC of ours")
}

#[test]
fn every_kind_of_sound_comes_back_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FLAC_FILE);
    let silence = vec![0; 20_000];
    let coarse: Vec<i16> = noise(3, 20_000, 4000).iter().map(|sample| sample & !7).collect();
    let extremes: Vec<i16> = (0..20_000).map(|n| if n % 3 == 0 { i16::MIN } else { i16::MAX }).collect();
    for (name, rate, left, right) in [
        ("silence", 8000, silence.clone(), silence.clone()),
        ("a tone beside silence", 8000, tone(20_000, 440.0, 9000.0), silence),
        ("noise at full scale", 16_000, noise(1, 20_000, 32_767), noise(2, 20_000, 32_767)),
        ("low bits that are zero", 8000, coarse.clone(), coarse),
        ("the extremes", 48_000, extremes.clone(), noise(4, 20_000, 3)),
        ("less than a block", 8000, tone(700, 300.0, 20.0), noise(5, 700, 1)),
        ("one sample", 11_025, vec![-5], vec![7]),
        ("five samples", 8000, vec![1, 2, 3, 4, 5], vec![5, -5, 5, -5, 5]),
        ("exactly two blocks", 8000, noise(6, 8192, 100), tone(8192, 100.0, 30_000.0)),
    ] {
        let wav = wav(rate, &left, &right);
        std::fs::write(&path, packed(&wav)).expect("written");
        let mut reader = open(&path);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("read");
        assert_eq!(reader.length(), wav.len() as u64, "{name}");
        assert!(read == wav, "{name}");
    }
}

#[test]
fn any_byte_is_found_at_once_also_in_a_long_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FLAC_FILE);
    let count = 3 * 1_000_000;
    let wav = wav(8000, &noise(7, count, 900), &tone(count, 700.0, 12_000.0));
    let flac = packed(&wav);
    assert!(flac.len() < wav.len() * 3 / 4, "{} of {}", flac.len(), wav.len());
    std::fs::write(&path, flac).expect("written");
    let mut reader = open(&path);
    for at in [0, 43, 44, 45, 16_384, 999_999, 6_000_001, wav.len() - 20, wav.len() - 1] {
        let mut some = vec![0; 300_000.min(wav.len() - at)];
        reader.seek(SeekFrom::Start(at as u64)).expect("sought");
        reader.read_exact(&mut some).expect("read");
        assert!(some == wav[at..at + some.len()], "at {at}");
    }
    assert_eq!(reader.seek(SeekFrom::End(-1)).expect("sought"), wav.len() as u64 - 1);
}

#[test]
fn other_programs_read_it_and_find_no_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, raw) = (folder.path().join(FLAC_FILE), folder.path().join("raw"));
    let wav = wav(8000, &noise(8, 50_000, 2000), &tone(50_000, 1000.0, 8000.0));
    std::fs::write(&path, packed(&wav)).expect("written");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-xerror", "-i"]).arg(&path).args(["-f", "s16le", "-y"]).arg(&raw);
    let out = ffmpeg.output().expect("ffmpeg");
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(std::fs::read(&raw).expect("decoded") == wav[44..wav.len() - 14]);
}

#[test]
fn what_was_changed_is_found_and_what_is_no_wav_of_ours_is_not_packed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FLAC_FILE);
    let flac = packed(&wav(8000, &noise(9, 9000, 2000), &noise(10, 9000, 2000)));
    for at in [0, 5, 100, 200, flac.len() / 2, flac.len() - 1] {
        let mut changed = flac.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, &changed).expect("written");
        let opened = AudioReader::open(&path, FLAC_FILE, || Ok(None)).expect("a file").unpack();
        let read = opened.map_err(io::Error::from).and_then(|mut reader| {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        let whole = wav(8000, &noise(9, 9000, 2000), &noise(10, 9000, 2000));
        assert!(read.is_err() || read.is_ok_and(|read| read != whole) || at == 5 || at == 100, "byte {at}");
    }
    for cut in [0, 3, 40, flac.len() - 1] {
        std::fs::write(&path, &flac[..cut]).expect("written");
        let opened = AudioReader::open(&path, FLAC_FILE, || Ok(None)).expect("a file").unpack();
        let mut read = Vec::new();
        assert!(opened.map_err(io::Error::from).and_then(|mut reader| reader.read_to_end(&mut read)).is_err(), "{cut}");
    }
    for no_wav in [&b""[..], b"RIFF", &[0; 100], b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff"] {
        assert!(pack(&mut Cursor::new(no_wav), &mut Cursor::new(Vec::new())).is_err());
    }
}
