//! One endpoint's deliveries: woken by commits and by the clock, in parallel across subjects, in order within one.

use std::collections::HashSet;
use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::model::{Alarm, Chance, Utc};
use crate::storage::outbox::{self, Owed, Settled, Verdict};
use crate::storage::{Storage, StorageError};

use super::answer::{Answer, Health, Tried, judge, read_retry_after};
use super::{Endpoint, OutboxSettings, PARALLEL_MAX, cloudevent, signature};

/// The longest sleep: a wall clock that was set back is noticed after it.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The wait after the database failed.
const STORAGE_RETRY: Duration = Duration::from_secs(1);
/// Failures in a row before somebody is told that the endpoint is down: about ten seconds of one event.
const FAILURES_TOLD: u32 = 4;
/// Bytes of an answer's body that are read; the connection of a longer one is not used again.
const ANSWER_LENGTH_MAX: usize = 16 * 1024;
/// Characters of it that are kept with a refusal.
const EXPLANATION_MAX: usize = 200;

/// What keeps one endpoint's deliveries going.
pub(super) struct Lane {
    storage: Storage,
    client: reqwest::Client,
    endpoint: Endpoint,
    settings: OutboxSettings,
    source: String,
    chance: Chance,
    /// Rows that are being delivered, or whose outcome is not recorded yet.
    under_way: HashSet<i64>,
    attempts: JoinSet<Attempted>,
    /// Outcomes that the database could not take yet.
    unsettled: Vec<Settled>,
    /// Nothing is begun before this.
    paused_until: Option<Utc>,
    failures: u32,
    /// One of those failures was that nobody was there.
    away: bool,
    gone: u32,
    refusing: bool,
    storage_failing: bool,
    /// The endpoint was away and answers again: what waits for it is brought forward.
    returned: bool,
}

/// One attempt that came to its end.
struct Attempted {
    owed: Owed,
    at: Utc,
    elapsed_ms: u64,
    answer: Answer,
    error: Option<String>,
}

impl Lane {
    pub(super) fn new(storage: Storage, client: reqwest::Client, endpoint: Endpoint, settings: OutboxSettings) -> Lane {
        let mut seed = [0; 32];
        // Only the jitter hangs on it: a seed of zeros would do.
        let _ = getrandom::fill(&mut seed);
        Lane {
            storage,
            client,
            endpoint,
            source: cloudevent::source(&settings.node),
            settings,
            chance: Chance::new(seed),
            under_way: HashSet::new(),
            attempts: JoinSet::new(),
            unsettled: Vec::new(),
            paused_until: None,
            failures: 0,
            away: false,
            gone: 0,
            refusing: false,
            storage_failing: false,
            returned: false,
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut commits = self.storage.commits();
        while !*stop.borrow() {
            // Marked as seen before looking, so that a commit in between is not missed.
            commits.borrow_and_update();
            let sleep = match self.begin_due().await {
                Ok(sleep) => sleep,
                Err(error) => self.rest_from_storage(&error),
            };
            tokio::select! {
                _ = stop.changed() => break,
                changed = commits.changed(), if self.may_begin() => if changed.is_err() { break },
                Some(ended) = self.attempts.join_next() => self.collect(ended.ok()).await,
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while let Some(ended) = self.attempts.join_next().await {
            self.collect(ended.ok()).await;
        }
    }

    fn may_begin(&self) -> bool {
        self.under_way.len() < PARALLEL_MAX && self.paused_until.is_none() && !self.storage_failing
    }

    /// Begins whatever is due; how long there is nothing more to begin.
    async fn begin_due(&mut self) -> Result<Duration, StorageError> {
        self.settle().await?;
        let now = clock::utc();
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Ok(until.since(now).min(SLEEP_MAX));
        }
        self.paused_until = None;
        if self.under_way.len() >= PARALLEL_MAX {
            return Ok(SLEEP_MAX);
        }
        // Those under way are still due in the table, so as many more are asked for.
        let limit = PARALLEL_MAX + self.under_way.len();
        let due = outbox::due(&self.storage, &self.endpoint.settings.id, now, limit as u32).await?;
        for owed in due {
            if self.under_way.len() >= PARALLEL_MAX {
                return Ok(SLEEP_MAX);
            }
            if self.under_way.insert(owed.position) {
                let deliver = deliver(self.client.clone(), self.request(&owed), owed);
                self.attempts.spawn(deliver);
            }
        }
        let next = outbox::next_due(&self.storage, &self.endpoint.settings.id, now).await?;
        self.storage_failing = false;
        // One millisecond more than needed: a timer that is early by a fraction would look twice.
        let wait = next.map(|next| next.since(clock::utc()) + Duration::from_millis(1));
        Ok(wait.unwrap_or(SLEEP_MAX).min(SLEEP_MAX))
    }

    fn request(&self, owed: &Owed) -> Result<reqwest::Request, String> {
        let id = owed.event.id.to_string();
        let timestamp = clock::utc().0.div_euclid(1_000_000);
        let body = Bytes::from(cloudevent::body(&owed.event, &self.source, &self.settings.zone));
        let signature = signature::sign_all(&self.endpoint.secrets, &id, timestamp, &body);
        self.client
            .post(&self.endpoint.settings.url)
            .timeout(self.endpoint.settings.timeout)
            .header(reqwest::header::CONTENT_TYPE, cloudevent::CONTENT_TYPE)
            .header(signature::ID, id)
            .header(signature::TIMESTAMP, timestamp)
            .header(signature::SIGNATURE, signature)
            .body(body)
            .build()
            .map_err(describe)
    }

    /// Takes this outcome and all others that are there: they are recorded in one transaction.
    async fn collect(&mut self, first: Option<Attempted>) {
        let mut ended: Vec<Attempted> = first.into_iter().collect();
        while let Some(more) = self.attempts.try_join_next() {
            ended.extend(more.ok());
        }
        for attempted in ended {
            let settled = self.judge(attempted);
            self.unsettled.push(settled);
        }
        if let Err(error) = self.settle().await {
            self.rest_from_storage(&error);
        }
    }

    /// Records the outcomes. Until that succeeded their rows stay under way, so that none is delivered twice for it.
    async fn settle(&mut self) -> Result<(), StorageError> {
        if !self.unsettled.is_empty() {
            outbox::settle(&self.storage, &self.unsettled).await?;
            for settled in self.unsettled.drain(..) {
                self.under_way.remove(&settled.position);
            }
        }
        if self.returned {
            outbox::hasten(&self.storage, &self.endpoint.settings.id, clock::utc()).await?;
            self.returned = false;
        }
        if self.attempts.is_empty() {
            // Whatever may have become of a task: nothing is under way now.
            self.under_way.clear();
        }
        Ok(())
    }

    fn judge(&mut self, attempted: Attempted) -> Settled {
        let Attempted { owed, at, elapsed_ms, answer, error } = attempted;
        let now = clock::utc();
        let tried = Tried { before: owed.attempts, owed_since: owed.owed_since, chance: self.chance.fraction() };
        let (verdict, health) = judge(&answer, tried, &self.settings.schedule, now);
        self.feel(health, now);
        let verdict = match verdict {
            Verdict::Dead { reason } => {
                self.tell_dead(&reason);
                Verdict::Dead { reason: error.iter().fold(reason, |reason, error| format!("{reason}: {error}")) }
            }
            Verdict::Delivered => {
                self.refusing = false;
                Verdict::Delivered
            }
            Verdict::Again { due_at } => Verdict::Again { due_at },
        };
        self.count(&verdict, &owed, now);
        let status = match answer {
            Answer::Status { code, .. } => Some(code),
            Answer::None => None,
        };
        Settled { position: owed.position, at, elapsed_ms, status, error, verdict }
    }

    /// What an answer says about the endpoint changes how all its deliveries go on.
    fn feel(&mut self, health: Health, now: Utc) {
        let pause = |wait: Duration| Utc(now.0.saturating_add(wait.as_micros() as i64));
        match health {
            Health::Well => {
                self.gone = 0;
                let failures = std::mem::take(&mut self.failures);
                self.returned |= std::mem::take(&mut self.away);
                if failures >= FAILURES_TOLD {
                    self.tell("endpoint-back", "the endpoint answers again; what waited is delivered now".into());
                }
            }
            Health::Doubtful => self.fail(),
            Health::Away => {
                self.away = true;
                self.fail();
            }
            Health::Busy(wait) => {
                self.paused_until = self.paused_until.max(Some(pause(wait)));
            }
            Health::Gone => {
                self.gone = self.gone.saturating_add(1);
                let wait = self.settings.schedule.wait_after(self.gone, self.chance.fraction());
                self.paused_until = self.paused_until.max(Some(pause(wait)));
                let text = "the endpoint says that it is gone for good (410); the event is a dead letter, and the \
                            next is tried more and more rarely: correct the URL, then replay the dead letters";
                self.tell("endpoint-gone", text.into());
            }
        }
    }

    fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == FAILURES_TOLD {
            let text = "the endpoint takes nothing; events are kept for 72 h and tried on schedule: see whether it \
                        runs, can be reached from here, and what it logs";
            self.tell("endpoint-down", text.into());
        }
    }

    fn tell_dead(&mut self, reason: &str) {
        // Once a spell: an endpoint that refuses everything must not ring for every event.
        if !std::mem::replace(&mut self.refusing, true) {
            let text =
                format!("an event was given up ({reason}) and is kept as a dead letter; its answer is kept with it");
            self.tell("dead-letter", text);
        }
    }

    fn rest_from_storage(&mut self, error: &StorageError) -> Duration {
        if !std::mem::replace(&mut self.storage_failing, true) {
            self.tell("outbox-storage", format!("{error}; deliveries wait until the database answers"));
        }
        STORAGE_RETRY
    }

    fn tell(&self, kind: &str, text: String) {
        let text = format!("endpoint `{}`: {text}", self.endpoint.settings.id);
        (self.settings.alarm)(Alarm { kind: kind.into(), call: None, text });
    }

    fn count(&self, verdict: &Verdict, owed: &Owed, now: Utc) {
        let endpoint = self.endpoint.settings.id.clone();
        let outcome = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Again { .. } => "failed",
            Verdict::Dead { .. } => "dead",
        };
        metrics::counter!("vigie_outbox_attempts_total", "endpoint" => endpoint.clone(), "outcome" => outcome)
            .increment(1);
        if *verdict == Verdict::Delivered {
            let lag = now.since(owed.event.at);
            metrics::histogram!("vigie_outbox_lag_seconds", "endpoint" => endpoint).record(lag.as_secs_f64());
        }
    }
}

/// Makes one attempt. An error's text never holds the event or the URL.
async fn deliver(client: reqwest::Client, request: Result<reqwest::Request, String>, owed: Owed) -> Attempted {
    let begun = clock::now();
    let (answer, error) = match request {
        Ok(request) => match client.execute(request).await {
            Ok(response) => read(response, begun.utc).await,
            Err(error) => (Answer::None, Some(describe(error))),
        },
        Err(error) => (Answer::None, Some(error)),
    };
    let elapsed_ms = clock::moment().since(begun.moment).as_millis() as u64;
    Attempted { owed, at: begun.utc, elapsed_ms, answer, error }
}

async fn read(mut response: reqwest::Response, now: Utc) -> (Answer, Option<String>) {
    let status = response.status();
    let header = response.headers().get(reqwest::header::RETRY_AFTER);
    let retry_after = header.and_then(|value| read_retry_after(value.to_str().ok()?, now));
    // Read to its end, so that the connection can be used again; what a late fault does to the body is no matter.
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_LENGTH_MAX {
            break;
        }
    }
    let error = (!status.is_success()).then(|| {
        let explanation: String = String::from_utf8_lossy(&body).trim().chars().take(EXPLANATION_MAX).collect();
        if explanation.is_empty() { status.to_string() } else { format!("{status}: {explanation}") }
    });
    (Answer::Status { code: status.as_u16(), retry_after }, error)
}

/// An error with its causes, without the URL, which may hold a token.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
