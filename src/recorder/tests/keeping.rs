//! What is kept of a call while it is recorded: each line of `call.json` is the whole, and the last one counts.

use std::fs::{self, OpenOptions};
use std::io::Write;

use super::*;

#[test]
fn the_last_whole_line_counts_whatever_was_torn_and_an_earlier_version_s_file_is_read() {
    let world = World::new();
    let (folder, file) = (world.in_folder(""), world.in_folder(KEPT_FILE));
    let (call, begun) = (world.call, world.begin);
    let first = kept::Kept {
        call,
        begun,
        finished: None,
        legs: BTreeMap::new(),
        turns: Vec::new(),
        record: world.record(),
        pauses: Vec::new(),
    };
    first.write(&folder, &world.parts.state).expect("written");
    assert_eq!(kept::unfinished(&world.parts.state).expect("read"), [call]);
    let read = || kept::Kept::read(&folder);
    assert_eq!(read().expect("whole"), first);
    let torn = OpenOptions::new().append(true).open(&file).expect("open").write_all(b"\n{\"call\":");
    torn.expect("torn");
    assert_eq!(read().expect("the one before"), first);
    let second = kept::Kept { finished: Some(begun.after(Duration::from_secs(3))), ..first.clone() };
    second.write_again(&folder).expect("added");
    assert_eq!(read().expect("the last"), second);
    fs::write(&file, serde_json::to_vec_pretty(&first).expect("text")).expect("an earlier version's");
    assert_eq!(read().expect("one value over many lines"), first);
    fs::write(&file, b"").expect("emptied");
    assert!(read().is_err());
}
