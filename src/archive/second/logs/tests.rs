//! A seal log that is lost: nothing of its copy is written over, and what it proves comes back.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::archive::second::Folder;
use crate::archive::second::check::{Wish, compare};
use crate::archive::verify::verify;
use crate::model::{CallId, Utc};
use crate::recorder::layout::folder_of;
use crate::recorder::tests::World;

const LOG: &str = "seal-log/node-1.jsonl";

/// A recording that was sealed, copied, and lost with everything here; and another one that was sealed afterwards.
struct Loss {
    world: World,
    second: Second,
    lost: String,
}

impl Loss {
    fn new() -> Loss {
        let mut world = World::new();
        let path = world.folder.path().join("second");
        fs::create_dir(&path).expect("a folder");
        let second = Second::new(&world.parts.settings.folder, Place::Folder(Folder::new(&path)));
        second.there.claim(false).expect("an empty folder");
        world.seal_one(20);
        let lost = folder_of(world.call);
        second.copy(SEAL_LOG_FOLDER, Utc(1), None).expect("the log is copied");
        second.copy(&lost, Utc(1), None).expect("copied");
        fs::remove_dir_all(&world.parts.settings.folder).expect("lost");
        world.call = CallId(uuid::Uuid::from_u128(world.call.0.as_u128() + 1));
        Loss { world, second, lost }
    }

    fn seal_another(&self, frames: u32) {
        fs::create_dir_all(&self.world.parts.settings.folder).expect("an empty disk");
        self.world.seal_one(frames);
    }

    fn there(&self, path: &str) -> PathBuf {
        self.world.folder.path().join("second").join(path)
    }

    fn mend(&self) {
        let wish = Wish { repair: true, at: Utc(7), ..Wish::default() };
        let mended = compare(&self.second, &wish, |_, _| ()).expect("compared");
        assert!(mended.mended > 4 && mended.mended == mended.findings_total, "{mended:?}");
        assert!(self.world.parts.settings.folder.join(&self.lost).join("audio.wav").exists());
        let again = compare(&self.second, &Wish::default(), |_, _| ()).expect("compared");
        assert_eq!(again.findings, []);
        for place in [&self.world.parts.settings.folder, &self.world.folder.path().join("second")] {
            let verdict = verify(place, &[], |_| ()).expect("checked");
            assert_eq!((verdict.findings, verdict.recordings), (vec![], 2), "{}", place.display());
        }
    }
}

#[test]
fn a_log_that_was_begun_anew_is_copied_beside_the_one_that_was_lost_and_both_prove_their_recordings() {
    for frames in [10, 20, 30] {
        let loss = Loss::new();
        let before = fs::read(loss.there(LOG)).expect("the copy");
        loss.seal_another(frames);
        let amiss = loss.second.copy(SEAL_LOG_FOLDER, Utc(2), None).expect("copied").amiss;
        assert!(amiss.len() == 1 && amiss[0].contains("does not go on"), "{amiss:?}");
        assert_eq!(loss.second.copy(SEAL_LOG_FOLDER, Utc(3), None).expect("copied").amiss, Vec::<String>::new());
        loss.second.copy(&folder_of(loss.world.call), Utc(2), None).expect("copied");
        let earlier = loss.second.logs().expect("listed").into_iter().find(|name| name.contains("-earlier-"));
        let earlier = earlier.expect("the log that was lost");
        assert_eq!(fs::read(loss.there(&format!("seal-log/{earlier}"))).expect("kept"), before);
        loss.mend();
    }
}

#[test]
fn a_log_that_was_lost_goes_on_where_its_copy_ends() {
    let loss = Loss::new();
    let key = loss.world.parts.key.verifying_key();
    let before = fs::read(loss.there(LOG)).expect("the copy");
    let other = ed25519_dalek::SigningKey::from_bytes(&[8; 32]).verifying_key();
    assert!(loss.second.bring_log_back("node-1", &other).is_err(), "another key cannot go on");
    assert_eq!(loss.second.bring_log_back("node-2", &key).expect("asked"), None, "another node's log");
    let length = loss.second.bring_log_back("node-1", &key).expect("brought back");
    assert_eq!(length, Some(before.len() as u64));
    assert_eq!(loss.second.bring_log_back("node-1", &key).expect("asked"), None, "there is one");
    loss.seal_another(20);
    loss.second.copy(SEAL_LOG_FOLDER, Utc(2), None).expect("copied");
    loss.second.copy(&folder_of(loss.world.call), Utc(2), None).expect("copied");
    let after = fs::read(loss.there(LOG)).expect("the copy");
    assert!(after.starts_with(&before) && after.len() > before.len());
    assert!(!loss.second.logs().expect("listed").iter().any(|name| name.contains("-earlier-")));
    loss.mend();
}

#[test]
fn a_log_that_was_changed_or_cut_here_replaces_nothing_there() {
    let loss = Loss::new();
    let before = fs::read(loss.there(LOG)).expect("the copy");
    loss.second.bring_log_back("node-1", &loss.world.parts.key.verifying_key()).expect("brought back");
    let here = loss.world.parts.settings.folder.join(LOG);
    let text = String::from_utf8(before.clone()).expect("text");
    for wrong in [text.replace("2023", "2024"), text[..text.len() / 2].to_owned()] {
        fs::write(&here, wrong).expect("changed");
        assert_eq!(loss.second.copy(SEAL_LOG_FOLDER, Utc(2), None).expect("copied").amiss.len(), 1);
        assert_eq!(fs::read(loss.there(LOG)).expect("the copy"), before);
    }
    // What a kill cut off there in mid-line is written again.
    fs::write(&here, &before).expect("mended");
    fs::write(loss.there(LOG), &before[..before.len() - 30]).expect("torn");
    assert_eq!(loss.second.copy(SEAL_LOG_FOLDER, Utc(2), None).expect("copied").amiss.len(), 0);
    assert_eq!(fs::read(loss.there(LOG)).expect("the copy"), before);
}
