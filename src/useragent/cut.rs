//! A way that is gone: a connection closed or refused, an address where nobody listens (RFC 3261 §8.1.3.1, RFC 5626).

use crate::call::signal::Party;
use crate::model::{LegId, Moment, Path, RegulatorId};
use crate::sip::Uri;
use crate::sip::transaction::ClientKey;

use super::UserAgent;
use super::leg::{Probe, Purpose};
use super::rules::{CUT_PROBE_EVERY, PATIENCE};
use super::wire::Beat;

impl UserAgent {
    /// Nothing can be sent that way now. A dialled phone is known to be dead at once; a call in progress goes on, its
    /// media have a way of their own.
    pub(super) fn path_is_cut(&mut self, path: Path, why: &str, beat: &mut Beat<'_>) {
        for leg in self.legs.live_mut().filter(|leg| leg.dialog.path == path) {
            leg.dialog.cut_since.get_or_insert(beat.now.moment);
        }
        if path.transport.is_reliable() {
            self.registrar.bindings.cut(path, beat.out);
        }
        let mut happenings = Vec::new();
        self.wire.transactions.fail_path(path, why, &mut happenings);
        for happening in self.wire.flow(happenings, None, beat) {
            self.happened(happening, &bytes::Bytes::new(), beat);
        }
    }

    /// A request of ours could not be sent, or its answer cannot come: as if 503.
    pub(super) fn way_is_cut(&mut self, key: &ClientKey, why: &str, beat: &mut Beat<'_>) {
        let Some((id, purpose)) = self.legs.of_client(key) else { return };
        if purpose != Purpose::Notify {
            self.legs.settle(key);
        }
        match purpose {
            Purpose::Dial => self.dial_failed(id, format!("nothing can be sent to it: {why}"), beat),
            Purpose::Probe => self.probe_is_cut(id, why, beat),
            Purpose::Refresh | Purpose::Reoffer => self.change_unanswered(id, key, true, beat),
            Purpose::Notify => self.progress_heard(id, (key, 503)),
            Purpose::Key => self.key_answered(id, 503, beat),
            Purpose::Prack => {}
        }
    }

    /// A far end on hold that cannot be asked has a while to find its way back.
    fn probe_is_cut(&mut self, id: LegId, why: &str, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let Some(leg) = self.legs.find(id).filter(|leg| matches!(leg.probe, Probe::Asked)) else { return };
        let since = leg.dialog.cut_since.unwrap_or(now);
        if now.since(since) >= PATIENCE {
            return self.is_lost(id, format!("its phone on hold cannot be reached: {why}"), beat);
        }
        self.legs.turn_probe(id, Probe::Due(now + CUT_PROBE_EVERY));
    }

    /// A phone has registered: its calls whose connection was gone go on over the new one (RFC 5626 §5.3), and so do
    /// those of the same contact.
    pub(super) fn follow(&mut self, path: Path, user: Option<&str>, now: Moment) {
        let Some(regulator) = user.map(RegulatorId::from) else { return };
        let devices = self.registrar.bindings.of(&regulator).iter().filter(|device| device.path == path);
        let contacts: Vec<String> = devices.map(|device| device.binding.contact.clone()).collect();
        let mut moved: Vec<LegId> = Vec::new();
        for leg in self.legs.live_mut() {
            let is_theirs = matches!(&leg.party, Some(Party::Device { regulator: whose, .. }) if *whose == regulator);
            let dialog = &mut leg.dialog;
            let is_same = contacts.iter().any(|contact| Uri::are_same(contact, dialog.target()));
            let was_cut = dialog.cut_since.is_some() && dialog.path.transport == path.transport;
            let is_back = was_cut && dialog.path.peer.ip() == path.peer.ip();
            if is_theirs && dialog.path != path && (is_same || is_back) {
                dialog.came_by(path);
                moved.push(leg.id);
            }
        }
        for id in moved {
            let is_asked_late = self.legs.find(id).is_some_and(|leg| matches!(leg.probe, Probe::Due(at) if at > now));
            if is_asked_late {
                self.legs.turn_probe(id, Probe::Due(now + CUT_PROBE_EVERY));
            }
        }
    }
}
