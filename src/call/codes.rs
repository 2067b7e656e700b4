//! Feature codes: dialled from a registered phone, or pressed by a regulator during a call; what each of them does, for whom.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::controls::{No, host_of};
use super::decision::CallInput;
use super::errand::Errand;
use super::guests::{Coming, Purpose};
use super::leg::Leg;
use super::signal::{Dialled, Unserved};
use super::steering::Steer;
use super::switch::{Order, Switch};
use crate::model::control::{Control, Supervision};
use crate::model::{
    AskedBy, CallId, Code, Deed, Fact, LegId, MediaCommand, Now, PauseReason, RegulatorId, RegulatorState, Side,
};
use crate::waiting::LentTo;

/// What somebody hears whose keys ask for what cannot be done now: this key's tone, for longer than anybody presses it.
const REFUSED_TONE: (char, u32) = ('0', 900);
/// What somebody hears whose keys have paused the recording: short and low.
const PAUSED_TONE: (char, u32) = ('1', 200);
/// What somebody hears whose keys have let the recording go on: short and high.
const RESUMED_TONE: (char, u32) = ('#', 200);

impl Code {
    fn supervision(self) -> Option<Supervision> {
        match self {
            Code::Listen => Some(Supervision::Listen),
            Code::Whisper => Some(Supervision::Whisper),
            Code::BargeIn => Some(Supervision::BargeIn),
            Code::TakeOver => Some(Supervision::TakeOver),
            Code::Ready
            | Code::Pause
            | Code::Longer
            | Code::Samu
            | Code::Join
            | Code::Drop
            | Code::Requeue
            | Code::Recording => None,
        }
    }

    /// As the audit has it: the same words as for orders through the API.
    fn act(self) -> &'static str {
        match self {
            Code::Ready => "regulator.ready",
            Code::Pause => "regulator.pause",
            Code::Longer => "regulator.wrap-up.extend",
            Code::Samu => "call.samu",
            Code::Join => "call.add",
            Code::Drop => "call.drop",
            Code::Requeue => "call.requeue",
            Code::Recording => "recording.pause",
            Code::Listen => "call.listen",
            Code::Whisper => "call.whisper",
            Code::BargeIn => "call.barge-in",
            Code::TakeOver => "call.take-over",
        }
    }
}

impl Switch {
    /// A phone has dialled a code: done at once, confirmed by the call's acceptance, or refused.
    pub(super) fn do_code(
        &mut self,
        (code, text): (Code, String),
        dialled: Dialled,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), Unserved> {
        if self.is_full() {
            return Err(Unserved::Overloaded);
        }
        if let Some(way) = code.supervision() {
            return self.supervise_by_phone(way, &RegulatorId::from(text.as_str()), dialled, now, out);
        }
        let (by, id) = (dialled.regulator.clone(), dialled.leg.call);
        match self.act_on(code, &by, &text, now, out) {
            Ok(()) => {}
            Err(No::Unknown) => return Err(Unserved::NotFound),
            Err(No::Refused(_)) => return Err(Unserved::Unavailable),
        }
        let sound = code.sound().filter(|sound| self.centre.sounds.contains_key(sound));
        let is_faulty = self.is_faulty();
        let begun = catch_unwind(AssertUnwindSafe(|| {
            assert!(!is_faulty, "the planted fault");
            let mut decisions = Vec::new();
            (Errand::begin(dialled, sound, now, &mut decisions), decisions)
        }));
        let Ok((errand, decisions)) = begun else { return Err(self.fault_at_begin(id, out)) };
        self.errands.insert(id, errand);
        self.apply(id, decisions, now, out);
        self.schedule(id);
        Ok(())
    }

    /// What a code asks, but for supervision: of the person's own state, or of the call that the person talks on.
    fn act_on(&mut self, code: Code, by: &RegulatorId, text: &str, now: Now, out: &mut Vec<Order>) -> Result<(), No> {
        let control = match code {
            Code::Ready | Code::Pause | Code::Longer => return self.act_on_self(code, by, now),
            Code::Samu => Control::HandToSamu,
            Code::Join if text.is_empty() => Control::Join,
            Code::Join => Control::Add { to: text.to_owned() },
            Code::Drop => Control::Drop { leg: None },
            Code::Requeue => Control::Requeue,
            Code::Recording => return self.turn_recording(by, now, out),
            Code::Listen | Code::Whisper | Code::BargeIn | Code::TakeOver => return Err(No::Unknown),
        };
        let id = self.call_of_host(by).ok_or(No::Unknown)?;
        self.try_control(id, control, now, out)?;
        self.note_deed(code.act(), by, (Some(id), text), now);
        Ok(())
    }

    /// What a code asks of the person's own state.
    fn act_on_self(&mut self, code: Code, by: &RegulatorId, now: Now) -> Result<(), No> {
        let done = match code {
            Code::Ready => self.room.ready(by, now, &mut self.changes),
            Code::Pause => self.room.pause(by, PauseReason::Own, now, &mut self.changes),
            Code::Longer => self.room.extend_wrap_up(by, None, now, &mut self.changes),
            Code::Samu
            | Code::Join
            | Code::Drop
            | Code::Requeue
            | Code::Recording
            | Code::Listen
            | Code::Whisper
            | Code::BargeIn
            | Code::TakeOver => return Err(No::Unknown),
        };
        done.map_err(|error| No::Refused(error.to_string()))?;
        self.note_deed(code.act(), by, (None, ""), now);
        Ok(())
    }

    /// The recording of the person's own call pauses; one that is paused goes on. Whose key it was is told with it.
    fn turn_recording(&mut self, by: &RegulatorId, now: Now, out: &mut Vec<Order>) -> Result<(), No> {
        let id = self.call_of_host(by).ok_or(No::Unknown)?;
        let asked = AskedBy::Regulator(by.clone());
        let (control, act) = if self.is_recording_paused(id) {
            (Control::ResumeRecording { by: asked }, "recording.resume")
        } else {
            (Control::PauseRecording { by: asked, reason: None }, Code::Recording.act())
        };
        self.try_control(id, control, now, out)?;
        self.note_deed(act, by, (Some(id), ""), now);
        Ok(())
    }

    fn is_recording_paused(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| call.pause.is_some())
    }

    /// The call whose caller this person has.
    fn call_of_host(&self, by: &RegulatorId) -> Option<CallId> {
        let Some(RegulatorState::Talking { call }) = self.room.state_of(by) else { return None };
        let live = self.calls.get(call)?;
        let host = host_of(live).ok()?;
        (live.leg(host)?.regulator.as_ref() == Some(by)).then_some(*call)
    }

    /// Whom a person may supervise: those of the associations that the configuration names, and own trainees.
    fn may_supervise(&self, by: &RegulatorId, whom: &RegulatorId) -> bool {
        let (Some(by_terms), Some(person)) = (self.centre.regulators.get(by), self.centre.regulators.get(whom)) else {
            return false;
        };
        by_terms.terms.supervises.contains(&person.association) || person.terms.trainee_of.as_ref() == Some(by)
    }

    /// The phone that has dialled takes part in a colleague's call.
    fn supervise_by_phone(
        &mut self,
        way: Supervision,
        whom: &RegulatorId,
        dialled: Dialled,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), Unserved> {
        let by = dialled.regulator.clone();
        let state = self.room.state_of(whom).ok_or(Unserved::NotFound)?;
        if !matches!(state, RegulatorState::Talking { .. }) {
            return Err(Unserved::Unavailable);
        }
        if by == *whom || !self.may_supervise(&by, whom) {
            return Err(Unserved::Forbidden);
        }
        // Only the person's own call: where they are a guest, somebody else is supervised, or nobody.
        let id = self.call_of_host(whom).ok_or(Unserved::Unavailable)?;
        let call = self.has_room_for_guest(id).map_err(|_| Unserved::Unavailable)?;
        if call.guests.iter().any(|guest| guest.to.regulator() == Some(&by)) {
            return Err(Unserved::Busy);
        }
        self.room.lend(&by, id, LentTo::Colleague, now, &mut self.changes).map_err(super::dialling::unserved)?;
        let mut leg = Leg::new(dialled.leg, Side::Supervisor, now);
        leg.device = dialled.device.or_else(|| self.room.devices_of(&by).first().copied());
        leg.regulator = Some(by.clone());
        leg.sip_call_id = dialled.sip_call_id;
        let Some(place) = self.calls.get_mut(&id).and_then(|call| call.adopt(leg, now)) else {
            self.free_ringing(Some(&by), id, now);
            return Err(Unserved::Overloaded);
        };
        self.rename_leg(dialled.leg, place, out);
        let (remote, purpose) = (Box::new(dialled.remote), Purpose::Supervision(way));
        let coming = Coming { by: by.clone(), leg: place, remote, purpose };
        self.queue.push_back((id, CallInput::Steer(Box::new(Steer::Come(coming)))));
        self.note_deed(code_of(way).act(), &by, (Some(id), whom.as_str()), now);
        Ok(())
    }

    /// A key was pressed on a leg: when it completes a code of a regulator, that is done, or a long tone says that it
    /// cannot be. What nothing else would tell, whether it is recorded now, is told by a short one.
    pub(super) fn pressed(&mut self, leg: LegId, key: char, now: Now, out: &mut Vec<Order>) {
        let centre = self.centre.clone();
        let in_call = self.calls.get_mut(&leg.call).and_then(|call| call.leg_mut(leg));
        let found = match in_call {
            Some(found) => Some(found),
            None => self.consults.get_mut(&leg.call).and_then(|own| own.legs.get_mut(usize::from(leg.number))),
        };
        let Some(found) = found.filter(|leg| leg.is_alive()) else { return };
        let Some(by) = found.regulator.clone() else { return };
        let Some((code, text)) = found.typed.press(key, &centre.codes, now.moment) else { return };
        let was_paused = self.call_of_host(&by).is_some_and(|id| self.is_recording_paused(id));
        let done = match code.supervision() {
            Some(way) => self.change_supervision(leg, &by, way, now, out),
            None => self.act_on(code, &by, &text, now, out),
        };
        let tone = match (done, code) {
            (Err(_), _) => REFUSED_TONE,
            (Ok(()), Code::Recording) if was_paused => RESUMED_TONE,
            (Ok(()), Code::Recording) => PAUSED_TONE,
            (Ok(()), _) => return,
        };
        let (digit, duration_ms) = tone;
        out.push(Order::Media(MediaCommand::Tone { leg, digit, duration_ms }));
    }

    /// Who takes part already does so in another way from now on.
    fn change_supervision(
        &mut self,
        leg: LegId,
        by: &RegulatorId,
        way: Supervision,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), No> {
        let call = self.calls.get(&leg.call).ok_or(No::Unknown)?;
        let takes_part =
            |guest: &super::Guest| guest.live_leg() == Some(leg) && matches!(guest.purpose, Purpose::Supervision(_));
        if !call.guests.iter().any(takes_part) {
            return Err(No::Unknown);
        }
        self.try_control(leg.call, Control::Supervise { by: by.clone(), way }, now, out)?;
        self.note_deed(code_of(way).act(), by, (Some(leg.call), ""), now);
        Ok(())
    }

    /// What is done by phone is in the audit as well as what is done through the API.
    fn note_deed(&mut self, act: &str, by: &RegulatorId, (call, detail): (Option<CallId>, &str), now: Now) {
        let deed = Deed { at: now.utc, by: by.clone(), act: act.into(), call, detail: detail.to_owned() };
        self.facts.push(Fact::Deed(Box::new(deed)));
    }
}

fn code_of(way: Supervision) -> Code {
    match way {
        Supervision::Listen => Code::Listen,
        Supervision::Whisper => Code::Whisper,
        Supervision::BargeIn => Code::BargeIn,
        Supervision::TakeOver => Code::TakeOver,
    }
}
