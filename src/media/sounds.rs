//! The sounds, loaded at start and with every other configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::MediaError;
use crate::model::SoundId;
use crate::rtp::CLOCK_RATE;

/// The longest sound, in samples (ten minutes): twice as many bytes stay in memory.
const SAMPLES_MAX: u32 = CLOCK_RATE * 600;

/// Samples at 8 kHz: what a leg hears of them is encoded as they are played.
pub(super) type Sound = [i16];

/// Looked into when something begins to be played, never for a packet.
#[derive(Debug)]
pub(super) struct Sounds(RwLock<Loaded>);

/// Sounds that were read.
pub(super) type Loaded = BTreeMap<SoundId, Arc<Sound>>;

impl Sounds {
    pub(super) fn load(files: &BTreeMap<SoundId, PathBuf>) -> Result<Sounds, MediaError> {
        read_all(files).map(|loaded| Sounds(RwLock::new(loaded)))
    }

    /// Plays these from now on. What had another name before stays: live calls may play it yet.
    pub(super) fn learn(&self, loaded: Loaded) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(loaded);
    }

    pub(super) fn find(&self, id: &SoundId) -> Option<Arc<Sound>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// Reads every file, or says which cannot be played.
pub(super) fn read_all(files: &BTreeMap<SoundId, PathBuf>) -> Result<Loaded, MediaError> {
    files.iter().map(|(id, path)| read(id, path).map(|sound| (id.clone(), sound))).collect()
}

fn read(id: &SoundId, path: &Path) -> Result<Arc<Sound>, MediaError> {
    let unreadable = |source| MediaError::SoundUnreadable { sound: id.clone(), path: path.to_owned(), source };
    let format = |found: String| MediaError::SoundFormat { sound: id.clone(), path: path.to_owned(), found };
    let mut reader = hound::WavReader::open(path).map_err(unreadable)?;
    let spec = reader.spec();
    let is_pcm = spec.sample_format == hound::SampleFormat::Int;
    if !(is_pcm && spec.sample_rate == CLOCK_RATE && spec.channels == 1 && spec.bits_per_sample == 16) {
        let kind = if is_pcm { "PCM" } else { "floating point" };
        let hound::WavSpec { sample_rate, channels, bits_per_sample, .. } = spec;
        return Err(format(format!("{sample_rate} Hz, {channels} channel(s), {bits_per_sample} bits, {kind}")));
    }
    if reader.duration() == 0 {
        return Err(format("empty".into()));
    }
    if reader.duration() > SAMPLES_MAX {
        return Err(format(format!("longer than {} s", SAMPLES_MAX / CLOCK_RATE)));
    }
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().map_err(unreadable)?;
    Ok(samples.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(path: PathBuf) -> Result<Sounds, MediaError> {
        Sounds::load(&BTreeMap::from([(SoundId::from("greeting"), path)]))
    }

    fn write(path: &Path, rate: u32, samples: usize) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).expect("a file");
        (0..samples).for_each(|_| writer.write_sample(0i16).expect("written"));
        writer.finalize().expect("finished");
    }

    #[test]
    fn every_sound_of_the_house_is_loaded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sounds");
        let wavs = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
        let wavs = wavs.filter(|path| path.extension().is_some_and(|e| e == "wav"));
        let files: BTreeMap<SoundId, PathBuf> =
            wavs.map(|path| (path.file_stem().and_then(|s| s.to_str()).expect("a name").into(), path)).collect();
        let sounds = Sounds::load(&files).expect("good sounds");
        for id in ["greeting-fr", "greeting-en", "sorry-fr", "nobody-en", "closed-fr", "ready-fr", "paused-en", "music"]
        {
            assert!(sounds.find(&id.into()).is_some(), "{id}");
        }
    }

    #[test]
    fn a_missing_a_wrong_and_an_empty_file_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("voice.wav");
        let refusal = |path: &Path| load(path.to_owned()).expect_err("refused").to_string();
        assert!(refusal(&path).contains("voice.wav"));
        write(&path, 44_100, 10);
        assert!(refusal(&path).contains("44100 Hz") && refusal(&path).contains("voice.wav"));
        write(&path, 8000, 0);
        assert!(refusal(&path).contains("empty"));
        std::fs::write(&path, b"no WAV at all").expect("written");
        assert!(matches!(load(path), Err(MediaError::SoundUnreadable { .. })));
    }
}
