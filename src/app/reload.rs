//! Another configuration in the running server: checked, compared, tried on the room and on the last day, then in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use super::entry::Urgents;
use crate::clock;
use crate::config::{self, Change, ChangeKind, Fault, ReachChange, Secrets, Settings, reach};
use crate::media::{self, Media};
use crate::model::centre::RecordingPolicy;
use crate::model::{CallRecord, Centre, Command, Foresight, LineId, Moment, Now, RegulatorId, Reload, Reply, Utc};
use crate::routing;
use crate::storage::{self, CallFilter, Storage};
use crate::switchboard::Door;
use crate::web::{
    ConfigurationChange, InForce, LastDay, Moved, ReachView, ReloadRefused, ReloadReport, Reloaded, RoomForesight,
    StrandedCall, Waiting,
};

/// Calls of the last day that are looked at: forty times a day of the busiest single centre.
const CALLS_MAX: u64 = 100_000;

/// How far back a dry run looks.
const LAST_DAY: Duration = Duration::from_secs(24 * 3600);

/// What a reload needs of the running parts.
pub(super) struct Reloader {
    pub(super) door: Door,
    pub(super) storage: Storage,
    /// Weak: the media plane ends when the app lets it go.
    pub(super) media: Weak<Media>,
    pub(super) urgents: Urgents,
    pub(super) in_force: Mutex<(Settings, Utc)>,
}

/// A file that was read and found sound.
struct Read {
    settings: Settings,
    warnings: Vec<Fault>,
}

impl crate::web::Reloader for Reloader {
    fn state(&self) -> Waiting<'_, InForce> {
        Box::pin(async {
            let in_force = self.in_force.lock().await;
            let (settings, since) = &*in_force;
            let read = read(settings.file.clone()).await;
            let is_changed = read.as_ref().is_ok_and(|read| differs(settings, &read.settings));
            let is_sound = read.is_ok();
            InForce { file: settings.file.clone(), since: *since, is_changed: is_changed || !is_sound, is_sound }
        })
    }

    fn reload(&self, dry_run: bool) -> Waiting<'_, Reloaded> {
        Box::pin(async move {
            match self.put_in_force(dry_run).await {
                Ok(report) => Reloaded::Done(Box::new(report)),
                Err(refused) => Reloaded::Refused(refused),
            }
        })
    }
}

impl Reloader {
    /// One at a time: whoever comes second sees what the first has made of it.
    async fn put_in_force(&self, is_trial: bool) -> Result<ReloadReport, ReloadRefused> {
        let mut in_force = self.in_force.lock().await;
        let present = in_force.0.clone();
        let Read { settings, warnings } = read(present.file.clone()).await?;
        let restart = config::takes_restart(&present, &settings);
        if !restart.is_empty() {
            return Err(ReloadRefused::TakesRestart(restart));
        }
        let changes = config::changes(&present, &settings);
        let sounds = media::read_sounds(&settings.centre.sounds).map_err(|error| failed(&error))?;
        let last_day = self.rerun(&settings.centre).await?;
        let (settings, credentials) = if is_trial {
            (settings, Default::default())
        } else {
            let opened = tokio::task::spawn_blocking(move || {
                Secrets::open_or_make(&settings).map(|secrets| (settings, secrets.credentials))
            });
            opened.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?
        };
        let reload = Reload { centre: Arc::new(settings.centre.clone()), credentials: Arc::new(credentials), is_trial };
        if !is_trial && let Some(media) = self.media.upgrade() {
            // Before the decisions name them.
            media.learn(sounds);
        }
        let foresight = match self.door.ask(Command::Reload(reload)).await {
            Ok(Reply::Foreseen(foresight)) => *foresight,
            Ok(reply) => return Err(ReloadRefused::Failed(format!("the decisions answered {reply:?}"))),
            Err(error) => return Err(failed(&error)),
        };
        let reach = config::reach_changes(&present.centre, &settings.centre);
        if !is_trial {
            self.urgents.follow(&settings);
            *in_force = (settings, clock::utc());
        }
        Ok(report(changes, &warnings, reach, foresight, last_day))
    }

    /// Asks the new configuration what it would have done with the calls of the last 24 hours.
    async fn rerun(&self, centre: &Centre) -> Result<LastDay, ReloadRefused> {
        let mut rerun = Rerun::new(centre);
        let from = Some(Utc(clock::utc().0 - LAST_DAY.as_micros() as i64));
        let mut filter = CallFilter { from, limit: Some(storage::ROWS_MAX), ..CallFilter::default() };
        loop {
            let page = storage::calls::list(&self.storage, &filter).await.map_err(|error| failed(&error))?;
            page.items.iter().for_each(|record| rerun.add(record));
            match page.next {
                Some(next) if rerun.day.calls < CALLS_MAX => filter.before = Some(next),
                Some(_) | None => return Ok(rerun.end()),
            }
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> ReloadRefused {
    ReloadRefused::Failed(format!("nothing was changed: {error}"))
}

fn differs(present: &Settings, other: &Settings) -> bool {
    !config::changes(present, other).is_empty() || !config::takes_restart(present, other).is_empty()
}

async fn read(file: PathBuf) -> Result<Read, ReloadRefused> {
    let reading = tokio::task::spawn_blocking(move || Settings::read_with_warnings(&file));
    match reading.await {
        Ok(Ok((settings, warnings))) => Ok(Read { settings, warnings }),
        Ok(Err(faults)) => Err(ReloadRefused::Faults(faults.to_string())),
        Err(error) => Err(failed(&error)),
    }
}

fn report(
    changes: Vec<Change>,
    warnings: &[Fault],
    reach: Vec<ReachChange>,
    foresight: Foresight,
    last_day: LastDay,
) -> ReloadReport {
    let kind = |kind| match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Changed => "changed",
    };
    let stranded = foresight.stranded.into_iter();
    ReloadReport {
        is_applied: foresight.is_applied && !changes.is_empty(),
        changes: changes
            .into_iter()
            .map(|one| ConfigurationChange { what: one.what, kind: kind(one.kind).into(), keys: one.keys })
            .collect(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        reach: reach
            .into_iter()
            .map(|ReachChange { line, step, lost, gained, left }| ReachView { line, step, lost, gained, left })
            .collect(),
        room: RoomForesight {
            waiting: foresight.waiting,
            stranded: stranded
                .map(|one| StrandedCall { call: one.call, line: one.line, wait_ms: one.wait_ms })
                .collect(),
            leaving: foresight.leaving,
        },
        last_day,
    }
}

/// The last day, call by call, under a configuration.
struct Rerun<'a> {
    centre: &'a Centre,
    /// Who can answer each line at any step.
    able: BTreeMap<LineId, BTreeSet<RegulatorId>>,
    moved: BTreeMap<(LineId, LineId), u64>,
    day: LastDay,
}

impl<'a> Rerun<'a> {
    fn new(centre: &'a Centre) -> Rerun<'a> {
        let mut able: BTreeMap<LineId, BTreeSet<RegulatorId>> = BTreeMap::new();
        for step in reach(centre) {
            able.entry(step.line).or_default().extend(step.regulators);
        }
        Rerun { centre, able, moved: BTreeMap::new(), day: LastDay::default() }
    }

    fn add(&mut self, record: &CallRecord) {
        self.day.calls += 1;
        let Some(trunk) = self.centre.trunks.get(&record.trunk) else { return };
        // Opening hours are read on the wall's clock alone.
        let then = Now { moment: Moment(0), utc: record.received_at };
        let Some(routed) = routing::route(self.centre, trunk, &record.ddi_raw, then) else { return };
        let line = &routed.line.id;
        if *line != record.line {
            *self.moved.entry((record.line.clone(), line.clone())).or_default() += 1;
        }
        let has_waited = record.queued_at.is_some();
        self.day.unknown_numbers += u64::from(routed.fallback && !record.fallback);
        self.day.closed += u64::from(has_waited && !routed.open);
        let able = self.able.get(line);
        self.day.unserved += u64::from(able.is_none_or(BTreeSet::is_empty));
        let by_other = record.regulator.as_ref().is_some_and(|person| !able.is_some_and(|able| able.contains(person)));
        self.day.answered_by_others += u64::from(by_other);
        let was_recorded = record.recording == RecordingPolicy::Always;
        self.day.unrecorded += u64::from(was_recorded && routed.line.recording == RecordingPolicy::Never);
    }

    fn end(mut self) -> LastDay {
        let mut moved: Vec<Moved> =
            self.moved.into_iter().map(|((from, to), calls)| Moved { from, to, calls }).collect();
        moved.sort_by_key(|moved| std::cmp::Reverse(moved.calls));
        self.day.moved = moved;
        self.day
    }
}

/// Puts the changed file in force, and says in the log what became of it: for SIGHUP.
pub(super) async fn reload_and_tell(reloader: &dyn crate::web::Reloader) {
    match reloader.reload(false).await {
        Reloaded::Done(report) if report.changes.is_empty() => tracing::info!("reload: the file says what is in force"),
        Reloaded::Done(report) => {
            let changes: Vec<String> =
                report.changes.iter().map(|change| format!("{} {}", change.kind, change.what)).collect();
            tracing::info!(stranded = report.room.stranded.len(), "reload: in force now: {}", changes.join(", "));
            report.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        Reloaded::Refused(ReloadRefused::Faults(text)) => {
            tracing::error!("reload: the file has errors, nothing was changed:\n{text}");
        }
        Reloaded::Refused(ReloadRefused::TakesRestart(keys)) => {
            tracing::error!("reload: nothing was changed: restart Vigie for {}", keys.join(", "));
        }
        Reloaded::Refused(ReloadRefused::Failed(text)) => tracing::error!("reload: {text}"),
    }
}
