//! The way of what came in to the switchboard: into its lane, or refused at once when there is no room.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::deliver;
use crate::clock;
use crate::config::Settings;
use crate::model::centre::AddressBlock;
use crate::model::{Alarm, Input, Moment, Path};
use crate::signalling::{self, Received, Refused, Report, Sender, Urgency, UrgentNumbers};
use crate::switchboard::{Inbox, Lane, tell};

/// That there is too much is told once in so long.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// What stands between the sockets and the inbox.
pub(super) struct Entry {
    inbox: Inbox,
    trunks: Vec<AddressBlock>,
    urgent: UrgentNumbers,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    refused: Refused,
    told_at: Option<Moment>,
}

impl Entry {
    pub(super) fn new(settings: &Settings, inbox: Inbox) -> Entry {
        let trunks = settings.centre.trunks.values().flat_map(|trunk| trunk.peers.iter().copied()).collect();
        let urgent = UrgentNumbers::of(&settings.centre, settings.sip.urgent_priority);
        Entry { inbox, trunks, urgent, refusals: Mutex::default() }
    }

    /// Takes what signalling tells.
    pub(super) fn take(&self, sender: &Sender, report: Report) {
        match report {
            Report::Received(received) => self.admit(sender, received),
            Report::Cut { path, why } => deliver(&self.inbox, Lane::First, Input::Cut { path, why }),
        }
    }

    fn admit(&self, sender: &Sender, Received { path, bytes, urgency }: Received) {
        let is_ack = bytes.starts_with(b"ACK ");
        if (is_ack || urgency == Urgency::Call) && self.was_refused(path, &bytes) {
            // RFC 3261 §17.2.1: the same answer again; its ACK needs none.
            if !is_ack {
                refuse(sender, path, &bytes);
            }
            return;
        }
        let lane = match urgency {
            Urgency::Live => Lane::First,
            Urgency::Call | Urgency::Cancel if self.is_urgent(path, &bytes) => Lane::UrgentCalls,
            Urgency::Call | Urgency::Cancel => Lane::Calls,
            Urgency::Other => Lane::Others,
        };
        let input = Input::Sip { path, bytes: bytes.clone() };
        let taken = match urgency {
            // Behind its INVITE, however late that is: it makes the work less.
            Urgency::Cancel => self.inbox.send_behind(lane, input),
            Urgency::Live | Urgency::Call | Urgency::Other => self.inbox.send(lane, input),
        };
        if taken.is_ok() {
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
    fn is_urgent(&self, path: Path, bytes: &Bytes) -> bool {
        let source = path.peer.ip();
        self.urgent.are_dialled_by(bytes) && self.trunks.iter().any(|block| block.contains(source))
    }

    fn was_refused(&self, path: Path, bytes: &Bytes) -> bool {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.refused.knows(bytes, path.peer, clock::moment())
    }

    fn note(&self, path: Path, bytes: &Bytes) {
        let now = clock::moment();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.refused.note(bytes, path.peer, now);
        if refusals.told_at.is_none_or(|at| now.since(at) >= ALARM_EVERY) {
            refusals.told_at = Some(now);
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
