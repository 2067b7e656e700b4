//! Both places compared with what was sealed, and the one mended from the other.
//!
//! A file that is not what it should be is set aside and told, never written over; where both are wrong, it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::PoisonError;

use serde::Serialize;

use super::logs::{Standing, is_log};
use super::place::is_ours;
use super::proof::{Logs, Proof, Proofs, Sealed, State};
use super::{Place, Second};
use crate::model::Utc;
use crate::recorder::layout::{AUDIO_FILE, SEAL_LOG_FOLDER, leg_of};
use crate::vault::{FLAC_FILE, KEY_FILE};

/// So many findings are kept; the rest is counted.
pub const FINDINGS_MAX: usize = 1000;

/// Says of a folder whether it is wanted.
pub type Wanted = Box<dyn Fn(&str) -> bool + Send>;

/// What is compared.
#[derive(Default)]
pub struct Wish {
    /// Of the folders that are sealed or lie here; without it these, and whatever else lies there.
    pub wanted: Option<Wanted>,
    /// Folders that wait for their copy: that they are not there yet is no finding.
    pub waiting: BTreeSet<String>,
    /// Whether what is missing or wrong in one place is mended from the other.
    pub repair: bool,
    /// Now: part of the names of what is set aside.
    pub at: Utc,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, relative to the recordings folder.
    pub file: String,
    /// `here`, `there` or `both`.
    pub place: &'static str,
    /// In words.
    pub what: String,
    /// What was done about it, when something was.
    pub mended: Option<String>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Recordings looked at.
    pub recordings: u64,
    /// Files looked at, each in both places.
    pub files: u64,
    /// Recordings that wait for their copy, and were not looked at there.
    pub waiting: u64,
    /// What is not as it should be, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: u64,
    /// How many of them were mended.
    pub mended: u64,
}

impl Comparison {
    /// Adds what was found in one folder.
    fn take(&mut self, one: Comparison) {
        self.recordings += one.recordings;
        self.files += one.files;
        self.waiting += one.waiting;
        self.findings_total += one.findings_total;
        self.mended += one.mended;
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(one.findings.into_iter().take(room));
    }

    /// Counts a folder that changed while it was compared.
    fn skip(&mut self, folder: &str) {
        self.recordings += u64::from(!is_of_log(folder));
        self.waiting += u64::from(!is_of_log(folder));
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        self.mended += u64::from(finding.mended.is_some());
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// Compares; `progress` is told how many folders are done, of how many.
///
/// # Errors
/// When the second place is away, or the recordings folder cannot be read.
pub fn compare(second: &Second, wish: &Wish, mut progress: impl FnMut(u64, u64)) -> io::Result<Comparison> {
    second.there.claim(true)?;
    let mut found = Comparison::default();
    compare_logs(second, wish, &mut found)?;
    compare_beside_logs(second, wish, &mut found)?;
    let wanted = |folder: &str| wish.wanted.as_ref().is_none_or(|wanted| wanted(folder));
    let mut logs = Logs::read_all(&second.recordings, &wanted)?;
    let known = logs.folders.keys().filter(|folder| !folder.starts_with(SEAL_LOG_FOLDER)).cloned();
    let mut folders: BTreeSet<String> = known.chain(second.here.calls()?).collect();
    match &wish.wanted {
        Some(wanted) => folders.retain(|folder| wanted(folder)),
        None => folders.extend(second.there.calls()?),
    }
    let total = folders.len() as u64;
    for (done, folder) in (1..).zip(&folders) {
        match compare_one(second, &mut logs, wish, folder)? {
            Some(one) => found.take(one),
            None => found.skip(folder),
        }
        progress(done, total);
    }
    Ok(found)
}

/// One folder; `None` when a running server seals, adds or deletes there meanwhile: it waits for its copy.
fn compare_one(second: &Second, logs: &mut Logs, wish: &Wish, folder: &str) -> io::Result<Option<Comparison>> {
    let look = |logs: &Logs, repair| {
        let _shared = second.work.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Comparison::default();
        Comparing { second, logs, wish, repair, found: &mut found, small_only: false }.compare(folder)?;
        Ok::<Comparison, io::Error>(found)
    };
    let found = look(logs, false)?;
    if found.findings_total == 0 {
        return Ok(Some(found));
    }
    // From here on nothing is deleted, by no process: what is put back is none of what a tombstone has buried.
    let _alone = if wish.repair { Some(second.hold()?) } else { None };
    logs.follow()?;
    if logs.changed.contains(folder) {
        return Ok(None);
    }
    if wish.repair { look(logs, true).map(Some) } else { Ok(Some(found)) }
}

/// Fetches what is missing of a recording here, but for its audio.
pub(super) fn bring_back(second: &Second, folder: &str) -> io::Result<()> {
    // A place that is away has nothing to say of what is missing.
    second.there.claim(true)?;
    let logs = Logs::read(&second.recordings, folder)?;
    let wish = Wish { repair: true, at: Utc(0), ..Wish::default() };
    let mut found = Comparison::default();
    Comparing { second, logs: &logs, wish: &wish, repair: true, found: &mut found, small_only: true }
        .compare(folder)?;
    for finding in &found.findings {
        tracing::warn!(file = finding.file, mended = finding.mended, "{} in the recordings folder", finding.what);
    }
    Ok(())
}

struct Comparing<'a> {
    second: &'a Second,
    logs: &'a Logs,
    wish: &'a Wish,
    /// Whether what can be mended is, now.
    repair: bool,
    found: &'a mut Comparison,
    /// What is missing here is fetched, audio excepted; nothing else is looked at.
    small_only: bool,
}

impl Comparing<'_> {
    fn compare(&mut self, folder: &str) -> io::Result<()> {
        let Second { here, there, .. } = self.second;
        let in_here = match here.list(folder) {
            Ok(listed) => listed,
            Err(error) => {
                self.tell(folder, "here", format!("cannot be read: {error}"), None);
                return Ok(());
            }
        };
        let in_there = there.list(folder)?;
        let Some(sealed) = self.logs.folders.get(folder) else {
            // A live call, or one that recovery finishes; what is there and nowhere sealed is told.
            if in_here.is_empty() && !in_there.is_empty() {
                let what = "is there, and no line of the seal log here knows it".to_owned();
                self.tell(folder, "there", what, None);
            }
            return Ok(());
        };
        // The hours' roots are sealed as recordings are.
        self.found.recordings += u64::from(!is_of_log(folder));
        if self.wish.waiting.contains(folder) {
            self.found.waiting += 1;
            return Ok(());
        }
        let proofs = Proofs::of(self.logs, folder, sealed, [here, there])?;
        let mut names: BTreeSet<&String> = proofs.files.keys().collect();
        names.extend(in_here.keys().chain(in_there.keys()).filter(|name| is_ours(name)));
        for name in names {
            if self.small_only && (is_audio(name) || in_here.contains_key(name)) {
                continue;
            }
            if is_left_over(name, sealed, &proofs) {
                self.tell_left_over(folder, name, (&in_here, &in_there), sealed)?;
                continue;
            }
            self.found.files += 1;
            self.compare_file(folder, name, &proofs)?;
        }
        Ok(())
    }

    fn compare_file(&mut self, folder: &str, name: &str, proofs: &Proofs<'_>) -> io::Result<()> {
        let Second { here, there, .. } = self.second;
        let (in_here, in_there) = (proofs.look(here, folder, name)?, proofs.look(there, folder, name)?);
        let path = format!("{folder}/{name}");
        match (&in_here, &in_there) {
            (State::Sound, State::Sound) if name == KEY_FILE && here.hash(&path)? != there.hash(&path)? => {
                self.renew_key(&path)?;
            }
            (State::Sound, State::Sound) => {}
            (State::Missing, State::Missing) => {
                self.tell(&path, "both", "is in neither place: put it back from a backup".into(), None);
            }
            (State::Sound, State::Missing | State::Wrong(_)) => self.mend(&path, (here, there), &in_there, "there")?,
            (State::Missing | State::Wrong(_), State::Sound) => self.mend(&path, (there, here), &in_here, "here")?,
            (State::Unproven(one), State::Unproven(other)) if one == other => {}
            (State::Unproven(_), State::Unproven(_)) => {
                let what = "is not the same in both places, and nothing sealed tells which is right".to_owned();
                self.tell(&path, "both", what, None);
            }
            // A root whose line was lost proves nothing any more.
            (State::Unproven(_), State::Missing) | (State::Missing, State::Unproven(_)) if is_of_log(folder) => {}
            (State::Unproven(_), State::Missing) => self.mend(&path, (here, there), &in_there, "there")?,
            (State::Missing, State::Unproven(_)) => self.mend(&path, (there, here), &in_here, "here")?,
            (one, other) => {
                let why = |state: &State| match state {
                    State::Wrong(why) => why.clone(),
                    State::Missing => "is not there".to_owned(),
                    State::Sound | State::Unproven(_) => "cannot be proven".to_owned(),
                };
                let what = format!(
                    "here it {}, there it {}: neither can mend the other; put it back from a backup",
                    why(one),
                    why(other)
                );
                self.tell(&path, "both", what, None);
            }
        }
        Ok(())
    }

    /// The same key, wrapped anew here by a rotation.
    fn renew_key(&mut self, path: &str) -> io::Result<()> {
        let mut mended = None;
        if self.repair
            && let Some(file) = self.second.here.open_file(path)?
        {
            self.second.there.put(path, &*file)?;
            mended = Some("put there as it is here".to_owned());
        }
        let what =
            "is wrapped with another key-encryption key than here: an older one, from before a rotation".to_owned();
        self.tell(path, "there", what, mended);
        Ok(())
    }

    /// Puts a sound file where it is missing or wrong; what is wrong is set aside before.
    fn mend(&mut self, path: &str, (from, to): (&Place, &Place), state: &State, place: &'static str) -> io::Result<()> {
        let what = match state {
            State::Wrong(why) => why.clone(),
            State::Missing | State::Sound | State::Unproven(_) => "is missing".to_owned(),
        };
        let mut mended = None;
        if self.repair {
            let aside = match state {
                State::Wrong(_) => Some(to.set_aside(path, self.wish.at)?),
                State::Missing | State::Sound | State::Unproven(_) => None,
            };
            if let Some(file) = from.open_file(path)? {
                to.put(path, &*file)?;
                let source = if place == "here" { "the second place" } else { "the recordings folder" };
                mended = Some(match aside {
                    Some(aside) => format!("put back from {source}; what was there is {aside} now"),
                    None => format!("put back from {source}"),
                });
            }
        }
        self.tell(path, place, what, mended);
        Ok(())
    }

    /// What should not be there any more: the audio of what was archived or deleted.
    fn tell_left_over(
        &mut self,
        folder: &str,
        name: &str,
        (in_here, in_there): (&BTreeMap<String, u64>, &BTreeMap<String, u64>),
        sealed: &Sealed,
    ) -> io::Result<()> {
        let path = format!("{folder}/{name}");
        // An archived recording's WAV may be locked there until its time is over.
        if sealed.certificate.is_none() {
            return Ok(());
        }
        for (place, files) in [("here", in_here), ("there", in_there)] {
            if files.contains_key(name) {
                // Only an approved list removes anything.
                let what = "is there though the recording was lawfully deleted: its deletion is under way, or it was put back; \
                            what is on no list is removed by hand, key first";
                self.tell(&path, place, what.into(), None);
            }
        }
        Ok(())
    }

    fn tell(&mut self, file: &str, place: &'static str, what: String, mended: Option<String>) {
        self.found.add(Finding { file: file.to_owned(), place, what, mended });
    }
}

fn is_of_log(folder: &str) -> bool {
    folder.starts_with(SEAL_LOG_FOLDER)
}

fn is_audio(name: &str) -> bool {
    name == AUDIO_FILE || name == FLAC_FILE || leg_of(name).is_some()
}

/// Whether a file should have gone: everything but the certificate of a deleted recording, the WAV of an archived one.
fn is_left_over(name: &str, sealed: &Sealed, proofs: &Proofs<'_>) -> bool {
    let is_told = proofs.files.contains_key(name);
    if sealed.certificate.is_some() {
        return !is_told;
    }
    let is_archived = matches!(proofs.files.get(FLAC_FILE), Some(Proof::Hash(_)));
    // A key that rests beside plain audio is none of the sidecar's; its absence is no fault.
    (name == AUDIO_FILE && is_archived) || (name == KEY_FILE && !is_told)
}

/// Each seal log here must go on from what is there of it.
fn compare_logs(second: &Second, wish: &Wish, found: &mut Comparison) -> io::Result<()> {
    for log in second.logs()? {
        let path = format!("{SEAL_LOG_FOLDER}/{log}");
        let finding = |what: &str, mended| Finding { file: path.clone(), place: "both", what: what.into(), mended };
        let Some(file) = second.here.open_file(&path)? else { continue };
        match second.standing(&path, &*file, true)? {
            Standing::GoesOn(_) => {}
            Standing::Behind if file.length()? == 0 => {}
            Standing::Behind => {
                let what = "the seal log here ends before what is there of it: lines were lost here; run `vigie verify` on both";
                found.add(finding(what, None));
            }
            Standing::Other(_) => {
                let mended = if wish.repair { second.copy_log(&path)? } else { None };
                // What was changed in one of the places is told as it is.
                let mended = if second.standing(&path, &*file, true)? == Standing::GoesOn(file.length()?) {
                    mended
                } else {
                    None
                };
                let what = "the seal log here does not go on from what is there of it: lines were changed or lost in one of \
                            the places, or it was begun anew; run `vigie verify` on both";
                found.add(finding(what, mended));
            }
        }
    }
    // After those that were begun anew: what was there before has its name now.
    for log in second.logs()? {
        let path = format!("{SEAL_LOG_FOLDER}/{log}");
        if second.recordings.join(&path).exists() {
            continue;
        }
        let mended = if wish.repair {
            second.put_log_back(&path)?;
            Some("put back from the second place, as far as it was copied".to_owned())
        } else {
            None
        };
        found.add(Finding { file: path, place: "here", what: "the seal log is missing".into(), mended });
    }
    Ok(())
}

/// What lies beside the seal logs: keys, and their words for each other.
fn compare_beside_logs(second: &Second, wish: &Wish, found: &mut Comparison) -> io::Result<()> {
    let Second { here, there, .. } = second;
    let mut names: BTreeSet<String> = here.list(SEAL_LOG_FOLDER)?.into_keys().collect();
    names.extend(there.list(SEAL_LOG_FOLDER)?.into_keys());
    for name in names.iter().filter(|name| is_ours(name) && !is_log(SEAL_LOG_FOLDER, name)) {
        let path = format!("{SEAL_LOG_FOLDER}/{name}");
        let finding = |place, what: String, mended| Finding { file: path.clone(), place, what, mended };
        match (here.hash(&path)?, there.hash(&path)?) {
            (Some(one), Some(other)) if one == other => {}
            (Some(_), None) | (None, None) => {}
            (None, Some(_)) => {
                let mended = wish.repair.then(|| put_back(&path, there, here)).transpose()?;
                found.add(finding("here", "is missing".into(), mended));
            }
            (Some(_), Some(_)) => {
                let what = "is not the same in both places: run `vigie verify`, and find out who changed it";
                found.add(finding("both", what.into(), None));
            }
        }
    }
    Ok(())
}

fn put_back(path: &str, from: &Place, to: &Place) -> io::Result<String> {
    if let Some(file) = from.open_file(path)? {
        to.put(path, &*file)?;
    }
    Ok("put back from the second place".to_owned())
}

#[cfg(test)]
mod tests;
