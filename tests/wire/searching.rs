//! What is said in a pause is nowhere: every file of the server, its rings, journal, recordings and database, searched for
//! numbered audio, while the call lives and after it is sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vigie::rtp::g711::{self, Law};

use super::harness::let_pass;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::voice::{Words, numbered};

/// Frames that may be on their way when something is asked.
const ON_THE_WAY: u32 = 25;

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The numbers of frames that stand in some bytes, as they came over the wire: half of a frame's piece is enough.
fn numbers_in(bytes: &[u8], found: &mut BTreeSet<u32>) {
    let [first, _, _, fourth] = *numbered(0).first_chunk().expect("a frame");
    for piece in bytes.windows(8).filter(|piece| piece[0] == first && piece[3] == fourth && piece[..4] == piece[4..]) {
        found.insert(u32::from(piece[1]) << 8 | u32::from(piece[2]));
    }
}

/// The same of samples of 16 bits, a voice of them: each as A-law would have it.
fn numbers_among_samples(bytes: &[u8], (offset, stride): (usize, usize), found: &mut BTreeSet<u32>) {
    let samples = bytes.get(offset..).unwrap_or_default().chunks_exact(stride);
    let codes: Vec<u8> =
        samples.map(|sample| g711::encode(Law::A, i16::from_le_bytes([sample[0], sample[1]]))).collect();
    numbers_in(&codes, found);
}

/// Every file of the server with numbered audio in it: as it came, or as samples of one side or of two.
fn search(server: &Server) -> BTreeMap<PathBuf, BTreeSet<u32>> {
    let place = &server.centre.place;
    let files = [place.folder.as_path(), place.ring_folder()].map(files_below).concat();
    assert!(files.len() > 5, "there is something to search: {files:?}");
    let mut all = BTreeMap::new();
    for path in files {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut found = BTreeSet::new();
        numbers_in(&bytes, &mut found);
        [0, 1].into_iter().for_each(|offset| numbers_among_samples(&bytes, (offset, 2), &mut found));
        (0..4).for_each(|offset| numbers_among_samples(&bytes, (offset, 4), &mut found));
        if !found.is_empty() {
            all.insert(path, found);
        }
    }
    all
}

/// Where the highest number is that each has heard of the other.
fn reached(phones: [&Phone; 2]) -> u32 {
    let heard = phones.map(|phone| phone.voice.highest_heard().expect("something is heard"));
    assert!(heard[0].abs_diff(heard[1]) < 200, "both count together: {heard:?}");
    heard[0].max(heard[1])
}

fn holds(found: &BTreeMap<PathBuf, BTreeSet<u32>>, ending: &str, numbers: &Range<u32>) -> bool {
    let mut files = found.iter().filter(|(path, _)| path.to_string_lossy().ends_with(ending));
    files.any(|(_, there)| numbers.clone().all(|number| there.contains(&number)))
}

#[tokio::test]
async fn numbered_audio_of_a_pause_is_in_no_file_while_the_call_lives_and_after_it_is_sealed() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    let both = [&anne, &caller];
    both.into_iter().for_each(|phone| phone.voice.says(Words::Numbers));
    let_pass(Duration::from_secs(3)).await;
    let before = reached(both);
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.api.post(&format!("/calls/{id}/recording/pause"), None).await, 204);
    let_pass(Duration::from_millis(500)).await;
    let from = reached(both) + 1;
    let_pass(Duration::from_secs(2)).await;
    let lowest = both.map(|phone| phone.voice.highest_heard().expect("something is heard"));
    let pause = from..lowest[0].min(lowest[1]);
    assert!(pause.len() >= 60, "{pause:?}");
    let is_nowhere = |found: &BTreeMap<PathBuf, BTreeSet<u32>>, when: &str| {
        for (path, numbers) in found {
            let kept: Vec<_> = numbers.range(pause.clone()).collect();
            assert!(kept.is_empty(), "{when}, in {}: {kept:?}", path.display());
        }
    };
    let found = search(&server);
    is_nowhere(&found, "in the pause");
    // The same search finds what was said before it.
    let known = before - 60..before - ON_THE_WAY;
    for ending in [".ring", ".frames"] {
        assert!(holds(&found, ending, &known), "{ending} has {known:?}: {:?}", found.keys());
    }
    assert_eq!(server.api.post(&format!("/calls/{id}/recording/resume"), None).await, 204);
    let_pass(Duration::from_millis(500)).await;
    let after = reached(both);
    let_pass(Duration::from_secs(1)).await;
    is_nowhere(&search(&server), "after the pause");
    caller.hang_up().await;
    server.api.sealed().await;
    let found = search(&server);
    is_nowhere(&found, "once it is sealed");
    for ending in ["leg-0.frames", "leg-1.frames", "audio.wav"] {
        assert!(holds(&found, ending, &known), "{ending} has {known:?}");
        assert!(holds(&found, ending, &(after..after + 10)), "{ending} has what followed the pause");
    }
    server.assert_sound();
}
