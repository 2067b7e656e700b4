//! What a busy lamp is shown of a regulator: the states of the person's calls and nothing of who is in them (RFC 4235).

use serde::{Deserialize, Serialize};

use crate::model::LegId;

use super::leg::{Leg, Stage};

/// The format of a NOTIFY of the package `dialog`.
pub(super) const LAMP_FORMAT: &str = "application/dialog-info+xml";
/// The most calls of one regulator in a lamp: one lights it as well as a hundred, and a NOTIFY must fit a datagram.
const SHOWN_MAX: usize = 8;

/// A regulator's calls, as a lamp shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lamp {
    calls: Vec<Shown>,
}

/// One call in a lamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    leg: LegId,
    is_dialled_by_us: bool,
    state: State,
}

/// How far it has come (RFC 4235 §3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Trying,
    Early,
    Confirmed,
    Terminated,
}

impl State {
    fn of(stage: &Stage) -> State {
        match stage {
            Stage::Invited(_) | Stage::Dialling { has_rung: false, .. } => State::Trying,
            Stage::Dialling { has_rung: true, .. } => State::Early,
            Stage::Accepted(_) | Stage::Confirmed { .. } => State::Confirmed,
            Stage::Leaving(_) | Stage::Cancelling | Stage::Ended => State::Terminated,
        }
    }

    fn name(self) -> &'static str {
        match self {
            State::Trying => "trying",
            State::Early => "early",
            State::Confirmed => "confirmed",
            State::Terminated => "terminated",
        }
    }
}

impl Lamp {
    /// The lamp of whose legs these are; what it showed `before` goes on to be shown.
    pub(super) fn of<'a>(legs: impl Iterator<Item = &'a Leg>, before: &Lamp) -> Lamp {
        let shown = |leg: &Leg| Shown {
            leg: leg.id,
            is_dialled_by_us: leg.dialog.is_call_id_ours,
            state: State::of(&leg.stage),
        };
        let mut calls: Vec<Shown> = legs.map(shown).filter(|shown| shown.state != State::Terminated).collect();
        calls.sort_by_key(|shown| (!before.shows(shown.leg), shown.leg));
        calls.truncate(SHOWN_MAX);
        calls.sort_by_key(|shown| shown.leg);
        Lamp { calls }
    }

    fn shows(&self, leg: LegId) -> bool {
        self.calls.iter().any(|shown| shown.leg == leg)
    }

    /// The document (RFC 4235 §4.1): always the full state, so that one that is lost harms nothing. What `before` had
    /// and is over now is told once as terminated, which some phones wait for.
    pub(super) fn document(&self, before: &Lamp, version: u32, entity: &str) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
             version=\"{version}\" state=\"full\" entity=\"{}\">\r\n",
            escape(entity)
        );
        let over = before.calls.iter().filter(|old| !self.shows(old.leg));
        let over = over.map(|old| Shown { state: State::Terminated, ..*old });
        for Shown { leg, is_dialled_by_us, state } in self.calls.iter().copied().chain(over) {
            let (call, number, state) = (leg.call, leg.number, state.name());
            let direction = if is_dialled_by_us { "recipient" } else { "initiator" };
            xml.push_str(&format!(
                "<dialog id=\"{call}-{number}\" direction=\"{direction}\">\r\n<state>{state}</state>\r\n</dialog>\r\n"
            ));
        }
        xml.push_str("</dialog-info>\r\n");
        xml
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
