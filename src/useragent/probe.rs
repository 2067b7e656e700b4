//! A far end on hold is asked now and then whether it is still there: RTP cannot tell, and a BYE may have been lost.

use crate::call::signal::{Gone, Signal};
use crate::model::{EndedBy, LegId};
use crate::sip::Method;

use super::UserAgent;
use super::leg::{Probe, Purpose};
use super::rules::HOLD_PROBE_EVERY;
use super::wire::Beat;

impl UserAgent {
    /// OPTIONS within the dialog (RFC 3261 §11).
    pub(super) fn ask_after(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let options = leg.dialog.request(Method::Options, &self.wire.rules);
        let (path, traced) = (leg.dialog.next_path(&self.wire.rules), leg.traced());
        let asked = self.wire.request(path, options, traced, beat);
        match asked {
            Some(key) => {
                self.legs.ask(id, key, Purpose::Probe);
                self.legs.turn_probe(id, Probe::Asked);
            }
            None => self.legs.turn_probe(id, Probe::Due(beat.now.moment + HOLD_PROBE_EVERY)),
        }
    }

    /// The far end answered: whatever it said, it lives, unless it knows the dialog no more.
    pub(super) fn is_there(&mut self, id: LegId, status: u16, beat: &mut Beat<'_>) {
        if !self.legs.find(id).is_some_and(|leg| matches!(leg.probe, Probe::Asked)) {
            return;
        }
        match status {
            100..=199 => {}
            // RFC 3261 §12.2.1.2: both end the dialog.
            408 | 481 => {
                self.is_lost(id, format!("its phone on hold answered {status}: it knows the call no more"), beat)
            }
            _ => self.legs.turn_probe(id, Probe::Due(beat.now.moment + HOLD_PROBE_EVERY)),
        }
    }

    /// The far end did not answer at all.
    pub(super) fn is_mute(&mut self, id: LegId, beat: &mut Beat<'_>) {
        if !self.legs.find(id).is_some_and(|leg| matches!(leg.probe, Probe::Asked)) {
            return;
        }
        self.is_lost(id, "its phone on hold did not answer in 32 s; is it still there?".to_owned(), beat);
    }

    /// The far end is gone without a word: a BYE in case it hears it after all.
    pub(super) fn is_lost(&mut self, id: LegId, detail: String, beat: &mut Beat<'_>) {
        self.say_bye(id, Some(EndedBy::DeviceLost), beat);
        beat.signal(Signal::Ended { leg: id, by: Gone::Lost, detail: Some(detail) });
    }
}
