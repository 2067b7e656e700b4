//! Encrypted files as the reader finds them: whole, torn, changed, moved.

use std::fs::{File, OpenOptions};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use zeroize::Zeroizing;

use super::*;
use crate::vault::master::MasterKey;
use crate::vault::{Appender, AudioWriter};

fn key(seed: u8) -> AudioKey {
    let bytes = [seed; 32];
    let wrapped = MasterKey::of(&[1; 32]).wrap("a key", &bytes).expect("wrapped");
    AudioKey::new(Zeroizing::new(bytes), wrapped)
}

fn open(path: &Path, name: &str) -> AudioReader {
    AudioReader::open(path, name, || Ok(Some(key(7)))).expect("opened")
}

fn plain_of(reader: &mut AudioReader) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain).map(|_| plain)
}

fn new_file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).expect("a file")
}

/// Appends pieces of many lengths; the plain text.
fn append(path: &Path) -> Vec<u8> {
    let file = new_file(path);
    let mut appender = Appender::new(key(7), "leg-0.frames");
    let mut plain = Vec::new();
    for piece in 1..40usize {
        let bytes = vec![piece as u8; piece * 13];
        appender.seal(&bytes, piece == 39).expect("sealed");
        if piece % 3 == 0 {
            appender.write(&file).expect("written");
        }
        plain.extend(bytes);
    }
    plain
}

#[test]
fn what_was_appended_reads_back_from_any_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leg-0.frames");
    let plain = append(&path);
    let mut reader = open(&path, "leg-0.frames");
    assert!(reader.is_whole() && reader.is_sealed());
    assert_eq!(plain_of(&mut reader).expect("read"), plain);
    for at in [0, 12, 13, 14, 500, 5000, plain.len() - 1] {
        let mut some = [0; 700];
        let read = reader.fill(&mut some, at as u64).expect("read");
        assert_eq!(some[..read], plain[at..(at + 700).min(plain.len())]);
    }
    let disk = std::fs::read(&path).expect("read");
    assert!(!disk.windows(13).any(|window| window == [30; 13]), "nothing plain");
}

#[test]
fn a_wav_goes_through_hound_encrypted_and_is_patched_in_its_head() {
    let folder = tempfile::tempdir().expect("a folder");
    for samples in [0, 100, 32_746, 32_747, 100_000] {
        let path = folder.path().join(format!("{samples}.wav"));
        let mut out = AudioWriter::new(new_file(&path), "audio.wav", Some(&key(7))).expect("a writer");
        let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut wav = WavWriter::new(io::BufWriter::new(&mut out), spec).expect("a wav");
        (0..samples).for_each(|n| wav.write_sample(n as i16).expect("written"));
        wav.finalize().expect("ended");
        out.finish().expect("finished");
        let reader = open(&path, "audio.wav");
        assert!(reader.is_whole());
        assert_eq!(reader.length(), 44 + samples as u64 * 2);
        let heard = WavReader::new(reader).expect("a wav").into_samples::<i16>().map(|s| s.expect("a sample"));
        assert_eq!(heard.collect::<Vec<_>>(), (0..samples).map(|n| n as i16).collect::<Vec<_>>());
    }
}

#[test]
fn no_flipped_bit_and_no_cut_goes_unseen() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leg-0.frames");
    let plain = append(&path);
    let whole = std::fs::read(&path).expect("read");
    let is_as_written = |bytes: &[u8]| {
        let changed = folder.path().join("changed");
        std::fs::write(&changed, bytes).expect("written");
        let opened = AudioReader::open(&changed, "leg-0.frames", || Ok(Some(key(7))));
        opened.is_ok_and(|mut reader| {
            reader.is_sealed() && reader.is_whole() && plain_of(&mut reader).is_ok_and(|read| read == plain)
        })
    };
    assert!(is_as_written(&whole));
    for at in (0..whole.len()).step_by(3) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!is_as_written(&changed), "byte {at}");
        assert!(!is_as_written(&whole[..at]), "cut to {at}");
    }
    // The first chunk doubled, and left out.
    let first = 64 + 4 + 13 + 16;
    assert!(!is_as_written(&[&whole[..first], &whole[64..]].concat()));
    assert!(!is_as_written(&[&whole[..64], &whole[first..]].concat()));
}

#[test]
fn another_name_or_another_key_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leg-0.frames");
    append(&path);
    let read = plain_of(&mut open(&path, "leg-1.frames"));
    assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    let other = AudioReader::open(&path, "leg-0.frames", || Ok(Some(key(8))));
    assert!(other.is_err_and(|error| error.to_string().contains("another key")));
    let none = AudioReader::open(&path, "leg-0.frames", || Ok(None));
    assert!(matches!(none, Err(VaultError::NoKey { .. })));
}

#[test]
fn a_torn_file_is_continued_by_a_section_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leg-0.frames");
    let plain = append(&path);
    let whole = std::fs::read(&path).expect("read");
    for cut in [whole.len() - 1, 200, 64 + 4 + 13 + 16, 70, 64, 63] {
        std::fs::write(&path, &whole[..cut]).expect("torn");
        let reader = open(&path, "leg-0.frames");
        let kept = reader.length();
        let mut appender = Appender::after(key(7), "leg-0.frames", &reader, kept);
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.set_len(appender.place()).expect("cut");
        appender.seal(b"more", true).expect("sealed");
        appender.write(&file).expect("written");
        let mut reader = open(&path, "leg-0.frames");
        let expected = [&plain[..kept as usize], b"more"].concat();
        assert!(reader.is_whole(), "{cut}");
        assert_eq!(plain_of(&mut reader).expect("read"), expected);
    }
}

#[test]
fn a_plain_file_passes_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audio.wav");
    std::fs::write(&path, b"RIFF and so on").expect("written");
    let mut reader = AudioReader::open(&path, "audio.wav", || panic!("no key is asked for")).expect("opened");
    reader.seek(SeekFrom::Start(5)).expect("sought");
    assert_eq!(plain_of(&mut reader).expect("read"), b"and so on");
    assert!(reader.is_whole() && !reader.is_sealed());
}

/// A file of which each reading is a journey.
struct Far(File, std::sync::Arc<std::sync::atomic::AtomicU32>);

impl ReadAt for Far {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::os::unix::fs::FileExt::read_at(&self.0, to, at)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn is_far(&self) -> bool {
        true
    }
}

#[test]
fn any_place_of_a_long_encrypted_file_far_away_is_read_after_few_journeys() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audio.wav");
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 7_000_000] {
        let _ = std::fs::remove_file(&path);
        let plain: Vec<u8> = (0..length as u32).map(|n| (n % 251) as u8).collect();
        let mut writer = AudioWriter::new(new_file(&path), "audio.wav", Some(&key(7))).expect("a writer");
        io::Write::write_all(&mut writer, &plain).expect("written");
        writer.finish().expect("finished");
        let journeys = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let far = Box::new(Far(File::open(&path).expect("opened"), journeys.clone()));
        let mut reader = AudioReader::from(far, &path, "audio.wav", || Ok(Some(key(7)))).expect("opened");
        assert!(reader.is_whole() && reader.length() == length as u64, "{length}");
        let mut some = vec![0; 1000.min(length)];
        let at = length - some.len();
        reader.seek(SeekFrom::Start(at as u64)).expect("sought");
        reader.read_exact(&mut some).expect("read");
        assert!(some == plain[at..], "{length}");
        assert!(journeys.load(std::sync::atomic::Ordering::Relaxed) <= 7, "{length}");
        reader.seek(SeekFrom::Start(0)).expect("sought");
        assert!(plain_of(&mut reader).expect("read") == plain, "{length}");
    }
    // What was appended in chunks of many lengths is read as before.
    let path = folder.path().join("leg-0.frames");
    let plain = append(&path);
    let far = Box::new(Far(File::open(&path).expect("opened"), Default::default()));
    let mut reader = AudioReader::from(far, &path, "leg-0.frames", || Ok(Some(key(7)))).expect("opened");
    assert_eq!(plain_of(&mut reader).expect("read"), plain);
}
