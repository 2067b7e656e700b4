//! What is kept on disk of a call while its recording is unfinished, so that a crash costs no metadata.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{KEPT_FILE, make_folder, make_private_folder, name_of_part, open_folder, replace_file};
use super::place::{Part, samples_between};
use crate::model::{
    AskedBy, CallId, CallRecord, EndedBy, EventKind, LegRecord, Moment, Now, Outcome, RegulatorId, Side, Utc,
};

/// `call.json`: everything but the frames. Each line is the whole as it was then; the last whole line counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The call.
    pub call: CallId,
    /// The recording's clock begins here.
    pub begun: Now,
    /// Set when no more frames come.
    pub finished: Option<Now>,
    /// The legs that were announced.
    pub legs: BTreeMap<u16, KeptLeg>,
    /// What happened between the parties, in its order.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// The call as known; complete once `finished` is set.
    pub record: Box<CallRecord>,
    /// When nothing was recorded, by somebody's wish; in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<KeptPause>,
}

/// A pause of the recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptPause {
    /// From then on nothing was recorded.
    pub from: Now,
    /// From then on it was again; without it the call ended in the pause.
    pub to: Option<Now>,
    /// Who asked for it.
    pub by: AskedBy,
    /// Why, in the asker's words.
    pub reason: Option<String>,
    /// Who asked for it to end.
    pub resumed_by: Option<AskedBy>,
}

/// The most turns kept of one call: a phone that holds and resumes without end must not fill a disk.
pub const TURNS_MAX: usize = 1000;

/// Something that happened between the parties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// When.
    pub at: Utc,
    /// What, as dispatch was told.
    pub what: Box<EventKind>,
}

/// A leg that was announced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptLeg {
    /// Whose.
    pub side: Side,
    /// Which regulator.
    pub regulator: Option<RegulatorId>,
    /// When it came in.
    pub joined: Moment,
}

impl Kept {
    /// Whose leg this is; a leg that nobody announced is the caller's when it is number 0.
    pub fn side_of(&self, leg: u16) -> Side {
        let recorded = || self.leg_record(leg).map(|l| l.side);
        let guess = if leg == 0 { Side::Caller } else { Side::Regulator };
        self.legs.get(&leg).map(|l| l.side).or_else(recorded).unwrap_or(guess)
    }

    /// The regulator on this leg.
    pub fn regulator_of(&self, leg: u16) -> Option<RegulatorId> {
        let recorded = || self.leg_record(leg).and_then(|l| l.regulator.clone());
        self.legs.get(&leg).and_then(|l| l.regulator.clone()).or_else(recorded)
    }

    /// The leg as the call's record has it.
    pub fn leg_record(&self, leg: u16) -> Option<&LegRecord> {
        self.record.legs.iter().find(|l| l.number == leg)
    }

    /// The leg's part in a recording of `samples` samples: from when it was picked up, announced or heard (the first
    /// counts: a slow disk delays the announcement) to its end.
    pub fn part_of(&self, leg: u16, first_sound: Option<i64>, samples: i64) -> Part {
        let record = self.leg_record(leg);
        let on_clock = |at: Utc| at.since(self.begun.utc).as_micros() as i64 / 125;
        let announced = self.legs.get(&leg).map(|l| samples_between(self.begun.moment, l.joined));
        let accepted = record.and_then(|l| l.accepted_at).map(on_clock);
        let joined = [announced, accepted, first_sound].into_iter().flatten().min().unwrap_or(0).clamp(0, samples);
        let left = record.and_then(|l| l.ended_at).map_or(samples, |at| on_clock(at).clamp(joined, samples));
        Part { joined, left, refused: record.map_or(0, |l| l.quality.frames_refused) }
    }

    /// The pauses on the recording's clock, in a recording of `samples` samples.
    pub fn spans_paused(&self, samples: i64) -> Vec<(i64, i64)> {
        let on_clock = |at: Now| samples_between(self.begun.moment, at.moment).clamp(0, samples);
        let span = |pause: &KeptPause| (on_clock(pause.from), pause.to.map_or(samples, on_clock));
        self.pauses.iter().map(span).collect()
    }

    /// The record of a call that was cut off by a stop or fault of Vigie itself, `ended` being its last sound.
    pub fn interrupt(&mut self, ended: Utc) {
        if self.finished.is_none() {
            self.record.outcome = Some(Outcome::Interrupted);
            self.record.ended_at.get_or_insert(ended);
            self.record.ended_by.get_or_insert(EndedBy::Fault);
            let why = "Vigie stopped during the call; its recording was finished at the next start";
            self.record.detail.get_or_insert_with(|| why.to_owned());
        }
    }

    /// Writes `call.json`, after the mark by which a restart finds it: a kill between the two must not hide it.
    pub fn write(&self, folder: &Path, state: &Path) -> io::Result<()> {
        let marks = open_folder(state);
        make_private_folder(&marks)?;
        replace_file(&marks.join(self.call.to_string()), b"")?;
        make_folder(folder)?;
        replace_file(&folder.join(KEPT_FILE), &serde_json::to_vec(self)?)
    }

    /// Adds a line to the `call.json` of [`Kept::write`]. A file that is replaced would be written out at once by ext4
    /// (`auto_da_alloc`), which costs more than all frames of a second.
    pub fn write_again(&self, folder: &Path) -> io::Result<()> {
        // Begun on a line of its own: the one before may be torn by a disk that was full.
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, self)?;
        OpenOptions::new().append(true).open(folder.join(KEPT_FILE))?.write_all(&line)
    }

    /// Whether a mark was all that came to be of a call: nothing else of it was ever named.
    pub fn was_never(folder: &Path) -> bool {
        let is_part = |name: &std::ffi::OsStr| name.to_str().and_then(name_of_part).is_some();
        match std::fs::read_dir(folder) {
            Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| is_part(&entry.file_name()))),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Reads `call.json`: its last whole line.
    pub fn read(folder: &Path) -> io::Result<Kept> {
        let bytes = std::fs::read(folder.join(KEPT_FILE))?;
        let whole = bytes.rsplit(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice(line).ok());
        // One of an earlier version is a single value over many lines.
        whole.map_or_else(|| Ok(serde_json::from_slice(&bytes)?), Ok)
    }
}

/// The calls whose recordings are unfinished.
pub fn unfinished(state: &Path) -> io::Result<Vec<CallId>> {
    let entries = match std::fs::read_dir(open_folder(state)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut calls = Vec::new();
    for entry in entries {
        calls.extend(entry?.file_name().to_str().and_then(|name| name.parse::<CallId>().ok()));
    }
    calls.sort();
    Ok(calls)
}
