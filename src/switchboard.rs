//! THE loop: one thread owns the user agent and the switch, takes inputs one by one and hands their actions to the drivers.

pub mod decisions;
pub mod inbox;
pub mod lanes;
mod log;
mod sound;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use decisions::{Decisions, Why};
pub use inbox::Inbox;
pub use lanes::Lane;
pub use log::tell;

use crate::clock;
use crate::media::Media;
use crate::model::{Action, Alarm, Command, Counter, Input, MediaCommand, MediaReport, Moment, Now, Reply, Ticket};
use crate::recorder::Recorder;
use crate::signalling::{Resolver, Sender};
use crate::storage::Writer;

/// Without any deadline the loop still looks up this often.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often the gauges are brought up to date.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Timers are looked at on a grid of so many microseconds: ended transactions and calls are forgotten some seven times a
/// call, each at a moment of its own, and nothing that waits for a timer minds being 10 ms late.
const TIMER_GRID_US: u64 = 10_000;

/// Commands that wait for their reply at once; one more is refused.
const TICKETS_MAX: usize = 4096;

type Tickets = Arc<Mutex<HashMap<Ticket, oneshot::Sender<Reply>>>>;

/// The drivers that the loop feeds.
pub struct Drivers {
    /// SIP out.
    pub signalling: Sender,
    /// Looks trunks' names up.
    pub resolver: Resolver,
    /// The media plane.
    pub media: Arc<Media>,
    /// The recorder.
    pub recorder: Arc<Recorder>,
    /// Storage.
    pub storage: Writer,
}

/// The running loop.
pub struct Switchboard {
    inbox: Inbox,
    thread: JoinHandle<()>,
}

/// A way to ask the running decisions, for the API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    inbox: Inbox,
    tickets: Tickets,
    next: Arc<AtomicU64>,
}

/// The switchboard has stopped, or cannot take another question now.
#[derive(Debug, thiserror::Error)]
#[error("the switchboard does not answer; is Vigie stopping, or overloaded?")]
pub struct DoorClosed;

impl Door {
    /// A door to the loop that will read `inbox`.
    pub fn new(inbox: Inbox) -> Door {
        Door { inbox, tickets: Tickets::default(), next: Arc::default() }
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// [`DoorClosed`] when the loop has stopped or its inbox is full.
    pub async fn ask(&self, command: Command) -> Result<Reply, DoorClosed> {
        let ticket = Ticket(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        {
            let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
            if tickets.len() >= TICKETS_MAX || self.inbox.is_closed() {
                return Err(DoorClosed);
            }
            tickets.insert(ticket, sender);
        }
        let _held = Held { tickets: &self.tickets, ticket };
        self.inbox.send(Lane::First, Input::Command { ticket, command }).map_err(|_| DoorClosed)?;
        receiver.await.map_err(|_| DoorClosed)
    }

    /// Hands the reply to whoever holds `ticket`; for the loop, and for what stands in its place in a test.
    pub fn reply(&self, ticket: Ticket, reply: Reply) {
        let sender = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
        if let Some(sender) = sender {
            // Whoever asked may have gone away meanwhile: nobody is owed the reply then.
            let _ = sender.send(reply);
        }
    }

    fn give_back(&self, ticket: Ticket) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
    }

    fn close(&self) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A ticket while its asker waits: given back however the waiting ends, even when the asker goes away.
struct Held<'a> {
    tickets: &'a Tickets,
    ticket: Ticket,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.ticket);
    }
}

impl Switchboard {
    /// Starts the loop on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(decisions: Decisions, drivers: Drivers, inbox: Inbox, door: Door) -> std::io::Result<Switchboard> {
        let reading = inbox.clone();
        let thread = std::thread::Builder::new().name("switchboard".into()).spawn(move || {
            let counted_at = clock::moment();
            let notices = log::Notices::new(counted_at);
            let step_seconds = metrics::histogram!("vigie_step_seconds");
            let (actions, media) = (Vec::new(), Vec::new());
            Loop { decisions, drivers, door, actions, media, counted_at, notices, step_seconds }.run(&reading);
        })?;
        Ok(Switchboard { inbox, thread })
    }

    /// Stops the loop once its inbox is empty.
    pub fn stop(self) {
        self.inbox.close();
        if self.thread.join().is_err() {
            tracing::error!("the switchboard's thread had died");
        }
    }
}

struct Loop {
    decisions: Decisions,
    drivers: Drivers,
    door: Door,
    actions: Vec<Action>,
    /// What one input asks of the media plane, handed over at once.
    media: Vec<MediaCommand>,
    counted_at: Moment,
    notices: log::Notices,
    step_seconds: metrics::Histogram,
}

impl Loop {
    fn run(mut self, inbox: &Inbox) {
        loop {
            if self.patience().is_zero() {
                self.step(Input::Tick);
            }
            match inbox.receive(self.patience()) {
                Some(input) => self.step(input),
                None if inbox.is_closed() => break,
                None => {}
            }
            self.count();
        }
        self.door.close();
    }

    fn patience(&self) -> Duration {
        patience(self.decisions.deadline().map(|(at, _)| at), clock::moment())
    }

    /// A fault outside any one call's code is told and the loop goes on: the next input finds the phones still answered.
    fn step(&mut self, input: Input) {
        let started = clock::now();
        let ticket = match &input {
            Input::Command { ticket, .. } => Some(*ticket),
            Input::Sip { .. }
            | Input::Cut { .. }
            | Input::Resolved { .. }
            | Input::Media(_)
            | Input::Recorder(_)
            | Input::Remembered(_)
            | Input::Tick => None,
        };
        if let Input::Media(MediaReport::Closed { quality, .. }) = &input {
            sound::measure(quality);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.decisions.step(input, started, &mut self.actions)));
        if outcome.is_err() {
            // Whoever asked is told that there is no answer, and does not wait for one.
            ticket.into_iter().for_each(|ticket| self.door.give_back(ticket));
            let text = "a fault in the decisions was contained; the input that caused it is dropped".to_owned();
            log::tell(&Alarm { kind: "decision-fault".into(), call: None, text });
        }
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.act(action);
        }
        self.actions = actions;
        self.drivers.media.send_all(self.media.drain(..));
        let took = clock::moment().since(started.moment);
        self.step_seconds.record(took.as_secs_f64());
    }

    /// Brings the gauges up to date, at most once a second.
    fn count(&mut self) {
        let now = clock::now();
        if now.moment.since(self.counted_at) < COUNT_EVERY {
            return;
        }
        self.counted_at = now.moment;
        let census = self.decisions.switch().census(now);
        metrics::gauge!("vigie_calls_live").set(census.calls_live);
        metrics::gauge!("vigie_calls_sealing").set(census.calls_sealing);
        metrics::gauge!("vigie_waiting").set(census.waiting);
        metrics::gauge!("vigie_wait_longest_seconds").set(census.wait_longest.as_secs_f64());
        self.count_trunks(now);
        for (state, count) in census.regulators {
            metrics::gauge!("vigie_regulators", "state" => state).set(count);
        }
    }

    /// Only of trunks that are reached somewhere: of the others nothing is known.
    fn count_trunks(&self, now: Now) {
        for trunk in self.decisions.trunks(now) {
            let name = trunk.trunk.to_string();
            if trunk.targets.is_empty() && trunk.trouble.is_none() && trunk.registration.is_none() {
                continue;
            }
            let is_up = trunk.targets.iter().any(|target| target.is_up != Some(false));
            metrics::gauge!("vigie_trunk_up", "trunk" => name.clone()).set(u32::from(is_up));
            if trunk.registration.is_some() {
                let is_registered = trunk.registered_until.is_some();
                metrics::gauge!("vigie_trunk_registered", "trunk" => name).set(u32::from(is_registered));
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { path, bytes } => self.drivers.signalling.send(path, &bytes),
            Action::Ban { source, until } => self.drivers.signalling.ban(source, until),
            Action::Resolve { trunk } => self.drivers.resolver.resolve(&trunk),
            Action::Media(command) => self.media.push(command),
            Action::Recorder(command) => self.drivers.recorder.send(command),
            Action::Store(facts) => {
                facts.iter().for_each(log::report);
                self.drivers.storage.remember(facts);
            }
            Action::Reply { ticket, reply } => self.door.reply(ticket, reply),
            Action::Alarm(alarm) => log::tell(&alarm),
            Action::Notice(text) => self.notices.write(&text, clock::moment()),
            Action::Count(counter) => metrics::counter!(metric(counter)).increment(1),
        }
    }
}

/// How long the loop may sleep: until the deadline, or the next line of the grid behind it.
fn patience(deadline: Option<Moment>, now: Moment) -> Duration {
    let looked_at = deadline.map(|at| Moment(at.0.checked_next_multiple_of(TIMER_GRID_US).unwrap_or(at.0)));
    looked_at.map_or(IDLE_WAIT_MAX, |at| at.since(now).min(IDLE_WAIT_MAX))
}

fn metric(counter: Counter) -> &'static str {
    match counter {
        Counter::SipMalformed => "vigie_sip_malformed_total",
        Counter::SipUnauthorised => "vigie_sip_unauthorised_total",
        Counter::SipRetransmitted => "vigie_sip_retransmitted_total",
        Counter::CallsReceived => "vigie_calls_received_total",
        Counter::CallsAnswered => "vigie_calls_answered_total",
        Counter::CallsAbandoned => "vigie_calls_abandoned_total",
        Counter::OffersMade => "vigie_offers_made_total",
        Counter::OffersUnanswered => "vigie_offers_unanswered_total",
        Counter::CallsTransferred => "vigie_calls_transferred_total",
        Counter::CallsRefused => "vigie_calls_refused_total",
        Counter::SipBanned => "vigie_sip_banned_total",
        Counter::SipAccountRefused => "vigie_sip_account_refused_total",
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn an_asker_who_goes_away_leaves_no_ticket_behind() {
        let inbox = Inbox::default();
        let door = Door::new(inbox.clone());
        let mut asking = Box::pin(door.ask(Command::Room));
        assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(door.tickets.lock().expect("tickets").len(), 1);
        drop(asking);
        assert_eq!(door.tickets.lock().expect("tickets").len(), 0);
        let Some(Input::Command { ticket, .. }) = inbox.receive(Duration::ZERO) else { panic!("no command") };
        door.reply(ticket, Reply::Done);
    }

    #[test]
    fn timers_that_fall_together_wake_the_loop_once_and_none_too_early() {
        let now = Moment(1_000_000);
        let sleeps = |us: u64| patience(Some(Moment(1_000_000 + us)), now).as_micros();
        assert_eq!([0, 1, 9_999, 10_000, 10_001].map(sleeps), [0, 10_000, 10_000, 10_000, 20_000]);
        assert_eq!(patience(Some(Moment(u64::MAX)), now), IDLE_WAIT_MAX);
        assert_eq!(patience(None, now), IDLE_WAIT_MAX);
        assert_eq!(patience(Some(Moment(5)), now), Duration::ZERO);
    }

    #[test]
    fn whoever_asks_gets_the_reply_to_their_own_ticket() {
        let inbox = Inbox::default();
        let door = Door::new(inbox.clone());
        let mut asking = Box::pin(door.ask(Command::Drain));
        let mut context = Context::from_waker(Waker::noop());
        assert!(asking.as_mut().poll(&mut context).is_pending());
        let Some(Input::Command { ticket, .. }) = inbox.receive(Duration::ZERO) else { panic!("no command") };
        door.reply(Ticket(ticket.0 + 1), Reply::Done);
        assert!(asking.as_mut().poll(&mut context).is_pending());
        door.reply(ticket, Reply::Drained);
        assert!(matches!(asking.as_mut().poll(&mut context), Poll::Ready(Ok(Reply::Drained))));
    }
}
