//! What a sealed recording is listened to by: its outline, and a voice of its own for each party.

use sha2::{Digest, Sha256};

use super::*;
use crate::journal::frames;
use crate::recorder::peaks::PEAKS_FILE;
use crate::recorder::render::{Parties, RenderError};

fn open(world: &World, sidecar: &Sidecar, from_s: u64) -> Result<Parties, RenderError> {
    let file = |name: &str| {
        let path = world.in_folder(name);
        frames::open_file(&path, None).map_err(|source| RenderError::File { act: "opening", path, source })
    };
    Parties::open(&world.in_folder(""), sidecar, file, from_s)
}

/// Names and samples of each voice from a second on.
fn voices(world: &World, from_s: u64) -> (Vec<String>, Vec<Vec<i16>>) {
    let mut parties = open(world, &world.sidecar(), from_s).expect("opened");
    let (names, announced) = (parties.names().to_vec(), parties.wav().bytes);
    let mut bytes = Vec::new();
    while let Some(second) = parties.next_second().expect("read") {
        bytes.extend(second);
    }
    assert_eq!(bytes.len() as u64, announced);
    let samples: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    let of_voice = |voice: usize| samples.iter().skip(voice).step_by(names.len()).copied().collect();
    let all = (0..names.len()).map(of_voice).collect();
    (names, all)
}

#[test]
fn each_party_has_a_voice_of_its_own_that_is_sample_for_sample_what_was_sealed() {
    let world = World::new();
    world.seal_one(125);
    let [left, right] = world.samples();
    let (names, all) = voices(&world, 0);
    assert_eq!(names, ["caller", "regulator anne"]);
    assert!(all == [left.clone(), right.clone()]);
    let (_, later) = voices(&world, 2);
    assert!(later == [&left[16_000..], &right[16_000..]]);
    assert!(voices(&world, 9).1.iter().all(Vec::is_empty), "behind the end");
}

#[test]
fn a_sidecar_that_says_what_no_recording_is_makes_no_rendering() {
    let world = World::new();
    world.seal_one(5);
    for (rate_hz, samples) in [(0, 800), (u32::MAX, 800), (7999, 800), (8000, u64::MAX)] {
        let mut sidecar = world.sidecar();
        (sidecar.vigie.audio.rate_hz, sidecar.vigie.audio.samples) = (rate_hz, samples);
        assert!(open(&world, &sidecar, 0).is_err(), "{rate_hz} {samples}");
    }
}

#[test]
fn the_outline_is_drawn_at_sealing_and_stands_in_the_sidecar() {
    let world = World::new();
    world.seal_one(125);
    let bytes = fs::read(world.in_folder(PEAKS_FILE)).expect("an outline");
    let told = world.sidecar().vigie.peaks.expect("in the sidecar");
    assert_eq!((told.file.as_str(), told.bytes), (PEAKS_FILE, bytes.len() as u64));
    assert_eq!(told.sha256, render::hex(&Sha256::digest(&bytes)));
    let outline: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!((outline["length"].as_u64(), outline["sample_rate"].as_u64()), (Some(25), Some(8000)));
    let points = outline["data"].as_array().expect("points");
    assert_eq!(points.len(), 100);
    for (lowest, highest) in points.chunks(2).map(|pair| (pair[0].as_i64(), pair[1].as_i64())) {
        assert!(lowest.is_some_and(|at| (-33..=-30).contains(&at)), "{lowest:?}");
        assert!(highest.is_some_and(|at| (29..=32).contains(&at)), "{highest:?}");
    }
}
