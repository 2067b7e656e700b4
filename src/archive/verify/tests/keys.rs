//! A change of the sealing key that was killed half-way.

use ed25519_dalek::{Signer, SigningKey};

use super::*;
use crate::model::{CallId, Chance};
use crate::recorder::deposit::signature_of;
use crate::recorder::layout::journal_folder;
use crate::recorder::seal_keys::{is_newest, key_path, relative_key_path};
use crate::recorder::seal_log::{SealLog, log_paths};

/// What a change of keys leaves that was killed before its line was whole.
fn interrupt(world: &World, new: &SigningKey, has_mark: bool, torn: &str) {
    let folder = &world.parts.settings.folder;
    let path = key_path(folder, "node-1", 2);
    let pem = new.verifying_key().to_public_key_pem(LineEnding::LF).expect("PEM");
    fs::write(&path, &pem).expect("written");
    fs::write(signature_of(&path), world.parts.key.sign(pem.as_bytes()).to_bytes()).expect("written");
    if has_mark {
        let (path, sha256) = (relative_key_path(folder, "node-1", 2), hex(&Sha256::digest(&pem)));
        let mark = serde_json::json!({ "call": null, "path": path, "sha256": sha256, "at": 5 });
        let state = journal_folder(&world.parts.state).join("deposit.json");
        fs::write(state, mark.to_string()).expect("written");
    }
    let (log, _) = log_paths(folder, "node-1");
    let text = fs::read_to_string(&log).expect("read");
    fs::write(&log, text + torn).expect("written");
}

#[test]
fn a_change_of_keys_killed_before_its_line_is_made_anew_with_the_old_key() {
    for (has_mark, torn) in [(true, ""), (false, ""), (true, r#"{"sequence":2,"at""#)] {
        let mut world = World::new();
        world.seal_one(3);
        let new = SigningKey::from_bytes(&[8; 32]);
        interrupt(&world, &new, has_mark, torn);
        assert!(SealLog::open(&world.parts.settings.folder, "node-1", &world.parts.key).is_err(), "no start between");
        assert!(!is_newest(&world.parts, &new).expect("read"), "its line is not there");
        rotate(&world.parts, &new).expect("rotated");
        assert!(is_newest(&world.parts, &new).expect("read"));
        world.parts.key = new;
        world.call = CallId::new(Utc(1_700_000_000_200_000), &mut Chance::from_number(2));
        world.seal_one(3);
        let verdict = check(&world.parts.settings.folder, &[]);
        assert!(verdict.is_sound() && verdict.log_lines == 3, "{verdict:?}");
    }
}
