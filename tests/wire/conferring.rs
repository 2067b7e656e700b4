//! Three in a call, and what the recording keeps of each: a frame file a leg, which anybody can decode.

use std::path::{Path, PathBuf};

use serde_json::json;
use vigie::journal::frames::scan_file;
use vigie::rtp::g711::{self, Law};

use super::joining::{ANNE, CALLER, OUTSIDE, far_end, hears_only, talk};
use super::server::Setup;
use super::sound::length_of_tone_ms;

/// The folder of this name, at most so deep below.
fn find(folder: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    let here = folders.iter().find(|path| path.ends_with(name)).cloned();
    here.or_else(|| folders.iter().filter(|_| depth > 0).find_map(|path| find(path, name, depth - 1)))
}

#[tokio::test]
async fn of_a_conference_of_three_the_recording_keeps_a_frame_file_a_leg_with_that_voice_alone() {
    let (server, doctor) = far_end(Setup::new()).await;
    let (anne, caller, call) = talk(&server).await;
    assert_eq!(server.api.post(&format!("/calls/{call}/add"), Some(json!({"to": "+33698765432"}))).await, 204);
    doctor.talks().await;
    hears_only(&caller, &[ANNE, OUTSIDE], &[CALLER]).await;
    doctor.hang_up().await;
    anne.hang_up().await;
    caller.is_over().await;
    let story = server.api.sealed().await;
    server.assert_sound();

    let folder = find(&server.centre.place.path("recordings"), &call, 4).expect("the recording's folder");
    for (leg, own) in [CALLER, ANNE, OUTSIDE].into_iter().enumerate() {
        let (mut samples, mut numbers) = (Vec::new(), Vec::new());
        let found = scan_file(&folder.join(format!("leg-{leg}.frames")), None, |_, frame| {
            assert_eq!((frame.call.to_string(), usize::from(frame.leg)), (call.clone(), leg));
            numbers.push(frame.number);
            samples.extend(frame.payload.iter().map(|code| g711::decode(Law::A, *code)));
        });
        let found = found.expect("a frame file a leg");
        assert_eq!(found.sound_bytes, found.total_bytes, "leg {leg} is whole");
        assert!(numbers.iter().copied().eq(0..numbers.len() as u32), "leg {leg}: {numbers:?}");
        let recorded = &story["legs"][leg]["quality"]["frames_recorded"];
        assert_eq!(recorded.as_u64(), Some(found.frames), "leg {leg}");
        for tone in [CALLER, ANNE, OUTSIDE] {
            let heard = length_of_tone_ms(&samples, tone);
            let is_right = if tone == own { heard >= 1000 } else { heard == 0 };
            assert!(is_right, "leg {leg} says {tone} Hz for {heard} ms");
        }
    }
    assert!(!folder.join("leg-3.frames").exists());
}
