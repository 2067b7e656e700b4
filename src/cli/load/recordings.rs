//! Whether what was said is in the recordings: every counted packet of every leg, looked for in the frame files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::numbered::{LegName, Numbered, Numbers};
use super::voices::Account;
use crate::journal::frames::scan_file;
use crate::recorder::layout::{SIDECAR_FILE, SIGNATURE_FILE};

/// Between two looks into the folder.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// `recordings/YYYY/MM/DD/<call-id>`.
const DEPTH_MAX: usize = 5;

/// What was found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Found {
    /// Sealed recordings of this run's calls.
    pub sealed: u32,
    /// Legs that talked.
    pub legs: u32,
    /// Of them, those of which every counted packet is recorded.
    pub legs_complete: u32,
    /// Counted packets that are in no recording.
    pub packets_missing: u64,
    /// Recordings whose frame files cannot be read or are cut short.
    pub unreadable: u32,
}

impl Found {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.legs_complete == self.legs && self.packets_missing == 0 && self.unreadable == 0
    }
}

/// Waits until `calls` recordings of the run are sealed, at most `patience`, and compares them with what was sent.
pub fn check(folder: &Path, run: u32, accounts: &[Account], patience: Duration) -> Found {
    let talked: Vec<&Account> = accounts.iter().filter(|account| account.partner.is_some()).collect();
    let calls = talked.len() / 2;
    let mut search = Search { run, looked: HashSet::new(), heard: HashMap::new(), found: Found::default() };
    let mut waited = Duration::ZERO;
    loop {
        search.look_in(folder, 0);
        if search.found.sealed as usize >= calls || waited >= patience {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
    }
    let mut found = search.found;
    for account in talked {
        let recorded = search.heard.get(&account.leg).map_or(0, Numbers::count);
        found.legs += 1;
        found.legs_complete += u32::from(recorded == account.sent);
        found.packets_missing += u64::from(account.sent.saturating_sub(recorded));
    }
    found
}

struct Search {
    run: u32,
    looked: HashSet<PathBuf>,
    heard: HashMap<LegName, Numbers>,
    found: Found,
}

impl Search {
    fn look_in(&mut self, folder: &Path, depth: usize) {
        if self.looked.contains(folder) {
            return;
        }
        if folder.join(SIDECAR_FILE).is_file() {
            if folder.join(SIGNATURE_FILE).is_file() {
                self.looked.insert(folder.to_owned());
                self.read(folder);
            }
            return;
        }
        if depth >= DEPTH_MAX {
            return;
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.look_in(&entry.path(), depth + 1);
            }
        }
    }

    /// Every frame file of one recording.
    fn read(&mut self, folder: &Path) {
        let mut is_ours = false;
        let mut is_whole = true;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|kind| kind != "frames") {
                continue;
            }
            let (run, heard) = (self.run, &mut self.heard);
            let scanned = scan_file(&path, None, |_, frame| {
                let Some(said) = Numbered::read(frame.payload).filter(|said| said.run == run) else { return };
                is_ours = true;
                if let Some(number) = said.number {
                    heard.entry(said.leg).or_default().insert(number);
                }
            });
            is_whole &= scanned.is_ok_and(|found| found.sound_bytes == found.total_bytes);
        }
        self.found.sealed += u32::from(is_ours);
        self.found.unreadable += u32::from(!is_whole);
    }
}
