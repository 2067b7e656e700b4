//! Another configuration in the running server: checked, compared, tried on the room and on the last day, then in force.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use super::entry::Urgents;
use super::last_day::{Able, Rerun, Under, able};
use crate::archive::custody::Custodian;
use crate::clock;
use crate::config::{self, Change, ChangeKind, Fault, ReachChange, Secrets, Settings};
use crate::media::{self, Media};
use crate::model::{Command, Foresight, Reload, Reply, Utc};
use crate::storage::{self, CallFilter, Storage};
use crate::switchboard::Door;
use crate::web::{
    ConfigurationChange, InForce, LastDay, ReachView, ReloadRefused, ReloadReport, Reloaded, RoomForesight,
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
    pub(super) custodian: Arc<Custodian>,
    pub(super) in_force: Mutex<(Settings, Utc)>,
}

/// A file that was read and found sound.
struct Read {
    settings: Settings,
    warnings: Vec<Fault>,
}

/// Two configurations side by side.
struct Compared {
    present: Settings,
    settings: Settings,
    restart: Vec<String>,
    changes: Vec<Change>,
    reach: Vec<ReachChange>,
    /// Who can answer each line now, and under the other.
    able: (Able, Able),
}

impl crate::web::Reloader for Reloader {
    fn state(&self) -> Waiting<'_, InForce> {
        Box::pin(async {
            let (settings, since) = self.in_force.lock().await.clone();
            let file = settings.file.clone();
            let read = read(file.clone()).await;
            let is_sound = read.is_ok();
            let is_changed = match read {
                Ok(read) => differs(settings, read.settings).await,
                Err(_) => true,
            };
            InForce { file, since, is_changed, is_sound }
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
        let Read { settings, warnings } = read(in_force.0.file.clone()).await?;
        let compared = compare(in_force.0.clone(), settings).await?;
        if !compared.restart.is_empty() {
            return Err(ReloadRefused::TakesRestart(compared.restart));
        }
        let last_day = self.rerun(&compared).await?;
        let Compared { settings, changes, reach, .. } = compared;
        let sounds = media::read_sounds(&settings.centre.sounds).map_err(|error| failed(&error))?;
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
        if !is_trial {
            self.urgents.follow(&settings);
            if let Err(error) = self.custodian.follow(&settings.centre, clock::utc()).await {
                tracing::error!(%error, "the retention in force could not be noted; a restart or another reload does so");
            }
            *in_force = (settings, clock::utc());
        }
        Ok(report(changes, &warnings, reach, foresight, last_day))
    }

    /// Asks both configurations what they would have done with the calls of the last 24 hours.
    async fn rerun(&self, compared: &Compared) -> Result<LastDay, ReloadRefused> {
        let (old, new) = (&compared.present.centre, &compared.settings.centre);
        let (able_old, able_new) = &compared.able;
        let mut rerun = Rerun::new(Under { centre: old, able: able_old }, Under { centre: new, able: able_new });
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

/// Compares two configurations, beside the threads that answer others: a large one takes a while.
async fn compare(present: Settings, settings: Settings) -> Result<Compared, ReloadRefused> {
    let comparing = tokio::task::spawn_blocking(move || Compared {
        restart: config::takes_restart(&present, &settings),
        changes: config::changes(&present, &settings),
        reach: config::reach_changes(&present.centre, &settings.centre),
        able: (able(&present.centre), able(&settings.centre)),
        present,
        settings,
    });
    comparing.await.map_err(|error| failed(&error))
}

async fn differs(present: Settings, other: Settings) -> bool {
    let differ =
        move || !config::changes(&present, &other).is_empty() || !config::takes_restart(&present, &other).is_empty();
    // What cannot be compared is not said to be the same.
    tokio::task::spawn_blocking(differ).await.unwrap_or(true)
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
