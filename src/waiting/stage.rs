//! A waiting room in virtual time for the tests of this folder.

use std::sync::Arc;
use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::{CallId, Centre, Chance, DeviceId, Moment, Now, OfferEnd, RegulatorId, RegulatorState, Utc};
use crate::routing::sample;

use super::{Choice, StateChange, WaitingRoom};

pub(super) struct Stage {
    pub room: WaitingRoom,
    pub now: Now,
    pub out: Vec<StateChange>,
    chance: Chance,
}

impl Stage {
    /// A room with these regulators, all of them offline, and one line.
    pub fn new(regulators: Vec<crate::model::Regulator>) -> Stage {
        let ask = sample::demand("cherbourg", &[("regulation", 50)], &[]);
        Stage::of(sample::centre(regulators, vec![sample::line("line", "+33233010101", ask)]))
    }

    pub fn of(centre: Centre) -> Stage {
        let now = Now { moment: Moment(1_000_000), utc: Utc(1_700_000_000_000_000) };
        Stage { room: WaitingRoom::new(Arc::new(centre)), now, out: Vec::new(), chance: Chance::from_number(1) }
    }

    pub fn centre(&self) -> Arc<Centre> {
        self.room.regulators.centre.clone()
    }

    /// Registers each one's device 1.
    pub fn register(&mut self, who: &[&str]) {
        for one in who {
            self.room.registered(&RegulatorId::from(*one), DeviceId(1), self.now, &mut self.out);
        }
    }

    pub fn unregister(&mut self, who: &str) {
        self.room.unregistered(&who.into(), DeviceId(1), self.now, &mut self.out);
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    pub fn tick(&mut self) {
        self.room.tick(self.now, &mut self.out);
    }

    pub fn enter(&mut self, demand: Demand) -> CallId {
        let call = CallId::new(self.now.utc, &mut self.chance);
        self.room.enter(call, &"line".into(), demand, self.now).expect("room for one more");
        call
    }

    /// A caller who asks for `regulation` in Cherbourg.
    pub fn enter_plain(&mut self) -> CallId {
        self.enter(sample::demand("cherbourg", &[("regulation", 50)], &[]))
    }

    pub fn choose(&mut self) -> Vec<Choice> {
        self.room.choose(self.now, &mut self.out)
    }

    /// Who gets which call now.
    pub fn pairs(&mut self) -> Vec<(CallId, String)> {
        self.choose().into_iter().map(|choice| (choice.call, choice.regulator.to_string())).collect()
    }

    pub fn end_offer(&mut self, who: &str, end: OfferEnd) {
        self.room.offer_ended(&who.into(), end, self.now, &mut self.out);
    }

    pub fn answer(&mut self, who: &str, call: CallId) -> bool {
        self.room.answered(&who.into(), call, self.now, &mut self.out)
    }

    /// One regulator rings for a plain caller.
    pub fn ring(&mut self, who: &str) -> CallId {
        let call = self.enter_plain();
        assert_eq!(self.pairs(), [(call, who.to_owned())]);
        call
    }

    /// One regulator talks with a plain caller.
    pub fn talk(&mut self, who: &str) -> CallId {
        let call = self.ring(who);
        assert!(self.answer(who, call));
        call
    }

    pub fn release(&mut self, who: &str, wrap_up_s: u64) {
        self.room.released(&who.into(), Duration::from_secs(wrap_up_s), self.now, &mut self.out);
    }

    pub fn state(&self, who: &str) -> RegulatorState {
        self.room.state_of(&who.into()).cloned().expect("a known regulator")
    }
}
