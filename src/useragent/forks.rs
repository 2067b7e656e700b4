//! What a dialled leg hears before its final answer: one early dialog for each fork, PRACK, sound (RFC 3261 §12.1.2,
//! RFC 3262 §4, RFC 3960).

use serde::{Deserialize, Serialize};

use crate::call::signal::Signal;
use crate::model::{LegId, Path, RemoteMedia};
use crate::sip::{Method, RAck, Response};

use super::UserAgent;
use super::dialog::Dialog;
use super::leg::{FORKS_MAX, Leg, Purpose, Stage};
use super::terms::read_answer;
use super::wire::Beat;

/// One early dialog.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fork {
    pub dialog: Dialog,
    /// The number of its last reliable answer (RFC 3262 §4).
    rseq: Option<u32>,
    /// Where it wants our sound.
    pub remote: Option<RemoteMedia>,
    /// Whether its SDP came reliably, so that the exchange is over and UPDATE may begin another.
    pub is_settled: bool,
    /// Whether an UPDATE has changed its media since, so that an SDP of the final answer says nothing new.
    pub is_updated: bool,
}

/// What a reliable answer is in its row (RFC 3262 §4).
enum Place {
    /// Not reliable.
    None,
    Next(u32),
    /// Sent again: absorbed.
    Before,
    /// One before it is missing: dropped, it comes again.
    Beyond,
}

impl Fork {
    fn new(dialog: Dialog) -> Fork {
        Fork { dialog, rseq: None, remote: None, is_settled: false, is_updated: false }
    }

    fn place(&self, response: &Response) -> Place {
        if !response.headers.has_token("Require", "100rel") {
            return Place::None;
        }
        match (response.headers.rseq(), self.rseq) {
            (None, _) => Place::None,
            (Some(rseq), Some(last)) if rseq <= last => Place::Before,
            (Some(rseq), Some(last)) if rseq > last.saturating_add(1) => Place::Beyond,
            (Some(rseq), _) => Place::Next(rseq),
        }
    }
}

/// The fork that has this To tag; a new one while there is room.
fn fork_of<'a>(leg: &'a mut Leg, tag: &str) -> Option<&'a mut Fork> {
    let at = leg.forks.iter().position(|fork| fork.dialog.remote_tag.as_deref() == Some(tag));
    match at {
        Some(at) => leg.forks.get_mut(at),
        None if leg.forks.len() < FORKS_MAX => {
            leg.forks.push(Fork::new(leg.dialog.clone()));
            leg.forks.last_mut()
        }
        None => None,
    }
}

impl Leg {
    /// The early dialog of a To tag.
    pub(super) fn fork(&mut self, tag: Option<&str>) -> Option<&mut Fork> {
        tag?;
        self.forks.iter_mut().find(|fork| fork.dialog.remote_tag.as_deref() == tag)
    }
}

impl UserAgent {
    /// A provisional answer to the INVITE that dials a leg.
    pub(super) fn rings(&mut self, id: LegId, path: Path, response: &Response, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let Stage::Dialling { dead_at, .. } = &mut leg.stage else { return };
        *dead_at = None;
        self.legs.reckon(id);
        if response.status == 100 {
            return;
        }
        let before = self.legs.find(id).and_then(|leg| leg.media.remote.clone());
        let was_dropped = match response.to_tag() {
            Some(tag) => !self.hear_fork(id, path, (response, &tag), beat),
            None => false,
        };
        let Some(leg) = self.legs.find_mut(id).filter(|_| !was_dropped) else { return };
        let early = leg.media.remote.clone();
        let Stage::Dialling { has_rung, .. } = &mut leg.stage else { return };
        if !std::mem::replace(has_rung, true) || early != before {
            beat.signal(Signal::Ringing { leg: id, early });
        }
    }

    /// Takes an answer of a fork; `false` when it is none to be heard now.
    fn hear_fork(&mut self, id: LegId, path: Path, (response, tag): (&Response, &str), beat: &mut Beat<'_>) -> bool {
        let Some(leg) = self.legs.find_mut(id) else { return false };
        let traced = leg.traced();
        leg.far.read(&response.headers);
        let sdp = read_answer(&response.headers, &response.body, &leg.media.terms());
        let agreed = sdp.as_ref().and_then(|sdp| leg.media.agree_answer(sdp, path.peer.ip()));
        let Some(fork) = fork_of(leg, tag) else { return true };
        let place = fork.place(response);
        match place {
            Place::Before | Place::Beyond => return false,
            Place::None | Place::Next(_) => {}
        }
        fork.dialog = fork.dialog.answered(response, path);
        // RFC 3261 §13.2.1: the first SDP of a dialog is the answer; a later one is not heard.
        if fork.remote.is_none() {
            fork.remote = agreed;
        }
        let Place::Next(rseq) = place else {
            leg.media.remote = leg.forks.iter().rev().find_map(|fork| fork.remote.clone());
            return true;
        };
        fork.is_settled |= fork.remote.is_some();
        fork.rseq = Some(rseq);
        let number = response.headers.cseq().map_or(1, |cseq| cseq.number);
        let mut prack = fork.dialog.request(Method::Prack, &self.wire.rules);
        prack.headers.push("RAck", RAck { rseq, number, method: Method::Invite }.to_string());
        let way = fork.dialog.next_path(&self.wire.rules);
        leg.media.remote = leg.forks.iter().rev().find_map(|fork| fork.remote.clone());
        if let Some(key) = self.wire.request(way, prack, traced, beat) {
            self.legs.ask(id, key, Purpose::Prack);
        }
        true
    }
}
