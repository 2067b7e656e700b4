//! What a call asks of the waiting room, and how that relaxes as it waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{RegionId, SoundId};
use super::needs::Needs;

/// What a call needs, and how that relaxes as it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// The caller's area.
    pub region: RegionId,
    /// The skills asked before any step.
    pub needs: Needs,
    /// 1 is the most urgent, 9 the least.
    pub priority: u8,
    /// How far from the caller's region a regulator is looked for, before any step.
    pub reach: Reach,
    /// In their order; each changes what it names of those before.
    pub steps: Vec<Step>,
}

/// How far from the caller's region a regulator is looked for. Within it, the nearer costs less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Those who serve the region, or a whole that it is a part of.
    Home,
    /// And those who serve its second region, or a region beside it.
    Neighbours,
    /// And those who serve another part of the same whole.
    Parent,
    /// Everybody: regions are preferred, and nobody is kept waiting for one.
    #[default]
    All,
}

impl Reach {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Reach::Home => "home",
            Reach::Neighbours => "neighbours",
            Reach::Parent => "parent",
            Reach::All => "all",
        }
    }
}

/// The priority that is never kept waiting for a region.
pub const PRIORITY_NEVER_HELD: u8 = 1;

/// How the demand relaxes once a caller has waited so long, or has so long to wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The wait from which it holds.
    pub after: Option<Duration>,
    /// It holds, once begun for good, from when nine in ten such callers would wait so long or longer from now on.
    pub forecast: Option<Duration>,
    /// The skills asked instead; without, those of before.
    pub needs: Option<Needs>,
    /// How far is looked from now on, when that is farther.
    pub reach: Option<Reach>,
    /// The priority from now on, when that is more urgent.
    pub priority: Option<u8>,
    /// Played to the caller when it begins.
    pub message: Option<SoundId>,
}

/// What somebody changes of a call's demand; what is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DemandChange {
    /// The caller's area.
    pub region: Option<RegionId>,
    /// The skills asked before any step.
    pub needs: Option<Needs>,
    /// 1 is the most urgent, 9 the least.
    pub priority: Option<u8>,
    /// How far is looked before any step.
    pub reach: Option<Reach>,
}

impl Demand {
    /// The last step that holds by the time waited alone: 0 is the demand itself, n the n-th step.
    pub fn step_at(&self, waited: Duration) -> usize {
        let held = self.steps.iter().rposition(|step| step.after.is_some_and(|after| after <= waited));
        held.map_or(0, |step| step + 1)
    }

    /// The steps up to and with `step`, from the last one back.
    fn until(&self, step: usize) -> impl Iterator<Item = &Step> {
        self.steps.iter().take(step).rev()
    }

    /// The skills that step `step` asks.
    pub fn needs_at(&self, step: usize) -> &Needs {
        self.until(step).find_map(|step| step.needs.as_ref()).unwrap_or(&self.needs)
    }

    /// How far step `step` looks; everywhere for priority 1, which is never held.
    pub fn reach_at(&self, step: usize) -> Reach {
        if self.priority_at(step) <= PRIORITY_NEVER_HELD {
            return Reach::All;
        }
        self.until(step).filter_map(|step| step.reach).fold(self.reach, Reach::max)
    }

    /// The priority that step `step` gives.
    pub fn priority_at(&self, step: usize) -> u8 {
        self.until(step).filter_map(|step| step.priority).fold(self.priority, u8::min)
    }

    /// The same with what somebody asks changed; the steps stay.
    #[must_use]
    pub fn changed_by(&self, change: &DemandChange) -> Demand {
        Demand {
            region: change.region.clone().unwrap_or_else(|| self.region.clone()),
            needs: change.needs.clone().unwrap_or_else(|| self.needs.clone()),
            priority: change.priority.unwrap_or(self.priority).clamp(1, 9),
            reach: change.reach.unwrap_or(self.reach),
            steps: self.steps.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(steps: Vec<Step>) -> Demand {
        Demand { region: "r".into(), needs: Needs::Level("a".into(), 50), priority: 5, reach: Reach::Home, steps }
    }

    fn after(s: u64) -> Step {
        Step { after: Some(Duration::from_secs(s)), ..Step::default() }
    }

    #[test]
    fn the_step_in_force_follows_the_wait() {
        let demand = demand(vec![after(20), after(60)]);
        let at = |s| demand.step_at(Duration::from_secs(s));
        assert_eq!([at(0), at(19), at(20), at(59), at(60), at(600)], [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_step_by_forecast_does_not_hold_up_those_behind_it() {
        let by_forecast = Step { forecast: Some(Duration::from_secs(240)), ..Step::default() };
        let demand = demand(vec![by_forecast, after(60)]);
        let at = |s| demand.step_at(Duration::from_secs(s));
        assert_eq!([at(0), at(59), at(60)], [0, 0, 2]);
    }

    #[test]
    fn a_step_changes_what_it_names_and_keeps_the_rest() {
        let wider = Step { reach: Some(Reach::Neighbours), priority: Some(3), ..after(10) };
        let looser = Step { needs: Some(Needs::default()), reach: Some(Reach::Home), priority: Some(6), ..after(20) };
        let demand = demand(vec![wider, looser]);
        assert_eq!(demand.needs_at(1), &demand.needs);
        assert_eq!(demand.needs_at(2), &Needs::default());
        assert_eq!([0, 1, 2].map(|step| demand.reach_at(step)), [Reach::Home, Reach::Neighbours, Reach::Neighbours]);
        assert_eq!([0, 1, 2].map(|step| demand.priority_at(step)), [5, 3, 3]);
    }

    #[test]
    fn priority_1_is_never_held_for_a_region() {
        let urgent = demand(Vec::new()).changed_by(&DemandChange { priority: Some(1), ..DemandChange::default() });
        assert_eq!(urgent.reach_at(0), Reach::All);
        let raised = demand(vec![Step { priority: Some(1), ..after(30) }]);
        assert_eq!((raised.reach_at(0), raised.reach_at(1)), (Reach::Home, Reach::All));
    }
}
