//! The outline of a recording: how loud each tenth of a second is, for whoever looks for a place in it.
//!
//! It is made of the sound, so it rests as the sound does: encrypted where that is.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{create_file, name_part, part_of};
use super::render::hash_short;
use crate::vault::{AudioKey, AudioWriter};

/// Beside the sidecar; what audiowaveform and peaks.js read (version 2, 8 bits).
pub const PEAKS_FILE: &str = "peaks.json";
/// Points a second.
const POINTS_A_SECOND: u32 = 10;

/// What the sidecar says of the file, as it rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeaksFile {
    /// Beside the sidecar.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// Puts an outline into a recording's folder, encrypted when there is a key. Its name is safe over a power cut once the
/// folder is synced.
pub fn write(folder: &Path, outline: Peaks, key: Option<&AudioKey>) -> io::Result<PeaksFile> {
    let path = folder.join(PEAKS_FILE);
    let mut out = AudioWriter::new(create_file(&part_of(&path))?, PEAKS_FILE, key)?;
    out.write_all(&outline.into_json())?;
    out.finish()?;
    name_part(&path)?;
    let (bytes, sha256) = hash_short(&path)?;
    Ok(PeaksFile { file: PEAKS_FILE.into(), bytes, sha256 })
}

/// An outline being drawn.
#[derive(Clone, Debug)]
pub struct Peaks {
    rate_hz: u32,
    /// Lowest and highest of left and right, in the point that is not full yet.
    least: [i16; 2],
    most: [i16; 2],
    filled: u32,
    points: Vec<i8>,
}

#[derive(Serialize)]
struct Outline<'a> {
    version: u8,
    channels: u8,
    sample_rate: u32,
    samples_per_pixel: u32,
    bits: u8,
    length: usize,
    data: &'a [i8],
}

impl Peaks {
    /// Of a recording at so many samples a second.
    pub fn new(rate_hz: u32) -> Peaks {
        Peaks { rate_hz, least: [0; 2], most: [0; 2], filled: 0, points: Vec::new() }
    }

    /// Takes the next samples of both sides.
    pub fn take(&mut self, left: &[i16], right: &[i16]) {
        let full = self.rate_hz / POINTS_A_SECOND;
        for pair in left.iter().zip(right).map(|(left, right)| [*left, *right]) {
            for ((sample, least), most) in pair.into_iter().zip(&mut self.least).zip(&mut self.most) {
                *least = sample.min(*least);
                *most = sample.max(*most);
            }
            self.filled += 1;
            if self.filled >= full {
                self.end_point();
            }
        }
    }

    fn end_point(&mut self) {
        let (least, most) = (std::mem::take(&mut self.least), std::mem::take(&mut self.most));
        for (least, most) in least.into_iter().zip(most) {
            self.points.extend([(least >> 8) as i8, (most >> 8) as i8]);
        }
        self.filled = 0;
    }

    /// The file.
    pub fn into_json(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.end_point();
        }
        let outline = Outline {
            version: 2,
            channels: 2,
            sample_rate: self.rate_hz,
            samples_per_pixel: self.rate_hz / POINTS_A_SECOND,
            bits: 8,
            length: self.points.len() / 4,
            data: &self.points,
        };
        // Numbers alone: that cannot fail.
        serde_json::to_vec(&outline).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_of_a_second_tells_how_loud_each_side_was() {
        let mut peaks = Peaks::new(8000);
        let mut left = vec![0; 2000];
        (left[100], left[900], left[1700]) = (25_600, -25_600, 512);
        peaks.take(&left[..700], &vec![0; 700]);
        peaks.take(&left[700..], &vec![256; 1300]);
        let json: serde_json::Value = serde_json::from_slice(&peaks.into_json()).expect("JSON");
        assert_eq!(json["data"], serde_json::json!([0, 100, 0, 1, -100, 0, 0, 1, 0, 2, 0, 1]));
        assert_eq!((json["length"].as_u64(), json["samples_per_pixel"].as_u64()), (Some(3), Some(800)));
    }
}
