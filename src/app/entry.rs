//! The way of what came in to the switchboard: into its lane, or refused at once when there is no room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use super::deliver;
use crate::clock;
use crate::config::Settings;
use crate::model::{Alarm, Input, Moment, Path};
use crate::signalling::{self, Received, RecentInvites, Report, Sender, Urgency, UrgentNumbers};
use crate::switchboard::{Inbox, Lane, tell};

/// That there is too much is told once in so long.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// What stands between the sockets and the inbox.
pub(super) struct Entry {
    inbox: Inbox,
    urgent: Urgents,
    calls: Mutex<Calls>,
}

/// The numbers whose calls go first; another configuration may have others.
#[derive(Clone)]
pub(super) struct Urgents(Arc<RwLock<UrgentNumbers>>);

impl Urgents {
    pub(super) fn of(settings: &Settings) -> Urgents {
        Urgents(Arc::new(RwLock::new(UrgentNumbers::of(&settings.centre, settings.sip.urgent_priority))))
    }

    /// Takes those of another configuration.
    pub(super) fn follow(&self, settings: &Settings) {
        let numbers = UrgentNumbers::of(&settings.centre, settings.sip.urgent_priority);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = numbers;
    }

    fn are_dialled_by(&self, bytes: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).are_dialled_by(bytes)
    }
}

/// What became of the calls of the last half minute.
#[derive(Default)]
struct Calls {
    taken: RecentInvites,
    refused: RecentInvites,
    told_at: Option<Moment>,
}

impl Entry {
    pub(super) fn new(urgent: Urgents, inbox: Inbox) -> Entry {
        Entry { inbox, urgent, calls: Mutex::default() }
    }

    /// Takes what signalling tells.
    pub(super) fn take(&self, sender: &Sender, report: Report) {
        match report {
            Report::Received(received) => self.admit(sender, received),
            Report::Cut { path, why } => deliver(&self.inbox, Lane::First, Input::Cut { path, why }),
        }
    }

    fn admit(&self, sender: &Sender, received: Received) {
        let lane = self.lane_of(&received);
        let Received { path, bytes, urgency, .. } = received;
        let is_ack = bytes.starts_with(b"ACK ");
        if (is_ack || urgency == Urgency::Call) && self.was_refused(path, &bytes) {
            // RFC 3261 §17.2.1: the same answer again; its ACK needs none.
            if !is_ack {
                refuse(sender, path, &bytes);
            }
            return;
        }
        let input = Input::Sip { path, bytes: bytes.clone() };
        let taken = match urgency {
            // Behind its INVITE, however late that is: it makes the work less.
            Urgency::Cancel => self.inbox.send_behind(lane, input),
            Urgency::Live | Urgency::Call | Urgency::Other => self.inbox.send(lane, input),
        };
        if taken.is_ok() {
            if urgency == Urgency::Call {
                self.lock().taken.note(&bytes, path.peer, clock::moment());
            }
            return;
        }
        // It waits already, or is answered: a refusal would be a second, contrary answer to one call.
        if urgency == Urgency::Call && self.lock().taken.knows(&bytes, path.peer, clock::moment()) {
            return;
        }
        metrics::counter!("vigie_inbox_refused_total").increment(1);
        if urgency == Urgency::Call {
            metrics::counter!("vigie_calls_refused_total").increment(1);
            self.note(path, &bytes);
        }
        refuse(sender, path, &bytes);
    }

    /// Only carriers' calls go first: a stranger could name any number.
    fn lane_of(&self, received: &Received) -> Lane {
        let is_urgent = || received.from_trunk && self.urgent.are_dialled_by(&received.bytes);
        match received.urgency {
            Urgency::Live => Lane::First,
            Urgency::Call | Urgency::Cancel if is_urgent() => Lane::UrgentCalls,
            Urgency::Call | Urgency::Cancel => Lane::Calls,
            Urgency::Other => Lane::Others,
        }
    }

    fn was_refused(&self, path: Path, bytes: &Bytes) -> bool {
        self.lock().refused.knows(bytes, path.peer, clock::moment())
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: Path, bytes: &Bytes) {
        let now = clock::moment();
        let mut calls = self.lock();
        calls.refused.note(bytes, path.peer, now);
        if calls.told_at.is_none_or(|at| now.since(at) >= ALARM_EVERY) {
            calls.told_at = Some(now);
            let text = "more calls come than can be carried: the rest is refused with 503. Calls in progress and the \
                 lines that go first are not touched; look at vigie_calls_refused_total, and at what else runs here";
            tell(&Alarm { kind: "overload".into(), call: None, text: text.into() });
        }
    }
}

fn refuse(sender: &Sender, path: Path, bytes: &Bytes) {
    if let Some((path, answer)) = signalling::refuse_overload(path, bytes) {
        sender.send(path, &answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Transport;

    #[test]
    fn a_carriers_call_to_an_urgent_line_goes_first_and_a_strangers_does_not() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
        let settings = Settings::read(&file).unwrap_or_else(|faults| panic!("{faults}"));
        let entry = Entry::new(Urgents::of(&settings), Inbox::default());
        let lane = |number: &str, urgency, from_trunk| {
            // No address of `peers`: a carrier that is found by name comes from anywhere.
            let path = Path { listener: 0, transport: Transport::Udp, peer: ([203, 0, 113, 9], 5060).into() };
            let bytes = Bytes::from(format!("INVITE sip:{number}@vigie SIP/2.0\r\n\r\n"));
            entry.lane_of(&Received { path, bytes, urgency, from_trunk })
        };
        let (urgent, usual) = ("+33465710101", "+33199000101");
        assert_eq!(lane(urgent, Urgency::Call, true), Lane::UrgentCalls);
        assert_eq!(lane(urgent, Urgency::Cancel, true), Lane::UrgentCalls);
        assert_eq!(lane(urgent, Urgency::Call, false), Lane::Calls);
        assert_eq!(lane(usual, Urgency::Call, true), Lane::Calls);
        assert_eq!(lane(urgent, Urgency::Live, false), Lane::First);
    }
}
