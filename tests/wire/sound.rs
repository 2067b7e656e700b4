//! Sounds with a frequency each, and the ear that tells them apart.

use std::path::Path;

/// Samples a second.
pub const RATE: u32 = 8000;

/// The centre's sounds: file, frequency, length in milliseconds.
pub const SOUNDS: [(&str, f64, u32); 7] = [
    ("greeting", 500.0, 400),
    ("music", 700.0, 2000),
    ("sorry", 800.0, 600),
    ("nobody", 900.0, 600),
    ("closed", 1100.0, 600),
    ("ready", 1300.0, 400),
    ("paused", 1500.0, 400),
];

/// The frequency of one of the centre's sounds.
pub fn frequency(name: &str) -> f64 {
    SOUNDS.iter().find(|(sound, _, _)| *sound == name).expect("a sound of the centre").1
}

/// A sine of one frequency, at a quarter of full scale.
pub fn tone(frequency: f64, samples: usize) -> Vec<i16> {
    tone_at(RATE, frequency, samples)
}

/// The same at another rate.
pub fn tone_at(rate: u32, frequency: f64, samples: usize) -> Vec<i16> {
    let step = 2.0 * std::f64::consts::PI * frequency / f64::from(rate);
    (0..samples).map(|n| ((n as f64 * step).sin() * 8000.0) as i16).collect()
}

/// Writes the centre's sounds.
pub fn write_sounds(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder of sounds");
    for (name, frequency, length_ms) in SOUNDS {
        write(&folder.join(format!("{name}.wav")), &tone(frequency, (RATE * length_ms / 1000) as usize));
    }
}

/// Writes a mono WAV file.
pub fn write(path: &Path, samples: &[i16]) {
    write_at(RATE, path, samples);
}

/// The same at another rate.
pub fn write_at(rate: u32, path: &Path, samples: &[i16]) {
    let shape =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = hound::WavWriter::create(path, shape).expect("a WAV file");
    for sample in samples {
        file.write_sample(*sample).expect("a sample");
    }
    file.finalize().expect("a whole WAV file");
}

/// Reads a stereo WAV: its rate; left, right.
pub fn read_stereo(bytes: &[u8]) -> (u32, [Vec<i16>; 2]) {
    let reader = hound::WavReader::new(bytes).expect("a WAV file");
    let shape = reader.spec();
    assert_eq!(shape.channels, 2);
    let samples: Vec<i16> = reader.into_samples().collect::<Result<_, _>>().expect("whole samples");
    (shape.sample_rate, [0, 1].map(|side| samples.iter().skip(side).step_by(2).copied().collect()))
}

/// Reads what a program has written so far of a WAV file of 16 bits, whose head does not know its length yet: the rate, and
/// the first voice.
pub fn read_unfinished(bytes: &[u8]) -> (u32, Vec<i16>) {
    const HEAD: usize = 44;
    let Some(head) = bytes.get(..HEAD) else { return (RATE, Vec::new()) };
    let voices = usize::from(u16::from_le_bytes([head[22], head[23]])).max(1);
    let rate = u32::from_le_bytes([head[24], head[25], head[26], head[27]]);
    let samples = bytes[HEAD..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    (rate, samples.step_by(voices).collect())
}

/// The amplitude of one frequency in some samples, by Goertzel's algorithm; of a pure sine, its own amplitude.
pub fn amplitude(samples: &[i16], frequency: f64) -> f64 {
    amplitude_at(RATE, samples, frequency)
}

/// The same at another rate.
pub fn amplitude_at(rate: u32, samples: &[i16], frequency: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let turn = 2.0 * std::f64::consts::PI * frequency / f64::from(rate);
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, f64::from(*sample) + 2.0 * turn.cos() * last - before);
    }
    let power = before * before + last * last - 2.0 * turn.cos() * before * last;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

/// How many milliseconds of `samples` are that tone, judged by tenths of a second.
pub fn length_of_tone_ms(samples: &[i16], frequency: f64) -> u32 {
    length_at(RATE, samples, frequency)
}

/// The same at another rate.
pub fn length_at(rate: u32, samples: &[i16], frequency: f64) -> u32 {
    let pieces = samples.chunks_exact(rate as usize / 10);
    pieces.filter(|piece| amplitude_at(rate, piece, frequency) > 2000.0).count() as u32 * 100
}

#[test]
fn the_ear_tells_one_tone_from_another() {
    let samples = tone(440.0, 8000);
    assert!((amplitude(&samples, 440.0) - 8000.0).abs() < 100.0);
    assert!(amplitude(&samples, 1000.0) < 100.0);
    assert_eq!((length_of_tone_ms(&samples, 440.0), length_of_tone_ms(&samples, 1000.0)), (1000, 0));
}
