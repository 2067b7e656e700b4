//! What people see of the waiting room.

use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::command::RegulatorView;
use crate::model::{CallId, DeviceId, Forecast, LineId, Needs, Now, Reach, RegionId, RegulatorId, RegulatorState, Utc};

use super::WaitingRoom;
use super::crowd::Crowd;
use super::desk::Desk;
use super::regulators::Regulators;

/// One caller in the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingPlace {
    /// Which call.
    pub call: CallId,
    /// On which line.
    pub line: LineId,
    /// From where.
    pub region: RegionId,
    /// 1 is the most urgent.
    pub priority: u8,
    /// Entered the room.
    pub queued_at: Utc,
    /// Waited so far.
    pub waited: Duration,
    /// The step in force: 0 is the demand itself.
    pub step: u32,
    /// The skills that it asks.
    pub needs: Needs,
    /// How far from the caller's region is looked.
    pub reach: Reach,
    /// How long it will go on waiting; `None` when nobody on duty could ever answer it.
    pub forecast: Option<Forecast>,
    /// At whose phone it rings.
    pub offered_to: Option<RegulatorId>,
    /// Offers made so far, the live one included.
    pub offers: u32,
}

impl WaitingRoom {
    /// The place of a call in the order of service, from 1; `None` when it does not wait.
    pub fn position_of(&self, call: CallId) -> Option<u32> {
        let place = self.places.get(&call)?;
        u32::try_from(self.waiters.range(..=place).count()).ok()
    }

    /// Everybody in the room in the order in which they will be served, those who are offered included.
    pub fn waiting(&self, now: Now) -> Vec<WaitingPlace> {
        let name = |index: usize| self.regulators.desks.get(index).map(|desk| desk.regulator.clone());
        let forecasts = self.forecasts(now);
        let places = self.waiters.values().map(|waiter| WaitingPlace {
            call: waiter.call,
            line: waiter.line.clone(),
            region: waiter.demand.region.clone(),
            priority: waiter.demand.priority_at(waiter.step),
            queued_at: waiter.entered.utc,
            waited: now.moment.since(waiter.entered.moment),
            step: waiter.step as u32,
            needs: waiter.demand.needs_at(waiter.step).clone(),
            reach: waiter.demand.reach_at(waiter.step),
            forecast: forecasts.get(&waiter.call).copied(),
            offered_to: waiter.offered_to.and_then(name),
            offers: waiter.offers,
        });
        places.collect()
    }

    /// Every call in the room, in the order of service.
    pub fn calls(&self) -> impl Iterator<Item = CallId> + '_ {
        self.waiters.values().map(|waiter| waiter.call)
    }

    /// The longest present wait.
    pub fn wait_longest(&self, now: Now) -> Duration {
        self.waiters.values().map(|waiter| now.moment.since(waiter.entered.moment)).max().unwrap_or_default()
    }

    /// Every regulator of the configuration, by id.
    pub fn regulators(&self, now: Now) -> Vec<RegulatorView> {
        let people = self.regulators.desks.iter().zip(self.regulators.centre.regulators.values());
        let views = people.map(|(desk, one)| RegulatorView {
            regulator: desk.regulator.clone(),
            name: one.name.clone(),
            association: one.association.clone(),
            state: desk.state.clone(),
            since: desk.since.utc,
            until: desk.until.map(|until| now.after(until.since(now.moment)).utc),
            devices: desk.devices.clone(),
            skills: one.skills.clone(),
            regions: one.regions.clone(),
        });
        views.collect()
    }

    /// What a regulator is doing; `None` when the configuration has no such person.
    pub fn state_of(&self, regulator: &RegulatorId) -> Option<&RegulatorState> {
        self.regulators.desk(regulator).map(|desk| &desk.state)
    }

    /// A regulator's registered phones.
    pub fn devices_of(&self, regulator: &RegulatorId) -> &[DeviceId] {
        self.regulators.desk(regulator).map_or(&[], |desk| desk.devices.as_slice())
    }

    /// Whether somebody on duty fits the demand at its widest step, so that waiting is worth it.
    ///
    /// On duty: ready, ringing, talking, resting, or in a pause that ends by itself.
    pub fn anyone_on_duty(&self, demand: &Demand) -> bool {
        let Regulators { needs, people, on_duty, .. } = &self.regulators;
        needs.any_step(demand, people, |fitting| fitting.meets(on_duty))
    }

    /// Whether anybody of the configuration fits the demand at any of its steps.
    pub fn anyone_fits(&self, demand: &Demand) -> bool {
        let Regulators { needs, people, .. } = &self.regulators;
        needs.any_step(demand, people, |fitting| fitting.len() > 0)
    }

    /// Whether anybody who could answer went off duty less than `grace` ago.
    pub fn anyone_off_duty_within(&self, demand: &Demand, grace: Duration, now: Now) -> bool {
        let Regulators { needs, people, desks, .. } = &self.regulators;
        let is_recent = |desk: &Desk| !desk.is_on_duty() && now.moment.since(desk.since.moment) < grace;
        let recent: Crowd =
            desks.iter().enumerate().filter(|(_, desk)| is_recent(desk)).map(|(index, _)| index).collect();
        needs.any_step(demand, people, |fitting| fitting.meets(&recent))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;
    use crate::model::{OfferEnd, PauseReason};
    use crate::routing::sample::{demand, regulator};

    #[test]
    fn on_duty_is_who_will_take_calls_again_without_anybodys_doing() {
        let mut stage = Stage::new(vec![regulator("anne", &[("regulation", 50)], &[])]);
        let wide = demand("cherbourg", &[("lang-en", 50)], &[(20, &[("lang-de", 1)]), (60, &[("regulation", 1)])]);
        let narrow = demand("cherbourg", &[("lang-en", 50)], &[]);
        assert!(!stage.room.anyone_on_duty(&wide));
        stage.register(&["anne"]);
        assert!(stage.room.anyone_on_duty(&wide) && !stage.room.anyone_on_duty(&narrow));
        stage.talk("anne");
        assert!(stage.room.anyone_on_duty(&wide));
        stage.release("anne", 10);
        assert!(stage.room.anyone_on_duty(&wide));
        stage.pass(10);
        stage.tick();
        stage.ring("anne");
        stage.end_offer("anne", OfferEnd::TimedOut);
        assert!(stage.room.anyone_on_duty(&wide));
        stage.room.pause(&"anne".into(), PauseReason::Own, stage.now, &mut stage.out).expect("known");
        assert!(!stage.room.anyone_on_duty(&wide));
    }

    #[test]
    fn a_state_that_ends_by_itself_is_shown_with_its_end() {
        let mut stage = Stage::new(vec![regulator("anne", &[("regulation", 50)], &[])]);
        stage.register(&["anne"]);
        stage.talk("anne");
        stage.pass(5);
        stage.release("anne", 10);
        stage.pass(4);
        let view = stage.room.regulators(stage.now).remove(0);
        assert_eq!((view.state, view.devices), (RegulatorState::WrapUp, vec![DeviceId(1)]));
        assert_eq!(stage.now.utc.since(view.since), Duration::from_secs(4));
        assert_eq!(view.until.map(|until| until.since(stage.now.utc)), Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_caller_is_shown_with_wait_step_and_offer() {
        let mut stage = Stage::new(vec![regulator("anne", &[("regulation", 50)], &[])]);
        let call = stage.enter(demand("rouen", &[("lang-en", 1)], &[(20, &[("regulation", 1)])]));
        stage.pass(21);
        stage.register(&["anne"]);
        assert_eq!(stage.choose().len(), 1);
        let shown = stage.room.waiting(stage.now).remove(0);
        assert_eq!((shown.call, shown.step, shown.waited), (call, 1, Duration::from_secs(21)));
        assert_eq!((shown.offered_to, shown.offers), (Some("anne".into()), 1));
        assert_eq!(shown.needs.to_string(), "regulation");
    }
}
